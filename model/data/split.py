"""The validation set: whole recordings or whole speakers, held out by a hash of their id.

What is held out once stays held out in later versions: an id whose hash is under the share is held out regardless of
other uploads. One more is always held out, so that the validation set is never empty: of the two that were prepared
first the one with less speech at that time, which later uploads do not change.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from voicemill.model.data.index import Index


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of an index for training and validation, in ascending order."""

    training: Mapping[str, NDArray[np.int64]]
    """Source -> rows."""
    validation: NDArray[np.int64]
    """Rows that an evaluation reads, at most `validation_most`."""
    units: tuple[str, ...]
    """Held-out uploads (sha256) or speakers."""
    aside: int
    """Number of utterances of `units`; none is trained on, whether validation reads it or not."""
    notes: tuple[str, ...]
    """Reasons why a source has no held-out utterance."""


def split(
    index: Index,
    sources: Mapping[str, NDArray[np.bool_]],
    shares: Mapping[str, float],
    by: Literal["recordings", "speakers"],
    share: float,
    most: int,
) -> Split:
    """Divide the examples of each source into training and validation.

    `sources`: masks over the rows of `index`; `shares`: source -> its share of the examples. What one source holds out
    no other source trains on.
    """
    names = index.uploads if by == "recordings" else index.speakers
    unit = index.upload if by == "recordings" else index.speaker
    units: set[int] = set()
    notes = []
    for name, mask in sources.items():
        chosen = held_out_units(index, unit, names, mask, share)
        units |= chosen
        if not chosen:
            single = "one recording" if by == "recordings" else "one speaker"
            why = "data.validation_share is 0" if not share else f"it has only {single}"
            notes.append(f"source {name!r} has no held-out utterances: {why}")
    held = np.isin(unit, sorted(units))
    training = {name: np.flatnonzero(mask & ~held) for name, mask in sources.items()}
    validated = [
        _few(index, np.flatnonzero(mask & held), int(np.ceil(most * shares[name]))) for name, mask in sources.items()
    ]
    validation = np.unique(np.concatenate([*validated, np.array([], np.int64)]))
    return Split(
        training=training,
        validation=validation,
        units=tuple(sorted(names[n] for n in units)),
        aside=int(held.sum()),
        notes=tuple(notes),
    )


def held_out_units(
    index: Index, unit: NDArray[np.int32], names: tuple[str, ...], mask: NDArray[np.bool_], share: float
) -> set[int]:
    """Units (uploads or speakers) to hold out of the examples under `mask`: none of a single one, and never all."""
    present, batch = np.unique(unit[mask]).tolist(), index.batches[index.upload]
    if len(present) < 2 or not share:
        return set()
    place = {n: _hash(names[n]) for n in present}
    first = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(first, unit[mask], batch[mask])
    early = mask & (batch == first[unit])  # later uploads must not change which units are held out
    speech = np.bincount(unit[early], index.frames[early], len(names))
    oldest = sorted(present, key=lambda n: (first[n], place[n]))[:2]
    chosen = {n for n in present if place[n] < share} | {min(oldest, key=lambda n: (speech[n], place[n]))}
    return chosen if len(chosen) < len(present) else chosen - {max(chosen, key=lambda n: place[n])}


def _few(index: Index, rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Subset of at most `most` rows, chosen by a hash of their ids: mostly the same ones in different versions."""
    if len(rows) <= most:
        return rows
    order = sorted(rows.tolist(), key=lambda row: _hash(index.ids.item(row).decode()))
    return np.array(order[:most], dtype=np.int64)


def _hash(name: str) -> float:
    """Hash of a name, evenly distributed in 0..1."""
    raw = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(raw) / 2**64

"""The validation set: whole recordings or whole speakers, held out by a hash of their id.

Whatever is held out once stays so in later versions: an id whose hash is under the share is held out whatever stands
beside it. One more always is, so that there is something to hear: of the two that were prepared first the one with less
speech at that time, which later uploads do not change.
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
    """What is trained on and what is heard, as rows of an index in ascending order."""

    training: Mapping[str, NDArray[np.int64]]
    """By source."""
    validation: NDArray[np.int64]
    """What an evaluation hears, at most `validation_most`."""
    units: tuple[str, ...]
    """Held back: sha256 of uploads, or speakers."""
    aside: int
    """Utterances of `units`: never trained on, heard or not."""
    notes: tuple[str, ...]
    """Why a source has nothing held out."""


def split(
    index: Index,
    sources: Mapping[str, NDArray[np.bool_]],
    shares: Mapping[str, float],
    by: Literal["recordings", "speakers"],
    share: float,
    most: int,
) -> Split:
    """Divide the examples of each source (a mask over the rows of `index`). `shares`: of the examples, by source.

    Where sources overlap, what one of them holds back none of them trains on.
    """
    names = index.uploads if by == "recordings" else index.speakers
    unit = index.upload if by == "recordings" else index.speaker
    units: set[int] = set()
    notes = []
    for name, mask in sources.items():
        found = held_out_units(index, unit, names, mask, share)
        units |= found
        if not found:
            there = "one recording" if by == "recordings" else "one speaker"
            why = "data.validation_share is 0" if not share else f"it has only {there}"
            notes.append(f"nothing of source {name!r} is held out for validation: {why}")
    held = np.isin(unit, sorted(units))
    training = {name: np.flatnonzero(mask & ~held) for name, mask in sources.items()}
    heard = [
        _few(index, np.flatnonzero(mask & held), int(np.ceil(most * shares[name]))) for name, mask in sources.items()
    ]
    validation = np.unique(np.concatenate([*heard, np.array([], np.int64)]))
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
    """Which units of the examples under `mask` are held out: none where there is one, and never all."""
    present, batch = np.unique(unit[mask]).tolist(), index.batches[index.upload]
    if len(present) < 2 or not share:
        return set()
    place = {n: _hash(names[n]) for n in present}
    first = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(first, unit[mask], batch[mask])
    early = mask & (batch == first[unit])  # what a speaker says later must not change who is held out
    speech = np.bincount(unit[early], index.frames[early], len(names))
    oldest = sorted(present, key=lambda n: (first[n], place[n]))[:2]
    found = {n for n in present if place[n] < share} | {min(oldest, key=lambda n: (speech[n], place[n]))}
    return found if len(found) < len(present) else found - {max(found, key=lambda n: place[n])}


def _few(index: Index, rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many rows, by a hash of their ids: of two versions mostly the same ones."""
    if len(rows) <= most:
        return rows
    order = sorted(rows.tolist(), key=lambda row: _hash(index.ids.item(row).decode()))
    return np.array(order[:most], dtype=np.int64)


def _hash(name: str) -> float:
    """0..1, evenly."""
    raw = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(raw) / 2**64

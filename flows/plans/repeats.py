"""Recordings that came again in another encoding, at another level or cut otherwise: found by their fingerprints.

Of two uploads the earlier one is kept, as with equal samples, so that what is prepared stays. A later upload loses the
stretches that an earlier one has. What was found is recorded with each upload, and a refresh searches for the uploads
of the batches that it runs alone.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from voicemill.model.audio.fingerprint_index import Index
from voicemill.model.audio.spans import Span, outside
from voicemill.storage.corpus.rows import from_table
from voicemill.storage.corpus.table_rows import FingerprintRow, UploadRow
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.outcomes import Repeat
from voicemill.storage.records import Decoded
from voicemill.storage.store import Store
from voicemill.storage.units import Hertz, Samples, Seconds, to_samples

Order = Mapping[str, tuple[int, int]]
Prints = list[tuple[str, bytes]]
Known = Mapping[str, tuple[Hertz, Samples]]
"""Upload -> sample rate of its file, and decoded length."""

LONG: Seconds = 10.0
SHARE = 0.5
"""A stretch counts if it is as long, or is this share of either upload: a jingle in many recordings is none."""
FIT_RATE: Hertz = 16_000
"""An earlier upload of a lower sample rate does not take the place of a later one with a higher rate."""


def known_repeats(rows: Iterable[UploadRow], order: Order) -> dict[str, tuple[Repeat, ...]]:
    """Recorded stretches of each upload, but of none whose earlier uploads have left: it is searched for again."""
    return {
        row.sha256: row.repeats
        for row in rows
        if row.batch
        and row.repeats
        and row.sha256 in order
        and all(part.upload in order and order[part.upload] < order[row.sha256] for part in row.repeats)
    }


@dataclass
class Searched:
    """Fingerprints of uploads, in indexes of growing sizes: adding a lot costs as much as its own uploads do."""

    base: tuple[str, int]
    """Store, and the corpus version of which the fingerprints were taken."""
    added: set[str] = field(default_factory=set)
    """Content keys of the outputs of `decode` that were added."""
    _parts: list[tuple[Prints, Index[str]]] = field(default_factory=list)

    def add(self, prints: Prints) -> None:
        """Add uploads; an index is made again with the smaller ones."""
        while self._parts and len(self._parts[-1][0]) <= len(prints):
            prints = self._parts.pop()[0] + prints
        if prints:
            self._parts.append((prints, Index(prints)))

    def find(self, row: Decoded, order: Order, known: Known) -> tuple[Repeat, ...]:
        """Stretches of an upload that earlier ones have, disjoint and in time; the earliest upload counts."""
        upload, least = row.upload, min(row.rate, FIT_RATE)
        found = [
            match
            for _, index in self._parts
            for match in index.find(row.fingerprint)
            if match.key in known
            and order.get(match.key, order[upload]) < order[upload]
            and known[match.key][0] >= least
        ]
        taken: list[Repeat] = []
        for match in sorted(found, key=lambda match: (order[match.key], match.start)):
            span = Span(to_samples(match.start), min(to_samples(match.stop), row.samples))  # it counts whole frames
            holes = [Span(part.start, part.stop) for part in taken]
            shift = to_samples(match.other_start) - span.start
            enough = min(to_samples(LONG), SHARE * row.samples, SHARE * known[match.key][1])
            new = [part for part in outside([span], holes) if part.stop - part.start >= enough]
            taken = sorted([*taken, *(Repeat(*part, match.key, part.start + shift) for part in new)], key=_start)
        return tuple(taken)


def _start(part: Repeat) -> int:
    return part.start


_LAST: list[Searched] = []
"""Indexes that the last lot of this process searched: the next one adds to them."""


def searched(
    store: Store,
    version: int,
    kept: Collection[str],
    decoded: Collection[str],
    read: Callable[[str], Iterable[Decoded]],
) -> Searched:
    """Fingerprints of the uploads of a corpus version (0 = none), and of outputs of `decode`.

    Args:
        kept: uploads of the version that count.
        decoded: content keys of the outputs.
        read: rows of an output, which is called for those alone that no earlier lot has added.
    """
    last = _LAST.pop() if _LAST else None
    if last is None or last.base != (str(store.root), version) or not last.added <= set(decoded):
        last = Searched((str(store.root), version))
        last.add([(key, data) for key, data in _of_version(store, version) if key in kept])
    for key in sorted(set(decoded) - last.added):
        last.add([(row.upload, row.fingerprint) for row in read(key) if row.fingerprint])
        last.added.add(key)
    _LAST.append(last)
    return last


def _of_version(store: Store, number: int) -> Iterable[tuple[str, bytes]]:
    if not number:
        return
    corpus = CorpusVersion.open(store, number)
    if "fingerprints" in corpus.version.pins:  # versions of before have none
        for part in corpus.scan("fingerprints"):
            yield from ((row.upload, row.data) for row in from_table(part, FingerprintRow))

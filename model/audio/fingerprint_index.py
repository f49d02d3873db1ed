"""Index of the fingerprints of many uploads: finds the stretches that an upload shares with others.

Method: pairs of peaks (see `fingerprint`) are hashed by the bin of the first and the distances in time and bins. Of all
values of the hash a fixed eighth is kept. Pairs of the query and of the index with equal hashes vote for an upload
and an offset; offsets with a few votes are verified on all peaks that both uploads have there: every peak of either
side that has, or lacks, a partner on the other adds a log-likelihood ratio, and the stretch of the largest sum is the
match.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from voicemill.model.audio.fingerprint import STEP, Ints, peaks
from voicemill.storage.units import Seconds

Key = TypeVar("Key")

FAN = 16
"""Following peaks with which a peak is paired."""
NEAREST, FARTHEST = 4, 127
"""Distances of the peaks of a pair, frames."""
WIDEST = 63
"""Largest distance of the peaks of a pair, bins."""
KEPT_BITS, SLOT_BITS = 3, 19
"""Of 22 bits of a mixed hash the first three must be 0, the others are its slot in the index."""
TOGETHER = 1 << 18
"""Peaks whose pairs are made at once, those of thousands of uploads."""
MOST = 1000
"""Most pairs of a slot that a query looks at, the earliest ones of the index."""
FEWEST = 3
"""Fewest pairs of one offset that are worth a verification."""
CANDIDATES = 64
"""Most offsets verified for each window of a query."""
WINDOW, LAP = 7500, 500
"""Windows in which a query is searched, and their overlap, frames: 60 s, 4 s. A match is then followed to its ends."""
HIT, MISS, LONE = 2.0, -0.55, -0.05
"""Log-likelihood ratios, nepers: of a peak with a partner (45 % of a copy's, 6 % by chance), of one without, of one
without where the other side has a pause (noise fills pauses, codecs empty them)."""
PAUSE = 32
"""Frames to either side without any peak that make a pause: 0.26 s."""
THRESHOLD = 25.0
"""Least score of a match, nepers."""
SHORTEST: Seconds = 1.6
"""Least length of a match that is not most of the shorter upload: the same words of one speaker, spoken alike,
meet for up to 1.3 s."""
WHOLE = 0.8
"""Least share of a shorter upload, from its first peak to its last, that makes a match."""
SAME: Seconds = 1.0
"""Difference of offsets from which on two matches of one stretch with one upload are two."""
EDGE = 4.0
"""Nepers of missing partners that are passed over between a match and the end of either upload."""


@dataclass(frozen=True)
class Match(Generic[Key]):
    """A stretch of the query that is the same audio as a stretch of another upload."""

    key: Key
    start: Seconds
    stop: Seconds
    """Stretch of the query, half open."""
    other_start: Seconds
    """Place in the other upload that corresponds to `start`."""
    score: float
    """Log-likelihood ratio of the peaks, nepers; at least `THRESHOLD`."""


class Index(Generic[Key]):
    """Fingerprints of many uploads, searched together.

    Memory: about 280 bytes per second of speech, 51 MB for 50 hours, built in 2.3 s; a query of 10 s takes 6 ms there.
    """

    def __init__(self, prints: Iterable[tuple[Key, bytes]]) -> None:
        self.keys: list[Key] = []
        frames: list[int] = []
        spans: list[int] = []
        times: list[NDArray[np.uint32]] = [np.empty(0, np.uint32)]
        bins: list[NDArray[np.uint8]] = [np.empty(0, np.uint8)]
        base = 0
        for key, data in prints:
            length, at, bin_ = peaks(data)
            self.keys.append(key)
            frames.append(length)
            spans.append(int(at[-1] - at[0]) if len(at) else 0)
            times.append((at + base).astype(np.uint32))
            bins.append(bin_.astype(np.uint8))
            base += length + FARTHEST + 1  # no pair reaches from one upload into the next
        self._frames = np.array(frames, np.int64)
        self._bases = np.cumsum(self._frames + FARTHEST + 1) - self._frames - FARTHEST - 1
        self._spans = np.array(spans, np.int64)
        """Frames from the first peak of each upload to its last."""
        self._times = np.concatenate(times)
        self._bins = np.concatenate(bins)
        slots: list[NDArray[np.uint32]] = [np.empty(0, np.uint32)]
        places: list[NDArray[np.uint32]] = [np.empty(0, np.uint32)]
        for first in range(0, len(self._times), TOGETHER):
            part = slice(first, first + TOGETHER + FAN)
            slot, origin = _hashes(self._times[part].astype(np.int64), self._bins[part].astype(np.int64))
            inside = origin < TOGETHER
            slots.append(slot[inside].astype(np.uint32))
            places.append(self._times[part][origin[inside]])
        slot_of = np.concatenate(slots)
        self._places = np.concatenate(places)[np.argsort(slot_of, kind="stable")]
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(slot_of, minlength=1 << SLOT_BITS))])

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, bytes."""
        arrays = (self._frames, self._bases, self._spans, self._times, self._bins, self._places, self._starts)
        return sum(array.nbytes for array in arrays)

    def find(self, data: bytes) -> list[Match[Key]]:
        """Stretches of the upload with the fingerprint `data` that are the same audio as an upload of the index.

        Sorted by score, the highest first. One stretch may be found in several uploads, an upload in several stretches.
        """
        length, times, bins = peaks(data)
        matches: list[Match[Key]] = []
        for first in range(0, max(1, length - LAP), WINDOW - LAP):
            stop = min(length, first + WINDOW)
            part = slice(*np.searchsorted(times, [first, stop]))
            for owner, offset in self._candidates(times[part], bins[part]):
                near = [
                    match
                    for match in self._verified(owner, offset, (first, stop), times, bins)
                    if not any(_covered(match, other) for other in matches)
                ]
                if near and length > WINDOW:
                    near = list(self._verified(owner, offset, (0, length), times, bins))
                matches += near
        matches.sort(key=lambda match: -match.score)
        kept: list[Match[Key]] = []
        for match in matches:
            if not any(_covered(match, other) for other in kept):
                kept.append(match)
        return kept

    def _candidates(self, times: Ints, bins: Ints) -> Iterator[tuple[int, int]]:
        """Upload and offset in frames (place there minus place in the query) of the offsets of many pairs."""
        if not self.keys or len(times) < 2:
            return
        found = [_hashes(times, bins, shift) for shift in (0, -1, 1)]
        slots = np.concatenate([slot for slot, _ in found])
        origins = times[np.concatenate([origin for _, origin in found])]
        counts = np.minimum(self._starts[slots + 1] - self._starts[slots], MOST)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        places = self._places[np.repeat(self._starts[slots], counts) + within].astype(np.int64)
        owners = np.searchsorted(self._bases, places, "right") - 1
        codes = np.sort((owners << 34) + (1 << 33) + places - self._bases[owners] - np.repeat(origins, counts))
        votes = np.searchsorted(codes, codes + 2, "right") - np.arange(len(codes))
        often = np.flatnonzero(votes >= FEWEST)
        often = often[np.argsort(-votes[often], kind="stable")]
        often = often[np.sort(np.unique(codes[often] >> 2, return_index=True)[1])]  # the best of every four offsets
        used: set[int] = set()
        for code in codes[often + votes[often] // 2].tolist():
            if code >> 2 not in used and len(used) < 3 * CANDIDATES:
                used.update(((code >> 2) - 1, code >> 2, (code >> 2) + 1))
                yield code >> 34, (code & (1 << 34) - 1) - (1 << 33)

    def _verified(
        self, owner: int, offset: int, part: tuple[int, int], times: Ints, bins: Ints
    ) -> Iterator[Match[Key]]:
        """Matches at one offset, by all peaks of what both uploads have of a part of the query, frames."""
        low, high = max(part[0], -offset), min(part[1], int(self._frames[owner]) - offset)
        shift = int(self._bases[owner]) + offset
        first, last = np.searchsorted(self._times, np.array([low + shift, high + shift], np.uint32))
        theirs = self._times[first:last].astype(np.int64) - shift << 8 | self._bins[first:last]
        first, last = np.searchsorted(times, [low, high])
        ours = times[first:last] << 8 | bins[first:last]
        places = np.concatenate([ours, theirs])
        order = np.argsort(places, kind="stable")
        weights = np.concatenate([_weights(ours, theirs), _weights(theirs, ours)])[order]
        places = places[order] >> 8
        span = min(int(times[-1] - times[0]), int(self._spans[owner]))
        least = min(SHORTEST, WHOLE * STEP * span)
        for start, stop, score in _stretches(weights):
            if (places[stop - 1] - places[start]) * STEP >= least:
                begin = low if weights[:start].sum() > -EDGE else int(places[start])
                end = high if weights[stop:].sum() > -EDGE else int(places[stop - 1]) + 1
                yield Match(
                    key=self.keys[owner],
                    start=begin * STEP,
                    stop=end * STEP,
                    other_start=(begin + offset) * STEP,
                    score=score,
                )


def _covered(match: Match[Key], other: Match[Key]) -> bool:
    """Whether the larger part of `match` is in `other` at nearly the same offset."""
    near = abs(match.other_start - match.start - other.other_start + other.start) < SAME
    both = min(match.stop, other.stop) - max(match.start, other.start)
    return match.key == other.key and near and both > 0.5 * (match.stop - match.start)


def _hashes(times: Ints, bins: Ints, shift: int = 0) -> tuple[Ints, Ints]:
    """Slots of the kept pairs and the index of their first peaks; `shift` is added to the distances in time."""
    slots, origins = [], []
    for step in range(1, min(FAN, len(times) - 1) + 1):
        apart = times[step:] - times[:-step] + shift
        interval = bins[step:] - bins[:-step]
        origin = np.flatnonzero((apart >= NEAREST) & (apart <= FARTHEST) & (np.abs(interval) <= WIDEST))
        value = bins[origin] << 14 | interval[origin] + 64 << 7 | apart[origin]
        mixed = (value * 0x9E3779B1 & 0xFFFFFFFF) >> 32 - KEPT_BITS - SLOT_BITS
        kept = mixed < 1 << SLOT_BITS
        slots.append(mixed[kept])
        origins.append(origin[kept])
    return np.concatenate([np.empty(0, np.int64), *slots]), np.concatenate([np.empty(0, np.int64), *origins])


def _weights(ours: Ints, theirs: Ints) -> NDArray[np.float64]:
    """Log-likelihood ratio of each of our peaks (time << 8 | bin): a partner lies within one frame and one bin."""
    partner = np.zeros(len(ours), np.bool_)
    for shift in (-1, 0, 1):
        centre = ours + (shift << 8)
        partner |= np.searchsorted(theirs, centre + 1, "right") > np.searchsorted(theirs, centre - 1)
    reach = PAUSE << 8
    company = np.searchsorted(theirs, ours + reach) > np.searchsorted(theirs, ours - reach)
    return np.where(partner, HIT, np.where(company, MISS, LONE))


def _stretches(weights: NDArray[np.float64]) -> Iterator[tuple[int, int, float]]:
    """Stretches [start, stop) of largest sum of at least `THRESHOLD`, the best one first."""
    todo = [(0, len(weights))]
    while todo:
        low, high = todo.pop()
        if (high - low) * HIT < THRESHOLD:
            continue
        sums = np.concatenate([[0.0], np.cumsum(weights[low:high])])
        gains = sums - np.minimum.accumulate(sums)
        stop = int(np.argmax(gains))
        if gains[stop] < THRESHOLD:
            continue
        start = int(np.argmin(sums[: stop + 1]))
        yield low + start, low + stop, float(gains[stop])
        todo += [(low, low + start), (low + stop, high)]

"""Comparison of voices: the reference of a speaker, the distance that a segment may have, and changes of voice.

Reference: the mean vector of a speaker's segments, weighted by their seconds, without those that do not belong to it.
It starts at the segment that half of the others resemble most, so that a minority of wrong recordings has no say.
A segment is compared with a reference that it is no part of.

Threshold: a distance below the speaker's own median similarity, not one number for all. It absorbs what differs between
languages, rooms and microphones, and finds more wrong recordings at the same loss (`tests/bench/speaker.py`). The
distance grows for short segments, whose vectors are noisy.

Change of voice: the windows before and after each place are compared; the score is the largest distance of their means,
times the root of the shorter side's windows, since the mean of few windows is noisy. It finds changes that leave at
least a second on each side; one window (1.6 s), which may hold both voices, is left out between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.units import Seconds

Vectors = NDArray[np.float32]

LONGEST: Seconds = 10.0
"""A segment counts for at most so much in a reference."""
MOST = 200
"""Segments that make a reference: more change nothing."""
BELONGS = 0.15
"""Distance under the median similarity within which a segment is part of the reference."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Voice of one speaker."""

    vector: Vectors = field(repr=False)
    """float32 [256], length 1."""
    typical: float
    """Median similarity of the members, each left out of the reference that it is compared with."""
    seconds: Seconds
    """Speech of the members that belong to it."""
    segments: int
    """Number of the members that belong to it."""


def unit(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1; zeros stay."""
    scaled: Vectors = (vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)).astype(np.float32)
    return scaled


def enrol(vectors: Vectors, seconds: Sequence[Seconds]) -> tuple[Reference, Vectors]:
    """Reference of a speaker, and similarity float32 [segments] of each member to it without that member.

    `vectors`: float32 [segments, 256] of length 1, two or more.
    """
    weights = np.minimum(np.asarray(seconds, np.float64), LONGEST)
    pairs = vectors @ vectors.T
    np.fill_diagonal(pairs, np.nan)
    similar = pairs[int(np.argmax(np.nanmedian(pairs, axis=1)))].copy()
    similar[np.isnan(similar)] = 1.0
    for _ in range(4):
        inside = similar >= _median(similar, weights)
        similar = vectors @ unit((vectors[inside] * weights[inside, None]).sum(0))
    inside = similar >= _median(similar, weights) - BELONGS
    total = (vectors[inside] * weights[inside, None]).sum(0)
    without = unit(total - np.where(inside, weights, 0.0)[:, None] * vectors)
    alone = (vectors * without).sum(1).astype(np.float32)
    reference = Reference(
        vector=unit(total),
        typical=_median(alone, weights),
        seconds=float(np.asarray(seconds)[inside].sum()),
        segments=int(inside.sum()),
    )
    return reference, alone


def _median(values: Vectors, weights: NDArray[np.float64]) -> float:
    """Weighted median: the largest value that half of the weight reaches or exceeds."""
    order = np.argsort(-values)
    reached = np.cumsum(weights[order]) >= weights.sum() / 2
    return float(values[order][int(np.argmax(reached))])


def spread_evenly(count: int) -> NDArray[np.int64]:
    """Indices of at most `MOST` of `count` segments, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST)).astype(np.int64))


def voice_change(windows: Vectors) -> float:
    """Score of the most likely change of voice, 0 or more, of float32 [windows, 256]; 0 for under 3 windows."""
    count = len(windows)
    if count < 3:
        return 0.0
    sums = np.cumsum(windows, axis=0, dtype=np.float64)
    left, right = sums[: count - 2], sums[-1] - sums[1 : count - 1]
    cosines = (left * right).sum(1) / np.maximum(np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1), 1e-12)
    shorter = np.minimum(np.arange(1, count - 1), np.arange(count - 2, 0, -1))
    return float(((1.0 - cosines) * np.sqrt(shorter)).max())

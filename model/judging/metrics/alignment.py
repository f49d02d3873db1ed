"""Alignment of two recordings of the same words: mel-cepstra and dynamic time warping.

Cepstra: c_m = 2/N sum_n log S_n cos(pi m (n + 1/2) / N) of the log-mel of `model.audio.mel` (N = 128 bands, 50 frames a
second), so that log S = c_0/2 + sum_m c_m cos(...): c_0 is the level, which no distance here includes.
Warping: Sakoe and Chiba, "Dynamic programming algorithm optimization for spoken word recognition", IEEE Trans. ASSP
26(1), 1978: steps (1, 1), (1, 0), (0, 1) of equal weight, both ends tied, no band. Cost: all pairs of frames; the
table is filled by its anti-diagonals, 10 s against 10 s in a tenth of a second.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from voicemill.model.audio.mel import BANDS, HOP, LogMel
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Decibels, Seconds

COEFFICIENTS = 13
"""c_1 to c_13."""
QUIET: Decibels = 40.0
"""Frames at either end that are this far below the loudest one are silence."""
SHORTEST = 2 * HOP
"""Fewest samples of a log-mel."""

Cepstra = NDArray[np.float64]
Path = NDArray[np.int64]


def log_mel(wave: Wave) -> NDArray[np.float32]:
    """Return the log-mel of training, float32 [frames, 128], of float32 [samples], 32 kHz; a short wave is padded with
    zeros."""
    return LogMel().frames(np.pad(wave, (0, max(0, SHORTEST - len(wave)))))


def cepstra(mel: NDArray[np.float32]) -> Cepstra:
    """Return the cepstra float64 [frames, 13] of a log-mel [frames, 128]."""
    found: Cepstra = mel.astype(np.float64) @ _basis()
    return found


def speech_of(mel: NDArray[np.float32]) -> slice:
    """Return the frames from the first to the last that is within `QUIET` of the loudest."""
    level = 10 / np.log(10) * np.log(np.exp(2 * mel.astype(np.float64)).mean(1))
    loud = np.flatnonzero(level >= level.max() - QUIET)
    return slice(int(loud[0]), int(loud[-1]) + 1)


def seconds_of(frames: slice) -> Seconds:
    """Return the duration of some frames."""
    length: float = (frames.stop - frames.start) * HOP / RATE
    return length


def warp(one: Cepstra, other: Cepstra) -> Path:
    """Return the cheapest path of pairs, int64 [pairs, 2], from both beginnings to both ends of frames [n, dims] and
    [m, dims], 1 or more each. A pair costs its Euclidean distance; of equally cheap steps the diagonal one is taken."""
    cost = distances(one, other)
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    for diagonal in range(rows + columns - 1):
        i = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        j = diagonal - i
        best = np.minimum(total[i, j], np.minimum(total[i, j + 1], total[i + 1, j]))
        total[i + 1, j + 1] = cost[i, j] + best
    return _back(total)


def distances(one: Cepstra, other: Cepstra) -> NDArray[np.float64]:
    """Return the Euclidean distances float64 [n, m] of [n, dims] and [m, dims]."""
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    found: NDArray[np.float64] = np.sqrt(np.maximum(squares, 0.0))
    return found


def _back(total: NDArray[np.float64]) -> Path:
    i, j = total.shape[0] - 1, total.shape[1] - 1
    path = [(i - 1, j - 1)]
    while (i, j) != (1, 1):
        steps = ((i - 1, j - 1), (i - 1, j), (i, j - 1))
        i, j = min(steps, key=lambda at: total[at])
        path.append((i - 1, j - 1))
    return np.array(path[::-1], dtype=np.int64)


@cache
def _basis() -> NDArray[np.float64]:
    """Cosine basis float64 [128, 13]."""
    bands, order = np.arange(BANDS)[:, None], np.arange(1, COEFFICIENTS + 1)
    return 2 / BANDS * np.cos(np.pi * order * (bands + 0.5) / BANDS)

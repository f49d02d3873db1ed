"""Pitch and length of speech against the real recording of the same words.

Pitch: root mean square of 1200 log2(f/f') in cents over the pairs of frames, aligned by dynamic time warping, that are
voiced in both (the usual F0 RMSE of prosody transfer, in cents as in Gao, Singh and Raj, "Voice impersonation using
GANs", ICASSP 2018, so that high and low voices compare). Length: |l - l'| / l' of the speech without the silence at its
ends, l' being that of the recording.
"""

import numpy as np
from numpy.typing import NDArray

from voicemill.model.judging.metrics.alignment import Path
from voicemill.storage.units import Seconds

FEWEST = 5
"""Pairs of voiced frames: fewer say nothing of an intonation."""


def f0_error(one: NDArray[np.float32], other: NDArray[np.float32], path: Path) -> float | None:
    """F0 float32 [n] and [m], Hz, 0 = unvoiced, and pairs of their frames -> cents, 0 or more; None where fewer than
    five pairs are voiced in both."""
    first, second = one[path[:, 0]].astype(np.float64), other[path[:, 1]].astype(np.float64)
    voiced = (first > 0) & (second > 0)
    if voiced.sum() < FEWEST:
        return None
    cents = 1200 * np.log2(first[voiced] / second[voiced])
    return float(np.sqrt((cents**2).mean()))


def duration_error(spoken: Seconds, real: Seconds) -> float:
    """Share of the real length, 0 or more."""
    return abs(spoken - real) / real

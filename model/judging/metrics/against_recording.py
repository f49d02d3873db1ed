"""Distance of speech to the real recording of the same words: timbre, pitch and length.

Timbre: mel-cepstral distortion, MCD = 10/ln 10 sqrt(2 sum_{m=1}^{13} (c_m - c'_m)^2) dB, the mean over the pairs of
frames that dynamic time warping makes (`model.judging.metrics.alignment`); silence at either end is cut off both. For
one pair of frames it is the root mean square distance of the two smoothed log spectra in dB, their levels left out.
Source: Kubichek, "Mel-cepstral distance measure for objective speech quality assessment", PacRim 1993; with warping as
Kominek, Schultz and Black, "Synthesizer voice quality of new languages calibrated with mean mel cepstral distortion",
SLTU 2008. Figures of other programs differ: they depend on the cepstra, here those of the 128-band log-mel.

Pitch: root mean square of 1200 log2(f/f') in cents over the aligned pairs of frames that are voiced in both (the usual
F0 RMSE of prosody transfer, in cents as in Gao, Singh and Raj, "Voice impersonation using GANs", ICASSP 2018, so that
high and low voices compare). Length: |l - l'| / l' of the speech without the silence at its ends, l' being that of the
recording.
"""

import numpy as np
from numpy.typing import NDArray

from voicemill.model.judging.metrics.alignment import Cepstra, Path, warp
from voicemill.storage.units import Decibels, Seconds

SCALE = 10 / np.log(10) * np.sqrt(2)
FEWEST = 5
"""Fewest pairs of voiced frames that tell something of the intonation."""


def mcd(one: Cepstra, other: Cepstra, path: Path | None = None) -> Decibels:
    """Return the distortion of cepstra float64 [n, 13] and [m, 13], without c_0, in dB; 0 = the same.

    `path`: their alignment, where it is known.
    """
    path = warp(one, other) if path is None else path
    difference = one[path[:, 0]] - other[path[:, 1]]
    return float(SCALE * np.sqrt((difference**2).sum(1)).mean())


def f0_error(one: NDArray[np.float32], other: NDArray[np.float32], path: Path) -> float | None:
    """Return the pitch error in cents, 0 or more, of F0 float32 [n] and [m], Hz, 0 = unvoiced, over pairs of their
    frames; None where fewer than five pairs are voiced in both."""
    first, second = one[path[:, 0]].astype(np.float64), other[path[:, 1]].astype(np.float64)
    voiced = (first > 0) & (second > 0)
    if voiced.sum() < FEWEST:
        return None
    cents = 1200 * np.log2(first[voiced] / second[voiced])
    return float(np.sqrt((cents**2).mean()))


def duration_error(spoken: Seconds, real: Seconds) -> float:
    """Return the difference of the two lengths as a share of the real one, 0 or more."""
    return abs(spoken - real) / real

"""Mel-cepstral distortion: how far the timbre of speech is from that of the real recording of the same words.

MCD = 10/ln 10 sqrt(2 sum_{m=1}^{13} (c_m - c'_m)^2) dB, the mean over the pairs of frames that dynamic time warping
makes (`model.judging.metrics.alignment`); silence at either end is cut off both. For one pair of frames it is the root
mean square distance of the two smoothed log spectra in dB, their levels left out.
Source: Kubichek, "Mel-cepstral distance measure for objective speech quality assessment", PacRim 1993; with warping as
Kominek, Schultz and Black, "Synthesizer voice quality of new languages calibrated with mean mel cepstral distortion",
SLTU 2008. Figures of other programs differ: they depend on the cepstra, here those of the 128-band log-mel.
"""

import numpy as np

from voicemill.model.judging.metrics.alignment import Cepstra, Path, warp
from voicemill.storage.units import Decibels

SCALE = 10 / np.log(10) * np.sqrt(2)


def mcd(one: Cepstra, other: Cepstra, path: Path | None = None) -> Decibels:
    """Cepstra float64 [n, 13] and [m, 13], without c_0 -> dB, 0 = the same; `path`: theirs, if it is known."""
    path = warp(one, other) if path is None else path
    apart = one[path[:, 0]] - other[path[:, 1]]
    return float(SCALE * np.sqrt((apart**2).sum(1)).mean())

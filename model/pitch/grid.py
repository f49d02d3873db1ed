"""The grid of F0 that every engine of `model.pitch.engines` answers on: 10 ms, frame i centred on sample 320 i + 160 at
32 kHz.

Two frames stand over each frame of the log-mel. 0 Hz = unvoiced.
"""

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.units import Frames, Samples

HOP: Samples = 320
F0 = NDArray[np.float32]
Double = NDArray[np.float64]


def frames_of(samples: Samples) -> Frames:
    """Frames of F0 over so many samples at 32 kHz."""
    return samples // HOP


def regrid(at: Double, hertz: Double, confidence: Double, times: Double, threshold: float) -> F0:
    """F0 at `at` (seconds) to `times`: voiced where the interpolated confidence says so; log F0 interpolated over
    voiced neighbours only."""
    sure = np.interp(times, at, confidence)
    voiced = confidence >= threshold
    if not voiced.any():
        return np.zeros(len(times), np.float32)
    value = np.exp(np.interp(times, at[voiced], np.log(hertz[voiced])))
    return np.where(sure >= threshold, value, 0.0).astype(np.float32)

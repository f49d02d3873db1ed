"""The grid of F0: 10 ms, frame i centred on sample 320 i + 160 at 32 kHz, two frames per frame of the log-mel."""

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.units import Frames, Samples

HOP: Samples = 320
F0 = NDArray[np.float32]
Double = NDArray[np.float64]


def frames_of(samples: Samples) -> Frames:
    """Number of F0 frames of a wave of `samples` at 32 kHz."""
    return samples // HOP


def regrid(at: Double, hertz: Double, confidence: Double, times: Double, threshold: float) -> F0:
    """F0 at times `at` (seconds) -> F0 at `times`, 0 where the interpolated confidence is below `threshold`.

    log F0 is interpolated between voiced neighbours only.
    """
    sure = np.interp(times, at, confidence)
    voiced = confidence >= threshold
    if not voiced.any():
        return np.zeros(len(times), np.float32)
    value = np.exp(np.interp(times, at[voiced], np.log(hertz[voiced])))
    return np.where(sure >= threshold, value, 0.0).astype(np.float32)

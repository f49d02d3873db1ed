"""Resampling to the 16 kHz that most speech models take."""

from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE


def to_16_khz(wave: Wave) -> Wave:
    """Resample float32 [samples], 32 kHz, to float32 [about samples / 2], 16 kHz, with soxr HQ."""
    import soxr

    result: Wave = soxr.resample(wave, RATE, RATE // 2, quality="HQ")
    return result

"""FLAC of the stored waveforms."""

from io import BytesIO

import numpy as np

from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE


def flac(wave: Wave) -> bytes:
    """FLAC of float32 [samples], 32 kHz: 16 bit by rounding, clipped to -1..1, no dither."""
    import soundfile

    file = BytesIO()
    whole = np.rint(np.clip(wave, -1.0, 1.0) * np.float32(32767)).astype(np.int16)
    soundfile.write(file, whole, RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()

"""pyin, the F0 tracker of librosa; it takes 16 kHz."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.pitch.grid import F0, frames_of
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Hertz


@dataclass(frozen=True)
class Pyin:
    """librosa.pyin (Mauch and Dixon, ICASSP 2014) at 16 kHz."""

    fmin: Hertz = 60.0
    fmax: Hertz = 800.0

    def track(self, waves: Sequence[Wave]) -> list[F0]:
        return [self._one(wave) for wave in waves]

    def _one(self, wave: Wave) -> F0:
        import librosa

        total = frames_of(len(wave))
        x = np.pad(to_16_khz(wave), (512 - 80, 1024))
        hertz, voiced, _ = librosa.pyin(
            x, fmin=self.fmin, fmax=self.fmax, sr=RATE // 2, frame_length=1024, hop_length=160, center=False
        )
        result: F0 = np.where(voiced, hertz, 0.0)[:total].astype(np.float32)
        return result

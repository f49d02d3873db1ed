"""F0 trackers of other authors that are installed with voicemill: SwiftF0 (the default) and pyin. Both take 16 kHz."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.pitch.engines import weights_file
from voicemill.model.pitch.grid import F0, HOP, Double, frames_of, regrid
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Frames, Hertz, Samples

SWIFT_HOP: Samples = 256
"""Step of SwiftF0, samples at 16 kHz."""
SWIFT_WINDOW: Frames = 200
"""Frames (3.2 s) in one call of SwiftF0: its activations stay in the cache, 1.2 x the speed on long segments."""
SWIFT_CONTEXT: Frames = 11
"""Frames on either side of a window that its frames depend on: the network sees 2815 samples each way."""


@dataclass(frozen=True)
class SwiftF0:
    """SwiftF0, a small convolutional network with its weights in its wheel (arXiv 2508.18440, MIT), 16 ms frames."""

    fmin: Hertz = 60.0
    fmax: Hertz = 800.0
    threshold: float = 0.5

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(str(weights_file("swift")), options, providers=["CPUExecutionProvider"])

    def track(self, waves: Sequence[Wave]) -> list[F0]:
        return [self._one(wave) for wave in waves]

    def _one(self, wave: Wave) -> F0:
        times = (np.arange(frames_of(len(wave))) + 0.5) * HOP / RATE
        if not len(times):
            return np.zeros(0, np.float32)
        x = to_16_khz(wave)
        total = max(1, len(x) // SWIFT_HOP)
        parts = []
        for start in range(0, total, SWIFT_WINDOW):
            stop = start + SWIFT_WINDOW if start + 2 * SWIFT_WINDOW <= total else total
            before = max(0, start - SWIFT_CONTEXT)
            window = x[before * SWIFT_HOP : None if stop == total else (stop + SWIFT_CONTEXT) * SWIFT_HOP]
            parts.append([values[start - before : stop - before] for values in self._run(window)])
            if stop == total:
                break
        hertz, confidence = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        hops = x[: total * SWIFT_HOP].reshape(total, -1)
        confidence[np.abs(hops).max(1) < 1e-3] = 0.0  # on digital silence its output is random
        return regrid(0.016 * np.arange(len(hertz), dtype=np.float64), hertz, confidence, times, self.threshold)

    def _run(self, x: Wave) -> tuple[Double, Double]:
        """float32 [samples], 16 kHz -> Hz and confidence, one value per 256 samples."""
        feed = {"audio": x[None], "fmin": np.asarray(self.fmin, np.float32), "fmax": np.asarray(self.fmax, np.float32)}
        hertz, confidence = (out[0].astype(np.float64) for out in self._session.run(["pitch", "confidence"], feed))
        return hertz, confidence


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

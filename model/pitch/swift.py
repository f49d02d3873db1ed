"""SwiftF0 (arXiv 2508.18440, MIT), a small convolutional network whose weights are in its wheel, run by torch.

Input: three mel spectrograms of 128 bands, log, from spectra of 64, 128 and 32 ms, every 16 ms. Network: convolutions
of 12 channels over bands and frames, the middle ones dilated over the bands, where overtones of a voice lie at equal
distances. Output: scores of 95 pitches from 47 Hz to 2 kHz, 4 % apart, whose highest and its two neighbours are
averaged on the logarithmic scale, and a confidence.

ONNX Runtime runs the file of the wheel at half the speed of the same sums in torch; bytes are faster still
(`swift_int8`, `tests/bench/f0.py`). oneDNN compiles kernels for each length, so lengths are rounded up to `QUANTUM`
frames; what the layers compute behind the end is set to 0 again, as their padding has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.embedded import SWIFT_F0
from voicemill.model.pitch.grid import F0, HOP, Double, frames_of, regrid
from voicemill.model.pitch.swift_int8 import ByteNetwork
from voicemill.model.pitch.swift_network import STEP, Network
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Frames, Hertz

WINDOW: Frames = 1024
"""Frames (16 s) in one pass of the network, which bounds its memory."""
CONTEXT: Frames = 11
"""Frames on either side of a window that its frames depend on: the network sees 2815 samples each way."""


@dataclass(frozen=True)
class SwiftF0:
    """The tracker. `dtype`: float32, bfloat16 or int8, that of the network; spectra and pitches are in float32."""

    fmin: Hertz = 60.0
    fmax: Hertz = 800.0
    threshold: float = 0.5
    dtype: torch.dtype = torch.float32

    @cached_property
    def _network(self) -> Network:
        file = SWIFT_F0.path("model.onnx")
        return ByteNetwork(file) if self.dtype is torch.int8 else Network(file, self.dtype)

    def track(self, waves: Sequence[Wave]) -> list[F0]:
        """F0 of each wave; see `Tracker`."""
        with torch.inference_mode():
            return [self._one(wave) for wave in waves]

    def _one(self, wave: Wave) -> F0:
        times = (np.arange(frames_of(len(wave))) + 0.5) * HOP / RATE
        if not len(times):
            return np.zeros(0, np.float32)
        x = to_16_khz(wave)
        total = max(1, len(x) // STEP)
        parts = []
        for start in range(0, total, WINDOW):
            stop = start + WINDOW if start + 2 * WINDOW <= total else total
            before = max(0, start - CONTEXT)
            window = x[before * STEP : None if stop == total else (stop + CONTEXT) * STEP]
            parts.append([values[start - before : stop - before] for values in self.pitches(window)])
            if stop == total:
                break
        hertz, confidence = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        hops = x[: total * STEP].reshape(total, -1)
        confidence[np.abs(hops).max(1) < 1e-3] = 0.0  # on digital silence its output is random
        return regrid(0.016 * np.arange(len(hertz), dtype=np.float64), hertz, confidence, times, self.threshold)

    def pitches(self, x: Wave) -> tuple[Double, Double]:
        """float32 [samples], 16 kHz -> Hz and confidence (0 to 1), one value every 256 samples, one at least."""
        scores, confidence = self._network(torch.from_numpy(np.ascontiguousarray(x)))
        inside = (self._network.centres >= self.fmin) & (self._network.centres <= self.fmax)
        masked = functional.pad(torch.where(inside, scores, -torch.inf), (1, 1), value=-torch.inf)
        around = masked.argmax(1, keepdim=True) + torch.tensor([-1, 0, 1])
        weights = masked.gather(1, around).double().softmax(1)
        logarithms = functional.pad(self._network.logarithms, (1, 1))
        hertz = (weights * logarithms[around]).sum(1).exp()
        return hertz.numpy(), torch.where(inside[scores.argmax(1)], confidence, 0.0).double().numpy()

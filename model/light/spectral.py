"""Vocoder that gives spectra: a log-mel to a waveform by magnitude and phase of overlapping spectra.

After Vocos (Siuzdak 2023): ConvNeXt blocks at the rate of the frames, then at four times that rate; the last layer
gives log-magnitude and phase of a spectrum of 640 samples every 160, and the inverse transform, windowed and
overlapped, is the waveform. No layer runs at the sample rate, as those of HiFi-GAN do: nearly all products are matrix
products, so that a step of training costs a fraction of HiFi-GAN's on a CPU (`tests/bench/light_vocoders.py`).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from voicemill.model.light.acoustic import standardise
from voicemill.model.light.config import SpectralConfig

LOUDEST = 5.0
"""Largest log-magnitude, nepers: exp(5) is over a sine of full scale."""
GAIN = 0.3
"""Initial gain of a block's branch."""


class ConvNext(nn.Module):  # type: ignore[misc]  # torch is not followed
    """ConvNeXt block in one dimension: a convolution for each channel, then two linear layers of each frame."""

    def __init__(self, width: int, inner: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)
        self.gain = nn.Parameter(torch.full((width,), GAIN))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, frames, width] -> the same shape."""
        y = functional.gelu(self.widen(self.norm(self.conv(x.mT).mT)))
        return x + self.gain * self.narrow(y)


class SpectralVocoder(nn.Module):  # type: ignore[misc]
    """Vocoder; see the module. It has the interface of `voicemill.model.s2.generator.Generator` without a voice."""

    window: Tensor

    def __init__(self, config: SpectralConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SpectralConfig()
        sizes = config.width, config.inner, config.kernel
        self.enter = nn.Conv1d(config.hidden, config.width, config.kernel, padding=config.kernel // 2)
        self.slow = nn.ModuleList(ConvNext(*sizes) for _ in range(config.slow_layers))
        self.expand = nn.Linear(config.width, config.width * config.rate)
        self.fast = nn.ModuleList(ConvNext(*sizes) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, config.fft + 2)
        self.register_buffer("window", torch.hann_window(config.fft) / config.overlap_gain, persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """Log-mel float32 [batch, 128, frames] -> waveform float32 [batch, 1, frames x 640]."""
        x = self.enter(standardise(z)).mT
        for block in self.slow:
            x = block(x)
        rows, frames, width = x.shape
        x = self.expand(x).reshape(rows, frames * self.config.rate, width)
        for block in self.fast:
            x = block(x)
        magnitude, phase = self.leave(self.norm(x)).float().chunk(2, -1)
        magnitude = magnitude.clamp(max=LOUDEST).exp()
        spectra = torch.complex(magnitude * phase.cos(), magnitude * phase.sin())
        return self._overlapped(torch.fft.irfft(spectra, n=self.config.fft) * self.window)[:, None]

    def _overlapped(self, pieces: Tensor) -> Tensor:
        """Sum of windowed pieces [batch, spectra, fft], one every `step` samples: [batch, spectra x step]."""
        step, times = self.config.step, self.config.fft // self.config.step
        rows, count, _ = pieces.shape
        parts = pieces.reshape(rows, count, times, step)
        whole = sum(functional.pad(parts[:, :, number], (0, 0, number, times - 1 - number)) for number in range(times))
        start = (self.config.fft - step) // 2
        flat: Tensor = whole.reshape(rows, -1)[:, start : start + count * step]
        return flat


def reach(config: SpectralConfig) -> int:
    """Number of frames to each side that one frame of the waveform depends on."""
    side = config.kernel // 2
    spectra = config.layers * side + config.fft // config.step // 2
    return side * (1 + config.slow_layers) + math.ceil(spectra / config.rate)

"""Speaker encoder: ECAPA-TDNN (Desplanques et al. 2020, "ECAPA-TDNN: Emphasized Channel Attention, Propagation and
Aggregation in TDNN Based Speaker Verification"), small: 192 numbers for the voice of a log-mel.

The log-mel is that of the whole system, with the level of the recording removed. In place of batch norm the layers are
normed frame by frame over their channels: minibatches are small, the parts of a step must add up to the step, and
padding has no influence. Otherwise it is the original: a convolution, three squeeze-excitation Res2 blocks of dilation
2, 3 and 4, a layer that joins their outputs, attentive statistics pooling with global context, a linear layer.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from voicemill.model.light.config import BANDS, EcapaConfig
from voicemill.model.s2.layers import mask

DILATIONS = (2, 3, 4)
SPREAD = 2.5
"""Deviation of the values of a log-mel without its mean, nepers: divided out in front of the first layer."""
LEAST = 1e-4
"""Least variance: the slope of its root is infinite at 0."""


class FrameNorm(nn.LayerNorm):  # type: ignore[misc]  # torch is not followed
    """Layer norm over the channels of each frame."""

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, time] -> the same shape."""
        return super().forward(x.mT).mT


class Layer(nn.Module):  # type: ignore[misc]
    """Convolution, ReLU, norm. Frames behind a row's end are set to 0 before it."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, dilation=dilation, padding=dilation * (kernel // 2))
        self.norm = FrameNorm(outputs)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """[batch, inputs, time], [batch, 1, time], 1 = real -> [batch, outputs, time]."""
        return self.norm(functional.relu(self.conv(x * real)))


class Block(nn.Module):  # type: ignore[misc]
    """Squeeze-excitation Res2 block, residual."""

    def __init__(self, config: EcapaConfig, dilation: int) -> None:
        super().__init__()
        width = config.channels // config.scale
        self.scale = config.scale
        self.before, self.after = (Layer(config.channels, config.channels) for _ in range(2))
        self.parts = nn.ModuleList(Layer(width, width, 3, dilation) for _ in range(config.scale - 1))
        self.squeeze = nn.Linear(config.channels, config.bottleneck)
        self.excite = nn.Linear(config.bottleneck, config.channels)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """[batch, channels, time] -> the same shape."""
        first, *others = self.before(x, real).chunk(self.scale, 1)
        outputs = [first]
        for layer, part in zip(self.parts, others, strict=True):
            outputs.append(layer(part + outputs[-1] if len(outputs) > 1 else part, real))
        y = self.after(torch.cat(outputs, 1), real)
        mean = (y * real).sum(-1) / real.sum(-1)
        gate = self.excite(functional.relu(self.squeeze(mean))).sigmoid()
        return x + y * gate[..., None]


class Pooling(nn.Module):  # type: ignore[misc]
    """Attentive statistics (Okabe et al. 2018): mean and deviation over time, each channel by its own attention."""

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.look = Layer(3 * channels, bottleneck)
        self.weigh = nn.Conv1d(bottleneck, channels, 1)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """[batch, channels, time] -> [batch, 2 x channels]."""
        everywhere = [part[..., None].expand_as(x) for part in _statistics(x, real / real.sum(-1, keepdim=True))]
        scores = self.weigh(self.look(torch.cat([x, *everywhere], 1), real).tanh())
        weights = scores.masked_fill(real == 0, float("-inf")).softmax(-1)
        return torch.cat(_statistics(x, weights), 1)


class EcapaTdnn(nn.Module):  # type: ignore[misc]
    """Speaker encoder: log-mel of a recording -> speaker vector."""

    def __init__(self, config: EcapaConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EcapaConfig()
        channels = config.channels
        self.first = Layer(BANDS, channels, 5)
        self.blocks = nn.ModuleList(Block(config, dilation) for dilation in DILATIONS)
        joined = len(DILATIONS) * channels
        self.join = Layer(joined, joined)
        self.pool = Pooling(joined, config.bottleneck)
        self.norm = nn.LayerNorm(2 * joined)
        self.last = nn.Linear(2 * joined, config.embedding)

    def forward(self, mel: Tensor, real: Tensor) -> Tensor:
        """Log-mel float32 [batch, 128, frames] (`voicemill.model.audio.mel`), [batch, 1, frames], 1 = real -> float32
        [batch, embedding], of length 1. Padding does not change a row."""
        level = (mel * real).sum((1, 2), keepdim=True) / (BANDS * real.sum(-1, keepdim=True))
        x = self.first((mel - level) / SPREAD, real)
        outputs = []
        for block in self.blocks:
            x = block(x, real)
            outputs.append(x)
        pooled = self.pool(self.join(torch.cat(outputs, 1), real), real)
        return functional.normalize(self.last(self.norm(pooled)), dim=-1)

    def embed(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Log-mel float32 [batch, 128, frames] -> float32 [batch, 192], of length 1: cosines are scalar products.

        `lengths`: real frames of each row, int [batch]; None = all. The network must be in eval mode.
        """
        return cast(Tensor, self(mel, mask(lengths, mel)))


def _statistics(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation over time, [batch, channels] each."""
    mean = (x * weights).sum(-1)
    variance = ((x - mean[..., None]).square() * weights).sum(-1)
    return mean, variance.clamp(min=LEAST).sqrt()

"""Reference encoder: one vector for the voice of a spectrogram (MelStyleEncoder, Meta-StyleSpeech, Min et al. 2021)."""

import math

from torch import Tensor, nn
from torch.nn import functional

KERNEL = 5
HEADS = 2


class Dense(nn.Module):  # type: ignore[misc]  # torch is not followed
    """A linear layer under the name `fc`, as the checkpoints have it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        return self.fc(x)


class GatedConvolution(nn.Module):  # type: ignore[misc]
    """Convolution over time, gated linear unit, residual."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Module()
        self.conv1.conv = nn.Conv1d(channels, 2 * channels, KERNEL, padding=KERNEL // 2)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, time] -> the same shape."""
        return x + self.drop(functional.glu(self.conv1.conv(x), dim=1))


class SelfAttention(nn.Module):  # type: ignore[misc]
    """Two-head self-attention with a residual; scores are divided by the root of all channels, not of one head's."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.w_qs = nn.Linear(channels, channels)
        self.w_ks = nn.Linear(channels, channels)
        self.w_vs = nn.Linear(channels, channels)
        self.fc = nn.Linear(channels, channels)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[batch, time, channels], mask [batch, 1, time], 1 = real -> the shape of x."""
        q, k, v = (w(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for w in (self.w_qs, self.w_ks, self.w_vs))
        scores = (q @ k.mT / math.sqrt(x.shape[-1])).masked_fill(mask[:, None] == 0, -math.inf)
        heads = self.drop(scores.softmax(-1)) @ v
        return x + self.drop(self.fc(heads.transpose(1, 2).flatten(2)))


class ReferenceEncoder(nn.Module):  # type: ignore[misc]
    """Magnitude spectrogram of a voice -> its vector, the mean over the real frames. `masked`: see `S2Config`."""

    def __init__(self, bins: int, channels: int, style: int, dropout: float, masked: bool = True) -> None:
        super().__init__()
        self.bins, self.masked = bins, masked
        drop = nn.Dropout(dropout)
        first, second = Dense(bins, channels), Dense(channels, channels)
        self.spectral = nn.Sequential(first, nn.Mish(), drop, second, nn.Mish(), drop)
        self.temporal = nn.ModuleList(GatedConvolution(channels, dropout) for _ in range(2))
        self.slf_attn = SelfAttention(channels, dropout)
        self.fc = Dense(channels, style)

    def forward(self, spectrogram: Tensor, mask: Tensor) -> Tensor:
        """Magnitudes [batch, bins or more, time], mask [batch, 1, time], 1 = real -> [batch, style, 1]."""
        x = self.spectral((spectrogram[:, : self.bins] * mask).mT).mT
        for layer in self.temporal:
            x = layer(x * mask if self.masked else x)
        x = self.fc(self.slf_attn((x * mask).mT, mask)).mT
        return (x * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True)

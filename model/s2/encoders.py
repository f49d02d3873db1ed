"""Encoders of the inputs of s2: codes and phones to a prior, the spectrogram of a reference to a voice vector.

The prior encoder joins content and text by cross-attention (MRTE of GPT-SoVITS). The reference encoder is the
MelStyleEncoder of Meta-StyleSpeech (Min et al. 2021).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from voicemill.model.s2.config import S2Config
from voicemill.model.s2.layers import Attention, Encoder

REFERENCE_KERNEL = 5
REFERENCE_HEADS = 2


class Prior(NamedTuple):
    """Normal distribution of each latent frame: float32 [batch, hidden, frames] each, 0 where masked."""

    mean: Tensor
    logs: Tensor
    """Natural log of the standard deviation."""


class Mrte(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Cross-attention of content to text; its result, the content itself and the voice are added."""

    def __init__(self, config: S2Config) -> None:
        super().__init__()
        self.cross_attention = Attention(config.mrte_dim, config.mrte_heads)
        self.c_pre = nn.Conv1d(config.hidden, config.mrte_dim, 1)
        self.text_pre = nn.Conv1d(config.hidden, config.mrte_dim, 1)
        self.c_post = nn.Conv1d(config.mrte_dim, config.hidden, 1)

    def forward(self, content: Tensor, mask: Tensor, text: Tensor, text_mask: Tensor, voice: Tensor) -> Tensor:
        """[batch, hidden, frames] and [batch, hidden, phones], masks, [batch, mrte_dim, 1] -> the shape of content."""
        content, text = self.c_pre(content * mask), self.text_pre(text * text_mask)
        x = self.cross_attention(content * mask, text * text_mask, text_mask) + content + voice
        return self.c_post(x * mask)


class PriorEncoder(nn.Module):  # type: ignore[misc]
    """Encoder of codes and phones."""

    def __init__(self, config: S2Config) -> None:
        super().__init__()

        def encoder(layers: int) -> Encoder:
            return Encoder(
                config.hidden,
                config.filter,
                config.heads,
                layers,
                config.kernel,
                config.window,
                config.dropout,
            )

        self.ssl_proj = nn.Conv1d(config.ssl_dim, config.hidden, 1)
        self.encoder_ssl = encoder(config.layers // 2)
        self.encoder_text = encoder(config.layers)
        self.text_embedding = nn.Embedding(config.phones, config.hidden)
        self.mrte = Mrte(config)
        self.encoder2 = encoder(config.layers // 2)
        self.proj = nn.Conv1d(config.hidden, 2 * config.hidden, 1)

    def forward(self, content: Tensor, mask: Tensor, phones: Tensor, text_mask: Tensor, voice: Tensor) -> Tensor:
        """Hidden frames before the distribution, which `speed` stretches.

        Content [batch, ssl_dim, frames], mask [batch, 1, frames], phones int64 [batch, phones], their mask, voice
        [batch, mrte_dim, 1] -> [batch, hidden, frames].
        """
        x = self.encoder_ssl(self.ssl_proj(content * mask), mask)
        text = self.encoder_text(self.text_embedding(phones).mT, text_mask)
        return self.encoder2(self.mrte(x, mask, text, text_mask, voice), mask)

    def distribution(self, x: Tensor, mask: Tensor) -> Prior:
        """[batch, hidden, frames], mask [batch, 1, frames] -> mean and log standard deviation."""
        mean, logs = (self.proj(x) * mask).chunk(2, 1)
        return Prior(mean, logs)


def stretched_frames(frames: int, speed: float) -> int:
    """Number of frames after a change of speed: one more than the quotient, as in GPT-SoVITS, except at speed 1."""
    return frames if speed == 1 else int(frames / speed) + 1


def stretch(x: Tensor, lengths: list[int], speed: float) -> Tensor:
    """Interpolate [batch, channels, frames], rows real up to `lengths`, linearly to another speed.

    Row by row, because the grid of each depends on its length.
    """
    rows = [
        functional.interpolate(row[None, :, :n], size=stretched_frames(n, speed), mode="linear")[0].mT
        for row, n in zip(x, lengths, strict=True)
    ]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).mT


class Dense(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Linear layer named `fc`, as in the checkpoints."""

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
        self.conv1.conv = nn.Conv1d(channels, 2 * channels, REFERENCE_KERNEL, padding=REFERENCE_KERNEL // 2)
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
        projections = (self.w_qs, self.w_ks, self.w_vs)
        q, k, v = (w(x).unflatten(-1, (REFERENCE_HEADS, -1)).transpose(1, 2) for w in projections)
        scores = (q @ k.mT / math.sqrt(x.shape[-1])).masked_fill(mask[:, None] == 0, -math.inf)
        heads = self.drop(scores.softmax(-1)) @ v
        return x + self.drop(self.fc(heads.transpose(1, 2).flatten(2)))


class ReferenceEncoder(nn.Module):  # type: ignore[misc]
    """Voice vector of a magnitude spectrogram, the mean over its real frames. `masked`: see `S2Config`."""

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

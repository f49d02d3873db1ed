"""Layers shared by the networks of s2: masks, WaveNet, and self-attention with relative positions."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from voicemill.model.s2.weight_norm import Conv1d


def mask(lengths: Tensor | None, like: Tensor) -> Tensor:
    """Mask of the real frames of a padded batch, [batch, 1, time], 1 = real.

    `lengths`: int [batch], None = every frame is real; `like` [batch, ..., time] gives time, dtype and device.
    """
    if lengths is None:
        return like.new_ones(like.shape[0], 1, like.shape[-1])
    frames = torch.arange(like.shape[-1], device=like.device)
    return (frames < lengths.to(like.device)[:, None])[:, None].to(like.dtype)


class WaveNet(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Gated convolutions with skip connections, conditioned on a voice: the WaveNet of VITS, non-causal, undilated.

    `layers` x [convolution, + voice, tanh x sigmoid, 1 x 1 to residual and skip]; the last has a skip alone.
    """

    def __init__(self, channels: int, kernel: int, layers: int, style: int) -> None:
        super().__init__()
        self.channels = channels
        self.in_layers = nn.ModuleList(
            Conv1d(channels, 2 * channels, kernel, padding=kernel // 2) for _ in range(layers)
        )
        self.res_skip_layers = nn.ModuleList(
            Conv1d(channels, channels if i == layers - 1 else 2 * channels, 1) for i in range(layers)
        )
        self.cond_layer = Conv1d(style, 2 * channels * layers, 1)

    def forward(self, x: Tensor, mask: Tensor, ge: Tensor) -> Tensor:
        """[batch, channels, time], mask [batch, 1, time], voice [batch, style, 1] -> the shape of x, 0 where masked."""
        voices = self.cond_layer(ge).chunk(len(self.in_layers), 1)
        skip: Tensor | int = 0
        for into, out, voice in zip(self.in_layers, self.res_skip_layers, voices, strict=True):
            content, gate = (into(x) + voice).chunk(2, 1)
            y = out(content.tanh() * gate.sigmoid())
            skip = skip + y[:, -self.channels :]
            if y.shape[1] > self.channels:
                x = (x + y[:, : self.channels]) * mask
        return skip * mask


MASKED = -1e4
"""Score of a masked key: its weight underflows to exactly 0 in float32, and it fits float16."""


class Attention(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Multi-head attention over [batch, channels, time], with relative positions (Shaw et al. 2018) inside a window.

    Each distance up to the window has a key and a value, which the heads share; window 0 = no positions.
    """

    def __init__(self, channels: int, heads: int, window: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        if window:
            size = channels // heads
            self.emb_rel_k = nn.Parameter(torch.randn(1, 2 * window + 1, size) / math.sqrt(size))
            self.emb_rel_v = nn.Parameter(torch.randn(1, 2 * window + 1, size) / math.sqrt(size))
        self.conv_q = nn.Conv1d(channels, channels, 1)
        self.conv_k = nn.Conv1d(channels, channels, 1)
        self.conv_v = nn.Conv1d(channels, channels, 1)
        self.conv_o = nn.Conv1d(channels, channels, 1)
        self.drop = nn.Dropout(dropout)
        for conv in (self.conv_q, self.conv_k, self.conv_v):
            nn.init.xavier_uniform_(conv.weight)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        """Queries from [batch, channels, t], keys and values from [batch, channels, s] -> [batch, channels, t].

        `mask`: mask of the keys, [batch, 1, s], 1 = real. With a window, t = s.
        """
        q, k, v = self._split(self.conv_q(x)), self._split(self.conv_k(source)), self._split(self.conv_v(source))
        q = q / math.sqrt(q.shape[-1])
        scores = q @ k.transpose(-1, -2)
        if self.window:
            scores = scores + by_position(q @ self.emb_rel_k[0].T)
        weights = self.drop(scores.masked_fill(mask[:, None] == 0, MASKED).softmax(-1))
        result = weights @ v
        if self.window:
            result = result + by_distance(weights, self.window) @ self.emb_rel_v[0]
        return self.conv_o(result.transpose(-1, -2).flatten(1, 2))

    def _split(self, x: Tensor) -> Tensor:
        """[batch, channels, time] -> [batch, heads, time, channels / heads]."""
        return x.unflatten(1, (self.heads, -1)).transpose(-1, -2)


def by_position(band: Tensor) -> Tensor:
    """[..., t, 2w + 1] by distance -> [..., t, t] by position: (i, j) holds (i, j - i + w), 0 outside the band.

    Each row is padded by t so that, read with rows one shorter, row i is moved i to the right.
    """
    t, width = band.shape[-2:]
    flat = functional.pad(band, (0, t)).flatten(-2)[..., : t * (t + width - 1)]
    return flat.unflatten(-1, (t, t + width - 1))[..., width // 2 : width // 2 + t]


def by_distance(square: Tensor, window: int) -> Tensor:
    """[..., t, t] by position -> [..., t, 2w + 1] by distance: the transpose of `by_position`."""
    t = square.shape[-1]
    flat = functional.pad(functional.pad(square, (window, window)).flatten(-2), (0, t))
    return flat.unflatten(-1, (t, t + 2 * window + 1))[..., : 2 * window + 1]


class ChannelNorm(nn.Module):  # type: ignore[misc]
    """Layer norm over the channels of [batch, channels, time]; parameters `gamma` and `beta`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, time] -> the same shape."""
        return functional.layer_norm(x.mT, self.gamma.shape, self.gamma, self.beta, 1e-5).mT


class FeedForward(nn.Module):  # type: ignore[misc]
    """Two convolutions over time with a ReLU between."""

    def __init__(self, channels: int, inner: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.conv_1 = nn.Conv1d(channels, inner, kernel, padding=kernel // 2)
        self.conv_2 = nn.Conv1d(inner, channels, kernel, padding=kernel // 2)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[batch, channels, time], mask [batch, 1, time] -> [batch, channels, time]."""
        return self.conv_2(self.drop(self.conv_1(x * mask).relu()) * mask)


class Encoder(nn.Module):  # type: ignore[misc]
    """Layers of relative self-attention and feed-forward, each followed by residual and norm."""

    def __init__(
        self, channels: int, inner: int, heads: int, layers: int, kernel: int, window: int, dropout: float
    ) -> None:
        super().__init__()
        self.attn_layers = nn.ModuleList(Attention(channels, heads, window, dropout) for _ in range(layers))
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(channels) for _ in range(layers))
        self.ffn_layers = nn.ModuleList(FeedForward(channels, inner, kernel, dropout) for _ in range(layers))
        self.norm_layers_2 = nn.ModuleList(ChannelNorm(channels) for _ in range(layers))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[batch, channels, time], mask [batch, 1, time] -> [batch, channels, time], 0 where masked."""
        x = x * mask
        layers = zip(self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True)
        for attention, first, forward, second in layers:
            x = first(x + self.drop(attention(x, x, mask)))
            x = second(x + self.drop(forward(x, mask)))
        return x * mask

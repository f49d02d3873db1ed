"""The latent of s2: normalising flow, codebook of semantic codes and posterior encoder (training only).

The flow is that of VITS: mean-only couplings (RealNVP, Dinh et al. 2017) with the channels reversed between. The
codebook (VQ-VAE, van den Oord et al. 2017) is frozen: s1 was trained on its codes, and GPT-SoVITS never updates it
either. The moving averages that its training left behind are kept, because checkpoints hold them.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from voicemill.model.s2.layers import WaveNet


class Coupling(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Shift of the upper half of the channels by a WaveNet of the lower half; volume preserving."""

    def __init__(self, channels: int, kernel: int, layers: int, style: int) -> None:
        super().__init__()
        self.pre = nn.Conv1d(channels // 2, channels, 1)
        self.enc = WaveNet(channels, kernel, layers, style)
        self.post = nn.Conv1d(channels, channels // 2, 1)
        nn.init.zeros_(self.post.weight)  # the untrained flow is the identity
        nn.init.zeros_(self.post.bias)

    def forward(self, x: Tensor, mask: Tensor, ge: Tensor, sign: int) -> Tensor:
        """[batch, channels, time] -> the same shape; sign 1 adds, -1 subtracts (the inverse)."""
        lower, upper = x.chunk(2, 1)
        shift = self.post(self.enc(self.pre(lower) * mask, mask, ge)) * mask
        return torch.cat((lower, (upper + sign * shift) * mask), 1)


class Flip(nn.Module):  # type: ignore[misc]
    """Reversal of the channels. It has no parameters, but couplings are numbered around it (flows.0, 2, 4, 6)."""

    def forward(self, x: Tensor, mask: Tensor, ge: Tensor, sign: int) -> Tensor:
        """[batch, channels, time] -> the same shape."""
        return x.flip(1)


class Flow(nn.Module):  # type: ignore[misc]
    """Map from the posterior latent to the prior latent (forward) and back (inverse), given the voice."""

    def __init__(self, channels: int, kernel: int, layers: int, couplings: int, style: int) -> None:
        super().__init__()
        pairs = [(Coupling(channels, kernel, layers, style), Flip()) for _ in range(couplings)]
        self.flows = nn.ModuleList(layer for pair in pairs for layer in pair)
        self.context = couplings * layers * (kernel // 2)

    def forward(self, z: Tensor, mask: Tensor, ge: Tensor, inverse: bool = False) -> Tensor:
        """[batch, channels, time], mask [batch, 1, time], voice [batch, style, 1] -> the shape of z.

        A frame of the result depends on `context` frames of z to each side.
        """
        for layer in reversed(self.flows) if inverse else self.flows:
            z = layer(z, mask, ge, -1 if inverse else 1)
        return z


class Codebook(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Buffers of a trained codebook: `embed` [entries, dim], and its unused moving averages."""

    embed: Tensor

    def __init__(self, entries: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("inited", torch.ones(1))
        self.register_buffer("cluster_size", torch.ones(entries))
        self.register_buffer("embed", torch.randn(entries, dim))
        self.register_buffer("embed_avg", self.embed.clone())


class Quantizer(nn.Module):  # type: ignore[misc]
    """One codebook, with the parameter names of a residual quantizer of one layer."""

    def __init__(self, entries: int, dim: int) -> None:
        super().__init__()
        layer = nn.Module()
        layer._codebook = Codebook(entries, dim)
        self.vq = nn.Module()
        self.vq.layers = nn.ModuleList([layer])

    @property
    def embed(self) -> Tensor:
        """Codebook entries, float32 [entries, dim]."""
        return self.vq.layers[0]._codebook.embed

    def codes(self, x: Tensor) -> Tensor:
        """Nearest entry by Euclidean distance: [batch, dim, time] -> int64 [batch, time]."""
        flat = x.mT
        distance = self.embed.square().sum(-1) - 2 * flat @ self.embed.T  # + |x|^2, the same for every entry
        return distance.argmin(-1)

    def rows(self, codes: Tensor) -> Tensor:
        """Entries of codes: int64 [batch, time] -> [batch, dim, time]."""
        return self.embed[codes].mT


class Posterior(NamedTuple):
    """Normal distribution of each latent frame and a sample: float32 [batch, hidden, time] each, 0 where masked."""

    z: Tensor
    """Sample: mean + noise x exp(logs)."""
    mean: Tensor
    logs: Tensor
    """Natural log of the standard deviation."""


class PosteriorEncoder(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Encoder of a magnitude spectrogram, given the voice, to a normal distribution per frame (VITS)."""

    def __init__(self, bins: int, hidden: int, kernel: int, layers: int, style: int) -> None:
        super().__init__()
        self.pre = nn.Conv1d(bins, hidden, 1)
        self.enc = WaveNet(hidden, kernel, layers, style)
        self.proj = nn.Conv1d(hidden, 2 * hidden, 1)

    def forward(self, spectrogram: Tensor, mask: Tensor, ge: Tensor, noise: Tensor | None = None) -> Posterior:
        """[batch, bins, time], mask [batch, 1, time], voice [batch, style, 1] -> `Posterior`.

        `noise`: [batch, hidden, time], None = drawn. No gradient flows into the voice: it is learnt through prior, flow
        and generator (GPT-SoVITS).
        """
        x = self.enc(self.pre(spectrogram) * mask, mask, ge.detach())
        mean, logs = (self.proj(x) * mask).chunk(2, 1)
        noise = torch.randn_like(mean) if noise is None else noise
        return Posterior((mean + noise * logs.exp()) * mask, mean, logs)

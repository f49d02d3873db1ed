"""Normalising flow of VITS: mean-only couplings (RealNVP, Dinh et al. 2017) with the channels reversed between."""

import torch
from torch import Tensor, nn

from voicemill.model.s2.wavenet import WaveNet


class Coupling(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Adds to the upper half of the channels what a WaveNet makes of the lower half; volume preserving."""

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
    """Reverses the channels. Without parameters, but the couplings are numbered around it (flows.0, 2, 4, 6)."""

    def forward(self, x: Tensor, mask: Tensor, ge: Tensor, sign: int) -> Tensor:
        """[batch, channels, time] -> the same shape."""
        return x.flip(1)


class Flow(nn.Module):  # type: ignore[misc]
    """Posterior latent to prior latent (forward) and back (inverse), given the voice."""

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

"""Posterior encoder of VITS: the latent of a spectrogram, for training only."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from voicemill.model.s2.wavenet import WaveNet


class Posterior(NamedTuple):
    """float32 [batch, hidden, time] each, 0 where masked."""

    z: Tensor
    """A sample: mean + noise x exp(logs)."""
    mean: Tensor
    logs: Tensor
    """Natural log of the standard deviation."""


class PosteriorEncoder(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Magnitude spectrogram and voice -> a normal distribution per frame."""

    def __init__(self, bins: int, hidden: int, kernel: int, layers: int, style: int) -> None:
        super().__init__()
        self.pre = nn.Conv1d(bins, hidden, 1)
        self.enc = WaveNet(hidden, kernel, layers, style)
        self.proj = nn.Conv1d(hidden, 2 * hidden, 1)

    def forward(self, spectrogram: Tensor, mask: Tensor, ge: Tensor, noise: Tensor | None = None) -> Posterior:
        """[batch, bins, time], mask [batch, 1, time], voice [batch, style, 1], noise [batch, hidden, time] or drawn.

        No gradient flows into the voice: it is learnt through prior, flow and generator (GPT-SoVITS).
        """
        x = self.enc(self.pre(spectrogram) * mask, mask, ge.detach())
        mean, logs = (self.proj(x) * mask).chunk(2, 1)
        noise = torch.randn_like(mean) if noise is None else noise
        return Posterior((mean + noise * logs.exp()) * mask, mean, logs)

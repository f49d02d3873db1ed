"""From logits to the next code: repetition penalty, top-p, temperature, top-k, and a draw that repeats with its seed.

The order is that of GPT-SoVITS v2: top-p is applied before the temperature. The repetition penalty is that of CTRL
(Keskar et al., 2019): the score of every code that occurred is divided by it, or multiplied where negative. A draw is
argmax(p / e) with e ~ Exp(1), which has the distribution p; each row of a batch draws e from its own generator, so what
a row says does not depend on its neighbours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from voicemill.storage.errors import ConfigError


@dataclass(frozen=True)
class Sampling:
    """How the next code is chosen. Defaults: those of GPT-SoVITS v2."""

    top_k: int = 15
    """Only so many of the likeliest codes; 1 = greedy, 0 = all."""
    top_p: float = 1.0
    """Only the likeliest codes whose shares add up to at most this; the likeliest always stays. Above 0, up to 1."""
    temperature: float = 1.0
    """Logits are divided by it; under 1e-5 it counts as 1e-5. 0 or more."""
    repetition_penalty: float = 1.35
    """1 = none. Above 0."""

    def __post_init__(self) -> None:
        if self.top_k < 0:
            raise ConfigError(f"sampling.top_k = {self.top_k}: expected 1 or more, or 0 for all codes")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"sampling.top_p = {self.top_p}: expected above 0, up to 1")
        if not (self.temperature >= 0 and math.isfinite(self.temperature)):
            raise ConfigError(f"sampling.temperature = {self.temperature}: expected 0 or more")
        if not (self.repetition_penalty > 0 and math.isfinite(self.repetition_penalty)):
            raise ConfigError(f"sampling.repetition_penalty = {self.repetition_penalty}: expected above 0")


def penalised(logits: Tensor, seen: Tensor, sampling: Sampling) -> Tensor:
    """float32 [batch, vocabulary] and bool of the same shape (True = the code occurred) -> float32, a new tensor."""
    factor = sampling.repetition_penalty
    if factor == 1:
        return logits
    return torch.where(seen, torch.where(logits < 0, logits * factor, logits / factor), logits)


def probabilities(scores: Tensor, sampling: Sampling) -> Tensor:
    """Penalised logits, float32 [batch, vocabulary] (-inf = excluded) -> shares, float32, summing to 1."""
    if sampling.top_p < 1:
        ordered, indices = scores.sort(dim=-1, descending=True, stable=True)  # of equal ones the first stays
        beyond = ordered.softmax(-1).cumsum(-1) > sampling.top_p
        beyond[:, 0] = False
        scores = scores.masked_fill(torch.empty_like(beyond).scatter_(1, indices, beyond), -math.inf)
    scores = scores / max(sampling.temperature, 1e-5)
    if 0 < sampling.top_k < scores.shape[-1]:
        least = scores.topk(sampling.top_k, dim=-1).values[:, -1:]
        scores = scores.masked_fill(scores < least, -math.inf)
    return scores.softmax(-1)


def draw(shares: Tensor, generators: Sequence[torch.Generator], noise: Tensor | None = None) -> Tensor:
    """Shares float32 [batch, vocabulary] -> codes int64 [batch], one generator for each row.

    `noise`: a float32 buffer of the same shape, to spare its allocation.
    """
    noise = torch.empty_like(shares) if noise is None else noise
    for row, generator in zip(noise, generators, strict=True):
        row.exponential_(generator=generator)
    return (shares / noise).argmax(-1)

"""Distillation losses: pure functions of a student's and a teacher's tensor that return float32 [batch].

Soft targets: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015. Hidden states: Romero et
al., "FitNets", 2015, and Jiao et al., "TinyBERT", 2020. Attention: Wang et al., "MiniLM", 2020. Padding is
masked before any sum. No gradient flows to the teacher.
"""

import torch
from torch import Tensor

LEAST = 1e-8
"""Least denominator: keeps a quotient finite where the teacher's tensor is all zero."""


def soft_targets(student: Tensor, teacher: Tensor, real: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) over the classes at a temperature, times temperature^2; nats per row, summed over places.

    The factor keeps the gradient at its size, which falls with temperature^2. Logits [batch, places, classes], `real`
    bool [batch, places] -> float32 [batch].
    """
    target = (teacher.detach().float() / temperature).log_softmax(-1)
    output = (student.float() / temperature).log_softmax(-1)
    divergence = (target.exp() * (target - output)).sum(-1)
    return torch.where(real, divergence, 0.0).sum(-1) * temperature**2


def hidden_distance(student: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
    """Mean squared difference of hidden states [batch, places, dim] over real places and channels.

    `real`: bool [batch, places]. 0 for a row without a real place.
    """
    return _mean((student.float() - teacher.detach().float()).square().mean(-1), real)


def attention_divergence(student: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
    """KL(teacher || student) of attention weights, given as their logarithms [batch, heads, queries, keys].

    `real`: the queries that count, bool [batch, queries]. Masked keys have very negative scores on both sides, hence
    the weight 0. Nats, mean over heads and real queries.
    """
    target = teacher.detach().float()
    return _mean((target.exp() * (target - student.float())).sum(-1).mean(1), real)


def feature_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean |difference| of features [batch, channels, time], relative to the teacher's mean |feature|.

    The stages of a generator differ by orders of magnitude; relative to their size they weigh the same.
    """
    target = teacher.detach().float()
    return (student.float() - target).abs().mean((1, 2)) / target.abs().mean((1, 2)).clamp(min=LEAST)


def voice_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of voice vectors [batch, style, 1], relative to the squared length of the teacher's."""
    target = teacher.detach().float()
    return (student.float() - target).square().sum((1, 2)) / target.square().sum((1, 2)).clamp(min=LEAST)


def frame_distance(student: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
    """Mean |difference| of [batch, channels, frames] over channels and real frames, bool [batch, frames]."""
    return _mean((student.float() - teacher.detach().float()).abs().mean(1), real)


def log_mel_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean |difference| of log-mels [batch, 128, frames], natural logarithm: nepers."""
    return (student.float() - teacher.detach().float()).abs().mean((1, 2))


def _mean(values: Tensor, real: Tensor) -> Tensor:
    """Mean over the real places: [batch, places] -> [batch]. Values on padding may be anything, even not finite."""
    return torch.where(real, values, 0.0).sum(-1) / real.sum(-1).clamp(min=1)

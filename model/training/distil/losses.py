"""Losses of a student against its teacher: each a pure function of two tensors, float32 [batch] out, one figure a row.

Soft targets: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015. Hidden states: Romero et
al., "FitNets", 2015, and Jiao et al., "TinyBERT", 2020. Attention: Wang et al., "MiniLM", 2020. Padding never counts:
it is left out before anything is added up. No gradient flows to the teacher's side.
"""

import torch
from torch import Tensor

LEAST = 1e-8
"""Keeps a quotient finite where the teacher's side is all zero."""


def soft_targets(student: Tensor, teacher: Tensor, real: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) of the classes, both softened by `temperature`, times its square.

    The square keeps the size of the gradient, which falls with it. Logits [batch, places, classes], `real` bool [batch,
    places] -> nats, summed over the real places of a row.
    """
    wanted = (teacher.detach().float() / temperature).log_softmax(-1)
    said = (student.float() / temperature).log_softmax(-1)
    each = (wanted.exp() * (wanted - said)).sum(-1)
    return torch.where(real, each, 0.0).sum(-1) * temperature**2


def hidden_distance(student: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
    """Mean squared difference of hidden states [batch, places, dim] over the real places of a row, bool [batch,
    places], and their channels; 0 for a row without a real place."""
    each = (student.float() - teacher.detach().float()).square().mean(-1)
    return _mean(each, real)


def attention_divergence(student: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
    """KL(teacher || student) of attention weights, given as their logarithms [batch, heads, queries, keys].

    `real`: the queries that count, bool [batch, queries]. What no query may see is very negative on both sides, so that
    its weight is 0. Nats, mean over heads and real queries.
    """
    wanted = teacher.detach().float()
    each = (wanted.exp() * (wanted - student.float())).sum(-1).mean(1)
    return _mean(each, real)


def feature_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean |difference| of features [batch, channels, time], in units of the teacher's mean |feature|: stages of a
    generator differ by orders of magnitude, and each should count alike."""
    wanted = teacher.detach().float()
    each = (student.float() - wanted).abs().mean((1, 2))
    return each / wanted.abs().mean((1, 2)).clamp(min=LEAST)


def voice_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of voice vectors [batch, style, 1], in units of the teacher's squared length."""
    wanted = teacher.detach().float()
    each = (student.float() - wanted).square().sum((1, 2))
    return each / wanted.square().sum((1, 2)).clamp(min=LEAST)


def frame_distance(student: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
    """Mean |difference| of [batch, channels, frames] over channels and the real frames of a row, bool [batch,
    frames]."""
    each = (student.float() - teacher.detach().float()).abs().mean(1)
    return _mean(each, real)


def log_mel_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean |difference| of log-mels [batch, 128, frames], natural logarithm: nepers."""
    return (student.float() - teacher.detach().float()).abs().mean((1, 2))


def _mean(each: Tensor, real: Tensor) -> Tensor:
    """[batch, places] -> [batch], over the real ones. What stands on padding may be anything, not finite too."""
    return torch.where(real, each, 0.0).sum(-1) / real.sum(-1).clamp(min=1)

"""The training loss of s1: cross entropy of every code and of EOS, summed, and top-3 accuracy.

As in GPT-SoVITS v2 the loss is a sum, not a mean. GPT-SoVITS also trains padding to be EOS; here padding is ignored.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from voicemill.model.s1.decoder import CODE, Text2Semantic, lengths

IGNORED = -100


@dataclass(frozen=True)
class Loss:
    """Loss and accuracy of one minibatch."""

    total: Tensor
    """Cross entropy summed over all codes and one EOS for each row, float32 [], nats; differentiable."""
    accuracy: float
    """Share of the codes (without EOS) that are among the three likeliest; 0..1, nan without codes."""
    tokens: int
    """Number of codes and EOS in the sum."""


def loss(
    model: Text2Semantic,
    phones: Tensor,
    bert: Tensor | None,
    codes: Tensor,
    phone_lengths: Sequence[int] | None = None,
    code_lengths: Sequence[int] | None = None,
    smoothing: float = 0.0,
) -> Loss:
    """Compute the loss of one minibatch; the other arguments are those of `Text2Semantic.forward`.

    `smoothing`: label smoothing (Szegedy et al., 2016), 0..1. Dropout follows the model's settings and its mode.
    """
    logits = model(phones, bert, codes, phone_lengths, code_lengths).float()
    expected = targets(codes, code_lengths, model.config.eos)
    total = cross_entropy(
        logits.flatten(0, 1), expected.flatten(), ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )
    with torch.no_grad():
        real = (expected != IGNORED) & (expected != model.config.eos)
        likeliest = logits.topk(min(3, logits.shape[-1]), dim=-1).indices
        hits = (likeliest == expected[..., None]).any(-1) & real
        count = int(real.sum())
        accuracy = int(hits.sum()) / count if count else float("nan")
    return Loss(total, accuracy, int((expected != IGNORED).sum()))


def targets(codes: Tensor, code_lengths: Sequence[int] | None, eos: int) -> Tensor:
    """Targets int64 [batch, codes + 1] of codes int64 [batch, codes]: the codes, EOS, and `IGNORED` after it."""
    known = lengths(code_lengths, codes, 0, CODE)[:, None]
    at = torch.arange(codes.shape[1] + 1, device=codes.device)
    longer = torch.cat([codes, codes.new_full((len(codes), 1), eos)], 1)
    return longer.masked_fill(at == known, eos).masked_fill(at > known, IGNORED)

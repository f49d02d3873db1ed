"""The training loss of s1: cross entropy of every code and of EOS, summed, and top-3 accuracy.

As in GPT-SoVITS v2 the loss is a sum, not a mean. There padding is trained to be EOS; here padding has no part in it.
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
    """Of one batch."""

    total: Tensor
    """float32 [], nats, summed over all codes and one EOS for each row; differentiable."""
    accuracy: float
    """Share of the codes (EOS left out) that are among the three likeliest; 0..1, nan if there are no codes."""
    tokens: int
    """How many codes and EOS the sum is over."""


def loss(
    model: Text2Semantic,
    phones: Tensor,
    bert: Tensor | None,
    codes: Tensor,
    phone_lengths: Sequence[int] | None = None,
    code_lengths: Sequence[int] | None = None,
    smoothing: float = 0.0,
) -> Loss:
    """Arguments as of `Text2Semantic.forward`; `smoothing`: label smoothing (Szegedy et al., 2016), 0..1.

    Dropout is that of the model's settings, while the model is in training mode.
    """
    logits = model(phones, bert, codes, phone_lengths, code_lengths).float()
    wanted = targets(codes, code_lengths, model.config.eos)
    total = cross_entropy(
        logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )
    with torch.no_grad():
        spoken = (wanted != IGNORED) & (wanted != model.config.eos)
        likeliest = logits.topk(min(3, logits.shape[-1]), dim=-1).indices
        hits = (likeliest == wanted[..., None]).any(-1) & spoken
        count = int(spoken.sum())
        accuracy = int(hits.sum()) / count if count else float("nan")
    return Loss(total, accuracy, int((wanted != IGNORED).sum()))


def targets(codes: Tensor, code_lengths: Sequence[int] | None, eos: int) -> Tensor:
    """int64 [batch, codes] -> int64 [batch, codes + 1]: the codes, EOS, and `IGNORED` on the padding after it."""
    known = lengths(code_lengths, codes, 0, CODE)[:, None]
    at = torch.arange(codes.shape[1] + 1, device=codes.device)
    longer = torch.cat([codes, codes.new_full((len(codes), 1), eos)], 1)
    return longer.masked_fill(at == known, eos).masked_fill(at > known, IGNORED)

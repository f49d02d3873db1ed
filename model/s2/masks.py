"""Which frames of a padded batch are real."""

import torch
from torch import Tensor


def mask(lengths: Tensor | None, like: Tensor) -> Tensor:
    """Integer [batch] -> [batch, 1, time] with the time, dtype and device of `like` [batch, ..., time]; 1 = real.

    No lengths: every frame is real.
    """
    if lengths is None:
        return like.new_ones(like.shape[0], 1, like.shape[-1])
    frames = torch.arange(like.shape[-1], device=like.device)
    return (frames < lengths.to(like.device)[:, None])[:, None].to(like.dtype)

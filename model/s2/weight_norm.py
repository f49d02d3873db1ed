"""Convolutions with weight normalisation (Salimans and Kingma 2016): w = g v / |v|, one g per first index.

The state dict has the keys `weight_g` and `weight_v` that torch wrote before it had parametrizations, because that is
what published checkpoints hold. Loading also takes `parametrizations.weight.original0` and `original1` (torch since
2.0), and `weight` (already folded). torch's own two forms either warn or write the new names, so the norm is here.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

NEW_NAMES = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}


def norm(direction: Tensor) -> Tensor:
    """Euclidean norm over all but the first axis: [first, ...] -> [first, 1, ...]."""
    return torch.linalg.vector_norm(direction, dim=tuple(range(1, direction.dim())), keepdim=True)


class WeightNorm(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Mix-in for a convolution of torch that replaces its `weight` by `weight_g` and `weight_v`."""

    weight: Tensor

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        weight = self.weight.detach()
        del self.weight
        self.weight_g = nn.Parameter(norm(weight))
        self.weight_v = nn.Parameter(weight)

    @property
    def folded(self) -> bool:
        """Whether the module holds `weight` itself."""
        return "weight" in self._parameters

    def normed(self) -> Tensor:
        """Weight that the convolution uses."""
        if self.folded:
            return self.weight
        return self.weight_v * (self.weight_g / norm(self.weight_v))

    def fold(self) -> None:
        """Keep only the product, for inference: it would be computed anew at every call."""
        if not self.folded:
            weight, trains = self.normed().detach(), self.weight_v.requires_grad
            del self.weight_g, self.weight_v
            self.weight = nn.Parameter(weight, requires_grad=trains)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *args: Any) -> None:
        for new, old in NEW_NAMES.items():
            if prefix + new in state:
                state[prefix + old] = state.pop(prefix + new)
        weight, scale, direction = prefix + "weight", prefix + "weight_g", prefix + "weight_v"
        if self.folded and scale in state and direction in state:
            v = state.pop(direction)
            state[weight] = v * (state.pop(scale) / norm(v))
        elif not self.folded and weight in state:
            state[direction] = state.pop(weight)
            state[scale] = norm(state[direction])
        super()._load_from_state_dict(state, prefix, *args)


class Conv1d(WeightNorm, nn.Conv1d):  # type: ignore[misc]
    """torch's Conv1d with weight norm."""

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in, time] -> [batch, out, time]."""
        return self._conv_forward(x, self.normed(), self.bias)


class Conv2d(WeightNorm, nn.Conv2d):  # type: ignore[misc]
    """torch's Conv2d with weight norm."""

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in, height, width] -> [batch, out, height, width]."""
        return self._conv_forward(x, self.normed(), self.bias)


class ConvTranspose1d(WeightNorm, nn.ConvTranspose1d):  # type: ignore[misc]
    """torch's ConvTranspose1d with weight norm; the first axis of its weight is the input channel."""

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in, time] -> [batch, out, time x stride]."""
        return functional.conv_transpose1d(x, self.normed(), self.bias, self.stride, self.padding)


def fold(model: nn.Module) -> nn.Module:
    """Fold every weight-normed layer of `model` in place, and return it."""
    for module in model.modules():
        if isinstance(module, WeightNorm):
            module.fold()
    return model

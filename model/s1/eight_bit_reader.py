"""Reads a prefix in 8 bits: every product is one of whole numbers, as many of them as a vector unit takes at once.

Why. A prefix is hundreds of positions, each times every weight: bound by products, where a step is bound by memory.
`torch._int_mm` (int8 x int8 -> int32, oneDNN) multiplies four times as fast as float32, and reads a prefix in half the
time that the graph of the steps would take for it (`tests/bench/s1_speed.py`).

Weights have a scale for each output, activations one for each position, found as they come: the vector-wise rounding of
LLM.int8 (Dettmers et al. 2022). Attention, norms and sums are float32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from voicemill.model.s1.decoder import Text2Semantic, plain_mask

LEVELS = 127
"""The largest whole number of 8 bits; -128 is not used."""
LEAST = 1e-20
"""The smallest scale, where all values are 0."""

Keep = Callable[[int, Tensor], None]
"""Takes the number of a layer, and its keys and values, float32 [2, heads, time, dim / heads]."""


class EightBitReader:
    """The layers of a model, copied: 78 MB for the v2 size. Threads may share it; PyTorch's own threads compute."""

    def __init__(self, model: Text2Semantic) -> None:
        self.config = model.config
        self.layers = []
        for layer in model.h.layers:
            attention = layer.self_attn
            self.layers.append(
                _Layer(
                    qkv=EightBitLinear(attention.in_proj_weight, attention.in_proj_bias),
                    out=EightBitLinear(attention.out_proj.weight, attention.out_proj.bias),
                    wide=EightBitLinear(layer.linear1.weight, layer.linear1.bias),
                    narrow=EightBitLinear(layer.linear2.weight, layer.linear2.bias),
                    norm1=_Norm.of(layer.norm1),
                    norm2=_Norm.of(layer.norm2),
                )
            )
        self.head = _copy(model.ar_predict_layer.weight)

    def read(self, x: Tensor, phones: int, keep: Keep) -> Tensor:
        """The logits of the code that comes next, float32 [vocabulary]; keys and values go to `keep`, layer by layer.

        `x`: float32 [time, dim], embedded phones and then embedded codes, on the CPU; `phones`: how many are phones.
        """
        time, heads, size = len(x), self.config.heads, self.config.dim // self.config.heads
        mask = torch.zeros(time, time)
        if (seen := plain_mask(phones, time - phones, x.device)) is not None:
            mask.masked_fill_(~seen, -torch.inf)
        for number, layer in enumerate(self.layers):
            q, k, v = layer.qkv(x).view(time, 3, heads, size).permute(1, 2, 0, 3)
            keep(number, torch.stack((k, v)))
            if layer is self.layers[-1]:  # of which nothing but the last position is asked for
                x, q, mask = x[-1:], q[:, -1:], mask[-1:]
            shares = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=size**-0.5).softmax(-1)
            mixed = torch.bmm(shares, v).transpose(0, 1).reshape(x.shape)
            x = layer.norm1(layer.out(mixed).add_(x))
            x = layer.norm2(layer.narrow(layer.wide(x).relu_()).add_(x))
        return self.head @ x[0]


class EightBitLinear:
    """y = x w + b, both x and w rounded to 8 bits."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """[out, in] and [out], copied."""
        weight = _copy(weight)
        self.scales = scales_of(weight)[:, 0]
        self.levels = (weight / self.scales[:, None]).round_().to(torch.int8).T.contiguous()  # [in, out]
        self.bias = _copy(bias)

    def __call__(self, x: Tensor) -> Tensor:
        """float32 [time, in] -> [time, out]."""
        scales = scales_of(x)
        y = product((x / scales).round_().to(torch.int8), self.levels).mul_(self.scales)
        return torch.addcmul(self.bias, y, scales, out=y)


@dataclass(frozen=True, eq=False)
class _Norm:
    gain: Tensor
    shift: Tensor

    @classmethod
    def of(cls, norm: nn.LayerNorm) -> "_Norm":
        return cls(_copy(norm.weight), _copy(norm.bias))

    def __call__(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.gain.shape, self.gain, self.shift)


@dataclass(frozen=True, eq=False)
class _Layer:
    qkv: EightBitLinear
    out: EightBitLinear
    wide: EightBitLinear
    narrow: EightBitLinear
    norm1: _Norm
    norm2: _Norm


def scales_of(rows: Tensor) -> Tensor:
    """float32 [rows, values] -> [rows, 1]: a row divided by its scale reaches `LEVELS` and not beyond."""
    return rows.abs().amax(1, keepdim=True).div_(LEVELS).clamp_(min=LEAST)


def product(a: Tensor, b: Tensor) -> Tensor:
    """int8 [m, k] and int8 [k, n] -> float32 [m, n]."""
    return torch._int_mm(a, b).float() if _multiplies_integers() else a.float() @ b.float()


@cache
def _multiplies_integers() -> bool:
    """PyTorch without oneDNN takes whole numbers one by one; a CPU without VNNI may add pairs of products in 16 bits,
    where the largest do not fit."""
    if not torch.backends.mkldnn.is_available():
        return False
    largest = torch.full((64, 64), LEVELS, dtype=torch.int8)
    return bool((torch._int_mm(largest, largest) == 64 * LEVELS**2).all())


def _copy(values: Tensor) -> Tensor:
    return values.detach().float().cpu().clone()

"""Reading of a prefix in 8 bits: integer products, as many at once as a vector unit takes; and the scales of the cache.

Why. A prefix is hundreds of positions, each times every weight: bound by products, where a step is bound by memory.
`torch._int_mm` (int8 x int8 -> int32, oneDNN) multiplies four times as fast as float32, and reads a prefix in half the
time that the graph of the steps would take for it (`tests/bench/s1_speed.py`).

Weights have a scale for each output, activations one for each position, computed as they come: the vector-wise rounding
of LLM.int8 (Dettmers et al. 2022). Attention, norms and sums are float32.

Keys and values are stored in 8 bits with one scale for each channel, the largest value it reaches. All rows of a batch
share the scales, and a row must give the codes that it gives alone, so the scales cannot come from a prefix. They are
measured once for a model on every phone and every code, once each, in an order drawn from a fixed seed, at places that
cover all positions, half of them with random BERT features. Values beyond `HEADROOM` times the largest value of a
channel are clipped.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from voicemill.model.s1.decoder import Front, Positions, Text2Semantic, plain_mask

LEVELS = 127
"""Largest level of 8 bits; -128 is not used."""
LEAST = 1e-20
"""Smallest scale, used where all values are 0."""

Keep = Callable[[int, Tensor], None]
"""Receiver of a layer's number and its keys and values, float32 [2, heads, time, dim / heads]."""


class EightBitReader:
    """Copy of a model's layers in 8 bits, 78 MB for the v2 size. Threads may share it; PyTorch's threads compute."""

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
        """Return the logits of the next code, float32 [vocabulary]; pass keys and values to `keep`, layer by layer.

        `x`: float32 [time, dim], embedded phones and then embedded codes, on the CPU; `phones`: how many are phones.
        """
        time, heads, size = len(x), self.config.heads, self.config.dim // self.config.heads
        mask = torch.zeros(time, time)
        if (visible := plain_mask(phones, time - phones, x.device)) is not None:
            mask.masked_fill_(~visible, -torch.inf)
        for number, layer in enumerate(self.layers):
            q, k, v = layer.qkv(x).view(time, 3, heads, size).permute(1, 2, 0, 3)
            keep(number, torch.stack((k, v)))
            if layer is self.layers[-1]:  # only the last position of its output is used
                x, q, mask = x[-1:], q[:, -1:], mask[-1:]
            shares = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=size**-0.5).softmax(-1)
            mixed = torch.bmm(shares, v).transpose(0, 1).reshape(x.shape)
            x = layer.norm1(layer.out(mixed).add_(x))
            x = layer.norm2(layer.narrow(layer.wide(x).relu_()).add_(x))
        return self.head @ x[0]


class EightBitLinear:
    """Linear layer y = x w + b with x and w rounded to 8 bits."""

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
    """Scale of each row, float32 [rows, values] -> [rows, 1]: a row divided by its scale reaches `LEVELS` at most."""
    return rows.abs().amax(1, keepdim=True).div_(LEVELS).clamp_(min=LEAST)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product of int8 [m, k] and int8 [k, n], float32 [m, n]."""
    return torch._int_mm(a, b).float() if _multiplies_integers() else a.float() @ b.float()


@cache
def _multiplies_integers() -> bool:
    """Whether integer products are fast and exact here: PyTorch without oneDNN multiplies integers one by one; a CPU
    without VNNI may add pairs of products in 16 bits, which the largest overflow."""
    if not torch.backends.mkldnn.is_available():
        return False
    largest = torch.full((64, 64), LEVELS, dtype=torch.int8)
    return bool((torch._int_mm(largest, largest) == 64 * LEVELS**2).all())


def _copy(values: Tensor) -> Tensor:
    return values.detach().float().cpu().clone()


PHONES, CODES = 500, 1500
"""Positions over which phones and codes are measured: longer ones repeat the same waves."""
PARTS = 4
"""Number of sequences that phones and codes are split into: attention grows with the square of their length."""
HEADROOM = 2.0
"""Range of the cache over the largest value measured. Error of the logits: .070 with 1, .049 with 1.5, .047 with 2."""


def cache_scales(reader: EightBitReader, front: Front) -> Tensor:
    """Value of one level of the cache, float32 [layers, 2, heads, dim / heads], keys and then values. Deterministic."""
    config = front.config
    generator = torch.Generator().manual_seed(0)
    largest = torch.zeros(config.layers, 2, config.heads, config.dim // config.heads)

    def measure(layer: int, memory: Tensor) -> None:
        torch.maximum(largest[layer], memory.abs().amax(2), out=largest[layer])

    phones = torch.randperm(config.phonemes, generator=generator).tensor_split(PARTS)
    codes = torch.randperm(config.codes, generator=generator).tensor_split(PARTS)
    with torch.inference_mode():
        for part, (some, others) in enumerate(zip(phones, codes, strict=True)):
            features = front.bert_proj.bias
            if part % 2:
                features = front.bert_proj(torch.randn(len(some), config.bert, generator=generator))
            text = front.ar_text_embedding(some) + features
            text += _places(front.ar_text_position, len(some), PHONES, generator)
            audio = front.ar_audio_embedding(others)
            audio += _places(front.ar_audio_position, len(others), CODES, generator)
            reader.read(torch.cat([text, audio]), len(some), measure)
    return largest.mul_(HEADROOM / LEVELS).clamp_(min=LEAST)


def _places(positions: Positions, count: int, bound: int, generator: torch.Generator) -> Tensor:
    """Position vectors in ascending order, drawn from all up to `bound`: float32 [count, dim]."""
    drawn = torch.randperm(max(bound, count), generator=generator)[:count].sort().values
    return positions.alpha * positions.rows(max(bound, count))[drawn]

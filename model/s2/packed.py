"""The generator for inference on a CPU: weights packed once for oneDNN, channels last, activations and sums fused.

A bfloat16 product costs half a float32 one where the CPU has avx512_bf16 or amx_bf16, and nearly all of the generator's
time is products. Weight norm is folded; an upsampling is one ordinary convolution that computes the phases of an input
frame side by side (channels last, they are consecutive samples already), followed by no copy; the mean over residual
blocks is folded into the layer after it. Values between layers are rounded to bfloat16, sums inside a layer are not.

oneDNN compiles its kernels anew for every length, a fifth of the time of rendering five seconds, and keeps those of
about ten lengths. So lengths are rounded up, and after every layer the values behind the end are set to 0 again, as the
padding of a convolution would have it: the rendering is the same.
`tests/bench/s2_speed.py` measures the time and the error of the log-mel.
"""

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from voicemill.model.s2.eight_bit import NARROWEST, EightBitBlock, Peaks
from voicemill.model.s2.generator import SLOPE, Generator, ResidualBlock


class Packed:
    """One convolution over [batch, channels, 1, time], channels last, output as long as the input."""

    def __init__(self, weight: Tensor, bias: Tensor, dilation: int, dtype: torch.dtype) -> None:
        """float32 [out, in, kernel] with an odd kernel, and [out]."""
        self.padding, self.dilation = [0, dilation * (weight.shape[-1] // 2)], [1, dilation]
        flat = weight.detach()[:, :, None].to(dtype).contiguous()
        likely = [1, weight.shape[1], 1, 4096]  # the layout is chosen for this shape; other lengths run too
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(flat, self.padding, [1, 1], self.dilation, 1, likely)
        self.bias = bias.detach().to(dtype)

    def __call__(self, x: Tensor, active: bool = False) -> Tensor:
        """[batch, in, 1, time] -> [batch, out, 1, time]; `active`: through the leaky ReLU."""
        name, slope = ("leaky_relu", [SLOPE]) if active else ("none", [])
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, self.padding, [1, 1], self.dilation, 1, name, slope, ""
        )

    def add_to(self, other: Tensor, x: Tensor) -> Tensor:
        """Add the convolution of x to `other` [batch, out, 1, time], in place: one pass and one copy less."""
        return torch.ops.mkldnn._convolution_pointwise_.binary(
            other, x, self.weight, self.bias, self.padding, [1, 1], self.dilation, 1, "add", 1.0, None, [], None
        )


class Block(Protocol):
    """A residual block over [batch, channels, 1, time], channels last, of which `end` are real and the rest are 0.

    `wide`: float32 scratch memory of as many elements as the largest x.
    """

    def active(self, x: Tensor, end: int, wide: Tensor) -> Tensor:
        """Input of the first layer, in the block's own form: the same for all blocks of a stage."""

    def __call__(self, x: Tensor, active: Tensor, end: int, wide: Tensor) -> Tensor:
        """Output of the block for x, a new tensor; not 0 behind `end`."""


class PackedBlock:
    """See `Block`."""

    def __init__(self, block: ResidualBlock, dtype: torch.dtype) -> None:
        self.layers = [
            (
                Packed(first.normed(), first.bias, first.dilation[0], dtype),
                Packed(second.normed(), second.bias, 1, dtype),
            )
            for first, second in zip(block.convs1, block.convs2, strict=True)
        ]

    def active(self, x: Tensor, end: int, wide: Tensor) -> Tensor:
        """See `Block`."""
        return functional.leaky_relu(x, SLOPE)

    def __call__(self, x: Tensor, active: Tensor, end: int, wide: Tensor) -> Tensor:
        """See `Block`."""
        x = x.clone()
        for number, (first, second) in enumerate(self.layers):
            if number:
                active = functional.leaky_relu(_zero_from(x, end), SLOPE)
            x = second.add_to(x, _zero_from(first(active, active=True), end))
        return x


def phases(weight: Tensor, rate: int, padding: int) -> Tensor:
    """Transposed convolution [in, out, kernel] -> convolution [rate x out, in, odd kernel] of the same outputs.

    Output rate i + r of the first is channel block r of the second at i: sub-pixel convolution (Shi et al. 2016).
    """
    inputs, outputs, kernel = weight.shape
    reach = (rate - 1 + padding) // rate
    result = weight.new_zeros(rate, outputs, inputs, 2 * reach + 1)
    for phase in range(rate):
        for shift in range(-reach, reach + 1):
            tap = phase + padding - shift * rate
            if 0 <= tap < kernel:
                result[phase, :, :, shift + reach] = weight[:, :, tap].T
    return result.flatten(0, 1)


class PackedGenerator(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Replacement of a `Generator`, whose weights it copies; not trainable, its state dict lacks the packed weights."""

    def __init__(self, generator: Generator, dtype: torch.dtype, peaks: Peaks | None = None) -> None:
        """Pack `generator`, folded or not, on the CPU. dtype: bfloat16 or float32. With the `peaks` of its convolutions
        (and bfloat16), residual blocks compute in 8 bits where that is faster."""
        super().__init__()
        config = self.config = generator.config
        self.dtype, self.per_stage = dtype, len(config.resblock_kernels)
        self.cond, self.post = generator.cond, generator.conv_post
        self.pre = Packed(generator.conv_pre.weight, generator.conv_pre.bias, 1, dtype)
        self.ups = []
        for stage, up in enumerate(generator.ups):
            share = 1 if stage == 0 else 1 / self.per_stage  # the sum of the blocks before it stands for their mean
            weight = phases(up.normed(), up.stride[0], up.padding[0]) * share
            self.ups.append(Packed(weight, up.bias.repeat(up.stride[0]), 1, dtype))
        self.blocks: list[Block] = [
            EightBitBlock(block, peaks)
            if peaks is not None and block.convs1[0].in_channels >= NARROWEST
            else PackedBlock(block, dtype)
            for block in generator.resblocks
        ]
        self.in_bytes = any(isinstance(block, EightBitBlock) for block in self.blocks)
        self.multiple = self._multiple()

    def forward(self, z: Tensor, ge: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """See `Generator.forward`: float32 [batch, 1, frames x hop]. With a mask, or in 8 bits, row by row."""
        if mask is None and (len(z) == 1 or not self.in_bytes):
            return self._batch(z, ge)
        mask = torch.ones_like(z[:, :1]) if mask is None else mask
        rows = []
        for row, (latent, real) in enumerate(zip(z, mask, strict=True)):
            frames = int(real.sum())
            wave = self._batch(latent[None, :, :frames], ge[row : row + 1] if ge is not None and len(ge) > 1 else ge)
            rows.append(functional.pad(wave, (0, (z.shape[-1] - frames) * self.config.hop)))
        return torch.cat(rows)

    def _batch(self, z: Tensor, ge: Tensor | None) -> Tensor:
        end = z.shape[-1]
        x = functional.pad(z.to(self.dtype), (0, padded_length(end, self.multiple) - end))[:, :, None]
        x = self.pre(x.contiguous(memory_format=torch.channels_last))
        if self.cond is not None:
            x = x + self.cond(ge)[:, :, None].to(self.dtype)
        wide = torch.empty(self._widest(*x.shape) if self.in_bytes else 0)
        for stage, up in enumerate(self.ups):
            x = up(functional.leaky_relu(_zero_from(x, end), SLOPE))
            rate = self.config.upsample_rates[stage]
            end *= rate
            x = _zero_from(_interleave(x, rate), end)
            first, *others = self.blocks[stage * self.per_stage : (stage + 1) * self.per_stage]
            active = first.active(x, end, wide)
            total = first(x, active, end, wide)
            for block in others:
                total += block(x, active, end, wide)
            x = _zero_from(total, end)
        mean = functional.leaky_relu(x)[:, :, 0, :end].float().contiguous() / self.per_stage
        return self.post(mean).tanh()

    def _multiple(self) -> int:
        """Multiple of the padded frames, so that every dilation of an 8-bit block divides the time of its stage."""
        multiple, time = 1, 1
        for stage, rate in enumerate(self.config.upsample_rates):
            time *= rate
            for block in self.blocks[stage * self.per_stage : (stage + 1) * self.per_stage]:
                if isinstance(block, EightBitBlock):
                    columns = math.lcm(*block.dilations)
                    multiple = math.lcm(multiple, columns // math.gcd(columns, time))
        return multiple

    def _widest(self, batch: int, channels: int, _: int, time: int) -> int:
        """Number of elements of the largest tensor between layers."""
        sizes = [batch * channels * time]
        for rate in self.config.upsample_rates:
            sizes.append(sizes[-1] * rate // 2)
        return max(sizes)


def padded_length(frames: int, multiple: int = 1) -> int:
    """Length that is rendered for `frames`: less than 8 more up to 124, less than 32 more above.

    4 less than a multiple, never the multiple: at 256 frames all tensors lie a power of two apart, fall into the same
    cache sets, and everything takes a sixth longer than at 252. With a required `multiple` > 1: a multiple of 4 of it
    up to 120 frames, of 12 above.
    """
    if multiple > 1:
        step = multiple * (4 if frames <= 120 else 12)
        return -(-frames // step) * step
    step = 8 if frames <= 124 else 32
    return -(-(frames + 4) // step) * step - 4


def _zero_from(x: Tensor, end: int) -> Tensor:
    """Set [..., time] to 0 from `end` on, in place, and return it."""
    if x.shape[-1] > end:
        x[..., end:] = 0
    return x


def _interleave(x: Tensor, rate: int) -> Tensor:
    """[batch, rate x channels, 1, time] -> [batch, channels, 1, time x rate]: a view, channels last."""
    batch, width, _, time = x.shape
    return x.permute(0, 2, 3, 1).reshape(batch, 1, time * rate, width // rate).permute(0, 3, 1, 2)

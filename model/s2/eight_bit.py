"""Residual blocks of the generator in 8 bits: twice the products of bfloat16 on CPUs that multiply bytes.

Inputs of a convolution are rounded to 0..255 with the 0 of the signal at `ZERO` (a leaky ReLU leaves a tenth of the
negative side), weights to -127..127 with a scale for each output. Channels differ in loudness, so each is divided by
its own peak first: inside a block the division is folded into the weights of the convolution before, as a leaky ReLU
lets positive factors through. Sums and the residual path are those of `model.s2.packed`. oneDNN has no fast kernel of
bytes with dilation d: the signal is split into d signals of every d-th sample, in which the taps are neighbours.

Time is always the width of oneDNN's picture, never its height. oneDNN compiles the kernels of a convolution for every
shape, and for each row of the picture where taps fall outside of it: in some 3 ms where the picture is one row, in a
second where it has ten thousand rows (`tests/model/s2/test_inference.py` bounds it).

Peaks are measured once for a network, on random codes and phones; values beyond `HEADROOM` times a peak are clipped.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from voicemill.model.device import first_flag
from voicemill.model.s2.generator import SLOPE, ResidualBlock
from voicemill.model.s2.layers import mask
from voicemill.model.s2.synthesizer import Synthesizer

ZERO = 23
TOP = 255 - ZERO
"""Number of levels of the positive side; -SLOPE of it is just above 0."""
HEADROOM = 1.5
"""Range of the levels over the largest value measured."""
NARROWEST = 64
"""Fewest channels for which bytes are faster: narrower layers wait for memory, and rounding is two passes over it."""
CODES, PHONES, FRAMES = 50, 60, 200
"""Sizes of the sentence and of the reference on which peaks are measured."""
Peaks = dict[nn.Module, Tensor]
"""Convolution -> float32 [in]: the largest absolute value of its input, by channel."""


def has_fast_bytes() -> bool:
    """Whether this torch has the operators, and this CPU multiplies bytes faster than bfloat16."""
    operators = ("qconv_pointwise", "qconv2d_pointwise")
    return all(hasattr(torch.ops.onednn, name) for name in operators) and bool(
        first_flag("amx_int8", "avx512_vnni", "avx_vnni")
    )


@torch.inference_mode()  # type: ignore[untyped-decorator]
def peaks(synthesizer: Synthesizer) -> Peaks:
    """Measure the peaks of the generator's convolutions. `synthesizer`: in eval mode, on the CPU. Deterministic."""
    config, largest = synthesizer.config, Peaks()

    def watch(module: nn.Module, inputs: tuple[Tensor]) -> None:
        largest[module] = inputs[0].abs().amax((0, 2))

    convolutions = [conv for block in synthesizer.dec.resblocks for conv in (*block.convs1, *block.convs2)]
    hooks = [conv.register_forward_pre_hook(watch) for conv in convolutions]
    try:
        generator = torch.Generator().manual_seed(0)
        # a spectrum that falls like that of speech, 6 dB an octave
        fall = 1 / torch.arange(1, config.spectrum_bins + 1)[:, None].sqrt()
        spectrum = torch.rand(1, config.spectrum_bins, FRAMES, generator=generator) * fall
        sv = torch.randn(1, config.speaker_dim, generator=generator) if config.speaker_dim else None
        ge = synthesizer.voices(spectrum, None, sv)
        codes = torch.randint(config.codebook, (1, CODES), generator=generator)
        phones = torch.randint(config.phones, (1, PHONES), generator=generator)
        prior = synthesizer.prior(codes, phones, ge)
        z = synthesizer.latent(*prior, 1.0, generator=generator)
        synthesizer.dec(synthesizer.flow(z, mask(None, z), ge, inverse=True), ge)
    finally:
        for hook in hooks:
            hook.remove()
    return largest


class Bytes:
    """One convolution of bytes, [batch, channels, 1, time] channels last, output as long as the input."""

    def __init__(self, weight: Tensor, bias: Tensor, dilation: int) -> None:
        """Weight float32 [out, in, odd kernel] for inputs whose level is 1, and bias [out]."""
        largest = weight.abs().amax((1, 2)).clamp(min=1e-12)
        self.scales, self.dilation = largest / 127, dilation
        levels = (weight / self.scales[:, None, None]).round().to(torch.int8)[:, :, None].contiguous()
        self.padding, self.bias = [0, weight.shape[-1] // 2], bias.detach()
        self.zeros = torch.zeros(len(weight), dtype=torch.int64)
        likely = [dilation, weight.shape[1], 1, 4096]  # the layout is chosen for this shape; other lengths run too
        self.weight = torch.ops.onednn.qconv_prepack(
            levels, self.scales, 1.0, ZERO, [1, 1], self.padding, [1, 1], 1, likely
        )

    def __call__(self, x: Tensor) -> Tensor:
        """uint8 [1, in, 1, time], time a multiple of the dilation d -> bfloat16 [d, out, 1, time / d], see `_split`."""
        return torch.ops.onednn.qconv_pointwise(
            _split(x, self.dilation), 1.0, ZERO, self.weight, self.scales, self.zeros, self.bias, [1, 1], self.padding,
            [1, 1], 1, 1.0, 0, torch.bfloat16, "none", [], "",
        )  # fmt: skip

    def add_to(self, other: Tensor, x: Tensor) -> Tensor:
        """Add the convolution of x, dilation 1, to `other` bfloat16 [1, out, 1, time], in place."""
        torch.ops.onednn.qconv2d_pointwise.binary(
            x, 1.0, ZERO, self.weight, self.scales, self.zeros, other,
            self.bias, [1, 1], self.padding, [1, 1], 1, 1.0, 0, torch.bfloat16, 1.0, 0, "sum", 1.0, "none", [], "",
        )  # fmt: skip
        return other


class EightBitBlock:
    """Residual block; see `voicemill.model.s2.packed.Block`."""

    def __init__(self, block: ResidualBlock, largest: Peaks) -> None:
        """`largest`: `peaks` of its convolutions."""
        self.dilations = [conv.dilation[0] for conv in block.convs1]
        self.layers: list[tuple[Tensor, Bytes, Bytes]] = []
        for first, second in zip(block.convs1, block.convs2, strict=True):
            entering, inside = _levels(largest[first]), _levels(largest[second])
            weight = first.normed().detach() * entering[:, None] / inside[:, None, None]
            one = Bytes(weight, first.bias / inside, first.dilation[0])
            two = Bytes(second.normed().detach() * inside[:, None], second.bias, 1)
            self.layers.append((1 / entering[:, None, None], one, two))

    def active(self, x: Tensor, end: int, wide: Tensor) -> Tensor:
        """See `voicemill.model.s2.packed.Block`: uint8."""
        return _quantize(x, self.layers[0][0], end, wide)

    def __call__(self, x: Tensor, active: Tensor, end: int, wide: Tensor) -> Tensor:
        """See `voicemill.model.s2.packed.Block`."""
        x = x.clone()
        for number, (factor, first, second) in enumerate(self.layers):
            if number:
                active = _quantize(x, factor, end, wide)
            x = second.add_to(x, _quantize(first(active), None, end, wide))
        return x


def _levels(peak: Tensor) -> Tensor:
    """Value of one level of each channel; dead channels count as a millionth of the loudest."""
    return peak.clamp(min=float(peak.max()) * 1e-6 + 1e-12) * HEADROOM / TOP


def _quantize(x: Tensor, factor: Tensor | None, end: int, wide: Tensor) -> Tensor:
    """bfloat16 through the leaky ReLU, times `factor` [channels, 1, 1], to uint8 [1, channels, 1, time]; the level of 0
    from `end` on. `x`: split or not, see `_split`.

    Computed in `wide`, float32 of as many elements or more: a new buffer would cost more than the arithmetic.
    """
    parts, channels, _, length = x.shape
    time = parts * length
    y = wide[: x.numel()].view(length, parts, channels)
    y.copy_(x[:, :, 0].permute(2, 0, 1))
    y = y.view(1, 1, time, channels).permute(0, 3, 1, 2)
    if factor is not None:
        y.mul_(factor)
    functional.leaky_relu_(y, SLOPE)
    if time > end:
        y[..., end:] = 0
    rounded = torch.quantize_per_tensor(y, 1.0, ZERO, torch.quint8)
    return torch.empty(0, dtype=torch.uint8).set_(rounded.untyped_storage(), 0, rounded.shape, rounded.stride())


def _split(x: Tensor, parts: int) -> Tensor:
    """[1, channels, 1, time] -> [parts, channels, 1, time / parts], channels last: part p holds x[p::parts]."""
    if parts == 1:
        return x
    _, channels, _, time = x.shape
    samples = x.permute(0, 2, 3, 1).reshape(time // parts, parts, channels).transpose(0, 1).contiguous()
    return samples[:, None].permute(0, 3, 1, 2)

"""The convolutions of SwiftF0 in bytes: three times as fast as in float32 where the CPU multiplies bytes (VNNI).

Weights: int8, one scale for each output channel. What a layer puts out is 0 or more, behind its ReLU, so uint8 holds
it, with one scale for each layer. The first layer, the spectra and the scores stay in float32. Sums are exact in
int32. Against float32 on 54 recordings .2 % of the frames change their voicing, and the pitch of the others moves by
.4 cents in the median, where the pitches of the network are 70 cents apart. A scale for each channel gained nothing.
"""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from voicemill.model.device import first_flag
from voicemill.model.onnx_reader import Node, read_nodes
from voicemill.model.pitch.swift_network import NEAR, QUANTUM, SCORED, Network, ended, scored, tensor
from voicemill.storage.units import Frames

LARGEST = 255
FIRST = 7.5
"""Output of the first layer that is the byte 255; larger ones are too."""
RANGES = ((5.6, 6.8), (8.2, 10.0), (8.5, 16.8), (8.7, 18.9), (11.4, 33.8), (11.2, 29.5))
"""The same of both layers of each block. Of 112 excerpts (28 voices at amplitudes of .02 to 1, clean and in noise at
20, 10 and 5 dB) a tenth have a larger value; the largest values of all err a little more."""


class ByteNetwork(Network):
    """The network with its convolutions in bytes."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, torch.float32)
        _, *nodes, narrow, _, _, _, _ = (node for node in read_nodes(file) if node.operator == "Conv")
        scale = FIRST / LARGEST
        self._to_bytes = 1.0 / scale
        self._blocks: list[tuple[ByteConvolution, ByteConvolution]] = []
        for first, second, (inner, outer) in zip(nodes[::2], nodes[1::2], RANGES, strict=True):
            between = ByteConvolution(first, scale, inner / LARGEST)
            self._blocks.append((between, ByteConvolution(second, inner / LARGEST, outer / LARGEST, scale)))
            scale = outer / LARGEST
        self._narrow = ByteConvolution(narrow, scale)

    def hidden(self, features: Tensor) -> Tensor:
        """See `Network.hidden`."""
        frames = features.shape[-1]
        x = functional.pad(features, (0, -frames % QUANTUM)).contiguous(memory_format=torch.channels_last)
        x = ended(self.first(x), frames).mul_(self._to_bytes).round_().clamp_(max=LARGEST).to(torch.uint8)
        for number, (first, second) in enumerate(self._blocks, 1):
            read = SCORED + 2 * NEAR if number == len(self._blocks) else x.shape[2]
            x = x[:, :, :read]
            x = ended(second(ended(first(x), frames), x), frames)
        return self._narrow(scored(x).contiguous(memory_format=torch.channels_last))[..., :frames]


class ByteConvolution:
    """A convolution and ReLU over uint8 [1, channels, bands, frames], channels last, with the padding of its node."""

    def __init__(self, node: Node, scale: float, out: float = 0.0, other: float = 0.0) -> None:
        """`scale`: value of a step of the input; `out`: of the output, 0 = it is float32; `other`: of what is added."""
        weight, self._bias = map(tensor, node.constants)
        self._scale, self._out, self._other = scale, out, other
        self._steps = weight.abs().amax((1, 2, 3)) / 127
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)
        above, left, below, _ = node.integers["pads"]
        padding, dilation = [below if above == below else 0, left], list(node.integers["dilations"])
        self._shape = ([1, 1], padding, dilation, 1)
        self.whole = (weight / self._steps[:, None, None, None]).round().to(torch.int8)
        likely = [1, weight.shape[1], 128, 10 * QUANTUM]
        self._weight = torch.ops.onednn.qconv_prepack(self.whole, self._steps, scale, 0, *self._shape, likely)

    def __call__(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Output for `x`; `other` is added before the ReLU, and overwritten by the output."""
        dtype = torch.uint8 if self._out else torch.float32
        layer = (x, self._scale, 0, self._weight, self._steps, self._zeros)
        end = (*self._shape, self._out or 1.0, 0, dtype)
        if other is None:
            return torch.ops.onednn.qconv2d_pointwise(*layer, self._bias, *end, "relu", [], "")
        added: tuple[Any, ...] = (self._other, 0, "sum", 1.0, "relu", [], "")
        return torch.ops.onednn.qconv2d_pointwise.binary(*layer, other, self._bias, *end, *added)

    def is_exact(self, frames: Frames = 40) -> bool:
        """Whether the sums for random bytes are those of float64, to a step of the output."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randint(LARGEST + 1, (1, self.whole.shape[1], 32, frames), generator=generator, dtype=torch.uint8)
        strides, padding, dilation, groups = self._shape
        sums = functional.conv2d(x.double(), self.whole.double(), None, strides, padding, dilation, groups)
        factors = (self._scale * self._steps.double())[:, None, None]
        expected = torch.relu(sums[0] * factors + self._bias[:, None, None])
        result = self(x.contiguous(memory_format=torch.channels_last))[0].double()
        if not self._out:
            return bool(torch.allclose(result, expected, rtol=1e-4, atol=1e-4))
        return bool(((result - (expected / self._out).clamp_(max=LARGEST)).abs() <= 1).all())


@cache
def multiplies_bytes(file: Path) -> bool:
    """Whether this machine multiplies bytes, with the right result for every layer of the file.

    Convolutions of so few channels in bfloat16 go wrong on some CPUs (`is_wrong_on_amx`), hence the trial; 30 ms.
    """
    if not (first_flag("avx512_vnni", "avx_vnni") and hasattr(torch.ops.onednn, "qconv2d_pointwise")):
        return False
    with torch.inference_mode():
        network = ByteNetwork(file)
        return all(layer.is_exact() for layer in (*sum(network._blocks, ()), network._narrow))

"""The layers of SwiftF0 in float32 or bfloat16, with the constants of the file of its wheel, whose graph is not run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from voicemill.model.device import can_pack
from voicemill.model.onnx_reader import Node, read_nodes
from voicemill.storage.units import Frames, Samples

STEP: Samples = 256
"""Distance between frames, samples at 16 kHz."""
QUANTUM: Frames = 32
"""Multiple to which lengths are rounded up, so that few kernels are compiled."""
SPECTRA = (1024, 2048, 512)
"""Samples at 16 kHz in each of the three spectra."""
SCORED = 96
"""Lowest bands, whose scores become pitches; above them lie only overtones."""
NEAR = 6
"""Bands on either side that the convolutions of the last block read."""


class Network:
    """The layers, in one dtype."""

    def __init__(self, file: Path, dtype: torch.dtype) -> None:
        """`dtype`: bfloat16 or float32."""
        nodes = read_nodes(file)
        self.dtype = dtype
        self.windows = [torch.hann_window(size) for size in SPECTRA]
        self.banks = _banks(nodes)
        (self.centres,) = (tensor(n.constants[0]) for n in nodes if n.operator == "GreaterOrEqual")
        """Float32 [95], Hz, of the pitches that are scored."""
        (self.logarithms,) = (c for n in nodes for c in map(tensor, n.constants) if c.dtype == torch.float64)
        """Float64 [95], their natural logarithms."""
        first, *blocks, narrow, pooled, scores, voiced, last = (n for n in nodes if n.operator == "Conv")
        self.first, self.narrow = Convolution(first, dtype), Convolution(narrow, dtype)
        convolutions = [Convolution(node, dtype) for node in blocks]
        self.blocks = list(zip(convolutions[::2], convolutions[1::2], strict=True))
        self.pooled, self.scores = ([tensor(c).to(dtype) for c in node.constants] for node in (pooled, scores))
        self.voiced, self.last = ([tensor(c) for c in node.constants] for node in (voiced, last))

    def __call__(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [samples], 16 kHz -> scores float32 [frames, 95] and confidence [frames], frames of 256 samples."""
        features = self.features(wave)
        x = self.hidden(features)
        scores = functional.conv2d(x, *self.scores)[0, 0].T.float()
        loudest = functional.conv2d(x, *self.pooled, padding=(2, 0))[0].contiguous().amax(1).float()
        hidden = torch.cat([loudest, features.mean((1, 2))])[None]
        hidden = torch.relu(functional.conv1d(hidden, *self.voiced, padding=1))
        return scores, torch.sigmoid(functional.conv1d(hidden, *self.last))[0, 0]

    def hidden(self, features: Tensor) -> Tensor:
        """[1, 4, 96, frames] of the features; the last block computes the bands alone that the scores read."""
        frames = features.shape[-1]
        x = functional.pad(features, (0, -frames % QUANTUM))
        x = x.to(self.dtype).contiguous(memory_format=torch.channels_last)
        x = ended(self.first(x), frames)
        for number, (first, second) in enumerate(self.blocks, 1):
            read = SCORED + 2 * NEAR if number == len(self.blocks) else x.shape[2]
            x = x[:, :, :read]
            x = ended(second(ended(first(x), frames), x), frames)
        return self.narrow(scored(x))[..., :frames]

    def features(self, wave: Tensor) -> Tensor:
        """Log mel spectrograms float32 [1, 3, 128, frames]; frame i is centred on sample 256 i."""
        frames = max(1, len(wave) // STEP)
        spectrograms = []
        for size, window, bank in zip(SPECTRA, self.windows, self.banks, strict=True):
            padded = functional.pad(wave, (size // 2, size // 2 + STEP))
            spectrum = torch.fft.rfft(padded.unfold(0, size, STEP)[:frames] * window)
            power = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
            spectrograms.append((power.sqrt_() @ bank).add_(1e-8).log_())
        return torch.stack(spectrograms).transpose(1, 2)[None]


class Convolution:
    """A convolution and ReLU over [1, channels, bands, frames], channels last, with the padding of its node."""

    def __init__(self, node: Node, dtype: torch.dtype) -> None:
        weight, self.bias = (tensor(constant).to(dtype) for constant in node.constants)
        self.dilation = list(node.integers["dilations"])
        above, left, below, _ = node.integers["pads"]
        self.padding = [below if above == below else 0, left]
        self.is_packed = can_pack()
        if self.is_packed:
            likely = [1, weight.shape[1], 128, 10 * QUANTUM]  # the layout is chosen for this shape; others run too
            self.weight = torch.ops.mkldnn._reorder_convolution_weight(
                weight, self.padding, [1, 1], self.dilation, 1, likely
            )
        else:
            self.weight = weight.contiguous(memory_format=torch.channels_last)

    def __call__(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Output for `x`; `other` is added before the ReLU, and may be overwritten by the output."""
        if not self.is_packed:
            y = functional.conv2d(x, self.weight, self.bias, padding=self.padding, dilation=self.dilation)
            return torch.relu_(y if other is None else y.add_(other))
        layer = (x, self.weight, self.bias, self.padding, [1, 1], self.dilation, 1)
        if other is None:
            return torch.ops.mkldnn._convolution_pointwise(*layer, "relu", [], "")
        return torch.ops.mkldnn._convolution_pointwise_.binary(other, *layer, "add", 1.0, "relu", [], "")


def ended(x: Tensor, frames: int) -> Tensor:
    """`x` with 0 from that frame on, in place."""
    x[..., frames:] = 0
    return x


def scored(x: Tensor) -> Tensor:
    """The bands that are scored and one of zeros under them, for which the network has no padding of its own."""
    return functional.pad(x[:, :, :SCORED], (0, 0, 1, 0))


def _banks(nodes: Sequence[Node]) -> list[Tensor]:
    """Float32 [bins, 128] of each spectrum: the file holds their non-zero values and the places of these."""
    banks = []
    for size, node in zip(SPECTRA, (n for n in nodes if n.operator == "ScatterElements"), strict=True):
        places, values = map(tensor, node.constants)
        bank = torch.zeros((size // 2 + 1) * 128)
        bank[places.long()] = values
        banks.append(bank.view(-1, 128))
    return banks


def tensor(constant: NDArray[np.generic]) -> Tensor:
    """Copy of a constant."""
    return torch.from_numpy(constant.copy())

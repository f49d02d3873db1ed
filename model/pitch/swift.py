"""SwiftF0 (arXiv 2508.18440, MIT), a small convolutional network whose weights are in its wheel, run by torch.

Input: three mel spectrograms of 128 bands, log, from spectra of 64, 128 and 32 ms, every 16 ms. Network: convolutions
of 12 channels over bands and frames, the middle ones dilated over the bands, where overtones of a voice lie at equal
distances. Output: scores of 95 pitches from 47 Hz to 2 kHz, 4 % apart, whose highest and its two neighbours are
averaged on the logarithmic scale, and a confidence.

ONNX Runtime runs the file of the wheel at 135 x real time on one core, the same sums take torch 240 x, and with
bfloat16 380 x (`tests/bench/f0.py`). oneDNN compiles kernels for each length, so lengths are rounded up to `QUANTUM`
frames; what the layers compute behind the end is set to 0 again, as their padding has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.device import can_pack
from voicemill.model.embedded import SWIFT_F0
from voicemill.model.onnx_reader import Node, read_nodes
from voicemill.model.pitch.grid import F0, HOP, Double, frames_of, regrid
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Frames, Hertz, Samples

STEP: Samples = 256
"""From frame to frame, at 16 kHz."""
WINDOW: Frames = 1024
"""Frames (16 s) in one pass of the network, which bounds its memory."""
CONTEXT: Frames = 11
"""Frames on either side of a window that its frames depend on: the network sees 2815 samples each way."""
QUANTUM: Frames = 32
SPECTRA = (1024, 2048, 512)
"""Samples at 16 kHz in each of the three spectra."""
SCORED = 96
"""Lowest bands, whose scores become pitches; above them lie only overtones."""


@dataclass(frozen=True)
class SwiftF0:
    """The tracker. `dtype`: that of the network; the spectra and the pitches are computed in float32."""

    fmin: Hertz = 60.0
    fmax: Hertz = 800.0
    threshold: float = 0.5
    dtype: torch.dtype = torch.float32

    @cached_property
    def _network(self) -> "Network":
        return Network(SWIFT_F0.path("model.onnx"), self.dtype)

    def track(self, waves: Sequence[Wave]) -> list[F0]:
        """F0 of each wave; see `Tracker`."""
        with torch.inference_mode():
            return [self._one(wave) for wave in waves]

    def _one(self, wave: Wave) -> F0:
        times = (np.arange(frames_of(len(wave))) + 0.5) * HOP / RATE
        if not len(times):
            return np.zeros(0, np.float32)
        x = to_16_khz(wave)
        total = max(1, len(x) // STEP)
        parts = []
        for start in range(0, total, WINDOW):
            stop = start + WINDOW if start + 2 * WINDOW <= total else total
            before = max(0, start - CONTEXT)
            window = x[before * STEP : None if stop == total else (stop + CONTEXT) * STEP]
            parts.append([values[start - before : stop - before] for values in self.pitches(window)])
            if stop == total:
                break
        hertz, confidence = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        hops = x[: total * STEP].reshape(total, -1)
        confidence[np.abs(hops).max(1) < 1e-3] = 0.0  # on digital silence its output is random
        return regrid(0.016 * np.arange(len(hertz), dtype=np.float64), hertz, confidence, times, self.threshold)

    def pitches(self, x: Wave) -> tuple[Double, Double]:
        """float32 [samples], 16 kHz -> Hz and confidence (0 to 1), one value every 256 samples, one at least."""
        scores, confidence = self._network(torch.from_numpy(np.ascontiguousarray(x)))
        inside = (self._network.centres >= self.fmin) & (self._network.centres <= self.fmax)
        masked = functional.pad(torch.where(inside, scores, -torch.inf), (1, 1), value=-torch.inf)
        around = masked.argmax(1, keepdim=True) + torch.tensor([-1, 0, 1])
        weights = masked.gather(1, around).double().softmax(1)
        octaves = functional.pad(self._network.logarithms, (1, 1))
        hertz = (weights * octaves[around]).sum(1).exp()
        return hertz.numpy(), torch.where(inside[scores.argmax(1)], confidence, 0.0).double().numpy()


class Network:
    """The layers of the file; nothing of the file is run but its constants are read."""

    def __init__(self, file: Path, dtype: torch.dtype) -> None:
        """`dtype`: bfloat16 or float32."""
        nodes = read_nodes(file)
        self.dtype = dtype
        self.windows = [torch.hann_window(size) for size in SPECTRA]
        self.banks = _banks(nodes)
        (self.centres,) = (_tensor(n.constants[0]) for n in nodes if n.operator == "GreaterOrEqual")
        """Float32 [95], Hz, of the pitches that are scored."""
        (self.logarithms,) = (c for n in nodes for c in map(_tensor, n.constants) if c.dtype == torch.float64)
        """Float64 [95], their natural logarithms."""
        first, *blocks, narrow, pooled, scores, voiced, last = (n for n in nodes if n.operator == "Conv")
        self.first, self.narrow = Convolution(first, dtype), Convolution(narrow, dtype)
        convolutions = [Convolution(node, dtype) for node in blocks]
        self.blocks = list(zip(convolutions[::2], convolutions[1::2], strict=True))
        self.pooled, self.scores = ([_tensor(c).to(dtype) for c in node.constants] for node in (pooled, scores))
        self.voiced, self.last = ([_tensor(c) for c in node.constants] for node in (voiced, last))

    def __call__(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [samples], 16 kHz -> scores float32 [frames, 95] and confidence [frames], frames of 256 samples."""
        features = self.features(wave)
        frames = features.shape[-1]
        x = functional.pad(features, (0, -frames % QUANTUM))
        x = x.to(self.dtype).contiguous(memory_format=torch.channels_last)
        x = _ended(self.first(x), frames)
        for first, second in self.blocks:
            x = _ended(second(_ended(first(x), frames), x), frames)
        # the network pads the lowest band alone, so 96 bands give 95 scores
        x = self.narrow(functional.pad(x[:, :, :SCORED], (0, 0, 1, 0)))[..., :frames]
        scores = functional.conv2d(x, *self.scores)[0, 0].T.float()
        loudest = functional.conv2d(x, *self.pooled, padding=(2, 0))[0].amax(1).float()
        hidden = torch.cat([loudest, features.mean((1, 2))])[None]
        hidden = torch.relu(functional.conv1d(hidden, *self.voiced, padding=1))
        return scores, torch.sigmoid(functional.conv1d(hidden, *self.last))[0, 0]

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
        weight, self.bias = (_tensor(constant).to(dtype) for constant in node.constants)
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


def _ended(x: Tensor, frames: int) -> Tensor:
    """`x` with 0 from that frame on, in place."""
    x[..., frames:] = 0
    return x


def _banks(nodes: Sequence[Node]) -> list[Tensor]:
    """Float32 [bins, 128] of each spectrum: the file holds their non-zero values and the places of these."""
    banks = []
    for size, node in zip(SPECTRA, (n for n in nodes if n.operator == "ScatterElements"), strict=True):
        places, values = map(_tensor, node.constants)
        bank = torch.zeros((size // 2 + 1) * 128)
        bank[places.long()] = values
        banks.append(bank.view(-1, 128))
    return banks


def _tensor(constant: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(constant.copy())

"""Silero VAD 6 (MIT) in torch, with the constants of the file of its wheel, whose graph is not run.

Method: of each frame of 32 ms four spectra, as products with a bank of sines; four convolutions over them as products,
the last two where their single output reads; an LSTM over the frames, a layer and a sigmoid. ONNX Runtime multiplies
each frame alone, here all frames of a call make one product, which is 2.7 times as fast. Probabilities differ by under
1e-5.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voicemill.model.onnx_reader import read_nodes

Wave = NDArray[np.float32]
State = tuple[Wave, Wave]
"""Hidden state and cell of the LSTM, float32 [1, 1, 128] each."""

SPECTRUM = 256
"""Samples in a spectrum; there are four in a frame, half a spectrum apart."""
BINS = SPECTRUM // 2 + 1


class Silero:
    """The model of 16 kHz."""

    def __init__(self, file: Path) -> None:
        nodes = read_nodes(file)
        (lstm,) = (node for node in nodes if node.operator == "LSTM")
        sines, *layers, last = ([_tensor(c) for c in node.constants] for node in nodes if node.operator == "Conv")
        self._sines = sines[0][:, 0].T.contiguous()
        (first, self._bias_1), (second, self._bias_2), (third, self._bias_3), (fourth, self._bias_4) = layers
        self._first, self._second = _matrix(first), _matrix(second)
        self._third = _matrix(third[:, :, 1:])  # two inputs: the first tap reads padding alone
        self._fourth = _matrix(fourth[:, :, 1:2])  # one input: two taps do
        read, fed_back, biases = (_reordered(_tensor(constant)[0]) for constant in lstm.constants)
        self._lstm = torch.nn.LSTM(read.shape[1], fed_back.shape[1])
        weights = {"weight_ih_l0": read, "weight_hh_l0": fed_back}
        weights["bias_ih_l0"], weights["bias_hh_l0"] = biases.chunk(2)
        self._lstm.load_state_dict(weights)
        self._weight, self._bias = last[0][0, :, 0], last[1]

    def __call__(self, frames: Wave, state: State) -> tuple[Wave, State]:
        """Probability of speech, float32 [n], in float32 [n, 576] at 16 kHz, and the state after them.

        A frame is the last 64 samples of the frame before, and 512 new ones.
        """
        with torch.inference_mode():
            features = self._features(torch.from_numpy(frames))
            outputs, (hidden, cell) = self._lstm(features[:, None], tuple(map(torch.from_numpy, state)))
            probability = torch.sigmoid(torch.relu(outputs[:, 0]) @ self._weight + self._bias)
        return probability.numpy(), (hidden.numpy(), cell.numpy())

    def _features(self, frames: Tensor) -> Tensor:
        """[n, 128] of [n, 576]."""
        n = len(frames)
        padded = torch.cat([frames, frames[:, -SPECTRUM // 4 - 1 : -1].flip(1)], 1)  # as the model has it: reflected
        spectra = padded.unfold(1, SPECTRUM, SPECTRUM // 2)
        count = spectra.shape[1]
        values = spectra.reshape(n * count, SPECTRUM) @ self._sines
        powers = values[:, :BINS].square_().add_(values[:, BINS:].square_())
        x = powers.sqrt_().view(n, count, BINS)
        x = _layer(x, self._first, self._bias_1, 1)
        x = _layer(x, self._second, self._bias_2, 2)
        x = torch.relu_(torch.addmm(self._bias_3, x.reshape(n, -1), self._third))
        return torch.relu_(torch.addmm(self._bias_4, x, self._fourth))


def _layer(x: Tensor, matrix: Tensor, bias: Tensor, stride: int) -> Tensor:
    """A convolution of three taps, padded by one, and ReLU: [n, steps / stride, outputs] of [n, steps, channels]."""
    n, steps, channels = x.shape
    padded = torch.nn.functional.pad(x, (0, 0, 1, 1))
    windows = padded.as_strided((n, steps // stride, 3 * channels), ((steps + 2) * channels, stride * channels, 1))
    y = torch.addmm(bias, windows.reshape(-1, 3 * channels), matrix)
    return torch.relu_(y).view(n, steps // stride, -1)


def _matrix(weight: Tensor) -> Tensor:
    """[taps * inputs, outputs] of a convolution's [outputs, inputs, taps]."""
    return weight.permute(2, 1, 0).reshape(-1, weight.shape[0]).contiguous()


def _reordered(gates: Tensor) -> Tensor:
    """The gates in the order of torch (input, forget, cell, output) from that of ONNX (input, output, forget, cell)."""
    parts = gates.reshape(-1, 4, 128, *gates.shape[1:])
    return parts[:, [0, 2, 3, 1]].reshape(gates.shape)


def _tensor(constant: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(constant.copy())

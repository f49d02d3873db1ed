"""Content features at 50 Hz by the encoder of Whisper tiny.en, whose weights are embedded (`voicemill.model.embedded`).

Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision, ICML 2023. Two convolutions over an 80-band
log-mel of 100 frames a second, then four pre-norm transformer layers of width 384; layer 0 is the input of the first,
layer 4 the output of the last with its norm, equal to what CTranslate2 encodes from the same file.

Frames. The log-mel is not centred here (frame j covers samples 160 j to 160 j + 400), so frame i of the features is
centred at 320 i + 200, where the frames of every other engine are; their number is the same too.

Cost. Whisper reads windows of 30 s, mostly padding; here a window is as long as its utterance: 5 s cost a sixth, and
less in attention (`tests/bench/content.py` measures what that changes).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from voicemill.model.content.ctranslate2_file import read_model
from voicemill.model.content.mfcc import normalised
from voicemill.model.content.names import WHISPER_LAYERS, WHISPER_WEIGHTS
from voicemill.model.content.pretrained import FIELD, HOP, Dense, Features, fill_rows, frames_of
from voicemill.model.device import Placement
from voicemill.model.embedded import WHISPER
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError, ModelMissing

BANDS = 80
POSITIONS = 1500
"""Frames of the longest window, 30 s."""
TAIL = 0
"""Frames of silence behind an utterance: 1 s and 15 s of them change no figure of `tests/bench/content.py`."""
CONTEXT = 100
"""Frames that neighbouring windows of a longer utterance share on each side."""
Weights = Mapping[str, NDArray[np.float32]]


class WhisperFeatures:
    """From waves to features, whatever computes the network: PyTorch (`WhisperEncoder`) or a graph."""

    dims = 384

    def __init__(self, network: Callable[[Tensor], Tensor], normalise: bool, tail: int = TAIL) -> None:
        """`network`: log-mel float32 [frames at 100 Hz, 80] -> float32 [frames at 50 Hz, 384], at most 1,500."""
        self.network, self.normalise, self.tail = network, normalise, tail

    def encode(self, waves: Sequence[Wave]) -> list[Features]:
        """Features of each wave (float32 [samples], 16 kHz, at least 400), one by one: float32 [frames, 384]."""
        return [self._one(wave) for wave in waves]

    def _one(self, wave: Wave) -> Features:
        if len(wave) < FIELD:
            raise ValueError(f"content features need at least {FIELD} samples (25 ms) at 16 kHz, got {len(wave)}")
        with torch.inference_mode():
            samples = torch.from_numpy(np.ascontiguousarray(wave, np.float32))
            features = self._windows(self.log_mel(samples), frames_of(len(wave)))
            if self.normalise:
                energy = samples.unfold(0, FIELD, HOP).square().sum(1)
                features = normalised(features, (energy > 0).nonzero()[:, 0])
            result: Features = features.numpy()
        return result

    def _windows(self, mel: Tensor, frames: int) -> Tensor:
        """Features of a log-mel, float32 [frames, 384], in as few windows as hold it."""
        if self.tail:
            mel = torch.cat([mel, mel.min().expand(2 * self.tail, BANDS)])
        if len(mel) <= 2 * POSITIONS:
            return self.network(mel)[:frames]
        step, parts = POSITIONS - 2 * CONTEXT, list[Tensor]()
        for start in range(0, frames, step):
            before = min(start, CONTEXT)
            part = self.network(mel[2 * (start - before) : 2 * (start + step + CONTEXT)])
            parts.append(part[before : before + step])
        return torch.cat(parts)[:frames]

    def log_mel(self, samples: Tensor) -> Tensor:
        """Log-mel of Whisper, float32 [frames at 100 Hz, 80], not centred: `2 frames_of(n)` frames, or one less."""
        window, bank = self._tables
        spectrum = torch.view_as_real(torch.fft.rfft(samples.unfold(0, FIELD, HOP // 2) * window))
        mel = ((spectrum * spectrum).sum(-1) @ bank).clamp(min=1e-10).log10()
        return (mel.maximum(mel.max() - 8) + 4) / 4

    @cached_property
    def _tables(self) -> tuple[Tensor, Tensor]:
        from librosa.filters import mel

        return torch.hann_window(FIELD), torch.from_numpy(mel(sr=16_000, n_fft=FIELD, n_mels=BANDS).T.copy())


class WhisperEncoder(WhisperFeatures):
    """One layer of the encoder by PyTorch, in one precision, plain or normalised by utterance."""

    network: "Network"

    @classmethod
    def load(cls, layer: int, normalise: bool, placement: Placement, tail: int = TAIL) -> "WhisperEncoder":
        """Load the embedded model.

        Raises:
            ModelMissing: its wheel is not installed, or a file differs from the pinned one.
            ConfigError: there is no such layer.
        """
        if not 0 <= layer <= WHISPER_LAYERS:
            raise ConfigError(f"content.layer = {layer}: the encoder of Whisper has layers 0 to {WHISPER_LAYERS}")
        path = WHISPER.path(WHISPER_WEIGHTS)
        file = read_model(path, "encoder/")
        if (file.spec, file.revision) != ("WhisperSpec", 3):
            raise ModelMissing(f"{path} is a {file.spec} of revision {file.revision}, expected WhisperSpec, 3")
        return cls(Network(file.variables, layer, placement), normalise, tail)


class Network(nn.Module):  # type: ignore[misc]  # torch is not followed
    """The encoder up to one layer."""

    def __init__(self, weights: Weights, layer: int, placement: Placement) -> None:
        """`weights`: variables of the file whose names begin with `encoder/`."""
        super().__init__()
        self.placement, dtype = placement, placement.dtype
        tensors = {
            name.removeprefix("encoder/"): torch.from_numpy(values).to(placement.device)
            for name, values in weights.items()
        }
        self.heads, self.width = int(tensors["num_heads"]), len(tensors["conv1/bias"])

        def dense(name: str, act: bool = False) -> Dense:
            weight = tensors[f"{name}/weight"]
            flat = weight.permute(0, 2, 1).flatten(1) if weight.ndim == 3 else weight
            return Dense(flat, tensors[f"{name}/bias"], act, dtype)

        def norm(name: str) -> Norm:
            return Norm(tensors[f"{name}/gamma"], tensors[f"{name}/beta"], dtype)

        self.conv1, self.conv2 = dense("conv1", act=True), dense("conv2", act=True)
        self.positions = tensors["position_encodings/encodings"].to(dtype)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm": norm(f"layer_{i}/self_attention/layer_norm"),
                    "qkv": dense(f"layer_{i}/self_attention/linear_0"),
                    "out": dense(f"layer_{i}/self_attention/linear_1"),
                    "final_norm": norm(f"layer_{i}/ffn/layer_norm"),
                    "inner": dense(f"layer_{i}/ffn/linear_0", act=True),
                    "outer": dense(f"layer_{i}/ffn/linear_1"),
                }
            )
            for i in range(layer)
        )
        self.norm = norm("layer_norm") if layer == WHISPER_LAYERS else None

    @property
    def parameter_count(self) -> int:
        """Number of weights up to the layer, positions included."""
        parts = [part for part in self.modules() if isinstance(part, Dense | Norm)]
        tensors = [self.positions, *(tensor for part in parts for tensor in (part.weight, part.bias))]
        return sum(int(tensor.numel()) for tensor in tensors)

    def forward(self, mel: Tensor) -> Tensor:
        """float32 [frames at 100 Hz, 80] -> float32 [frames at 50 Hz, 384], at most 1,500."""
        mel = mel.to(self.placement.device, self.placement.dtype)
        x = self.conv2(_triples(self.conv1(_triples(mel, 1)), 2))
        frames = len(x)
        x = x + self.positions[:frames]
        x = x if self.conv1.packed is None else fill_rows(x)  # once, and not in every product
        for layer in self.layers:
            q, k, v = layer["qkv"](layer["norm"](x)).unflatten(-1, (3, self.heads, -1)).permute(1, 2, 0, 3)[:, None]
            mixed = scaled_dot_product_attention(q, k[..., :frames, :], v[..., :frames, :])[0]
            x = x + layer["out"](mixed.transpose(0, 1).flatten(1))
            x = x + layer["outer"](layer["inner"](layer["final_norm"](x)))
        return (x if self.norm is None else self.norm(x))[:frames].float().cpu()


class Norm(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Layer norm over the last axis."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = weight.to(dtype), bias.to(dtype), 1e-5

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


def _triples(x: Tensor, stride: int) -> Tensor:
    """Windows of three frames around every `stride`-th, zeros outside: [frames, dims] -> [windows, 3 dims]."""
    dims, count = x.shape[1], (len(x) - 1) // stride + 1
    padded = torch.cat([x.new_zeros(1, dims), x, x.new_zeros(1, dims)])
    return padded.as_strided((count, 3 * dims), (stride * dims, 1)).contiguous()

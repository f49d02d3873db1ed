"""Content features at 50 Hz by HuBERT, wav2vec 2.0 and WavLM, read through transformers.

Every engine takes 16 kHz. Frame i covers samples 320 i to 320 i + 400 at 16 kHz (n // 320 frames, less one at some
lengths), in every engine (`voicemill.model.content.encoders`).

Batches. HuBERT-base normalises its first convolution over the time axis (a group norm), padding included, and is used
without an attention mask: in a padded batch its values change. Here the statistics are taken over each row's own
samples and keys are masked, so padding changes nothing but rounding (cosine > 0.9999 to the row alone, tested).

Speed. On a CPU with bfloat16 the convolutions are matrix products over channels-last windows in pieces that stay in the
cache, with weights packed once and GELU fused; the group norm is folded into the first convolution, whose output
statistics follow from the covariance of its ten-sample windows. `tests/bench/hubert.py` measures it.
"""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, linear, pad

from voicemill.model.device import Placement, is_wrong_on_amx
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError, ModelMissing

Features = NDArray[np.float32]
KINDS = ("hubert", "wav2vec2", "wavlm")
HOP = 320
FIELD = 400
"""Receptive field of a frame, samples at 16 kHz."""
ROWS = 64
"""Multiple to which the rows of a packed product are filled up: oneDNN compiles a kernel for every number of rows, in
1 ms, which is as long as the products of a second of speech take."""
CHUNK = 40
"""Frames of the convolutional front end computed at a time, so that their windows stay in the cache."""


def frames_of(samples: int) -> int:
    """Number of frames of content features of a wave of `samples` at 16 kHz."""
    return max(0, (samples - FIELD) // HOP + 1)


class Dense(nn.Module):  # type: ignore[misc]  # torch is not followed
    """A linear layer, optionally followed by GELU, with the weight packed for bfloat16 where oneDNN can."""

    def __init__(self, weight: Tensor, bias: Tensor | None, act: bool, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = weight.detach().to(dtype).contiguous()
        self.bias = None if bias is None else bias.detach().to(dtype).contiguous()
        self.act = act
        packs = (
            dtype is torch.bfloat16 and weight.device.type == "cpu" and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        )
        self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight) if packs else None

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        if self.packed is None:
            y = linear(x, self.weight, self.bias)
            return gelu(y) if self.act else y
        kind, how = ("gelu", "none") if self.act else ("none", "")
        rows = x.shape[-2]
        return torch.ops.mkldnn._linear_pointwise(fill_rows(x), self.packed, self.bias, kind, [], how)[..., :rows, :]


def fill_rows(x: Tensor) -> Tensor:
    """[..., rows, dims], with zeros up to the next multiple of `ROWS`."""
    rows = x.shape[-2]
    return pad(x, (0, 0, 0, -rows % ROWS)) if rows % ROWS else x


class FrontEnd(nn.Module):  # type: ignore[misc]  # torch is not followed
    """The convolutional feature encoder of the wav2vec 2.0 family: 16 kHz samples to 50 vectors a second.

    Takes the weights of the transformers module that it replaces; both kinds of normalisation (`group`: over time after
    the first convolution; `layer`: over channels after each).
    """

    def __init__(self, config: Any, layers: nn.ModuleList, dtype: torch.dtype) -> None:
        super().__init__()
        self.kernels, self.strides = tuple(config.conv_kernel), tuple(config.conv_stride)
        self.group = config.feat_extract_norm == "group"
        self.dtype = dtype
        first = layers[0]
        self.weight = first.conv.weight.detach()[:, 0].double()
        self.bias = None if first.conv.bias is None else first.conv.bias.detach().double()
        self.norms = [None if self.group else layer.layer_norm.to(dtype) for layer in layers]
        if config.feat_extract_activation != "gelu":
            raise ConfigError(
                f"content.model: activation {config.feat_extract_activation!r} is not supported, only gelu"
            )
        self.scale, self.shift, self.eps = first.layer_norm.weight, first.layer_norm.bias, first.layer_norm.eps
        self.dense = nn.ModuleList(
            Dense(layer.conv.weight.permute(0, 2, 1).flatten(1), layer.conv.bias, self.group, dtype)
            for layer in layers[1:]
        )

    def forward(self, wave: Tensor, lengths: Sequence[int]) -> Tensor:
        """float32 [batch, samples], 16 kHz, rows valid up to `lengths` -> [batch, frames, channels]."""
        total = frames_of(wave.shape[1])
        result = [torch.cat(list(self._row(row, length, total)), 0) for row, length in zip(wave, lengths, strict=True)]
        return torch.stack(result)

    def _row(self, wave: Tensor, length: int, total: int) -> Iterator[Tensor]:
        first = self._first(wave[:length])
        for start in range(0, total, CHUNK):
            stop = min(start + CHUNK, total)
            yield self._chunk(wave[HOP * start : HOP * (stop - 1) + FIELD], first)

    def _first(self, wave: Tensor) -> Dense:
        """First convolution for one row with the group norm folded in: mean and variance of W f over all windows f are
        W mean(f) and diag(W cov(f) W')."""
        weight, bias = self.weight, self.bias
        if self.group:
            windows = wave.double().unfold(0, self.kernels[0], self.strides[0])
            mean = windows.mean(0)
            covariance = windows.T @ windows / len(windows) - torch.outer(mean, mean)
            variance = ((weight @ covariance) * weight).sum(1).clamp(min=0)
            gain = self.scale.double() / (variance + self.eps).sqrt()
            bias = self.shift.double() - gain * (weight @ mean)  # a bias of the convolution is in its mean too
            weight = weight * gain[:, None]
        return Dense(weight, bias, self.group, self.dtype)

    def _chunk(self, wave: Tensor, first: Dense) -> Tensor:
        x = first(wave.to(self.dtype).unfold(0, self.kernels[0], self.strides[0]).contiguous())
        x = self._normed(x, 0)
        for i, layer in enumerate(self.dense, 1):
            kernel, stride, channels = self.kernels[i], self.strides[i], x.shape[1]
            rows = (x.shape[0] - kernel) // stride + 1
            x = layer(x.as_strided((rows, kernel * channels), (stride * channels, 1)).contiguous())
            x = self._normed(x, i)
        return x

    def _normed(self, x: Tensor, i: int) -> Tensor:
        norm = self.norms[i]
        if norm is None:
            return x
        return gelu(layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps))


class Encoder:
    """One layer of a pretrained speech encoder, in one precision."""

    def __init__(self, model: nn.Module, layer: int, placement: Placement, normalise: bool = False) -> None:
        """`model`: a HubertModel, Wav2Vec2Model or WavLMModel of transformers in eval mode; it is modified in place.

        `layer`: 0 = the input of the transformer, n = its n-th layer, -1 = the last.
        """
        config, self.placement, self.normalise = model.config, placement, normalise
        self.layers = config.num_hidden_layers
        if not -1 <= layer <= self.layers:
            raise ConfigError(f"content.layer = {layer}: this model has layers 0 to {self.layers}, or -1 for the last")
        layer = self.layers if layer == -1 else layer
        self.dims = int(config.hidden_size)
        fold_weight_norm(model)
        model = model.to(placement.device)
        if layer < self.layers:
            model.encoder.layers = model.encoder.layers[:layer]
            if config.do_stable_layer_norm:  # its norm after the last layer is no part of an inner layer's output
                model.encoder.layer_norm = nn.Identity()
        self.front = FrontEnd(config, model.feature_extractor.conv_layers, placement.dtype)
        model.feature_extractor = nn.Identity()
        model = model.to(placement.dtype)
        if placement.dtype is torch.bfloat16 and placement.device.type == "cpu":
            pack(model)
        self.model = model

    @classmethod
    def load(cls, folder: Path, layer: int, placement: Placement, normalise: bool = False) -> "Encoder":
        """Load an encoder from a folder in the format of transformers.

        Raises:
            ModelMissing: transformers cannot read the folder.
            ConfigError: it holds another kind of model, or no such layer.
        """
        from transformers import AutoConfig, AutoModel

        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            if config.model_type not in KINDS:
                raise ConfigError(
                    f"content.model: {folder} is a {config.model_type} model; give one of {', '.join(KINDS)}"
                )
            model, report = AutoModel.from_pretrained(
                folder, config=config, local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
        except ConfigError:
            raise
        except Exception as error:  # OSError, ValueError, RuntimeError, pickle's, safetensors': all mean a bad folder
            raise ModelMissing(f"content.model: {folder} cannot be read: {type(error).__name__}: {error}") from error
        absent = sorted(key for key in report["missing_keys"] if key != "masked_spec_embed")
        if absent:  # transformers fills them with random numbers
            raise ModelMissing(
                f"content.model: the weights in {folder} lack {len(absent)} tensors, such as {absent[0]}"
            )
        return cls(model.eval(), layer, placement, normalise)

    def encode(self, waves: Sequence[Wave]) -> list[Features]:
        """Features of each wave (float32 [samples], 16 kHz, at least 400), float32 [frames, dims], in one padded batch.

        Raises ValueError for a wave of under 400 samples.
        """
        lengths = [len(wave) for wave in waves]
        if min(lengths) < FIELD:
            raise ValueError(f"content features need at least {FIELD} samples (25 ms) at 16 kHz, got {min(lengths)}")
        batch = np.zeros((len(waves), max(lengths)), np.float32)
        for row, wave in zip(batch, waves, strict=True):
            row[: len(wave)] = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7) if self.normalise else wave
        frames = torch.tensor([frames_of(n) for n in lengths])
        with torch.inference_mode():
            x = self.front(torch.from_numpy(batch).to(self.placement.device), lengths)
            mask = None
            if len(set(lengths)) > 1:
                mask = (torch.arange(x.shape[1]) < frames[:, None]).to(self.placement.device)
            projected = self.model.feature_projection(x)
            hidden = projected[0] if isinstance(projected, tuple) else projected
            with warnings.catch_warnings():  # WavLM of transformers passes torch two kinds of mask at once
                warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
                out = self.model.encoder(hidden, attention_mask=mask).last_hidden_state.float().cpu().numpy()
        return [row[:n] for row, n in zip(out, frames.tolist(), strict=True)]


def fold_weight_norm(model: nn.Module) -> None:
    """Compute the weights of weight-normed layers once instead of at every call."""
    for module in model.modules():
        if nn.utils.parametrize.is_parametrized(module):
            for name in list(module.parametrizations):
                nn.utils.parametrize.remove_parametrizations(module, name)


def pack(model: nn.Module) -> None:
    """Replace the linear layers by `Dense`, with the GELU of the feed-forward blocks fused, and end the positional
    convolution with a tap of weight 0 where oneDNN gets its size wrong (small groups; no published model has them)."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                act = name == "intermediate_dense" and type(module.intermediate_act_fn).__name__.startswith("GELU")
                if act:
                    module.intermediate_act_fn = nn.Identity()
                setattr(module, name, Dense(child.weight, child.bias, act, torch.bfloat16))
    position = model.encoder.pos_conv_embed
    weight = position.conv.weight.detach()
    if is_wrong_on_amx(*weight.shape[1:]):  # an even kernel: one frame too many, which `padding` removes
        position.conv.weight, position.padding = nn.Parameter(nn.functional.pad(weight, (0, 1))), nn.Identity()


def batches(lengths: Sequence[int], longest: int, waste: float = 0.05) -> list[list[int]]:
    """Group indices by length, longest first: at most `longest` padded samples per group (0 = one wave per group), and
    at most the share `waste` of a row is padding."""
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        top = lengths[groups[-1][0]] if groups else 0
        if groups and (len(groups[-1]) + 1) * top <= longest and lengths[i] >= (1 - waste) * top:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups

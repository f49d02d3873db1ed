"""The graphs of s1 and of the encoders under ONNX Runtime, with the interfaces that `Voice` uses.

Tensors of torch only carry values between graphs; torch computes no part of the networks.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voicemill.model.content.pretrained import FIELD, Features
from voicemill.model.export.folder import GraphFolder
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.graph_engine import bind_inputs, bind_outputs, too_old
from voicemill.model.s1.prefix import Prefix
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import CheckpointError, ConfigError

Arrays = NDArray[Any]


class Session:
    """Loaded graph of a folder."""

    def __init__(self, folder: GraphFolder, name: str, threads: int = 0) -> None:
        """Load a graph. `threads`: 0 = as many as PyTorch uses.

        Raises CheckpointError where ONNX Runtime cannot read the graph, ConfigError where it is too old for it.
        """
        import onnxruntime

        if reason := too_old(onnxruntime.__version__):
            raise ConfigError(reason)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.log_severity_level = 3
        # threads take their share of a product in ever smaller pieces, so that neither waits long for the other
        options.add_session_config_entry("session.dynamic_block_base", "8")
        self.path = folder.path / f"{name}.onnx"
        try:
            self.inner = onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has an exception for each kind of failure, none of which is public
            raise CheckpointError(f"{self.path}: ONNX Runtime cannot read this graph: {error}") from error
        self.inputs = {value.name for value in self.inner.get_inputs()}

    def __call__(self, **values: Arrays | Tensor | float) -> list[Arrays]:
        """Run the graph; return all outputs in its order. Values that are not inputs of the graph are ignored."""
        arrays = {
            name: value.numpy() if isinstance(value, Tensor) else np.asarray(value)
            for name, value in values.items()
            if name in self.inputs
        }
        try:
            outputs: list[Arrays] = self.inner.run(None, arrays)
        except Exception as error:  # as above; most likely the manifest states other sizes than the graph has
            raise CheckpointError(f"{self.path}: ONNX Runtime cannot compute this graph: {error}") from error
        return outputs


class OnnxEngine:
    """s1: see `voicemill.model.s1.prefix.Engine`."""

    def __init__(self, folder: GraphFolder, threads: int = 0) -> None:
        self.config = folder.manifest.sizes_of(S1Config, "s1")
        self.name = f"onnx {folder.manifest.precision}"
        self.bits = 8 if folder.manifest.precision == "int8" else 32
        self.first, self.next = (Session(folder, name, threads) for name in ("s1_first", "s1_next"))

    def begin(self, prefixes: Sequence[Prefix], room: int) -> "OnnxDecoding":
        """See `voicemill.model.s1.prefix.Engine`."""
        return OnnxDecoding(self, [prefix.validate(self.config) for prefix in prefixes], room)


class OnnxDecoding:
    """See `model.s1.prefix.Decoding`. Keys and values are written in place: input and output are the same memory."""

    logits: Tensor

    def __init__(self, engine: OnnxEngine, prefixes: Sequence[Prefix], room: int) -> None:
        config, rows = engine.config, len(prefixes)
        sizes = [len(prefix.phones) + len(prefix.prompt) for prefix in prefixes]
        # zeros are a fresh mapping: a page is allocated when it is written, so unused room costs nothing
        shape = (config.layers, 2, rows, config.heads, max(sizes) + room, config.dim // config.heads)
        self.cache = np.zeros(shape, np.int8 if engine.bits == 8 else np.float32)
        self.scores = np.zeros((rows, config.vocabulary), np.float32)
        self.logits = torch.from_numpy(self.scores)
        for row, prefix in enumerate(prefixes):
            self._read(engine, row, prefix, sizes[row])
        self.remaining = room
        self.code, self.place = np.zeros(rows, np.int64), np.array([len(prefix.prompt) for prefix in prefixes])
        self.known, self.total = np.array(sizes, np.int32), np.array(max(sizes) + 1, np.int32)
        self.session = engine.next.inner
        self.binding = self.session.io_binding()
        bind_inputs(self.binding, {"code": self.code, "place": self.place, "known": self.known, "total": self.total})
        for layer, (keys, values) in enumerate(self.cache):
            bind_inputs(self.binding, {f"keys.{layer}": keys, f"values.{layer}": values})
            bind_outputs(self.binding, {f"keys.{layer}.out": keys, f"values.{layer}.out": values})
        bind_outputs(self.binding, {"logits": self.scores})

    def _read(self, engine: OnnxEngine, row: int, prefix: Prefix, size: int) -> None:
        bert = torch.zeros(engine.config.bert, len(prefix.phones)) if prefix.bert is None else prefix.bert.float().cpu()
        phones, codes = prefix.phones.cpu().long(), prefix.prompt.cpu().long()
        outputs = engine.first(phones=phones[None], bert=bert[None], codes=codes[None])
        names = [value.name for value in engine.first.inner.get_outputs()]
        for name, value in zip(names, outputs, strict=True):
            if name == "logits":
                self.scores[row] = value[0]
            else:
                kind, layer = name.split(".")
                self.cache[int(layer), int(kind == "values"), row, :, :size] = value[0]

    def advance(self, codes: Tensor) -> None:
        """See `voicemill.model.s1.prefix.Decoding`. Raises IndexError when the cache is full."""
        if not self.remaining:
            raise IndexError("no room left for another code")
        self.remaining -= 1
        self.code[:] = codes.cpu().numpy()
        self.session.run_with_iobinding(self.binding)
        self.place += 1
        self.known += 1
        self.total += 1


class OnnxContent:
    """Content encoder: see `voicemill.model.speaking.reference.Content`."""

    def __init__(self, folder: GraphFolder, dims: int, threads: int = 0) -> None:
        self.dims = dims
        self.session = Session(folder, "content_features", threads)

    def encode(self, waves: Sequence[Wave]) -> list[Features]:
        """Each wave (float32 [samples], 16 kHz, at least 400) -> float32 [frames, dims]; one after the other.

        Raises ValueError for a wave of under 400 samples.
        """
        if min(map(len, waves)) < FIELD:
            raise ValueError(f"content features need at least {FIELD} samples (25 ms), got {min(map(len, waves))}")
        return [self.session(wave=wave[None])[0][0] for wave in waves]

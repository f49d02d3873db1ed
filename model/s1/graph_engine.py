"""The fast engine: s1 on a CPU as one ONNX Runtime graph.

Why. A step multiplies one vector with every weight and reads all keys and values: 302 and 30 MB in float32 for 300
positions, 77 and 8 MB in 8 bits. And its 200 nodes cost a microsecond or two each, where as many PyTorch calls cost
five to ten. `tests/bench/s1_speed.py` compares the ways. In 8 bits `EightBitReader` reads the prefix.

Memory for keys and values is allocated once and written in place: the graph's input and output are bound to the same
buffer. Each row of a batch fills its own part of it from the start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voicemill.model.s1.decoder import Front, Text2Semantic, plain_mask
from voicemill.model.s1.eight_bit import LEVELS, EightBitReader, cache_scales
from voicemill.model.s1.graph import Bits, graph_of
from voicemill.model.s1.prefix import Prefix
from voicemill.storage.errors import ConfigError

HIDDEN = -1e9
"""Value added to the score of a masked key."""
OLDEST = (1, 29, 1)
"""First version of ONNX Runtime whose `GroupQueryAttention` supports attention in both directions."""


@dataclass(frozen=True, eq=False)
class EightBits:
    """Parts of an engine of 8 bits besides its graph."""

    reader: EightBitReader
    scales: Tensor
    """Scales of the cache, float32 [layers, 2, heads, 1, dim / heads]."""


class GraphEngine:
    """See `voicemill.model.s1.prefix.Engine`. Holds 270 MB in 8 bits; the model it is made from can be freed."""

    eight: EightBits | None = None
    """None in float32."""

    def __init__(self, model: Text2Semantic, bits: Bits, threads: int) -> None:
        """Build the graph: some two seconds for the v2 size in 8 bits, mostly to measure the scales of the cache.

        `threads`: threads of the graph, 1 or more; in 8 bits PyTorch's threads read the prefix.

        Raises ConfigError when the installed ONNX Runtime is too old or does not support the sizes.
        """
        import onnxruntime

        if reason := too_old(onnxruntime.__version__):
            raise ConfigError(reason)
        self.config, self.front = model.config, Front.of(model)
        self.name = "float32" if bits == 32 else f"int{bits}"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # threads take their share of a product in ever smaller pieces, so that neither waits long for the other
        options.add_session_config_entry("session.dynamic_block_base", "8")
        scales = None
        if bits == 8:
            reader = EightBitReader(model)
            measured = cache_scales(reader, self.front)
            self.eight, scales = EightBits(reader, measured[:, :, :, None]), measured.numpy()
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(graph_of(model, scales), options, providers=providers)

    def begin(self, prefixes: Sequence[Prefix], room: int) -> "GraphDecoding":
        """See `voicemill.model.s1.prefix.Engine`."""
        with torch.inference_mode():
            return GraphDecoding(self, [prefix.validate(self.config) for prefix in prefixes], room)


class GraphDecoding:
    """See `voicemill.model.s1.prefix.Decoding`."""

    logits: Tensor

    def __init__(self, engine: GraphEngine, prefixes: Sequence[Prefix], room: int) -> None:
        config, rows = engine.config, len(prefixes)
        self.front, self.session, self.eight = engine.front, engine.session, engine.eight
        sizes = [len(prefix.phones) + len(prefix.prompt) for prefix in prefixes]
        longest = max(sizes) + room
        # zeros are a fresh mapping: a page is allocated when it is written, so unused room costs nothing
        shape = (config.layers, 2, rows, config.heads, longest, config.dim // config.heads)
        self.cache = np.zeros(shape, np.float32 if self.eight is None else np.int8)
        self.scores = np.zeros((rows, 1, config.vocabulary), np.float32)
        self.logits = torch.from_numpy(self.scores)[:, 0]
        for row, prefix in enumerate(prefixes):
            self._read(row, prefix)
        spoken = torch.tensor([len(prefix.prompt) for prefix in prefixes])
        position = self.front.ar_audio_position
        steps = torch.arange(room)[:, None] + spoken
        self.positions = position.alpha * position.rows(int(spoken.max()) + room)[steps]  # [room, batch, dim]
        self.table = self.front.ar_audio_embedding.word_embeddings.weight
        self.step = 0
        self.x = torch.zeros(rows, 1, config.dim)
        self.hidden = np.zeros((1, 1, 1, longest), np.float32)
        self.known, self.total = np.array(sizes, np.int32) - 1, np.array(max(sizes), np.int32)
        self.last = np.zeros(1, np.int64)
        self.binding = self._bind(slice(None))
        bind_inputs(self.binding, {"x": self.x.numpy(), "known": self.known, "total": self.total})
        if self.eight is None:
            bind_inputs(self.binding, {"last": self.last})

    def _bind(self, rows: slice) -> Any:
        """Binding of the keys, values and logits of `rows`."""
        binding = self.session.io_binding()
        for layer, (keys, values) in enumerate(self.cache[:, :, rows]):
            bind_inputs(binding, {f"keys.{layer}": keys, f"values.{layer}": values})
            bind_outputs(binding, {f"keys.{layer}.out": keys, f"values.{layer}.out": values})
        bind_outputs(binding, {"logits": self.scores[rows]})
        return binding

    def _read(self, row: int, prefix: Prefix) -> None:
        """Fill one row of the cache and of the logits."""
        bert = None if prefix.bert is None else prefix.bert.float().cpu()[None]
        phones, prompt = prefix.phones.cpu()[None], prefix.prompt.cpu()[None]
        x = torch.cat([self.front.text(phones, bert), self.front.audio(prompt)], 1).contiguous()
        if (eight := self.eight) is None:
            self._run(row, x, len(prefix.phones))
            return
        cache = torch.from_numpy(self.cache)[:, :, row, :, : x.shape[1]]

        def keep(layer: int, memory: Tensor) -> None:
            cache[layer] = memory.div_(eight.scales[layer]).round_().clamp_(-LEVELS, LEVELS)

        self.logits[row] = eight.reader.read(x[0], len(prefix.phones), keep)

    def _run(self, row: int, x: Tensor, phones: int) -> None:
        """Run the float32 graph over a whole prefix [1, time, dim]."""
        size = x.shape[1]
        hidden = torch.zeros(1, 1, size, size)
        if (mask := plain_mask(phones, size - phones, x.device)) is not None:
            hidden.masked_fill_(~mask, HIDDEN)
        inputs = {"x": x.numpy(), "hidden": hidden.numpy(), "last": np.array([size - 1])}
        inputs |= {"known": np.array([size - 1], np.int32), "total": np.array(size, np.int32)}
        binding = self._bind(slice(row, row + 1))
        bind_inputs(binding, inputs)
        self.session.run_with_iobinding(binding)

    def advance(self, codes: Tensor) -> None:
        """See `voicemill.model.s1.prefix.Decoding`. Raises IndexError when the cache is full."""
        with torch.inference_mode():
            torch.add(self.table[codes.cpu()], self.positions[self.step], out=self.x[:, 0])
        self.step += 1
        self.known += 1
        self.total += 1
        if self.eight is None:
            bind_inputs(self.binding, {"hidden": self.hidden[..., : int(self.total)]})
        self.session.run_with_iobinding(self.binding)


def too_old(installed: str) -> str:
    """Reason why this version of ONNX Runtime cannot run the graph, with the fix; "" if it can."""
    if tuple(int(part) for part in installed.split(".")[:3] if part.isdigit()) >= OLDEST:
        return ""
    needed = ".".join(map(str, OLDEST))
    return (
        f"this precision of s1 needs onnxruntime {needed} or later; {installed} is installed: "
        f"pip install 'onnxruntime>={needed}', or set precision = 'reference'"
    )


def bind_inputs(binding: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Bind inputs to the memory of arrays, which the caller keeps alive while the graph runs."""
    for name, array in arrays.items():
        binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)


def bind_outputs(binding: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Bind outputs to the memory of arrays, which the caller keeps alive while the graph runs."""
    for name, array in arrays.items():
        binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

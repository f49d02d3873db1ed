"""The reference engine: s1 in PyTorch, in the precision of its weights, with a cache of keys and values.

The cache, [layers, 2, batch, heads, time, dim / heads], is allocated once and written in place. Rows are aligned on the
right: they all write the same place in a step, and the mask of the padding on the left never changes. Positions are
added to the embeddings, so the place of a row in the cache does not matter. Every prefix is read alone, without
padding.

Cost of a step: one read of all weights (302 MB in float32 for v2), which bounds the time on a CPU.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from voicemill.model.s1.decoder import Text2Semantic, plain_mask
from voicemill.model.s1.prefix import Prefix


class CachedEngine:
    """Engine on the device of the model's parameters. The model is put into eval mode and not copied."""

    def __init__(self, model: Text2Semantic) -> None:
        self.model = model
        model.eval()
        self.config = model.config
        self.name = str(next(model.parameters()).dtype).removeprefix("torch.")

    def begin(self, prefixes: Sequence[Prefix], room: int) -> "CachedDecoding":
        """See `voicemill.model.s1.prefix.Engine`."""
        with torch.inference_mode():
            return CachedDecoding(self.model, [prefix.validate(self.config) for prefix in prefixes], room)


class CachedDecoding:
    """See `voicemill.model.s1.prefix.Decoding`."""

    logits: Tensor

    def __init__(self, model: Text2Semantic, prefixes: Sequence[Prefix], room: int) -> None:
        self.model = model
        config, weight = model.config, model.ar_predict_layer.weight
        self.device = device = weight.device
        sizes = [len(prefix.phones) + len(prefix.prompt) for prefix in prefixes]
        longest, rows = max(sizes), len(prefixes)
        shape = (config.layers, 2, rows, config.heads, longest + room, config.dim // config.heads)
        self.cache = torch.empty(shape, dtype=weight.dtype, device=device)
        self.filled = longest
        self.mask = None
        if min(sizes) < longest:
            self.mask = torch.zeros(rows, 1, 1, longest + room, dtype=weight.dtype, device=device)
            for row, size in enumerate(sizes):
                self.mask[row, ..., : longest - size] = -math.inf
                self.cache[:, :, row, :, : longest - size] = 0  # masked, but 0 x nan is nan
        self.logits = torch.cat([self._read(row, prefix) for row, prefix in enumerate(prefixes)])
        spoken = torch.tensor([len(prefix.prompt) for prefix in prefixes], device=device)
        table = model.ar_audio_position.rows(int(spoken.max()) + room)
        steps = torch.arange(room, device=device)[:, None] + spoken
        self.positions = (model.ar_audio_position.alpha * table[steps]).to(weight.dtype)  # [room, batch, dim]
        self.step = 0

    def _read(self, row: int, prefix: Prefix) -> Tensor:
        """Fill the cache of one row up to `filled`; return its logits, float32 [1, vocabulary]."""
        model, weight = self.model, self.model.ar_predict_layer.weight
        bert = None if prefix.bert is None else prefix.bert.to(weight)[None]
        x = torch.cat(
            [model.text(prefix.phones.to(self.device)[None], bert), model.audio(prefix.prompt.to(self.device)[None])], 1
        )
        mask = plain_mask(len(prefix.phones), len(prefix.prompt), self.device)
        first = self.filled - x.shape[1]
        for layer, (keys, values) in zip(model.h.layers, self.cache[:, :, row], strict=True):
            q, k, v = layer.self_attn.project(x)
            keys[:, first : self.filled] = k[0]
            values[:, first : self.filled] = v[0]
            x = layer.finish(x, q, k, v, mask)
        return model.ar_predict_layer(x[:, -1]).float()

    def advance(self, codes: Tensor) -> None:
        """See `voicemill.model.s1.prefix.Decoding`. Raises IndexError when the cache is full."""
        with torch.inference_mode():
            self.logits = self._next(codes)

    def _next(self, codes: Tensor) -> Tensor:
        model, place = self.model, self.filled
        x = (model.ar_audio_embedding(codes) + self.positions[self.step])[:, None]
        self.filled, self.step = place + 1, self.step + 1
        mask = None if self.mask is None else self.mask[..., : self.filled]
        for layer, (keys, values) in zip(model.h.layers, self.cache[..., : self.filled, :].unbind(0), strict=True):
            q, k, v = layer.self_attn.project(x)
            keys[:, :, place : self.filled] = k
            values[:, :, place : self.filled] = v
            x = layer.finish(x, q, keys, values, mask)
        return model.ar_predict_layer(x[:, 0]).float()

"""s1 as two graphs: the first step reads phones, BERT features and the codes of the prompt, each next step one code.

first  phones int64 [rows, phones], bert float32 [rows, bert, phones], codes int64 [rows, codes]
       -> logits float32 [rows, vocabulary] of the next code; keys.i, values.i [rows, heads, time, size] of all
       positions, time = phones + codes
next   code int64 [rows]; place int64 [rows], number of codes before it, the prompt's included; known int32 [rows],
       number of keys of a row before this code; total int32 [], the largest of them, plus one; keys.i, values.i
       [rows, heads, room, size] -> logits, and keys.i.out, values.i.out with this code written at `known`, which may be
       bound to the memory of keys.i and values.i

`size` = dim / heads, `room` = the longest row. All rows of `first` are equally long: prefixes of different lengths are
read one after the other, and start at the beginning of the room. Keys and values are float32; in 8 bits they are int8,
with scales inside the graphs.

The graphs neither draw noise nor decide when to stop: sampling (argmax(p / e), e ~ Exp(1)) and the rules of the loop
(at least 11 codes), both in `voicemill.model.s1.generate`, are the same for every engine.
"""

import math

import numpy as np

from voicemill.model.export.draft import FLOAT, Array, Draft, array
from voicemill.model.onnx_graph import Graph
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Front, Positions, Text2Semantic
from voicemill.model.s1.eight_bit import LEVELS, EightBitReader, cache_scales
from voicemill.model.s1.graph import ATTENTION, BLOCKS, FEED, NORMS, layers
from voicemill.storage.errors import ConfigError

HIDDEN = -1e9
"""Value added to the score of a masked key."""


def check(config: S1Config, precision: str) -> None:
    """Raise ConfigError for sizes that the operators of ONNX Runtime do not support."""
    if (size := config.dim // config.heads) % 8:
        raise ConfigError(f"s1 with heads of {size}: its graphs need a multiple of 8; use --engine torch")
    if precision == "int8" and config.dim % BLOCKS[-1]:
        raise ConfigError(f"s1 of width {config.dim} in int8: expected a multiple of {BLOCKS[-1]}; use float16")


def scales_of(model: Text2Semantic) -> Array:
    """Scales of an 8-bit cache, float32 [layers, 2, heads, dim / heads]."""
    return array(cache_scales(EightBitReader(model), Front.of(model)))


def first_step(draft: Draft, model: Text2Semantic, scales: Array | None) -> None:
    """Draft `first`; `scales`: scales of the cache, in 8 bits."""
    config = model.config
    phones = draft.input("phones", "int64", ["rows", "phones"])
    bert = draft.input("bert", "float32", ["rows", config.bert, "phones"])
    codes = draft.input("codes", "int64", ["rows", "codes"])
    read, known = draft.size(phones, 1), draft.size(codes, 1)
    features = draft.module_linear(draft.transpose(bert, 0, 2, 1), model.bert_proj)
    text = draft.do("Add", draft.embedding(_table(model.ar_text_embedding), phones), features)
    text = _add_positions(draft, text, model.ar_text_position, draft.range(read))
    audio = _add_positions(
        draft, draft.embedding(_table(model.ar_audio_embedding), codes), model.ar_audio_position, draft.range(known)
    )
    x = draft.do("Concat", text, audio, axis=1)
    hidden = _hidden(draft, read, draft.do("Add", read, known))
    for number, layer in enumerate(model.h.layers):
        packed = draft.linear(x, array(layer.self_attn.in_proj_weight), array(layer.self_attn.in_proj_bias))
        q, k, v = (draft.split_heads(part, config.heads) for part in draft.many(3, "Split", packed, axis=-1))
        for name, memory, at in ((f"keys.{number}", k, 0), (f"values.{number}", v, 1)):
            _output_cache(draft, name, memory, config, None if scales is None else scales[number, at])
        mixed = draft.attend(q, k, v, (config.dim // config.heads) ** -0.5, hidden)
        out = draft.module_linear(draft.join_heads(mixed), layer.self_attn.out_proj)
        x = draft.module_norm(draft.do("Add", x, out), layer.norm1)
        inner = draft.do("Relu", draft.module_linear(x, layer.linear1))
        x = draft.module_norm(draft.do("Add", x, draft.module_linear(inner, layer.linear2)), layer.norm2)
    last = draft.do("Gather", x, draft.const(-1, "int64"), axis=1)
    _logits(draft, last, model)


def next_step(draft: Draft, model: Text2Semantic, scales: Array | None) -> None:
    """Draft `next`. The attention is ONNX Runtime's, which writes keys and values in place."""
    config = model.config
    code = draft.input("code", "int64", ["rows"])
    place = draft.input("place", "int64", ["rows"])
    draft.input("known", "int32", ["rows"])
    draft.input("total", "int32", [])
    x = draft.embedding(_table(model.ar_audio_embedding), code)
    x = draft.unsqueeze(_add_positions(draft, x, model.ar_audio_position, place), 1)
    weights = {
        f"h.layers.{number}.{key}": array(dict(layer.named_parameters())[key])
        for number, layer in enumerate(model.h.layers)
        for key in (*ATTENTION, *NORMS, *FEED)
    }

    def linear(graph: Graph, x: str, name: str, weight: Array, bias: Array | None) -> None:
        graph.node("Identity", [draft.linear(x, weight, bias)], [name])

    x = layers(draft.graph, x, weights, config, scales, linear, "")
    _logits(draft, draft.do("Squeeze", x, draft.ints(1)), model)


def _table(embedding: object) -> Array:
    return array(embedding.word_embeddings.weight)  # type: ignore[attr-defined]  # torch is not followed


def _add_positions(draft: Draft, x: str, positions: Positions, places: str) -> str:
    """`x` [..., n, dim] + alpha x position; places int64 [n]. For any length: sine and cosine are computed."""
    steps = np.arange(0, positions.dim, 2, dtype=np.float32)
    rates = np.exp(steps * np.float32(-(math.log(10000.0) / positions.dim)))
    angles = draft.do("Mul", draft.unsqueeze(draft.do("Cast", places, to=FLOAT), 1), draft.const(rates))
    waves = [draft.unsqueeze(draft.do(wave, angles), 2) for wave in ("Sin", "Cos")]
    rows = draft.reshape(draft.do("Concat", *waves, axis=2), 0, positions.dim)
    return draft.do("Add", x, draft.do("Mul", rows, draft.const(array(positions.alpha))))


def _hidden(draft: Draft, read: str, time: str) -> str:
    """Mask to add to scores, float32 [time, time]: phones see phones in both directions, a code sees all phones and
    the codes up to itself."""
    places = draft.range(time)
    bound = draft.do("Max", draft.do("Add", places, draft.const(1, "int64")), read)
    visible = draft.do("Less", draft.unsqueeze(places, 0), draft.unsqueeze(bound, 1))
    return draft.do("Where", visible, draft.const(0.0), draft.const(HIDDEN))


def _output_cache(draft: Draft, name: str, memory: str, config: S1Config, scales: Array | None) -> None:
    """Output keys or values [rows, heads, time, size]; with scales [heads, size] in levels."""
    shape: list[int | str] = ["rows", config.heads, "time", config.dim // config.heads]
    if scales is None:
        draft.output(memory, name, "float32", shape)
        return
    levels = draft.do("Round", draft.do("Div", memory, draft.const(scales[:, None])))
    bounded = draft.do("Clip", levels, draft.const(float(-LEVELS)), draft.const(float(LEVELS)))
    draft.output(draft.do("Cast", bounded, to=3), name, "int8", shape)


def _logits(draft: Draft, x: str, model: Text2Semantic) -> None:
    """Output the logits. The last layer is not rounded to 8 bits: its logits are compared with each other."""
    weight = array(model.ar_predict_layer.weight)
    draft.output(draft.do("MatMul", x, draft.weight(weight.T)), "logits", "float32", ["rows", model.config.vocabulary])

"""s1 as two graphs: the first step reads phones, BERT features and the codes of the prompt; the next ones a code each.

first  phones int64 [rows, phones], bert float32 [rows, bert, phones], codes int64 [rows, codes]
       -> logits float32 [rows, vocabulary] of the code that comes next; keys.i, values.i [rows, heads, time, size] of
       all that was read, time = phones + codes
next   code int64 [rows]; place int64 [rows], how many codes stood before it, the prompt's included; known int32 [rows],
       how many keys a row has before this code; total int32 [], the largest of them, plus one; keys.i, values.i
       [rows, heads, room, size] -> logits, and keys.i.out, values.i.out with this code written at `known`, which may be
       bound to the memory of keys.i and values.i

`size` = dim / heads, `room` whatever is needed at most. All rows of `first` are equally long: prefixes of different
lengths are read one after the other, and lie in the room from its start. Keys and values are float32; in 8 bits they
are int8, with scales that the graphs hold.

No noise is drawn in a graph, and none decides when to stop: sampling (`model.s1.generate`: argmax(p / e), e ~ Exp(1))
and the rules of the loop (`voicemill.model.s1.generate`: 11 codes at least) are the same for every engine.
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
"""Added to the score of a key that must not be seen."""


def check(config: S1Config, precision: str) -> None:
    """Raises ConfigError for sizes that the operators of ONNX Runtime do not take."""
    if (size := config.dim // config.heads) % 8:
        raise ConfigError(f"s1 with heads of {size}: its graphs take multiples of 8; speak with --engine torch")
    if precision == "int8" and config.dim % BLOCKS[-1]:
        raise ConfigError(f"s1 of width {config.dim} in int8: expected a multiple of {BLOCKS[-1]}; take float16")


def scales_of(model: Text2Semantic) -> Array:
    """Of an 8-bit cache: float32 [layers, 2, heads, dim / heads]."""
    return array(cache_scales(EightBitReader(model), Front.of(model)))


def first_step(draft: Draft, model: Text2Semantic, scales: Array | None) -> None:
    """Drafts `first`; `scales`: of the cache, in 8 bits."""
    config = model.config
    phones = draft.input("phones", "int64", ["rows", "phones"])
    bert = draft.input("bert", "float32", ["rows", config.bert, "phones"])
    codes = draft.input("codes", "int64", ["rows", "codes"])
    read, known = draft.size(phones, 1), draft.size(codes, 1)
    features = draft.module_linear(draft.transpose(bert, 0, 2, 1), model.bert_proj)
    text = draft.do("Add", draft.embedding(_table(model.ar_text_embedding), phones), features)
    text = _placed(draft, text, model.ar_text_position, draft.range(read))
    audio = _placed(
        draft, draft.embedding(_table(model.ar_audio_embedding), codes), model.ar_audio_position, draft.range(known)
    )
    x = draft.do("Concat", text, audio, axis=1)
    hidden = _hidden(draft, read, draft.do("Add", read, known))
    for number, layer in enumerate(model.h.layers):
        packed = draft.linear(x, array(layer.self_attn.in_proj_weight), array(layer.self_attn.in_proj_bias))
        q, k, v = (draft.heads(part, config.heads) for part in draft.many(3, "Split", packed, axis=-1))
        for name, kept, at in ((f"keys.{number}", k, 0), (f"values.{number}", v, 1)):
            _keep(draft, name, kept, config, None if scales is None else scales[number, at])
        mixed = draft.attend(q, k, v, (config.dim // config.heads) ** -0.5, hidden)
        out = draft.module_linear(draft.joined(mixed), layer.self_attn.out_proj)
        x = draft.module_norm(draft.do("Add", x, out), layer.norm1)
        inner = draft.do("Relu", draft.module_linear(x, layer.linear1))
        x = draft.module_norm(draft.do("Add", x, draft.module_linear(inner, layer.linear2)), layer.norm2)
    last = draft.do("Gather", x, draft.const(-1, "int64"), axis=1)
    _logits(draft, last, model)


def next_step(draft: Draft, model: Text2Semantic, scales: Array | None) -> None:
    """Drafts `next`. The attention is ONNX Runtime's, which writes keys and values in place."""
    config = model.config
    code = draft.input("code", "int64", ["rows"])
    place = draft.input("place", "int64", ["rows"])
    draft.input("known", "int32", ["rows"])
    draft.input("total", "int32", [])
    x = draft.embedding(_table(model.ar_audio_embedding), code)
    x = draft.unsqueeze(_placed(draft, x, model.ar_audio_position, place), 1)
    weights = {
        f"h.layers.{number}.{key}": array(dict(layer.named_parameters())[key])
        for number, layer in enumerate(model.h.layers)
        for key in (*ATTENTION, *NORMS, *FEED)
    }

    def linear(graph: Graph, given: str, name: str, weight: Array, bias: Array | None) -> None:
        graph.node("Identity", [draft.linear(given, weight, bias)], [name])

    x = layers(draft.graph, x, weights, config, scales, linear, "")
    _logits(draft, draft.do("Squeeze", x, draft.ints(1)), model)


def _table(embedding: object) -> Array:
    return array(embedding.word_embeddings.weight)  # type: ignore[attr-defined]  # torch is not followed


def _placed(draft: Draft, x: str, positions: Positions, places: str) -> str:
    """`x` [..., n, dim] with alpha x position added; places int64 [n]. Any length: sine and cosine are computed."""
    steps = np.arange(0, positions.dim, 2, dtype=np.float32)
    rates = np.exp(steps * np.float32(-(math.log(10000.0) / positions.dim)))
    angles = draft.do("Mul", draft.unsqueeze(draft.do("Cast", places, to=FLOAT), 1), draft.const(rates))
    waves = [draft.unsqueeze(draft.do(wave, angles), 2) for wave in ("Sin", "Cos")]
    rows = draft.reshape(draft.do("Concat", *waves, axis=2), 0, positions.dim)
    return draft.do("Add", x, draft.do("Mul", rows, draft.const(array(positions.alpha))))


def _hidden(draft: Draft, read: str, time: str) -> str:
    """float32 [time, time]: phones see phones in both directions, a code all phones and the codes up to itself."""
    places = draft.range(time)
    bound = draft.do("Max", draft.do("Add", places, draft.const(1, "int64")), read)
    seen = draft.do("Less", draft.unsqueeze(places, 0), draft.unsqueeze(bound, 1))
    return draft.do("Where", seen, draft.const(0.0), draft.const(HIDDEN))


def _keep(draft: Draft, name: str, kept: str, config: S1Config, scales: Array | None) -> None:
    """An output: keys or values [rows, heads, time, size], in levels where there are scales [heads, size]."""
    shape: list[int | str] = ["rows", config.heads, "time", config.dim // config.heads]
    if scales is None:
        draft.output(kept, name, "float32", shape)
        return
    levels = draft.do("Round", draft.do("Div", kept, draft.const(scales[:, None])))
    bounded = draft.do("Clip", levels, draft.const(float(-LEVELS)), draft.const(float(LEVELS)))
    draft.output(draft.do("Cast", bounded, to=3), name, "int8", shape)


def _logits(draft: Draft, x: str, model: Text2Semantic) -> None:
    """The last layer is not rounded to 8 bits: its logits are compared with each other."""
    weight = array(model.ar_predict_layer.weight)
    draft.output(draft.do("MatMul", x, draft.weight(weight.T)), "logits", "float32", ["rows", model.config.vocabulary])

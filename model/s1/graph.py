"""s1 as one ONNX graph: in float32, for the prefix and for every step; in 8 bits, for the steps.

8 bits: rounded weights have 255 levels in blocks of up to 128 inputs, each with a scale of its own; ONNX Runtime rounds
the activations to 8 bits in the same blocks as they come and sums products in integers (`MatMulNBits`, accuracy level
4). Keys and values are stored in 8 bits with a scale for each channel, which must be known beforehand
(`model.s1.eight_bit`). Everything else is float32: sums, norms, and the last layer, whose logits are compared with
each other.

Keys and values are inputs and outputs, so that both can be bound to the same memory. The graph that reads a prefix has
an attention mask as another input, added to the scores: phones see each other in both directions, codes only earlier
positions. A step sees all positions so far.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from voicemill.model.onnx_graph import MICROSOFT, Graph
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.storage.errors import ConfigError

Array: TypeAlias = NDArray[np.float32]
Bits: TypeAlias = Literal[32, 8]
Linear: TypeAlias = Callable[[Graph, str, str, Array, Array | None], None]
"""Function that writes y = x w + b: graph, x, y, weight float32 [out, in], bias [out]."""
BLOCKS = (128, 64, 32, 16)
"""Candidate numbers of inputs that share a scale; the largest that divides the width of the layer is used."""

ATTENTION = (
    "self_attn.in_proj_weight",
    "self_attn.in_proj_bias",
    "self_attn.out_proj.weight",
    "self_attn.out_proj.bias",
)
NORMS = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias")
FEED = ("linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias")


def graph_of(model: Text2Semantic, scales: Array | None = None) -> bytes:
    """Serialised graph of the layers and the logits of a model; phones and codes are embedded outside.

    `scales`: scales of the cache, float32 [layers, 2, heads, dim / heads], for the graph of 8 bits; None = float32.

    Inputs: x float32 [rows, time, dim]; keys.i and values.i [rows, heads, room, dim / heads], float32 or int8; known
    int32 [rows], the number of keys of a row after this run, less one; total int32 [], the largest of them, plus one.
    In float32 also hidden float32 [1, 1, time, total], added to the scores, and last int64 [1], the time whose logits
    are returned; in 8 bits time is 1.
    Outputs: keys.i.out and values.i.out, with those of this run written in; logits float32 [rows, 1, vocabulary].

    Raises ConfigError for head sizes that the attention of ONNX Runtime does not support, and in 8 bits for widths
    that no block divides.
    """
    config, graph = model.config, Graph()
    if (size := config.dim // config.heads) % 8:
        raise ConfigError(f"s1 with heads of {size}: this precision needs a multiple of 8; set precision = 'reference'")
    weights = {key: value.detach().float().cpu().numpy() for key, value in model.state_dict().items()}
    graph.input("x", "float32", ["rows", "time", config.dim])
    graph.input("known", "int32", ["rows"])
    graph.input("total", "int32", [])
    if scales is None:
        graph.input("hidden", "float32", [1, 1, "time", "total"])
        graph.input("last", "int64", [1])
    linear = _linear if scales is None else eight_bit_linear
    x = layers(graph, "x", weights, config, scales, linear, "" if scales is not None else "hidden")
    if scales is None:
        graph.node("Gather", [x, "last"], ["tail"], axis=1)
        x = "tail"
    graph.node("MatMul", [x, graph.constant("head", weights["ar_predict_layer.weight"].T)], ["logits"])
    graph.output("logits", "float32", ["rows", 1, config.vocabulary])
    return graph.model()


def layers(
    graph: Graph,
    x: str,
    weights: Mapping[str, Array],
    config: S1Config,
    scales: Array | None,
    linear: Linear,
    hidden: str,
) -> str:
    """Write all layers over `x` [rows, time, dim], keys and values as inputs and outputs; return the result's name.

    `scales`: see `graph_of`. `linear` writes a product. `hidden`: input added to the scores; "" = no mask.
    """
    memory: Sequence[int | str] = ["rows", config.heads, "room", config.dim // config.heads]
    for layer in range(config.layers):
        own = {key: weights[f"h.layers.{layer}.{key}"] for key in (*ATTENTION, *NORMS, *FEED)}
        cache = [f"keys.{layer}", f"values.{layer}"]
        for name in cache:
            graph.input(name, "float32" if scales is None else "int8", memory)
            graph.output(f"{name}.out", "float32" if scales is None else "int8", memory)
        of_layer = None if scales is None else scales[layer]
        x = _layer(graph, f"{layer}.", x, own, cache, config.heads, of_layer, linear, hidden)
    return x


def _layer(
    graph: Graph,
    at: str,
    x: str,
    own: dict[str, Array],
    cache: list[str],
    heads: int,
    scales: Array | None,
    linear: Linear,
    hidden: str,
) -> str:
    """Write `model.s1.decoder.Layer`, a bias before a norm added by the norm; return the name of its output."""
    w_in, b_in, w_out, b_out = (own[key] for key in ATTENTION)
    gain1, shift1, gain2, shift2 = (graph.constant(at + key, own[key]) for key in NORMS)
    w_wide, b_wide, w_narrow, b_narrow = (own[key] for key in FEED)
    linear(graph, x, at + "qkv", w_in, b_in)
    inputs = [at + "qkv", "", "", *cache, "known", "total", "", "", "", hidden]
    sizes: dict[str, int | str] = {"num_heads": heads, "kv_num_heads": heads, "causal": 0}
    if scales is not None:
        inputs += [
            "",
            *(graph.constant(at + name, part[None, :, None]) for name, part in zip("kv", scales, strict=True)),
        ]
        sizes |= {"k_quant_type": "PER_CHANNEL", "v_quant_type": "PER_CHANNEL", "kv_cache_bit_width": 8}
    outputs = [at + "mixed", *(f"{name}.out" for name in cache)]
    graph.node("GroupQueryAttention", inputs, outputs, MICROSOFT, **sizes)
    linear(graph, at + "mixed", at + "out", w_out, None)
    inputs = [at + "out", x, gain1, shift1, graph.constant(at + "b_out", b_out)]
    graph.node("SkipLayerNormalization", inputs, [at + "middle"], MICROSOFT, epsilon=1e-5)
    linear(graph, at + "middle", at + "wide", w_wide, b_wide)
    graph.node("Relu", [at + "wide"], [at + "active"])
    linear(graph, at + "active", at + "narrow", w_narrow, None)
    inputs = [at + "narrow", at + "middle", gain2, shift2, graph.constant(at + "b_narrow", b_narrow)]
    graph.node("SkipLayerNormalization", inputs, [at + "x"], MICROSOFT, epsilon=1e-5)
    return at + "x"


def _linear(graph: Graph, x: str, y: str, weight: Array, bias: Array | None) -> None:
    """Write y = x w + b in float32; `weight` [out, in], `bias` None = without."""
    product = y if bias is None else y + ".product"
    graph.node("MatMul", [x, graph.constant(y + ".weight", weight.T)], [product])
    if bias is not None:
        graph.node("Add", [product, graph.constant(y + ".bias", bias)], [y])


def eight_bit_linear(graph: Graph, x: str, y: str, weight: Array, bias: Array | None) -> None:
    """Write y = x w + b in 8 bits. Raises ConfigError for a width that no block divides."""
    outputs, inputs = weight.shape
    levels, scales, block = round_weight(weight)
    operands = [x, graph.constant(y + ".levels", levels), graph.constant(y + ".scales", scales.ravel())]
    if bias is not None:
        operands += ["", "", graph.constant(y + ".bias", bias)]
    sizes = {"K": inputs, "N": outputs, "bits": 8, "block_size": block, "accuracy_level": 4}
    graph.node("MatMulNBits", operands, [y], MICROSOFT, **sizes)


def round_weight(weight: Array) -> tuple[NDArray[np.uint8], Array, int]:
    """Round a weight float32 [out, in] to 8 bits.

    Returns levels uint8 [out, blocks, block], 1 to 255 with 128 for 0; scales float32 [out, blocks]; the block size.
    A weight is (level - 128) x scale, with an error of at most half a scale.

    Raises ConfigError for a width that no block divides.
    """
    outputs, inputs = weight.shape
    block = next((size for size in BLOCKS if inputs % size == 0), 0)
    if not block:
        raise ConfigError(f"s1 in 8 bits: a layer of {inputs} inputs, expected a multiple of {BLOCKS[-1]}")
    blocks = weight.reshape(outputs, inputs // block, block)
    scales = np.maximum(np.abs(blocks).max(-1), np.float32(1e-20)) / np.float32(127)
    levels = (np.rint(blocks / scales[..., None]) + 128).astype(np.uint8)
    return levels, scales, block

"""s1 as one ONNX graph, for the prefix and for every step, with weights of 32, 8 or 4 bits.

Rounded weights have 2^bits - 1 levels in blocks of up to 128 inputs, each with a scale of its own; ONNX Runtime rounds
the activations to 8 bits in the same blocks as they come and sums products in integers (`MatMulNBits`, accuracy level
4). Everything else is float32: attention, norms, and the last layer, whose logits are compared with each other.

Keys and values are inputs and outputs, so that both can be bound to the same memory. Which keys may be seen is an input
too, added to the scores (`causal` = 0): phones see each other in both directions, codes only what was before.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.onnx_graph import MICROSOFT, Graph
from model.s1.decoder import Text2Semantic
from storage.errors import ConfigError

Array: TypeAlias = NDArray[np.float32]
Bits: TypeAlias = Literal[32, 8, 4]
BLOCKS = (128, 64, 32, 16)
"""Inputs that share a scale: the largest that divides the width of the layer."""

ATTENTION = (
    "self_attn.in_proj_weight",
    "self_attn.in_proj_bias",
    "self_attn.out_proj.weight",
    "self_attn.out_proj.bias",
)
NORMS = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias")
FEED = ("linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias")


def graph_of(model: Text2Semantic, bits: Bits) -> bytes:
    """The layers and the logits of a model; phones and codes are embedded outside.

    Inputs: x float32 [rows, time, dim]; keys.i and values.i float32 [rows, heads, room, dim / heads]; known int32
    [rows], how many keys a row has after this run, less one; total int32 [], the largest of them, plus one; hidden
    float32 [1, 1, time, total], added to the scores; last int64 [1], the time whose logits are wanted.
    Outputs: keys.i.out and values.i.out, with those of this run written in; logits float32 [rows, 1, vocabulary].

    Raises ConfigError for widths that no block divides.
    """
    config, graph = model.config, Graph()
    weights = {key: value.detach().float().cpu().numpy() for key, value in model.state_dict().items()}
    memory: Sequence[int | str] = ["rows", config.heads, "room", config.dim // config.heads]
    graph.input("x", "float32", ["rows", "time", config.dim])
    graph.input("hidden", "float32", [1, 1, "time", "total"])
    graph.input("known", "int32", ["rows"])
    graph.input("total", "int32", [])
    graph.input("last", "int64", [1])
    x = "x"
    for layer in range(config.layers):
        own = {key: weights[f"h.layers.{layer}.{key}"] for key in (*ATTENTION, *NORMS, *FEED)}
        kept = [f"keys.{layer}", f"values.{layer}"]
        for name in kept:
            graph.input(name, "float32", memory)
            graph.output(f"{name}.out", "float32", memory)
        x = _layer(graph, f"{layer}.", x, own, kept, config.heads, bits)
    graph.node("Gather", [x, "last"], ["tail"], axis=1)
    graph.node("MatMul", ["tail", graph.constant("head", weights["ar_predict_layer.weight"].T)], ["logits"])
    graph.output("logits", "float32", ["rows", 1, config.vocabulary])
    return graph.model()


def _layer(graph: Graph, at: str, x: str, own: dict[str, Array], kept: list[str], heads: int, bits: Bits) -> str:
    """`model.s1.decoder.Layer`; the biases before a norm are added by the norm. Returns the name of its output."""
    w_in, b_in, w_out, b_out = (own[key] for key in ATTENTION)
    gain1, shift1, gain2, shift2 = (graph.constant(at + key, own[key]) for key in NORMS)
    w_wide, b_wide, w_narrow, b_narrow = (own[key] for key in FEED)
    _linear(graph, x, at + "qkv", w_in, b_in, bits)
    inputs = [at + "qkv", "", "", *kept, "known", "total", "", "", "", "hidden"]
    outputs = [at + "mixed", *(f"{name}.out" for name in kept)]
    graph.node("GroupQueryAttention", inputs, outputs, MICROSOFT, num_heads=heads, kv_num_heads=heads, causal=0)
    _linear(graph, at + "mixed", at + "out", w_out, None, bits)
    inputs = [at + "out", x, gain1, shift1, graph.constant(at + "b_out", b_out)]
    graph.node("SkipLayerNormalization", inputs, [at + "middle"], MICROSOFT, epsilon=1e-5)
    _linear(graph, at + "middle", at + "wide", w_wide, b_wide, bits)
    graph.node("Relu", [at + "wide"], [at + "active"])
    _linear(graph, at + "active", at + "narrow", w_narrow, None, bits)
    inputs = [at + "narrow", at + "middle", gain2, shift2, graph.constant(at + "b_narrow", b_narrow)]
    graph.node("SkipLayerNormalization", inputs, [at + "x"], MICROSOFT, epsilon=1e-5)
    return at + "x"


def _linear(graph: Graph, x: str, y: str, weight: Array, bias: Array | None, bits: Bits) -> None:
    if bits == 32:
        product = y if bias is None else y + ".product"
        graph.node("MatMul", [x, graph.constant(y + ".weight", weight.T)], [product])
        if bias is not None:
            graph.node("Add", [product, graph.constant(y + ".bias", bias)], [y])
        return
    outputs, inputs = weight.shape
    levels, scales, block = rounded(weight, bits)
    if bits == 4:
        levels = np.bitwise_or(levels[..., 0::2], np.left_shift(levels[..., 1::2], np.uint8(4)))
    given = [x, graph.constant(y + ".levels", levels), graph.constant(y + ".scales", scales.ravel())]
    if bias is not None:
        given += ["", "", graph.constant(y + ".bias", bias)]
    sizes = {"K": inputs, "N": outputs, "bits": bits, "block_size": block, "accuracy_level": 4}
    graph.node("MatMulNBits", given, [y], MICROSOFT, **sizes)


def rounded(weight: Array, bits: Literal[8, 4]) -> tuple[NDArray[np.uint8], Array, int]:
    """Levels uint8 [out, blocks, block], 1 to 2^bits - 1 with the middle for 0; scales float32 [out, blocks]; and the
    size of a block. A weight is (level - middle) x scale, off by at most half a scale.

    `weight`: float32 [out, in]. Raises ConfigError for a width that no block divides.
    """
    outputs, inputs = weight.shape
    block = next((size for size in BLOCKS if inputs % size == 0), 0)
    if not block:
        raise ConfigError(f"s1 in {bits} bits: a layer of {inputs} inputs, expected a multiple of {BLOCKS[-1]}")
    middle = 1 << bits - 1
    blocks = weight.reshape(outputs, inputs // block, block)
    scales = np.maximum(np.abs(blocks).max(-1), np.float32(1e-20)) / np.float32(middle - 1)
    levels = (np.rint(blocks / scales[..., None]) + middle).astype(np.uint8)
    return levels, scales, block

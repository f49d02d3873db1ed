"""Layers as ONNX nodes, named after the torch functions that they replace.

Operators are those of version 17 of ONNX; products in 8 bits are `MatMulNBits` of ONNX Runtime (see `model.s1.graph`).

Weights have one of three precisions, values are float32:
  float32  unchanged
  float16  stored in float16 and widened once when the graph is loaded: half the bytes, the speed of float32
  int8     linear layers and the tables of s1 rounded to 8 bits in blocks (inputs rounded to 8 bits at run time,
           products summed in integers); convolutions, other tables and small constants as in float16
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from voicemill.model.onnx_graph import ConstantFile, Graph
from voicemill.model.s1.graph import BLOCKS, eight_bit_linear

Precision: TypeAlias = Literal["float32", "float16", "int8"]
Array: TypeAlias = NDArray[Any]
SMALL = 256
"""Number of values below which a constant stays float32 in every precision (biases, gains, shapes)."""
FLOAT, INTEGER, DOUBLE = 1, 7, 11
"""Type numbers of ONNX: float32, int64, float64."""


def array(tensor: Any) -> Array:
    """Tensor of torch as a float32 array."""
    values: Array = tensor.detach().float().cpu().numpy()
    return values


class Draft:
    """Graph under construction with automatic names; every method returns the name of its output."""

    def __init__(self, precision: Precision = "float32", outside: ConstantFile | None = None) -> None:
        self.graph = Graph(outside)
        self.precision = precision
        self._count = 0
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def input(self, name: str, dtype: str, shape: Sequence[int | str]) -> str:
        """See `Graph.input`; return the name itself."""
        self.graph.input(name, dtype, shape)
        return name

    def output(self, value: str, name: str, dtype: str, shape: Sequence[int | str]) -> None:
        """Make `value` an output named `name`."""
        self.graph.node("Identity", [value], [name])
        self.graph.output(name, dtype, shape)

    def many(self, count: int, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> list[str]:
        """Add a node with `count` outputs."""
        outputs = [self._name(operator) for _ in range(count)]
        self.graph.node(operator, inputs, outputs, domain, **attributes)
        return outputs

    def do(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output."""
        return self.many(1, operator, *inputs, domain=domain, **attributes)[0]

    def const(self, value: Any, dtype: str = "float32") -> str:
        """Constant number or array in `dtype`; equal ones are stored once."""
        stored = np.ascontiguousarray(np.asarray(value, dtype)).reshape(np.shape(value))
        key = (dtype, stored.shape, stored.tobytes())
        if key not in self._constants:
            self._constants[key] = self.graph.constant(self._name("const"), stored)
        return self._constants[key]

    def ints(self, *values: int) -> str:
        """Constant int64 [n]."""
        return self.const(np.array(values, np.int64).reshape(-1), "int64")

    def weight(self, value: Any) -> str:
        """Constant in the precision of the draft; float32 where float16 cannot hold a value."""
        wide = np.asarray(value, np.float32)
        narrow = self.precision != "float32" and wide.size >= SMALL
        if not narrow or np.abs(wide).max(initial=0) > np.finfo(np.float16).max:
            return self.const(wide)
        return self.do("Cast", self.const(wide, "float16"), to=FLOAT)

    # -- shapes

    def size(self, x: str, axis: int) -> str:
        """Length of an axis, int64 [1]. Axes count from 0."""
        return self.do("Shape", x, start=axis, end=axis + 1)

    def reshape(self, x: str, *sizes: int | str) -> str:
        """Reshape: 0 = unchanged, -1 = inferred, a name = an int64 [1]."""
        if all(isinstance(size, int) for size in sizes):
            return self.do("Reshape", x, self.ints(*(int(size) for size in sizes)))
        parts = [size if isinstance(size, str) else self.ints(size) for size in sizes]
        return self.do("Reshape", x, self.do("Concat", *parts, axis=0))

    def transpose(self, x: str, *order: int) -> str:
        return self.do("Transpose", x, perm=order)

    def slice(self, x: str, axis: int, start: int | str, stop: int | str) -> str:
        ends = [self.ints(end) if isinstance(end, int) else end for end in (start, stop)]
        return self.do("Slice", x, *ends, self.ints(axis))

    def unsqueeze(self, x: str, *axes: int) -> str:
        return self.do("Unsqueeze", x, self.ints(*axes))

    def range(self, count: str) -> str:
        """0, 1, ...: int64 [1] -> int64 [count]."""
        zero, one = self.const(0, "int64"), self.const(1, "int64")
        return self.do("Range", zero, self.do("Squeeze", count), one)

    def mask(self, lengths: str, count: str) -> str:
        """Lengths int64 [batch], `count` int64 [1] -> float32 [batch, 1, count], 1 = real."""
        real = self.do("Less", self.range(count), self.unsqueeze(lengths, 1))
        return self.unsqueeze(self.do("Cast", real, to=FLOAT), 1)

    # -- layers

    def linear(self, x: str, weight: Any, bias: Any = None) -> str:
        """Linear layer [..., in] -> [..., out]; weight [out, in]."""
        wide = np.asarray(weight, np.float32)
        name = self._name("linear")
        if self.precision == "int8" and wide.size >= SMALL and wide.shape[1] % BLOCKS[-1] == 0:
            eight_bit_linear(self.graph, x, name, wide, None if bias is None else np.asarray(bias, np.float32))
            return name
        y = self.do("MatMul", x, self.weight(wide.T))
        return y if bias is None else self.do("Add", y, self.const(bias))

    def embedding(self, table: Any, numbers: str) -> str:
        """Rows of a table: int64 [...] -> float32 [..., dim]; in 8 bits each row of the table has a scale."""
        wide = np.asarray(table, np.float32)
        if self.precision != "int8":
            return self.do("Gather", self.weight(wide), numbers)
        scales = np.maximum(np.abs(wide).max(1, keepdims=True), 1e-20) / 127
        levels = self.do("Gather", self.const(np.rint(wide / scales), "int8"), numbers)
        return self.do("Mul", self.do("Cast", levels, to=FLOAT), self.do("Gather", self.const(scales), numbers))

    def conv(self, x: str, weight: Any, bias: Any = None, *, pads: tuple[int, int] = (0, 0), **sizes: int) -> str:
        """Convolution [batch, in, time] -> [batch, out, time']; `sizes`: stride, dilation, groups."""
        inputs = [x, self.weight(weight), *([] if bias is None else [self.const(bias)])]
        options: dict[str, Any] = {
            "kernel_shape": [np.shape(weight)[-1]],
            "pads": pads,
            "strides": [sizes.get("stride", 1)],
        }
        options["dilations"] = [sizes.get("dilation", 1)]
        return self.do("Conv", *inputs, **options, group=sizes.get("groups", 1))

    def module_conv(self, x: str, conv: Any) -> str:
        """`nn.Conv1d`, with or without weight norm."""
        weight = conv.normed() if hasattr(conv, "normed") else conv.weight
        pads, sizes = (conv.padding[0],) * 2, {"stride": conv.stride[0], "dilation": conv.dilation[0]}
        bias = None if conv.bias is None else array(conv.bias)
        return self.conv(x, array(weight), bias, pads=pads, **sizes, groups=conv.groups)

    def module_linear(self, x: str, linear: Any) -> str:
        """`nn.Linear`."""
        return self.linear(x, array(linear.weight), None if linear.bias is None else array(linear.bias))

    def layer_norm(self, x: str, gain: Any, shift: Any, epsilon: float) -> str:
        """Layer norm over the last axis."""
        return self.do("LayerNormalization", x, self.const(gain), self.const(shift), axis=-1, epsilon=float(epsilon))

    def module_norm(self, x: str, norm: Any) -> str:
        """`nn.LayerNorm` of one axis."""
        return self.layer_norm(x, array(norm.weight), array(norm.bias), norm.eps)

    def gelu(self, x: str) -> str:
        """GELU: x (1 + erf(x / sqrt 2)) / 2."""
        inner = self.do("Erf", self.do("Div", x, self.const(np.sqrt(2.0))))
        return self.do("Mul", self.do("Mul", x, self.do("Add", inner, self.const(1.0))), self.const(0.5))

    def mish(self, x: str) -> str:
        """Mish: x tanh(softplus(x))."""
        return self.do("Mul", x, self.do("Tanh", self.do("Softplus", x)))

    def split_heads(self, x: str, heads: int) -> str:
        """[batch, time, dim] -> [batch, heads, time, dim / heads]."""
        return self.transpose(self.reshape(x, 0, 0, heads, -1), 0, 2, 1, 3)

    def join_heads(self, x: str) -> str:
        """[batch, heads, time, size] -> [batch, time, heads x size]."""
        return self.reshape(self.transpose(x, 0, 2, 1, 3), 0, 0, -1)

    def attend(self, q: str, k: str, v: str, scale: float, hidden: str = "") -> str:
        """Attention softmax(q k' scale + hidden) v, each [batch, heads, time, size]."""
        scores = self.do("MatMul", self.do("Mul", q, self.const(scale)), self.transpose(k, 0, 1, 3, 2))
        if hidden:
            scores = self.do("Add", scores, hidden)
        return self.do("MatMul", self.do("Softmax", scores, axis=-1), v)

    def _name(self, operator: str) -> str:
        self._count += 1
        return f"{operator}.{self._count}"

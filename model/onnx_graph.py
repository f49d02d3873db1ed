"""Writer of ONNX models, byte by byte: the part of the format that a graph of nodes and constants needs.

Protocol buffers are pairs of a key (field number, wire type) and a value; the field numbers are those of `onnx.proto`
(ONNX 1.17, IR version 8, operators of version 17). So a model can be made from tensors in memory without the package
`onnx`, and without a file. Several graphs may store their constants in one file beside them (`ConstantFile`).
"""

import hashlib
import struct
from collections.abc import Sequence
from typing import BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

MICROSOFT = "com.microsoft"
"""Domain of the operators that ONNX Runtime adds."""
IR_VERSION, OPERATORS = 8, 17
TYPES = {
    np.dtype(name): number
    for name, number in [
        ("float32", 1),
        ("uint8", 2),
        ("int8", 3),
        ("int32", 6),
        ("int64", 7),
        ("bool", 9),
        ("float16", 10),
        ("float64", 11),
    ]
}
Attribute: TypeAlias = int | float | str | Sequence[int]
LEAST_OUTSIDE = 1024
"""Bytes below which constants are stored in the graph itself, where shape inference reads them."""
ALIGNED = 64
"""Alignment in bytes of a constant in its file, which is mapped into memory."""
_VARINT, _BYTES, _FIXED32 = 0, 2, 5


class ConstantFile:
    """File of constants beside the graphs that name it ("external data" of ONNX); equal constants are stored once."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        """`name`: name of the file in the folder of the graphs."""
        self.name = name
        self._file, self._places, self._end = file, dict[bytes, int](), 0

    def place(self, content: bytes) -> int:
        """Return the offset of these bytes, written now or before."""
        key = hashlib.sha256(content).digest()
        if key not in self._places:
            self._file.write(bytes(-self._end % ALIGNED))
            self._places[key] = self._end = self._end + -self._end % ALIGNED
            self._file.write(content)
            self._end += len(content)
        return self._places[key]


class Graph:
    """Model under construction. Names of values connect the nodes, which must be added in the order they run."""

    def __init__(self, outside: ConstantFile | None = None) -> None:
        """`outside`: file for large constants; None = all are stored in the graph."""
        self.outside = outside
        self._fields: list[bytes] = [_bytes(2, b"graph")]

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        domain: str = "",
        **attributes: Attribute,
    ) -> None:
        """Add a node; an input "" is left out."""
        parts = [_bytes(1, name.encode()) for name in inputs] + [_bytes(2, name.encode()) for name in outputs]
        parts.append(_bytes(4, operator.encode()))
        parts += [_bytes(5, _attribute(name, value)) for name, value in attributes.items()]
        self._fields.append(_bytes(1, b"".join([*parts, _bytes(7, domain.encode())])))

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add an array of a dtype in `TYPES` and return its name. Raises ValueError for another dtype."""
        parts = [_integer(1, size) for size in value.shape] + [_integer(2, _type(value.dtype))]
        content, named = np.ascontiguousarray(value).tobytes(), _bytes(8, name.encode())
        data = [_bytes(9, content)]
        if self.outside and len(content) >= LEAST_OUTSIDE:
            place = {"location": self.outside.name, "offset": self.outside.place(content), "length": len(content)}
            data = [_bytes(13, _bytes(1, key.encode()) + _bytes(2, str(of).encode())) for key, of in place.items()]
            data.append(_integer(14, 1))
        self._fields.append(_bytes(5, b"".join([*parts, named, *data])))
        return name

    def input(self, name: str, dtype: str, shape: Sequence[int | str]) -> None:
        """Declare an input; a size given by a name may be any."""
        self._fields.append(_bytes(11, _value(name, dtype, shape)))

    def output(self, name: str, dtype: str, shape: Sequence[int | str]) -> None:
        """Declare an output."""
        self._fields.append(_bytes(12, _value(name, dtype, shape)))

    def model(self) -> bytes:
        """Serialised model for `onnxruntime.InferenceSession`."""
        versions = [(b"", OPERATORS), (MICROSOFT.encode(), 1)]
        imports = [_bytes(8, _bytes(1, domain) + _integer(2, version)) for domain, version in versions]
        return b"".join([_integer(1, IR_VERSION), *imports, _bytes(7, b"".join(self._fields))])


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, str):
        content = _bytes(4, value.encode()) + _integer(20, 3)
    elif isinstance(value, float):
        content = _key(2, _FIXED32) + struct.pack("<f", value) + _integer(20, 1)
    elif isinstance(value, int):
        content = _integer(3, value) + _integer(20, 2)
    else:
        content = b"".join(_integer(8, item) for item in value) + _integer(20, 7)
    return _bytes(1, name.encode()) + content


def _value(name: str, dtype: str, shape: Sequence[int | str]) -> bytes:
    sizes = [_integer(1, size) if isinstance(size, int) else _bytes(2, size.encode()) for size in shape]
    tensor = _integer(1, _type(np.dtype(dtype))) + _bytes(2, b"".join(_bytes(1, size) for size in sizes))
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _type(dtype: np.dtype[np.generic]) -> int:
    if dtype not in TYPES:
        raise ValueError(f"an ONNX constant or value of dtype {dtype}: expected {', '.join(map(str, TYPES))}")
    return TYPES[dtype]


def _key(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _integer(field: int, value: int) -> bytes:
    return _key(field, _VARINT) + _varint(value)


def _bytes(field: int, content: bytes) -> bytes:
    return b"".join([_key(field, _BYTES), _varint(len(content)), content])


def _varint(value: int) -> bytes:
    """Variable-length integer: seven bits a byte, lowest first; negative numbers as 64-bit two's complement."""
    value &= (1 << 64) - 1
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    result.append(value)
    return bytes(result)

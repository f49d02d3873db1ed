"""Reader of ONNX files: their operators with the constants that these read, so that torch can run a network of others.

Of the format (protocol buffers, field numbers of `onnx.proto`) it reads nodes, integer attributes, and constants stored
as raw bytes in the file itself; `voicemill.model.onnx_graph` writes the same part. The package `onnx` would read all of
it, with 20 MB and half a second of import in every worker for one small network.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicemill.model.onnx_graph import TYPES

_DTYPES = {number: dtype for dtype, number in TYPES.items()}


@dataclass(frozen=True)
class Node:
    """One operator of a graph."""

    operator: str
    constants: tuple[NDArray[np.generic], ...]
    """Those of its inputs that are constants, in their order."""
    integers: Mapping[str, tuple[int, ...]]
    """Its attributes that are integers or lists of them."""


def read_nodes(file: Path) -> list[Node]:
    """Nodes of the graph in a file, in their order.

    Raises:
        ValueError: the file is no ONNX model, or stores a constant in another way than as raw bytes.
    """
    try:
        graph = dict(_fields(file.read_bytes()))[7]
        fields = list(_fields(graph))
        constants = dict(_constant(value) for number, value in fields if number == 5)
        return [_node(value, constants) for number, value in fields if number == 1]
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is not an ONNX model of nodes with constants in the file: {error!r}") from error


def _node(content: bytes, constants: Mapping[str, NDArray[np.generic]]) -> Node:
    operator, inputs, integers = "", list[str](), dict[str, tuple[int, ...]]()
    for number, value in _fields(content):
        if number == 1:
            inputs.append(value.decode())
        elif number == 4:
            operator = value.decode()
        elif number == 5:
            name, values = _attribute(value)
            integers[name] = values
    return Node(operator, tuple(constants[name] for name in inputs if name in constants), integers)


def _attribute(content: bytes) -> tuple[str, tuple[int, ...]]:
    name, values = "", list[int]()
    for number, value in _fields(content):
        if number == 1:
            name = value.decode()
        elif number in (3, 8):
            values += [value] if isinstance(value, int) else _packed(value)
    return name, tuple(values)


def _constant(content: bytes) -> tuple[str, NDArray[np.generic]]:
    name, shape, dtype, raw = "", list[int](), 0, b""
    for number, value in _fields(content):
        if number == 1:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif number == 2:
            dtype = value
        elif number == 8:
            name = value.decode()
        elif number == 9:
            raw = value
        elif number in (4, 5, 6, 7, 10, 11, 13):
            raise KeyError(f"constant {name!r} is not stored as raw bytes")
    return name, np.frombuffer(raw, _DTYPES[dtype]).reshape(shape)


def _fields(content: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: an int, or bytes, also for numbers of a fixed size."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(content, at)
            yield number, value
            continue
        size, at = _varint(content, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
        if at + size > len(content):
            raise IndexError("the file ends inside a field")
        yield number, content[at : at + size]
        at += size


def _packed(content: bytes) -> list[int]:
    values, at = list[int](), 0
    while at < len(content):
        value, at = _varint(content, at)
        values.append(value)
    return values


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, lowest first, and the place after it; 64-bit two's complement."""
    value = shift = 0
    while True:
        byte = content[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return (value - (1 << 64) if value >> 63 else value), at

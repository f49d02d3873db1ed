"""Pickles of checkpoints, read without running anything in them.

A pickle is a program for a small stack machine, and three of its instructions call what the file names. Here they call
nothing: this machine knows dictionaries, lists, tuples, numbers and strings, and the six constructors that checkpoints
use become plain data (`Tensor` describes a tensor and holds none). Any other name stops the reading.

Why not `torch.load(weights_only=True)`: it has let files run code twice (CVE-2025-32434, before 2.6; CVE-2026-24747,
before 2.10), and we support torch from 2.8 on. Why not `pickle.Unpickler` with a `find_class` of ours: BUILD sets any
attribute of what `find_class` returned, and the hash of nested tuples as a key takes time that grows as 2^depth.
Instructions: Lib/pickletools.py of CPython. Conventions of tensors: torch/_utils.py, `_rebuild_tensor_v2`.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

from voicemill.storage.errors import CheckpointError

LONGEST = 16 * 2**20
"""Bytes: a longer pickle is refused. Official files have 0.1 MB, those of a Lightning trainer 1 MB."""

DTYPES = {
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
PATHS = {f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in ("PosixPath", "WindowsPath")} | {
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
}


@dataclass(frozen=True)
class Storage:
    """A run of numbers beside the pickle."""

    key: str
    dtype: str
    """Name of a torch dtype."""
    count: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage, not read yet; offset and strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Name:
    """Dotted name in a pickle; it is never imported."""

    dotted: str


class Fields(dict[Any, Any]):
    """A dictionary that stands for an OrderedDict or for an object with attributes, such as `utils.HParams`."""


def read(data: bytes, file: str) -> Any:
    """Read the value of a pickle: plain containers, numbers, strings, `Tensor`; `file` is for messages.

    Raises:
        CheckpointError: it names something that no checkpoint does, or it is damaged.
    """
    if len(data) > LONGEST:
        raise CheckpointError(
            f"{file}: its pickle has {len(data)} bytes, over the {LONGEST} that a checkpoint may have"
        )
    machine = _Machine(file)
    try:
        for opcode, argument, _ in pickletools.genops(BytesIO(data)):
            machine.step(opcode.name, argument)
        (value,) = machine.stack
    except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        raise CheckpointError(
            f"{file}: its pickle is damaged ({type(error).__name__}: {error}): fetch the file again"
        ) from error
    return value


class _Machine:
    def __init__(self, file: str) -> None:
        self.file = file
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        """Stacks under the marks."""
        self.memo: dict[int, Any] = {}
        self.does: dict[str, Callable[[Any], object]] = {
            "MARK": self._mark,
            "POP": lambda _: self.stack.pop(),
            "POP_MARK": lambda _: self._above(),
            "DUP": lambda _: self._push(self.stack[-1]),
            "EMPTY_DICT": lambda _: self._push({}),
            "EMPTY_LIST": lambda _: self._push([]),
            "EMPTY_TUPLE": lambda _: self._push(()),
            "LIST": lambda _: self._push(self._above()),
            "TUPLE": lambda _: self._push(tuple(self._above())),
            "DICT": lambda _: self._pairs({}, self._above()),
            "TUPLE1": lambda _: self._tuple(1),
            "TUPLE2": lambda _: self._tuple(2),
            "TUPLE3": lambda _: self._tuple(3),
            "APPEND": lambda _: self._extend([self.stack.pop()]),
            "APPENDS": lambda _: self._extend(self._above()),
            "SETITEM": lambda _: self._set([self.stack.pop(-2), self.stack.pop()]),
            "SETITEMS": lambda _: self._set(self._above()),
            "NONE": lambda _: self._push(None),
            "NEWTRUE": lambda _: self._push(True),
            "NEWFALSE": lambda _: self._push(False),
            "MEMOIZE": lambda _: self._remember(len(self.memo)),
            "GLOBAL": lambda name: self._name(*name.split(" ")),
            "STACK_GLOBAL": lambda _: self._name(self.stack.pop(-2), self.stack.pop()),
            "REDUCE": lambda _: self._construct(self.stack.pop(-2), self.stack.pop()),
            "NEWOBJ": lambda _: self._construct(self.stack.pop(-2), self.stack.pop()),
            "BUILD": self._build,
            "BINPERSID": self._persistent,
        }
        self.does |= dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _: None)
        self.does |= dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self._remember)
        self.does |= dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda at: self._push(self.memo[at]))
        values = "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE SHORT_BINUNICODE BINUNICODE"
        values += " BINUNICODE8 STRING SHORT_BINSTRING BINSTRING SHORT_BINBYTES BINBYTES BINBYTES8"
        self.does |= dict.fromkeys(values.split(), self._push)

    def step(self, instruction: str, argument: Any) -> None:
        if instruction not in self.does:
            raise CheckpointError(
                f"{self.file}: its pickle has the instruction {instruction}, which no checkpoint needs"
            )
        self.does[instruction](argument)

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def _remember(self, at: int) -> None:
        self.memo[at] = self.stack[-1]

    def _mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def _above(self) -> list[Any]:
        values = self.stack
        self.stack = self.below.pop()
        return values

    def _tuple(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError("pop from an empty stack")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def _extend(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise TypeError("only a list can be appended to")
        self.stack[-1].extend(values)

    def _set(self, flat: list[Any]) -> None:
        self._pairs(self.stack.pop(), flat)

    def _pairs(self, target: Any, flat: list[Any]) -> None:
        if not isinstance(target, dict) or len(flat) % 2:
            raise TypeError("only a dictionary takes pairs")
        for key in flat[::2]:
            if not isinstance(key, str | int | float):  # nested tuples would take 2^depth steps to hash
                raise TypeError(f"a {type(key).__name__} as the key of a dictionary")
        target.update(zip(flat[::2], flat[1::2], strict=True))
        self.stack.append(target)

    def _name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:  # before it is printed: nested tuples print for ever
            raise TypeError("a name that is no string")
        dotted = f"{module}.{name}"
        typed = module == "torch" and name in DTYPES
        if not (typed or dotted in _CONSTRUCTORS or dotted == "torch.storage.UntypedStorage"):
            raise CheckpointError(
                f"{self.file}: its pickle names {dotted!r}, which no checkpoint of ours or of GPT-SoVITS does. Nothing "
                "of it was run; do not open this file with torch.load, and fetch it from where you trust it"
            )
        self.stack.append(Name(dotted))

    def _construct(self, name: Any, arguments: Any) -> None:
        if not isinstance(name, Name) or type(arguments) is not tuple or name.dotted not in _CONSTRUCTORS:
            raise TypeError("a call of something that is no constructor")
        self.stack.append(_CONSTRUCTORS[name.dotted](*arguments))

    def _build(self, _: Any) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, Fields) or not isinstance(state, dict):
            raise TypeError(f"attributes for a {type(target).__name__}")
        if set(state) != {"_metadata"}:  # torch hangs versions of modules on the OrderedDict of a state dict
            target.update(state)

    def _persistent(self, _: Any) -> None:
        """torch.serialization: ("storage", type, key, device, elements)."""
        kind, name, key, _, count = self.stack.pop()
        if kind != "storage" or not isinstance(name, Name) or type(count) is not int or count >> 60:
            raise TypeError("a persistent id that is no storage")
        if not isinstance(key, str) or not key.isascii() or not key.isdigit():
            raise ValueError("a storage whose key is no number")
        dtype = DTYPES.get(name.dotted.removeprefix("torch."))
        if dtype is None:
            raise CheckpointError(f"{self.file}: a storage of {name.dotted}: save it with plain tensors")
        self.stack.append(Storage(key, dtype, count))


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Storage) or type(shape) is not tuple or type(strides) is not tuple:
        raise TypeError("a tensor without a storage, a shape or strides")
    if len(shape) != len(strides) or len(shape) > 8:
        raise ValueError(f"a tensor of shape {len(shape)} and strides {len(strides)} long")
    if any(type(n) is not int or n < 0 for n in (offset, *shape, *strides)):
        raise ValueError("a tensor with a size or stride that is no count")
    size, last = 1, offset
    for n, stride in zip(shape, strides, strict=True):
        size, last = size * n, last + max(n - 1, 0) * stride
    # the first: a stride of 0 would make any number of elements out of one; the second: outside of the storage
    if size and (size > storage.count or last >= storage.count):
        raise ValueError(f"a tensor of {size} elements that ends at {last} in a storage of {storage.count}")
    return Tensor(storage, offset, shape, strides)


def _parameter(tensor: Any, *_: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise TypeError("a parameter without a tensor")
    return tensor


def _ordered(*arguments: Any) -> Fields:
    if arguments and not (len(arguments) == 1 and type(arguments[0]) is list):
        raise TypeError("an OrderedDict of something else than pairs")
    fields = Fields()
    for key, value in arguments[0] if arguments else ():
        if not isinstance(key, str | int):
            raise TypeError(f"a {type(key).__name__} as the key of a dictionary")
        fields[key] = value
    return fields


def _size(sizes: Any) -> tuple[Any, ...]:
    if type(sizes) is not tuple:
        raise TypeError("a torch.Size of something else than a tuple")
    return sizes


def _path(*parts: Any) -> str:
    if not all(isinstance(part, str) for part in parts):
        raise TypeError("a path of something else than strings")
    return str(PurePosixPath(*parts))


_CONSTRUCTORS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
    "utils.HParams": lambda: Fields(),
    **dict.fromkeys(PATHS, _path),
}

"""Reader of `model.bin`, the weights of a CTranslate2 model, as plain arrays.

Layout, little-endian, as `ctranslate2.specs.model_spec.ModelSpec` writes it, version 6:

    uint32 version · string name of the spec · uint32 revision · uint32 variables
    each: string name · uint8 rank · uint32 size of each axis · uint8 type · uint32 bytes · values
    uint32 aliases, each: string alias · string variable

A string is a uint16 length, its UTF-8 bytes and a zero, which the length counts.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.errors import ModelMissing

FORMAT_VERSION = 6
TYPES = ("<f4", "<i1", "<i2", "<i4", "<f2")
"""Types by number; number 5, bfloat16, is not read."""


@dataclass(frozen=True, eq=False)
class ModelFile:
    """Contents of a `model.bin`."""

    spec: str
    """Kind of model, such as `WhisperSpec`."""
    revision: int
    variables: dict[str, NDArray[np.float32]]
    """Name -> values as float32; integers keep their value."""


def read_model(path: Path, prefix: str = "") -> ModelFile:
    """Read the variables whose names begin with `prefix`; others are skipped.

    Raises ModelMissing: the file is of another version, truncated, or quantised.
    """
    cursor = _Cursor(path, path.read_bytes())
    version = cursor.number("I")
    if version != FORMAT_VERSION:
        raise ModelMissing(f"{path} is a CTranslate2 model of version {version}; version {FORMAT_VERSION} is read")
    spec, revision = cursor.string(), cursor.number("I")
    variables: dict[str, NDArray[np.float32]] = {}
    for _ in range(cursor.number("I")):
        name = cursor.string()
        shape = [cursor.number("I") for _ in range(cursor.number("B"))]
        kind, data = cursor.number("B"), cursor.bytes(cursor.number("I"))
        if not name.startswith(prefix):
            continue
        if kind >= len(TYPES):
            raise ModelMissing(f"{path}: {name} has the type number {kind}; 0 to {len(TYPES) - 1} are read")
        values = np.frombuffer(data, TYPES[kind])
        if values.size != np.prod(shape, dtype=np.int64):
            raise ModelMissing(f"{path}: {name} has {values.size} values for the shape {shape}")
        variables[name] = values.reshape(shape).astype(np.float32)
    return ModelFile(spec=spec, revision=revision, variables=variables)


class _Cursor:
    """Position in the bytes of a file."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data, self.at = path, memoryview(data), 0

    def bytes(self, count: int) -> memoryview:
        part = self.data[self.at : self.at + count]
        if len(part) < count:
            raise ModelMissing(f"{self.path} is truncated: it ends at byte {len(self.data)}, expected more")
        self.at += count
        return part

    def number(self, kind: str) -> int:
        return int(struct.unpack(f"<{kind}", self.bytes(struct.calcsize(f"<{kind}")))[0])

    def string(self) -> str:
        return bytes(self.bytes(self.number("H"))[:-1]).decode()

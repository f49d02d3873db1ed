"""The container of torch.save, read with every size checked first: a zip of `data.pkl` and storages.

    <name>/data.pkl        contents of the file, tensors by reference
    <name>/data/<number>   numbers of one storage, uncompressed, in the byte order of <name>/byteorder
    <name>/version         and other entries that are not needed here

GPT-SoVITS replaces the first two bytes, `PK`, by two digits that stand for the version; they are read back as `PK`.
Nothing is unpacked to disk. Files that torch wrote before 1.6 are not zips and are refused.
"""

import io
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from voicemill.model.checkpoints import pickles
from voicemill.model.checkpoints.pickles import Storage
from voicemill.storage.errors import CheckpointError

if TYPE_CHECKING:
    import torch

SIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "int64": 8, "int32": 4, "int16": 2}
"""Bytes of an element; other types have one."""

PIECE = 2**20
"""Bytes per read."""

AGAIN = "fetch the file again"


class TorchFile:
    """Open file of torch.save. `value` holds a `pickles.Tensor` in place of each tensor; `tensor` reads one."""

    def __init__(self, path: Path, raw: BinaryIO, marker: str) -> None:
        self.path = path
        self.marker = marker
        """The two digits found in place of `PK`, or ""."""
        self._zip = zipfile.ZipFile(raw)
        self._entries = {entry.filename: entry for entry in self._zip.infolist()}
        self._storages: dict[Storage, torch.Tensor] = {}
        self._check(path.stat().st_size)
        names = [name for name in self._entries if re.fullmatch(r"[^/]+/data\.pkl", name)]
        if len(names) != 1:
            raise CheckpointError(f"{path}: a zip, but not one of torch.save: it has {len(names)} entries data.pkl")
        self._root = names[0].removesuffix("data.pkl")
        order = self._entries.get(f"{self._root}byteorder")
        if order and order.file_size < 20 and self._zip.read(order) != b"little":
            raise CheckpointError(f"{path}: written on a machine of the other byte order; save it again on a usual one")
        if self._entries[names[0]].file_size > pickles.LONGEST:
            raise CheckpointError(
                f"{path}: its pickle has {self._entries[names[0]].file_size} bytes: no checkpoint has"
            )
        self.value: Any = pickles.read(self._zip.read(names[0]), str(path))

    def _check(self, length: int) -> None:
        """Check that names stay inside, nothing is compressed and no byte is counted twice, so that reading everything
        takes no more memory than the length of the file."""
        for entry in self._zip.infolist():
            parts = entry.filename.replace("\\", "/").split("/")
            if ".." in parts or parts[0] == "" or ":" in parts[0]:
                raise CheckpointError(f"{self.path}: an entry named {entry.filename!r} leads out of the file; refused")
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise CheckpointError(
                    f"{self.path}: the entry {entry.filename!r} is compressed or encrypted; torch.save writes neither"
                )
        stated = sum(entry.file_size for entry in self._zip.infolist())
        if stated > length:
            raise CheckpointError(f"{self.path}: {length} bytes long, but its entries claim {stated}; refused")
        if len(self._entries) != len(self._zip.infolist()):
            raise CheckpointError(f"{self.path}: two entries have the same name; refused")

    def tensor(self, reference: pickles.Tensor) -> "torch.Tensor":
        """Return the tensor behind a reference: a view of its storage, which is read once.

        Raises:
            CheckpointError: the storage is missing, damaged, or not as long as the pickle says.
        """
        import torch

        storage = reference.storage
        if storage not in self._storages:
            self._storages[storage] = self._read(storage)
        return torch.as_strided(self._storages[storage], reference.shape, reference.strides, reference.offset)

    def _read(self, storage: Storage) -> "torch.Tensor":
        import torch

        name = f"{self._root}data/{storage.key}"
        entry = self._entries.get(name)
        expected = storage.count * SIZES.get(storage.dtype, 1)
        if entry is None or entry.file_size != expected:
            actual = "is missing" if entry is None else f"has {entry.file_size} bytes"
            raise CheckpointError(f"{self.path}: the storage {name} {actual}, {expected} are declared: {AGAIN}")
        dtype = getattr(torch, storage.dtype)
        if not expected:
            return torch.empty(0, dtype=dtype)
        buffer, filled = bytearray(expected), 0  # torch needs a writable one
        with damage_as_error(self.path), self._zip.open(entry) as file:
            for start in range(0, expected, PIECE):
                piece = file.read(PIECE)
                buffer[start : start + len(piece)] = piece
                filled += len(piece)
        if filled != expected:
            raise CheckpointError(f"{self.path}: the storage {name} ends too soon: {AGAIN}")
        return torch.frombuffer(buffer, dtype=dtype)


@contextmanager
def damage_as_error(path: Path) -> Iterator[None]:
    """Turn the exceptions of zipfile for a damaged file (a wrong checksum is one) into CheckpointError."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        struct.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OSError,
    ) as error:
        raise CheckpointError(f"{path}: damaged or cut off ({error}): {AGAIN}") from error


@contextmanager
def open_torchfile(path: Path) -> Iterator[TorchFile]:
    """Open a file of torch.save.

    Raises:
        CheckpointError: it is not a file of torch.save, it is damaged, or it has contents that no checkpoint has.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(4)
    marker = head[:2].decode("ascii") if re.fullmatch(rb"0[0-9]", head[:2]) else ""
    if not marker and head[:2] != b"PK":
        raise CheckpointError(f"{path}: {_describe(head)}")
    with io.BufferedReader(_ZipMagic(path)) as raw:
        with damage_as_error(path):
            file_ = TorchFile(path, raw, marker)
        yield file_


class _ZipMagic(io.FileIO):
    """A file whose first two bytes read as `PK`, whatever they are."""

    def readinto(self, buffer: Any) -> int:
        at = self.tell()
        count = super().readinto(buffer)
        view = memoryview(buffer).cast("B")
        for i in range(at, min(2, at + count)):
            view[i - at] = b"PK"[i]
        return count


def _describe(head: bytes) -> str:
    """Description of a file that is not of torch.save, by its first bytes."""
    if not head:
        return f"the file has 0 bytes: {AGAIN}"
    if head[:1] == b"\x80":
        return (
            "a plain pickle, as torch.save wrote before 1.6; only its zip format is read. If you trust the file, "
            "load it with torch and save it again"
        )
    if all(32 <= byte < 127 or byte in b"\r\n\t" for byte in head):
        return f"text, not weights (a web page or a pointer of Git LFS was saved under this name?): {AGAIN}"
    return f"no checkpoint: it starts with {head!r}, a file of torch.save with b'PK' or two digits. Look at its source"

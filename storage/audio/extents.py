"""True extent of the samples in files whose header states 0, "unknown" or only a part of what is there.

Recorders write the header first and the length last: one that is killed leaves 0 or -1; tools that copy a header leave
the length of another file. Samples that nothing states are told from chunks behind the samples by their structure, and
from foreign bytes by their sound: neighbouring samples of a recording are alike, those of other bytes are not.
A corrected header is put before the samples in memory; libsndfile then reads the file as it should have been.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from voicemill.storage.audio.containers import OPEN, SLACK, kind_of
from voicemill.storage.audio.headers import caf

MOST_CHUNKS = 100_000
_W64_CHUNK = bytes.fromhex("f3acd3118cd100c04f8edb8a")
"""End of the GUID of every chunk of a W64 file, behind the four letters of its name."""
ALIKE = 0.3
"""Correlation of neighbouring samples from which bytes are a recording: speech has 0.6 to 0.99, others under 0.1."""


@dataclass(frozen=True)
class Samples:
    """Where the samples of a file lie, by its header and by its bytes."""

    header: Callable[[int], bytes]
    """Header for a number of bytes of samples."""
    start: int
    stated: int
    """Bytes of samples that the header states; -1 = unknown."""
    stop: int
    """End of the samples."""


def true_extent(path: Path, start: int, stop: int, kind: str) -> Samples | None:
    """The samples of one link [start, stop) where its header states fewer than there are; None = all is well."""
    parse = _PARSERS.get(kind)
    if parse is None:
        return None
    with path.open("rb") as file:
        file.seek(start)
        found = parse(file, start, stop)
        if found is None:
            return None
        at, stated, width, header, consistent = found
        present = stop - at
        if present - stated <= SLACK and stated > 0:
            return None
        if stated > 0 or (stated == 0 and present <= SLACK):
            behind = at + stated
            if _are_chunks(file, behind + stated % 2, stop):
                return None
            if consistent and not _sounds(file, behind, stop, width):
                # libsndfile reads a W64 to the end of the file, whatever its header states
                return Samples(header, at, stated, behind) if kind == "w64" else None
        elif stated == 0 and _are_chunks(file, at, stop):
            return None
        end = stop
        end -= (end - at) % max(width[0], 1)
        return Samples(header, at, stated, end) if end > at else None


Parsed = tuple[int, int, tuple[int, int, str], Callable[[int], bytes], bool]
"""Start of the samples; bytes that are stated, -1 = unknown; bytes of a frame, channels, type of a sample; header for a
number of bytes; whether the length of the whole file agrees with that of the samples."""


def _are_chunks(file: BinaryIO, at: int, stop: int) -> bool:
    """Whether the bytes from here on are chunks, an ID3 tag, or padding."""
    for _ in range(MOST_CHUNKS):
        if stop - at < 8:
            return True
        file.seek(at)
        head = file.read(16)
        if head[:3] in (b"TAG", b"ID3") or head[:8] == b"APETAGEX" or kind_of(head):
            return True
        if head[:4] == b"\0\0\0\0":
            return not (head + file.read(min(stop - at, 1 << 16))).strip(b"\0")
        (length,) = struct.unpack("<I", head[4:8])
        (swapped,) = struct.unpack(">I", head[4:8])
        if not all(32 <= byte < 127 for byte in head[:4]):
            return False
        length = min(length, swapped)
        if at + 8 + length > stop + SLACK:
            return False
        at += 8 + length + length % 2
    return True


def _sounds(file: BinaryIO, at: int, stop: int, width: tuple[int, int, str]) -> bool:
    """Whether bytes are a recording, by the correlation of neighbouring samples of its first channel."""
    frame, channels, kind = width
    if not frame or not kind:
        return False
    file.seek(at)
    data = file.read(min(stop - at, 1 << 20) // frame * frame)
    if kind in ("i3", "I3"):
        raw = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
        low, high = (0, 2) if kind == "i3" else (2, 0)
        wave = ((raw[:, high].astype(np.int8).astype(np.int32) << 16) | (raw[:, 1] << 8) | raw[:, low]).astype(float)
    else:
        with np.errstate(all="ignore"):
            wave = np.frombuffer(data, kind).astype(float)
    wave = wave[: len(wave) // channels * channels : channels]
    if len(wave) < 32 or not np.isfinite(wave).all() or np.abs(wave).max() > 1e30:
        return False
    wave = wave - wave.mean()
    power = float(wave @ wave)
    return power == 0.0 or float(wave[1:] @ wave[:-1]) / power > ALIKE


def _riff(file: BinaryIO, start: int, stop: int) -> Parsed | None:
    magic, length, _ = struct.unpack("<4s4s4s", file.read(12))
    order = ">" if magic == b"RIFX" else "<"
    (total,) = struct.unpack(order + "I", length)
    at, fmt, wide, extra = start + 12, b"", 0, b""
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return None
        name, extent = struct.unpack(order + "4sI", head)
        if name == b"ds64":
            body = file.read(16)
            wide = struct.unpack("<8xQ", body)[0] if len(body) == 16 else 0
            total = struct.unpack("<Q8x", body)[0] if len(body) == 16 else total
        elif name == b"fmt ":
            fmt = file.read(min(extent, 4096))
        elif name == b"data":
            break
        at += 8 + extent + extent % 2
    else:
        return None
    if len(fmt) < 16:
        return None
    code, channels, _, _, frame, bits = struct.unpack(order + "HHIIHH", fmt[:16])
    if code == 0xFFFE and len(fmt) >= 26:
        (code,) = struct.unpack(order + "H", fmt[24:26])
    stated = wide if extent == 0xFFFF_FFFF and (wide or magic in (b"RF64", b"BW64")) else extent
    if magic in (b"RIFF", b"RIFX") and extent >= OPEN and at + 8 + extent > stop:
        return None  # a stream: libsndfile reads it to its end
    if stated == 0xFFFF_FFFF_FFFF_FFFF:
        stated = -1

    def header(count: int) -> bytes:
        chunk = b"fmt " + struct.pack(order + "I", len(fmt)) + fmt + bytes(len(fmt) % 2) + extra
        if count + len(chunk) + 64 < OPEN:
            return (
                magic_of(order)
                + struct.pack(order + "I", len(chunk) + count + 12)
                + b"WAVE"
                + chunk
                + b"data"
                + (struct.pack(order + "I", count))
            )
        sizes = struct.pack("<QQQI", len(chunk) + count + 48, count, count // max(frame, 1), 0)
        return b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0" + sizes + chunk + b"data\xff\xff\xff\xff"

    sample = _TYPES.get((code, bits), "")
    kind = sample.replace("<", order) if sample[:1] == "<" else sample.upper() if order == ">" else sample
    consistent = start + 8 + total <= at + 8 + stated + 4096
    return at + 8, stated, (frame if code in (1, 3, 6, 7) else 0, channels, kind), header, consistent


def magic_of(order: str) -> bytes:
    """Magic of a RIFF file of this byte order."""
    return b"RIFX" if order == ">" else b"RIFF"


_TYPES = {
    (1, 8): "u1", (1, 16): "<i2", (1, 24): "i3", (1, 32): "<i4", (3, 32): "<f4", (3, 64): "<f8", (6, 8): "i1",
    (7, 8): "i1",
}  # fmt: skip
"""Format code and bits of a sample -> its type; "i3" = 24 bits."""


def _w64(file: BinaryIO, start: int, stop: int) -> Parsed | None:
    file.seek(start + 16)
    (total,) = struct.unpack("<Q", file.read(8))
    at, fmt = start + 40, b""
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        head = file.read(24)
        if len(head) < 24 or head[4:16] != _W64_CHUNK:
            return None
        (extent,) = struct.unpack("<Q", head[16:])
        if head[:4] == b"fmt ":
            fmt = file.read(min(max(extent - 24, 0), 4096))
        if head[:4] == b"data":
            break
        at += max(extent + (-extent) % 8, 24)
    else:
        return None
    if len(fmt) < 16:
        return None
    code, channels, _, _, frame, bits = struct.unpack("<HHIIHH", fmt[:16])
    if code == 0xFFFE and len(fmt) >= 26:
        (code,) = struct.unpack("<H", fmt[24:26])

    def header(count: int) -> bytes:
        sizes = struct.pack("<QQQI", len(fmt) + count + 80, count, count // max(frame, 1), 0)
        chunk = b"fmt " + struct.pack("<I", len(fmt)) + fmt + bytes(len(fmt) % 2)
        return b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0" + sizes + chunk + b"data\xff\xff\xff\xff"

    stated = -1 if extent >= 1 << 62 else max(extent - 24, 0)
    consistent = total <= at + 24 + stated - start + 4096
    return (
        at + 24,
        stated,
        (frame if code in (1, 3, 6, 7) else 0, channels, _TYPES.get((code, bits), "")),
        header,
        (consistent),
    )


def _aiff(file: BinaryIO, start: int, stop: int) -> Parsed | None:
    _, total, form = struct.unpack(">4sI4s", file.read(12))
    at, comm = start + 12, b""
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return None
        name, extent = struct.unpack(">4sI", head)
        if name == b"COMM":
            comm = file.read(min(extent, 4096))
        if name == b"SSND":
            break
        at += 8 + extent + extent % 2
    else:
        return None
    if len(comm) < 18:
        return None
    channels, _, bits = struct.unpack(">hIh", comm[:8])
    coding = comm[18:22] if form == b"AIFC" else b"NONE"
    frame = channels * -(-bits // 8)
    order, kind = ("<", "i") if coding == b"sowt" else (">", "f" if coding.lower() in (b"fl32", b"fl64") else "i")
    sample = {1: "i1", 3: "i3" if order == "<" else "I3"}.get(-(-bits // 8), f"{order}{kind}{-(-bits // 8)}")
    plain = coding in (b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64")

    def header(count: int) -> bytes:
        body: bytes = comm[:2] + struct.pack(">I", count // max(frame, 1)) + comm[6:]
        chunk = b"COMM" + struct.pack(">I", len(body)) + body + bytes(len(body) % 2)
        version: bytes = b"FVER\0\0\0\4\xa2\x80\x51\x40" if form == b"AIFC" else b""
        parts = version + chunk + b"SSND" + struct.pack(">III", count + 8, 0, 0)
        return bytes(b"FORM" + struct.pack(">I", (4 + len(parts) + count) & 0xFFFF_FFFF) + form + parts)

    stated = -1 if extent >= OPEN else max(extent - 8, 0)
    frames = struct.unpack(">I", comm[2:6])[0] * frame
    consistent = start + 8 + total <= at + 16 + stated + 4096 and abs(frames - stated) <= SLACK
    return (at + 16, stated, (frame, channels, sample), header, consistent) if plain and frame > 0 else None


def _au(file: BinaryIO, start: int, stop: int) -> Parsed | None:
    head = file.read(24)
    if len(head) < 24:
        return None
    _, offset, stated, code, _, channels = struct.unpack(">4sIIIII", head)
    kind = {1: "i1", 2: "i1", 3: ">i2", 4: "I3", 5: ">i4", 6: ">f4", 7: ">f8", 27: "i1"}.get(code, "")
    frame = channels * {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(code, 0)
    if stated >= OPEN or not 24 <= offset < stop - start:
        return None

    def header(count: int) -> bytes:
        magic: bytes = head[:4]
        return magic + struct.pack(">II", 24, min(count, 0xFFFF_FFFF)) + head[12:]

    return start + offset, stated, (frame, channels, kind), header, True


_PARSERS = {"wav": _riff, "w64": _w64, "aiff": _aiff, "au": _au, "caf": caf}

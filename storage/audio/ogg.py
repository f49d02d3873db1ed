"""Pages of an Ogg file (RFC 3533), with their checksums: which are damaged, and what their positions say is there."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

CHUNK = 1 << 20
FURTHEST = 50_000_000
"""Samples by which the position of a damaged page may lie behind the one before it."""


@dataclass(frozen=True)
class Page:
    """A page of an Ogg file, or a stretch that is no valid one."""

    at: int
    first: bool
    """Whether it begins a stream."""
    bad: bool
    """Whether it is damaged, or pages before it are missing."""
    granule: int = -1
    """Position behind its last sample; -1 = unknown."""


_REVERSED = bytes(int(f"{n:08b}"[::-1], 2) for n in range(256))


def _checksum(page: bytes) -> int:
    """CRC of an Ogg page (RFC 3533, section 6): that of zlib with all bits in reverse."""
    data = (page[:22] + b"\0\0\0\0" + page[26:]).translate(_REVERSED)
    crc = zlib.crc32(data, 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int.from_bytes(crc.to_bytes(4, "little").translate(_REVERSED), "big")


def pages(file: Any, size: int) -> Iterator[Page]:
    """Pages of an Ogg file, and the stretches that are none."""
    file.seek(0)
    data, base, at, stray, before = b"", 0, 0, False, 0
    serials: dict[bytes, int] = {}
    while True:
        if len(data) - at < 70_000 and base + len(data) < size:
            data, base, at = data[at:] + file.read(CHUNK), base + at, 0
        if at >= len(data):
            return
        length = _page_length(data, at)
        valid = length and data[at + 22 : at + 26] == struct.pack("<I", _checksum(data[at : at + length]))
        if valid or (length and data[at + length : at + length + 4] in (b"OggS", b"")):
            serial, number = data[at + 14 : at + 18], int.from_bytes(data[at + 18 : at + 22], "little")
            granule = int.from_bytes(data[at + 6 : at + 14], "little", signed=True)
            first = bool(data[at + 5] & 2) and bool(valid)
            skipped = not first and serials.get(serial, number - 1) != number - 1
            serials[serial] = number
            if not valid and not before <= granule <= before + FURTHEST:
                granule = -1
            before = 0 if first else max(granule, before)
            yield Page(base + at, first, skipped or not valid, max(granule, 0))
            at += length
            stray = False
            continue
        if not stray:
            stray = True
            cut = base + len(data) >= size and _is_cut(data, at)  # its header tells how far it went
            granule = int.from_bytes(data[at + 6 : at + 14], "little", signed=True) if cut else -1
            yield Page(base + at, False, True, granule if before <= granule <= before + FURTHEST else -1)
        place = data.find(b"OggS", at + 1)
        end = len(data) if base + len(data) >= size else max(len(data) - 3, at + 1)
        at = place if place >= 0 else end


def _is_cut(data: bytes, at: int) -> bool:
    """Whether the page at a position ends behind the last byte of the file."""
    segments = data[at + 26] if data[at : at + 5] == b"OggS\0" and len(data) >= at + 27 else -1
    table = data[at + 27 : at + 27 + segments]
    return segments >= 0 and (len(table) < segments or at + 27 + segments + sum(table) > len(data))


def rate_of(head: bytes) -> int:
    """Positions a second of the stream whose first page these bytes are; 0 = unknown."""
    body = head[27 + head[26] :] if len(head) > 27 else b""
    if body.startswith(b"OpusHead"):
        return 48_000
    return int.from_bytes(body[12:16], "little") if body.startswith(b"\x01vorbis") and len(body) >= 16 else 0


def _page_length(data: bytes, at: int) -> int:
    """Bytes of the page at a position; 0 = none, or cut off."""
    if data[at : at + 5] != b"OggS\0" or len(data) < at + 27:
        return 0
    segments = data[at + 26]
    length = 27 + segments + sum(data[at + 27 : at + 27 + segments])
    return length if at + length <= len(data) else 0

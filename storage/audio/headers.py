"""Lengths in the headers of CAF and FLAC: where they stand, what is there in truth, and headers that state it.

A CAF states the bytes of its samples in front of them. A FLAC states its samples in STREAMINFO, and each of its frames
says where it lies: the last frame whose header has its checksum tells how far the file goes.
Sources: Apple Core Audio Format Specification 1.0; RFC 9639, 8.2 and 9.1.
"""

import struct
from collections.abc import Callable
from typing import BinaryIO

_TAIL = 1 << 18
"""Bytes at the end of a FLAC in which its last frame begins; the largest frame of a recorder has 64 KiB."""
_BLOCKS = {1: 192, **{n: 576 << (n - 2) for n in range(2, 6)}, **{n: 256 << (n - 8) for n in range(8, 16)}}


def caf(
    file: BinaryIO, start: int, stop: int
) -> tuple[int, int, tuple[int, int, str], Callable[[int], bytes], bool] | None:
    """Place and stated length of the samples of a CAF with linear PCM; None = another coding, or chunks follow."""
    at, desc, extent = start + 8, b"", 0
    for _ in range(1000):
        file.seek(at)
        head = file.read(12)
        if len(head) < 12:
            return None
        name, extent = struct.unpack(">4sq", head)
        if name == b"data":
            break
        if extent < 0:
            return None
        desc = file.read(32) if name == b"desc" else desc
        at += 12 + extent
    else:
        return None
    if len(desc) < 32 or desc[8:12] != b"lpcm":
        return None
    flags, frame, _, channels, bits = struct.unpack(">IIIII", desc[12:32])
    order, kind = "<" if flags & 2 else ">", "f" if flags & 1 else "i"
    sample = {8: "i1", 24: "i3" if order == "<" else "I3"}.get(bits, f"{order}{kind}{bits // 8}")
    stated = -1 if extent < 0 else max(extent - 4, 0)
    if stated >= 0 and _chunk_follows(file, at + 16 + stated, stop):
        return None

    def header(count: int) -> bytes:
        chunk = b"desc" + struct.pack(">q", 32) + desc + b"data" + struct.pack(">qI", count + 4, 0)
        return b"caff\0\1\0\0" + chunk

    return (at + 16, stated, (frame, channels, sample), header, True) if frame and channels else None


def _chunk_follows(file: BinaryIO, at: int, stop: int) -> bool:
    file.seek(at)
    head = file.read(12)
    if len(head) < 12:
        return False
    name, length = struct.unpack(">4sq", head)
    return all(32 <= byte < 127 for byte in name) and 0 <= length <= stop - at - 12


def flac_header(file: BinaryIO, start: int, stop: int) -> tuple[int, bytes] | None:
    """Stated samples of a FLAC, and its first 26 bytes with the true number; None where the header is right."""
    file.seek(start)
    head = file.read(42)
    if len(head) < 42 or head[:4] != b"fLaC" or head[4] & 0x7F:
        return None
    stated = int.from_bytes(head[21:26], "big") & 0xF_FFFF_FFFF
    (block,) = struct.unpack(">H", head[8:10])
    file.seek(max(stop - _TAIL, start + 42))
    tail = file.read(stop - max(stop - _TAIL, start + 42))
    place = tail.rfind(b"\xff")
    while place >= 0:
        if (end := _end_of_frame(tail[place : place + 16], block)) > 0:
            if not stated or end <= stated:
                return None
            return stated, head[:21] + bytes([head[21] & 0xF0 | end >> 32]) + (end & 0xFFFF_FFFF).to_bytes(4, "big")
        place = tail.rfind(b"\xff", 0, place)
    return None


def _end_of_frame(head: bytes, block: int) -> int:
    """Position behind the frame whose header these bytes begin with; 0 = none."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1 or head[2] >> 4 == 0 or head[2] & 15 == 15:
        return 0
    first = head[4]
    more = 0 if first < 0x80 else next((n for n in range(1, 7) if not first & (0x40 >> n)), 0)
    if first >= 0x80 and (first < 0xC0 or not more or any(byte & 0xC0 != 0x80 for byte in head[5 : 5 + more])):
        return 0
    number = first if not more else first & (0x3F >> more)
    for byte in head[5 : 5 + more]:
        number = number << 6 | byte & 0x3F
    at, code = 5 + more, head[2] >> 4
    size = _BLOCKS.get(code, 0)
    if code in (6, 7):
        size, at = int.from_bytes(head[at : at + code - 5], "big") + 1, at + code - 5
    at += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if len(head) <= at or _crc8(head[:at]) != head[at]:
        return 0
    return number + size if head[1] & 1 else number * block + size


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
    return crc

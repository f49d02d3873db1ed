"""Frames of MPEG audio and ADTS, the table at the start of an MP3, and the tags behind either."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

_HEAD = 4096
_PIECE = 1 << 22
_LONGEST = 1 << 14


def is_mpeg(head: bytes) -> bool:
    """Whether bytes are the header of an MPEG audio frame of layer 1 to 3 (ISO 11172-3, 2.4.1.3)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and layer != 0 and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3


def is_adts(head: bytes) -> bool:
    """Whether bytes are the header of an ADTS frame (ISO 13818-7, 6.2)."""
    return len(head) >= 4 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0 and head[2] >> 2 & 15 < 13


_KBITS = {
    1: (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    4: (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    5: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates: layers 1 to 3 of MPEG 1; layer 1 of MPEG 2, its layers 2 and 3."""


def frame_length(head: bytes) -> int:
    """Bytes of the MPEG or ADTS frame that begins with these seven; 0 = none begins here."""
    if is_adts(head) and len(head) >= 6:
        return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if not is_mpeg(head):
        return 0
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    table = layer if version == 3 else 4 if layer == 1 else 5
    bits = _KBITS[table][head[2] >> 4] * 1000
    rate = (44_100, 48_000, 32_000)[head[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[version]
    padding = head[2] >> 1 & 1
    if layer == 1:
        return (12 * bits // rate + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits // rate + padding


def frames_from(file: BinaryIO, at: int, stop: int, like: bytes) -> Iterator[tuple[int, bytes]]:
    """Frames between two positions of a file, each with the bytes in front of it that are none.

    A frame counts where its header agrees with `like`, and another one or the end follows it.
    """
    file.seek(at)
    left = stop - at
    data, place = b"", 0
    begin = 0
    while True:
        if len(data) - place < _LONGEST and left > 0:
            more = file.read(min(left, _PIECE))
            left = left - len(more) if more else 0
            data, place, begin = data[begin:] + more, place - begin, 0
        if place + 7 > len(data):
            break
        length = frame_length(data[place : place + 7]) if _alike(data[place : place + 4], like) else 0
        end = place + length
        follows = end + 7 > len(data) or (_alike(data[end : end + 4], like) and frame_length(data[end : end + 7]))
        if length > 6 and follows:
            yield place - begin, data[place:end]
            place = begin = end
            continue
        place = data.find(b"\xff", place + 1)
        if place < 0 or place - begin > _PIECE:
            place = len(data) if place < 0 else place
            yield place - begin, b""
            begin = place
    if len(data) > begin:
        yield len(data) - begin, b""


def first_frame(data: bytes) -> int:
    """Position of the first of three frames in a row; -1 = none."""
    place = data.find(b"\xff")
    while place >= 0:
        at = place
        for _ in range(3):
            length = frame_length(data[at : at + 7])
            if length < 7 or not _alike(data[at : at + 4], data[place : place + 4]):
                break
            at += length
        else:
            return place
        place = data.find(b"\xff", place + 1)
    return -1


def _alike(head: bytes, like: bytes) -> bool:
    """Whether two headers have the same version, layer and rate."""
    return len(head) >= 4 and head[0] == 0xFF and head[1] == like[1] and (head[2] ^ like[2]) & 0x0C == 0


def id3_length(head: bytes) -> int:
    """Bytes of the ID3v2 tag that begins with these ten; 0 = none."""
    if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 127:
        return 0
    return 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))


def stated_frames(file: BinaryIO, start: int, stop: int) -> int:
    """Samples that the Xing or Info frame of an MP3 states (LAME's delay and padding taken off); 0 = none, or cut off.

    Where the file has fewer bytes than that frame states, its number says nothing about what is there.
    """
    file.seek(start)
    at = start + id3_length(file.read(10))
    file.seek(at)
    head = file.read(_HEAD)
    place = next((n for n in (head.find(b"Xing"), head.find(b"Info")) if n > 0), -1)
    if place < 13 or len(head) < place + 16:
        return 0
    begin = next((place - n for n in (36, 32, 21, 17, 13) if place >= n and is_mpeg(head[place - n :])), -1)
    if begin < 0:
        return 0
    (flags,) = struct.unpack(">I", head[place + 4 : place + 8])
    if not flags & 1:
        return 0
    frames, size = struct.unpack(">II", head[place + 8 : place + 16])
    if flags & 2 and size > stop - at - begin + 64:
        return 0
    samples = frames * (1152 if head[begin + 1] >> 3 & 3 == 3 else 576)
    lame = place + 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    if head[lame : lame + 4] in (b"LAME", b"Lavf", b"Lavc") and len(head) >= lame + 24:
        both = int.from_bytes(head[lame + 21 : lame + 24], "big")
        samples -= (both >> 12) + (both & 0xFFF)
    return max(int(samples), 0)


def without_tags(file: BinaryIO, start: int, stop: int) -> int:
    """End of the frames: ID3v1, APE and Lyrics tags behind them taken off."""
    for _ in range(4):
        file.seek(max(stop - 128, start))
        tail = file.read(stop - max(stop - 128, start))
        if tail[-128:-125] == b"TAG" and len(tail) == 128:
            stop -= 128
        elif tail[-32:-24] == b"APETAGEX":
            (length,) = struct.unpack("<I", tail[-20:-16])
            stop -= length + (32 if tail[-9] & 0x80 else 0)
        elif tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit():
            stop -= int(tail[-15:-9]) + 15
        else:
            break
    return max(stop, start)


def without_zeros(file: BinaryIO, start: int, stop: int) -> int:
    """End of the bytes that are not zero: a recorder may have reserved more than it wrote."""
    while stop > start:
        begin = max(stop - _PIECE, start)
        file.seek(begin)
        data = file.read(stop - begin).rstrip(b"\0")
        if data:
            return begin + len(data)
        stop = begin
    return stop

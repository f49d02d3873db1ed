"""Frames of MPEG audio and ADTS, the table at the start of an MP3, and the tags behind either."""

import struct
from typing import BinaryIO

_HEAD = 4096


def is_mpeg(head: bytes) -> bool:
    """Whether bytes are the header of an MPEG audio frame of layer 1 to 3 (ISO 11172-3, 2.4.1.3)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and layer != 0 and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3


def is_adts(head: bytes) -> bool:
    """Whether bytes are the header of an ADTS frame (ISO 13818-7, 6.2)."""
    return len(head) >= 4 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0 and head[2] >> 2 & 15 < 13


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

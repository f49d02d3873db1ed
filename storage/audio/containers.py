"""Identification of audio containers by their first bytes, and of files that end before their own structure does.

No extension is read. The length checks are structural (chunks, boxes, counts in the header), so they hold for formats
whose header is exact: WAV, RF64, AIFF, AU, NIST sphere, MP4, Matroska. FLAC and Ogg are counted while they are decoded.
A header may leave the length open (streamed WAV with 0xFFFFFFFF, live WebM): then nothing stated is missing.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from voicemill.storage.errors import AudioError
from voicemill.storage.outcomes import Reason

SLACK = 64
"""Bytes that may be missing at the end: some recorders add the 44-byte header to the length of the data."""

MOST_PARTS = 100_000
"""Chunks or boxes of the top level. A fragmented MP4 of 14 hours has 50,000 pairs of a second; a WAV has ten."""

OPEN = 0x7FFF_0000
"""Smallest 32-bit length that means "unknown when the header was written" (pipes of ffmpeg, sox, arecord)."""


_DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,eac3,flac,flv,loas,matroska,mov,mp3,mpeg,mpegts,nistsphere,ogg,"
    "rm,tak,tta,voc,w64,wav,wv"
)


@dataclass(frozen=True)
class Container:
    """Kind and completeness of an audio file, by its structure."""

    kind: str
    """wav, aiff, au, caf, w64, flac, ogg, sph, mp4, matroska, id3 (a tag, then MP3 or another), or "" = unknown:
    MP3 and AAC without a tag have no magic, only frames that a decoder must find."""
    short: str = ""
    """Message if the file ends before the length its header states, with both lengths; "" = complete."""
    unindexed: bool = False
    """Whether it is an MP4 without `moov`, which a recorder writes last: where its frames lie stands nowhere else."""


def libav_options() -> dict[str, str]:
    """Options of `av.open` for untrusted files: audio demuxers only."""
    return {"format_whitelist": _DEMUXERS}


def identify(path: Path) -> Container:
    """Container of a file, by its structure; reads a few hundred bytes.

    Raises:
        AudioError: TOO_SLOW, it has more parts than any honest file.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        kind = kind_of(head)
        file.seek(0)
        missing = _MEASURES[kind](file, size) if kind in _MEASURES else 0
        unindexed = kind == "mp4" and not any(name == b"moov" for name, *_ in _boxes(file, size))
    short = f"its header asks for {size + missing} bytes, the file has {size}" if missing > SLACK else ""
    return Container(kind, short, unindexed)


def kind_of(head: bytes) -> str:
    """Kind of the container that begins with these bytes (16 or more), "" = unknown."""
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] == b"ftyp":
        return "mp4"
    return next((kind for magic, kind in _MAGICS.items() if head.startswith(magic)), "")


_MAGICS = {
    b"ID3": "id3",
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"NIST_1A": "sph",
    b"\x1aE\xdf\xa3": "matroska",
    b".snd": "au",
    b"caff": "caf",
    b"riff\x2e\x91\xcf\x11": "w64",
}


def _wav(file: BinaryIO, size: int) -> int:
    """Bytes missing after the data chunk of RIFF, RIFX or RF64; without a data chunk, after the whole file."""
    magic, length = struct.unpack("<4s4s", file.read(8))
    order = ">" if magic == b"RIFX" else "<"
    file.seek(12)
    data = 0
    for _ in _parts():
        chunk = file.read(8)
        if len(chunk) < 8:
            break
        name, extent = struct.unpack(order + "4sI", chunk)
        at = file.tell()
        if name == b"ds64" and len(wide := file.read(16)) == 16:
            (data,) = struct.unpack("<8xQ", wide)
        if name == b"data":
            if extent == 0xFFFF_FFFF and data:
                extent = data
            missing = at + extent - size
            return 0 if missing > 0 and extent >= OPEN and not data else missing
        file.seek(at + extent + extent % 2)
    (total,) = struct.unpack(order + "I", length)
    return 0 if total >= OPEN or total + 8 <= size else total + 8 - size + SLACK


def _parts() -> Iterator[int]:
    """Count the parts of a file.

    Raises:
        AudioError: TOO_SLOW, at the one after the last that an honest file has.
    """
    yield from range(MOST_PARTS)
    raise AudioError(Reason.TOO_SLOW, f"over {MOST_PARTS:,} chunks: reading them takes longer than the audio plays")


def _aiff(file: BinaryIO, size: int) -> int:
    file.seek(12)
    for _ in _parts():
        chunk = file.read(8)
        if len(chunk) < 8:
            break
        name, length = struct.unpack(">4sI", chunk)
        if name == b"SSND":
            return int(file.tell() + length - size)
        file.seek(file.tell() + length + length % 2)
    return 0


def _au(file: BinaryIO, size: int) -> int:
    head = file.read(12)
    if len(head) < 12:
        return 0
    _, offset, length = struct.unpack(">4sII", head)
    return 0 if length >= OPEN else int(offset + length - size)


def _sph(file: BinaryIO, size: int) -> int:
    lines = file.read(1024).split(b"\n")
    fields = {parts[0]: parts[2] for line in lines if len(parts := line.split()) == 3}
    try:
        frame = int(fields[b"channel_count"]) * int(fields[b"sample_n_bytes"])
        stated = int(lines[1]) + int(fields[b"sample_count"]) * frame
    except (KeyError, ValueError, IndexError):
        return 0
    return 0 if b"shorten" in fields.get(b"sample_coding", b"") else stated - size


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, position and length of the boxes of the top level of an MP4; the last may be cut off."""
    at = 0
    for _ in _parts():
        if at + 8 > size:
            return
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1 and len(wide := file.read(8)) == 8:
            (length,) = struct.unpack(">Q", wide)
        yield name, at, length
        if length < 8 or not name.isascii():
            return
        at += length


def _mp4(file: BinaryIO, size: int) -> int:
    """Bytes missing after the last box of the top level."""
    missing = -size
    for name, at, length in _boxes(file, size):
        if length < 8 or not name.isascii():
            return 0
        missing = at + length - size
    return missing


def _matroska(file: BinaryIO, size: int) -> int:
    """Bytes missing after the Segment element; 0 where it states no length."""
    if file.read(4) != b"\x1aE\xdf\xa3":
        return 0
    header = _vint(file)
    if header is None or header > size:  # up to 2 ** 56, where no file system can seek
        return 0
    file.seek(header, 1)
    if file.read(4) != b"\x18\x53\x80\x67":
        return 0
    length = _vint(file)
    return 0 if length is None else file.tell() + length - size


def _vint(file: BinaryIO) -> int | None:
    """Read an EBML length (RFC 8794, section 4); None where it is left open."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0xFF >> width)]) + file.read(width - 1), "big")
    return None if value == (1 << 7 * width) - 1 else value


_MEASURES = {"wav": _wav, "aiff": _aiff, "au": _au, "sph": _sph, "mp4": _mp4, "matroska": _matroska}

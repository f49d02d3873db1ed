"""Division of a file into its links: recordings that were joined end to end (`cat a.ogg b.ogg`), and bytes around them.

Decoders read the first link and stop, or take the joint for damage. Each link is found by its own structure, never by a
guess from sound: Ogg by the page that begins a stream (RFC 3533), whose checksums also show damaged pages; FLAC,
Matroska and MP4 by their file header; RIFF by the header behind the end of the one before; MP3 by an ID3 tag or a
Xing/Info frame. Bytes before the first header belong to no link.
Cost: the file is read once more from the page cache, 1.5 GB/s; Ogg 300 MB/s.
"""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from voicemill.storage.audio.containers import kind_of
from voicemill.storage.audio.mpeg import first_frame, id3_length, is_mpeg
from voicemill.storage.audio.ogg import pages

CHUNK = 1 << 20
MOST_LINKS = 10_000
LEADING = 1 << 20
"""Bytes at the start of a file in which its first header is searched."""


@dataclass(frozen=True)
class Link:
    """One recording within a file: bytes [start, stop)."""

    kind: str
    start: int
    stop: int
    damaged: bool = False
    """Whether its own checksums show damage."""
    granule: int = 0
    """Ogg: position behind its last sample, by its pages; 0 = unknown."""
    tail: int = 0
    """Ogg: bytes at its end that are no valid page."""


class Window:
    """Bytes [start, stop) of an open file behind a prefix, as a file of its own, open for reading."""

    def __init__(self, file: BinaryIO, start: int, stop: int, prefix: bytes = b"") -> None:
        self._file, self._start, self._stop, self._prefix = file, start - len(prefix), stop, prefix
        self.name = getattr(file, "name", "")
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """Read bytes."""
        left = max(self._stop - self._start - self._at, 0)
        size = left if size < 0 else min(size, left)
        head = self._prefix[self._at : self._at + size]
        data = head
        if len(head) < size:
            self._file.seek(self._start + self._at + len(head))
            data = head + self._file.read(size - len(head))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._stop - self._start}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        """Position in bytes."""
        return self._at

    def seekable(self) -> bool:
        """Whether it can be moved in: always."""
        return True


def find_links(path: Path, kind: str, start: int = 0) -> list[Link]:
    """The links of a file of this kind, in order; [] where no header is known. `start`: bytes before its first one."""
    size = path.stat().st_size - start
    with path.open("rb") as whole:
        file: Any = Window(whole, start, start + size) if start else whole
        links = _links(file, kind, size)
    return [replace(link, start=link.start + start, stop=link.stop + start) for link in links] if start else links


def _links(file: Any, kind: str, size: int) -> list[Link]:
    if kind == "ogg":
        return list(_ogg(file, size))
    if kind in ("flac", "matroska"):
        return _split(kind, 0, size, _headers(file, kind))
    if kind == "wav":
        return list(_riff(file, size))
    if kind == "mp4":
        return _split(kind, 0, size, _boxes(file, size))
    if kind == "sph":
        return list(_sph(file, size))
    if kind in ("id3", "mp3"):
        return _split(kind, 0, size, _mp3(file))
    return [Link(kind, 0, size)] if kind else []


def find_start(path: Path) -> tuple[str, int]:
    """Kind and position of the first header in a file that does not begin with one; ("", 0) = none."""
    with path.open("rb") as file:
        head = file.read(LEADING)
    for match in _ANY.finditer(head):
        if kind := kind_of(head[match.start() : match.start() + 64]):
            return kind, match.start()
    at = first_frame(head[: 1 << 16])
    return ("mp3" if is_mpeg(head[at : at + 4]) else "adts", at) if at > 0 else ("", 0)


_ANY = re.compile(
    rb"fLaC[\x00\x80]\x00\x00\x22|RIFF....WAVE|RIFX....WAVE|RF64....WAVE|OggS\x00\x02|\x1aE\xdf\xa3|\x00\x00\x00.ftyp"
    rb"|FORM....AIF[FC]|NIST_1A|\.snd|caff\x00\x01|riff\x2e\x91\xcf\x11|ID3[\x02-\x04]\x00",
    re.DOTALL,
)
_HEADERS = {
    "flac": re.compile(rb"fLaC[\x00\x80]\x00\x00\x22"),
    "matroska": re.compile(rb"\x1aE\xdf\xa3.{1,60}?(?:webm|matroska)", re.DOTALL),
    "mp3": re.compile(rb"ID3[\x02-\x04]\x00[\x00-\xf0][\x00-\x7f]{4}|Xing\x00\x00\x00|Info\x00\x00\x00|VBRI\x00"),
}
_FIRST = {"flac": (b"fLaC",), "matroska": (b"\x1aE\xdf\xa3",), "mp3": (b"ID3", b"Xing\0\0\0", b"Info\0\0\0", b"VBRI\0")}
_REACH = 80


def _split(kind: str, start: int, stop: int, starts: Iterator[int] | list[int]) -> list[Link]:
    edges = [start, *(at for at in starts if start < at < stop), stop]
    return [Link(kind, a, b) for a, b in pairwise(edges)][:MOST_LINKS]


def _matches(file: BinaryIO, kind: str) -> Iterator[tuple[int, bytes]]:
    """Positions of the headers of a kind in a file, with the bytes that matched."""
    pattern, words = _HEADERS[kind], _FIRST[kind]
    file.seek(0)
    base, tail = 0, b""
    while block := file.read(CHUNK):
        data = tail + block
        if any(word in data for word in words):
            for match in pattern.finditer(data):
                if match.start() < len(data) - _REACH or len(block) < CHUNK:
                    yield base + match.start(), match.group()
        keep = min(_REACH, len(data))
        base, tail = base + len(data) - keep, data[-keep:]


def _headers(file: BinaryIO, kind: str) -> Iterator[int]:
    return (at for at, _ in _matches(file, kind))


def _mp3(file: BinaryIO) -> Iterator[int]:
    """Positions where another MP3 begins: a tag with frames behind it, or a frame that holds the table of a file."""
    free = 0
    for at, match in list(_matches(file, "mp3")):
        if at < free:
            continue
        if match.startswith(b"ID3"):
            file.seek(at)
            begin, free = at, at + id3_length(file.read(10))
            file.seek(free)
            if not (is_mpeg(file.read(4)) or at == 0):
                continue
            free += 400  # its Xing frame belongs to it
        else:
            file.seek(max(at - 40, 0))
            head = file.read(min(40, at))
            offset = next((n for n in (36, 32, 21, 17, 13) if len(head) >= n and is_mpeg(head[-n:])), 0)
            if not offset:
                continue
            begin = at - offset
        yield begin


def _riff(file: BinaryIO, size: int) -> Iterator[Link]:
    """Links of RIFF files, one behind the other: the next begins where the one before ends by its own header."""
    at = 0
    for _ in range(MOST_LINKS):
        file.seek(at)
        head = file.read(12)
        stop = size
        if len(head) == 12 and head[:4] in (b"RIFF", b"RIFX"):
            (length,) = struct.unpack(">I" if head[:4] == b"RIFX" else "<I", head[4:8])
            for end in (at + 8 + length, at + 8 + length + length % 2):
                file.seek(end)
                if length and end < size and kind_of(file.read(16)) == "wav":
                    stop = end
                    break
        yield Link("wav", at, stop)
        if stop == size:
            return
        at = stop


def _sph(file: BinaryIO, size: int) -> Iterator[Link]:
    """Links of NIST sphere files; each ends behind the samples that its header states, if that much is there."""
    at = 0
    for _ in range(MOST_LINKS):
        file.seek(at)
        lines = file.read(1024).split(b"\n")
        fields = {parts[0]: parts[2] for line in lines if len(parts := line.split()) == 3}
        try:
            frame = int(fields[b"channel_count"]) * int(fields[b"sample_n_bytes"])
            length = int(lines[1]) + int(fields[b"sample_count"]) * frame
        except (KeyError, ValueError, IndexError):
            length = size
        plain = b"," not in fields.get(b"sample_coding", b"")
        stop = min(at + length, size) if plain and length > 0 else size
        yield Link("sph", at, stop)
        file.seek(stop)
        if file.read(8) != b"NIST_1A\n":
            return
        at = stop


def _boxes(file: BinaryIO, size: int) -> list[int]:
    """Positions of the `ftyp` boxes of the top level."""
    at, starts = 0, []
    for _ in range(100_000):
        if at + 8 > size:
            break
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1 and len(wide := file.read(8)) == 8:
            (length,) = struct.unpack(">Q", wide)
        if name == b"ftyp":
            starts.append(at)
        if length < 8:
            break
        at += length
    return starts


def _ogg(file: BinaryIO, size: int) -> Iterator[Link]:
    """Links of an Ogg file: a page that begins a stream, behind pages that do not, begins a link."""
    start, begun, damaged, granule, end = 0, False, False, 0, 0
    for page in pages(file, size):
        if page.first and begun:
            tail = page.at - end if end else 0
            yield Link(kind="ogg", start=start, stop=page.at, damaged=damaged, granule=granule, tail=tail)
            start, begun, damaged, granule, end = page.at, False, False, 0, 0
        begun |= not page.first and not page.bad
        damaged |= page.bad
        granule = max(granule, page.granule)
        end = 0 if page.granule >= 0 else end or page.at
    tail = size - end if end else 0
    yield Link(kind="ogg", start=start, stop=size, damaged=damaged, granule=granule, tail=tail)

"""Containers made to be slow: millions of parts that hold nothing end in a reason, within a bounded time."""

import io
import struct
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from voicemill.storage.audio import budget
from voicemill.storage.audio.reading import measure_seconds, open_audio, read_samples
from voicemill.storage.errors import AudioError
from voicemill.storage.outcomes import Reason

SIZE = 24_000_000
"""Bytes of parts in each file."""
PCM = np.random.default_rng(0).integers(-3000, 3000, 16_000, dtype=np.int16)


def chunk(name: bytes, data: bytes, order: str = "<") -> bytes:
    return name + struct.pack(f"{order}I", len(data)) + data


def wav(parts: bytes, after: bytes = b"", samples: bytes | None = None) -> bytes:
    fmt = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16))
    data = chunk(b"data", PCM.tobytes()) if samples is None else samples
    return b"RIFF" + struct.pack("<I", len(parts) + len(after) + len(data) + 28) + b"WAVE" + fmt + parts + data + after


def aiff(parts: bytes) -> bytes:
    comm = chunk(b"COMM", struct.pack(">hIh", 1, 16_000, 16) + b"\x40\x0c\xfa" + bytes(7), ">")
    body = b"AIFF" + comm + parts + chunk(b"SSND", bytes(8) + PCM.byteswap().tobytes(), ">")
    return b"FORM" + struct.pack(">I", len(body)) + body


def encoded(container: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(PCM[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return file.getvalue()


def mp4(where: str, size: int = SIZE) -> bytes:
    data, free = encoded("mp4", "aac"), b"\0\0\0\x08free" * (size // 8)
    if where == "end":
        return data + free
    if where == "start":
        first = struct.unpack(">I", data[:4])[0]
        return data[:first] + free + data[first:]
    at = data.index(b"moov") - 4
    length = struct.unpack(">I", data[at : at + 4])[0]
    return data[:at] + struct.pack(">I", length + len(free)) + data[at + 4 : at + length] + free + data[at + length :]


def flac() -> bytes:
    data = encoded("flac", "flac")
    return data[:4] + b"\0" + data[5:42] + b"\1\0\0\0" * (SIZE // 4) + b"\x81\0\0\0" + data[data.index(b"\xff\xf8") :]


def matroska() -> bytes:
    data = encoded("matroska", "aac")
    at = data.index(b"\x18\x53\x80\x67")
    return data[: at + 4] + b"\x01" + b"\xff" * 7 + b"\xec\x80" * (SIZE // 2) + data[at + 12 :]


def tagged() -> bytes:
    size = SIZE // 11 * 11
    length = bytes((size >> shift) & 127 for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + length + b"TXXX\0\0\0\1\0\0\0" * (size // 11) + encoded("mp3", "libmp3lame")


SLOW = Reason.TOO_SLOW
FILES: dict[str, tuple[Callable[[], bytes], Reason | None]] = {
    "WAV, chunks before the samples": (lambda: wav(b"JUNK\0\0\0\0" * (SIZE // 8)), SLOW),
    "WAV, chunks after them": (lambda: wav(b"", b"JUNK\0\0\0\0" * (SIZE // 8)), None),
    "WAV, chunks and no samples": (lambda: wav(b"JUNK\0\0\0\0" * (SIZE // 8), samples=b""), SLOW),
    "WAV, a list of empty tags": (lambda: wav(chunk(b"LIST", b"INFO" + b"INAM\0\0\0\0" * (SIZE // 8))), None),
    "AIFF": (lambda: aiff(b"ANNO\0\0\0\0" * (SIZE // 8)), SLOW),
    "MP4, boxes at its start": (lambda: mp4("start"), SLOW),
    "MP4, boxes at its end": (lambda: mp4("end"), SLOW),
    "MP4, boxes in its index": (lambda: mp4("moov"), None),
    "FLAC": (flac, None),
    "Matroska": (matroska, None),
    "MP3 behind a tag of empty frames": (tagged, None),
}
"""Name -> file, and the reason that it ends in; None = it is read in time."""


def outcome(path: Path) -> Reason | None:
    try:
        with open_audio(path) as source:
            assert sum(map(len, read_samples(source))) > 30_000
    except AudioError as error:
        return error.reason
    return None


@pytest.mark.parametrize("name", FILES)
def test_millions_of_empty_parts(tmp_path: Path, name: str) -> None:
    """Each took up to 70 s."""
    make, reason = FILES[name]
    path = tmp_path / "upload.wav"
    path.write_bytes(make())
    began = time.thread_time()
    assert outcome(path) is reason
    assert time.thread_time() - began < 4


@pytest.mark.parametrize("size", [8 * 40_000])
def test_honest_files_of_many_parts_are_read(tmp_path: Path, size: int) -> None:
    """A stream of hours in fragments has tens of thousands of boxes."""
    path = tmp_path / "upload.mp4"
    path.write_bytes(mp4("end", size))
    assert outcome(path) is None


@pytest.mark.parametrize("kind", ["mp4", "aac"])
def test_what_no_count_catches_ends_by_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Boxes deep in an index, and frames that FFmpeg alone walks through: 24 MB take a second, a large file minutes."""
    monkeypatch.setattr(budget, "START", 0.2)
    path = tmp_path / "upload.wav"
    path.write_bytes(mp4("moov") if kind == "mp4" else b"\xff\xf1\x50\x80\x00\xff\xfc" * (SIZE // 7))
    began = time.thread_time()
    assert outcome(path) is SLOW
    assert time.thread_time() - began < 0.6
    with pytest.raises(AudioError) as error:
        measure_seconds(path)
    assert error.value.reason is SLOW


def test_time_between_the_blocks_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "START", 0.2)
    path = tmp_path / "upload.wav"
    path.write_bytes(wav(b""))
    with open_audio(path) as source:
        total = 0
        for block in read_samples(source):
            until = time.thread_time() + 0.5
            while time.thread_time() < until:
                total += 1
            assert len(block)

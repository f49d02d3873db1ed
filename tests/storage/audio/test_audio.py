"""Resampling, regrouping and the structure of containers."""

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import example, given, settings
from hypothesis import strategies as st

from voicemill.storage.audio.containers import SLACK, identify
from voicemill.storage.audio.reading import (
    Wave,
    measure_seconds,
    open_audio,
    read_samples,
    regroup,
    resample,
    resampled_length,
)
from voicemill.storage.audio.signal.chunks import Chunk, checked
from voicemill.storage.errors import AudioError
from voicemill.storage.units import RATE

rates = st.sampled_from([8_000, 11_024, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 7_919])


def noise(samples: int) -> Wave:
    return np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)


def cut(wave: Wave, sizes: list[int]) -> Iterator[Wave]:
    at = 0
    while at < len(wave):
        for size in sizes:
            yield wave[at : at + size]
            at += size


@settings(deadline=None, max_examples=60)
@given(rates, st.integers(0, 30_000), st.lists(st.integers(1, 9_000), min_size=1, max_size=4))
def test_resampling_gives_the_same_samples_for_any_block_size(rate: int, samples: int, sizes: list[int]) -> None:
    wave = noise(samples)
    empty = [np.empty(0, np.float32)]
    whole = np.concatenate([*empty, *resample([wave], rate)])
    parts = np.concatenate([*empty, *resample(cut(wave, sizes), rate)])
    assert whole.tobytes() == parts.tobytes()
    assert len(whole) == resampled_length(samples, rate)
    if samples:
        assert whole.tobytes() == (wave if rate == RATE else soxr.resample(wave, rate, RATE, "HQ")).tobytes()


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(1, 40))
def test_regrouping_keeps_every_sample(sizes: list[int], size: int) -> None:
    blocks = [noise(n) for n in sizes]
    groups = list(regroup(blocks, size))
    assert b"".join(g.tobytes() for g in groups) == b"".join(b.tobytes() for b in blocks)
    assert all(len(group) == size for group in groups[:-1])
    assert all(0 < len(group) <= size for group in groups)


def test_samples_that_are_not_finite_are_lost_and_no_others() -> None:
    data = np.full((100, 2), 0.5, np.float32)
    data[40, 1], data[49, 0] = np.nan, np.inf
    chunks = list(checked(iter([Chunk(RATE, data)])))
    assert [(len(chunk.data), bool(chunk.lost)) for chunk in chunks] == [(40, False), (10, True), (50, False)]
    assert all(np.isfinite(chunk.data).all() for chunk in chunks)


def riff(data: int, present: int) -> bytes:
    fmt = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    return b"RIFF" + struct.pack("<I", 36 + data) + b"WAVE" + fmt + b"data" + struct.pack("<I", data) + bytes(present)


@pytest.mark.parametrize(
    ("data", "kind", "short"),
    [
        (riff(1000, 1000), "wav", False),
        (riff(1000, 1000 - SLACK), "wav", False),
        (riff(1000, 999 - SLACK), "wav", True),
        (riff(0xFFFF_FFFF - 40, 100), "wav", False),
        (b"ID3\x04", "id3", False),
        (b"\xff\xfb\x90\x00", "", False),
        (b"\0\0\0\x18ftypM4A " + bytes(12) + b"\0\0\x10\0mdat", "mp4", True),
        (b"\0\0\0\x18ftypM4A " + bytes(12) + b"\0\0\0\x10mdat" + bytes(8), "mp4", False),
        (b"\x1aE\xdf\xa3\x80\x18S\x80g\x90" + bytes(16), "matroska", False),
        (b"\x1aE\xdf\xa3\x80\x18S\x80g\x41\x00" + bytes(16), "matroska", True),
        (b"\x1aE\xdf\xa3\x80\x18S\x80g\xff" + bytes(16), "matroska", False),
        (b"\x1aE\xdf\xa3\x01\x10" + bytes(6), "matroska", False),  # a header of 2 ** 52 bytes
        (b"", "", False),
        (b"RIFF", "", False),
    ],
)
def test_identify(tmp_path: Path, data: bytes, kind: str, short: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    container = identify(path)
    assert (container.kind, bool(container.short)) == (kind, short)


@settings(deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from(
        [
            b"RIFF\0\0\0\0WAVE",
            b"FORM\0\0\0\0AIFF",
            b"\0\0\0\0ftyp",
            b"\x1aE\xdf\xa3",
            b".snd",
            b"NIST_1A\n",
            b"fLaC",
            b"OggS",
            b"",
        ]
    ),
)
def test_no_bytes_make_identify_raise(tmp_path_factory: pytest.TempPathFactory, tail: bytes, head: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(head + tail)
    identify(path)


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 31_999), st.binary(min_size=1, max_size=60), st.sampled_from(["WAV", "FLAC", "OGG", "NIST", "MP3"])
)
@example(at=33, junk=b"\x009", container="WAV")  # 57 bits a sample
def test_overwritten_bytes_end_in_samples_or_in_an_audio_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, junk: bytes, container: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"junk.{container}"
    soundfile.write(path, noise(16_000), 16_000, format=container)
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at : at + len(junk)] = junk
    path.write_bytes(data)
    with suppress(AudioError), open_audio(path) as source:
        if source.seconds < 100:
            assert sum(len(wave) for wave in read_samples(source)) > 0


def test_packets_are_counted_without_decoding(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(10 * 16_000), 16_000, format="MP3")
    assert measure_seconds(path) == pytest.approx(10, abs=0.2)

"""Damage to files of every container: what is decoded and what is lost add up to what the file holds."""

import io
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from voicemill.storage.audio.reading import open_audio, read_samples
from voicemill.storage.audio.signal.account import Account
from voicemill.storage.errors import AudioError
from voicemill.storage.units import RATE, Seconds

FORMATS = Path(__file__).resolve().parents[4] / "shared" / "speech" / "formats"
RATE_OF_FILE = 16_000
LENGTH: Seconds = 6.0


def voice(seconds: float = LENGTH, seed: int = 0) -> np.ndarray:
    """float32: a buzz under a syllable envelope with some noise, so that codecs have frames of different sizes."""
    t = np.arange(round(seconds * RATE_OF_FILE)) / RATE_OF_FILE
    rng = np.random.default_rng(seed)
    buzz = sum(np.sin(2 * np.pi * (110 + 20 * seed) * k * t) / k for k in range(1, 20))
    envelope = np.clip(0.5 + np.sin(2 * np.pi * 3.1 * t), 0.05, 1)
    return (0.2 * envelope * (buzz + 0.1 * rng.normal(size=len(t)))).astype(np.float32)


def by_soundfile(container: str, subtype: str = "PCM_16") -> Callable[[np.ndarray], bytes]:
    def make(wave: np.ndarray) -> bytes:
        file = io.BytesIO()
        soundfile.write(file, wave, RATE_OF_FILE, format=container, subtype=subtype)
        return file.getvalue()

    return make


def by_libav(container: str, codec: str, rate: int = 48_000) -> Callable[[np.ndarray], bytes]:
    def make(wave: np.ndarray) -> bytes:
        file = io.BytesIO()
        with av.open(file, "w", format=container) as output:
            stream = output.add_stream(codec, rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray((wave * 32767).astype(np.int16)[None], format="s16", layout="mono")
            frame.sample_rate = RATE_OF_FILE
            context = stream.codec_context
            resampler = av.AudioResampler(context.format, "mono", rate, context.frame_size)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                output.mux(stream.encode(part))
            output.mux(stream.encode(None))
        return file.getvalue()

    return make


MAKERS: dict[str, tuple[Callable[[np.ndarray], bytes], Seconds]] = {
    "wav": (by_soundfile("WAV"), 0.001),
    "rf64": (by_soundfile("RF64"), 0.001),
    "w64": (by_soundfile("W64"), 0.001),
    "aiff": (by_soundfile("AIFF"), 0.001),
    "sph": (by_soundfile("NIST"), 0.001),
    "flac": (by_soundfile("FLAC"), 4608 / RATE_OF_FILE),
    "ogg vorbis": (by_soundfile("OGG", "VORBIS"), 0.1),
    "ogg opus": (by_libav("ogg", "libopus"), 0.03),
    "webm": (by_libav("webm", "libopus"), 0.03),
    "mp3": (by_libav("mp3", "libmp3lame", 44_100), 0.06),
    "adts": (by_libav("adts", "aac", 44_100), 0.05),
}
"""Container -> its maker, and the length of a frame in seconds; of MP3 and ADTS, two."""
MAKERS["mp4"] = (by_libav("mp4", "aac", 44_100), 0.05)
JOINED = ("mp4", "wav", "flac", "ogg vorbis", "ogg opus", "webm", "mp3", "adts", "sph")


def read(data: bytes, folder: Path) -> Account:
    """Account of a file of these bytes."""
    path = folder / "upload"
    path.write_bytes(data)
    account = Account()
    with open_audio(path) as source:
        count = sum(len(wave) for wave in read_samples(source, account))
    assert count == account.samples
    assert all(a.stop <= b.start for a, b in zip(account.lost, account.lost[1:], strict=False))
    assert all(0 <= part.start < part.stop <= count for part in account.lost)
    return account


def seconds(account: Account) -> Seconds:
    return account.samples / RATE


def lost(account: Account) -> Seconds:
    return sum(part.stop - part.start for part in account.lost) / RATE


@cache
def file_of(name: str, number: int = 0) -> bytes:
    """File of this container; number 1 is shorter, and of another voice."""
    return MAKERS[name][0](voice(seed=number) if number == 0 else voice(4.0, seed=number))


@pytest.mark.parametrize("name", JOINED)
def test_joined_recordings_are_read_to_the_end(name: str, tmp_path: Path) -> None:
    first, second = file_of(name), file_of(name, 1)
    alone = seconds(read(first, tmp_path)) + seconds(read(second, tmp_path))
    together = read(first + second, tmp_path)
    assert seconds(together) == pytest.approx(alone, abs=MAKERS[name][1])
    assert lost(together) <= MAKERS[name][1]


DAMAGES = ("flip", "zero", "noise", "front", "back")


def damaged(data: bytes, kind: str, seed: int) -> bytes:
    """A file with one kind of damage behind its header, or with foreign bytes around it."""
    rng, size = np.random.default_rng(seed), len(data)
    low, high = max(size // 5, min(9000, size // 2)), size * 9 // 10
    place = int(rng.integers(low, high))
    length = min(int(rng.integers(1, max(size // 20, 2))), high - place)
    if kind == "flip":
        out = bytearray(data)
        for at in rng.integers(low, high, int(rng.integers(1, 12))):
            out[at] ^= int(rng.integers(1, 256))
        return bytes(out)
    junk = rng.bytes(int(rng.integers(20, 3000)))
    if kind in ("front", "back"):
        return junk + data if kind == "front" else data + junk
    return data[:place] + (bytes(length) if kind == "zero" else rng.bytes(length)) + data[place + length :]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(MAKERS.keys() - {"mp4"})), st.sampled_from(DAMAGES), st.integers(0, 10_000))
def test_decoded_and_lost_add_up(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    kind: str,
    seed: int,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = seconds(read(file_of(name), folder))
    account = read(damaged(file_of(name), kind, seed), folder)
    # an MP3 or ADTS has no clock: frames of unequal size are counted by their mean
    doubt = 0.2 * lost(account) if name in ("adts", "mp3") else 0.0
    assert seconds(account) == pytest.approx(whole, abs=MAKERS[name][1] + 0.01 + doubt)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(MAKERS)), st.floats(0, 1), st.floats(0, 1))
def test_bytes_that_are_missing_end_in_samples_or_an_audio_error(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    start: float,
    stop: float,
) -> None:
    data = file_of(name)
    a, b = sorted((round(start * len(data)), round(stop * len(data))))
    with suppress(AudioError):
        assert seconds(read(data[:a] + data[b:], tmp_path_factory.getbasetemp())) <= LENGTH + 0.2


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.skipif(not FORMATS.is_dir(), reason="no ../shared/speech")
@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_to_real_files(kind: str, tmp_path: Path) -> None:
    # an MP4 without its index cannot be read; SHORTEN and ADPCM have no clock
    names = [
        "1320_00000.mp3",
        "8000_test01_20s.wav",
        "LJ001-0001.mp3",
        "chan3.sph",
        "cold_corpus_24bit.wav",
        "de_rhasspy-0004.webm",
        "common_voice_en_22058264.mp3",
        "p001.aac",
        "p001.flac",
        "p001.mp3",
        "p001.ogg",
        "p001.webm",
        "audio_1.opus",
    ]
    wrong = {}
    for name in names:
        data = (FORMATS / name).read_bytes()
        whole = seconds(read(data, tmp_path))
        for seed in range(3):
            account = read(damaged(data, kind, seed), tmp_path)
            doubt = 0.2 * lost(account) if name.endswith((".mp3", ".aac")) else 0.0
            if abs(seconds(account) - whole) > 0.12 + doubt:
                wrong[name, seed] = seconds(account), whole, lost(account)
    assert wrong == {}


@pytest.mark.parametrize("name", ["ogg opus", "ogg vorbis"])
def test_an_ogg_that_ends_within_a_page_lost_what_the_page_states(name: str, tmp_path: Path) -> None:
    data = file_of(name)
    pages = [at for at in range(len(data)) if data.startswith(b"OggS", at)]
    ends = [int.from_bytes(data[at + 6 : at + 14], "little") for at in pages]
    rate = 48_000 if name == "ogg opus" else RATE_OF_FILE
    first = next(number for number, end in enumerate(ends) if end)
    with pytest.raises(AudioError) as caught:
        read(data[: pages[first] + 300], tmp_path)
    assert caught.value.samples == round(ends[first] * RATE / rate)
    account = read(data[: pages[first + 1] + 300], tmp_path)
    skipped = 312 if name == "ogg opus" else 0  # what an encoder puts before the first sample
    assert seconds(account) == pytest.approx((ends[first + 1] - skipped) / rate, abs=0.02)
    assert lost(account) == pytest.approx((ends[first + 1] - ends[first]) / rate, abs=0.02)
    assert account.lost[-1].stop == account.samples


def test_an_mp4_without_its_index_says_so(tmp_path: Path) -> None:
    data = file_of("mp4")
    index = data.index(b"moov") - 4
    for part in (data[:index], data[: index // 2]):
        with pytest.raises(AudioError, match=r"mp4: its index \(moov\) is missing"):
            read(part, tmp_path)


def test_bytes_behind_the_frames_of_an_adts_are_named(tmp_path: Path) -> None:
    data = file_of("adts")
    junk = np.random.default_rng(0).bytes(3000)
    for broken in (data + junk, data[:-3000] + junk):
        (tmp_path / "upload").write_bytes(broken)
        with open_audio(tmp_path / "upload") as source:
            for _ in read_samples(source):
                pass
            assert "bytes at its end hold no frame" in " ".join(note.text for note in source.notes)
    assert seconds(read(data + bytes(300_000), tmp_path)) == seconds(read(data, tmp_path))


@pytest.mark.parametrize("container", ["AU", "AIFF", "CAF"])
@pytest.mark.parametrize("stated", [0, 0.5, 2.0, -1])
def test_wrong_lengths_in_headers_of_au_aiff_and_caf(container: str, stated: float, tmp_path: Path) -> None:
    """All samples that are there are read; a length of more than that is said."""
    wave = voice(3.0)
    file = io.BytesIO()
    soundfile.write(file, wave, RATE_OF_FILE, format=container, subtype="PCM_16")
    data, size = bytearray(file.getvalue()), 2 * len(wave)
    name = {"AU": b".snd", "AIFF": b"SSND", "CAF": b"data"}[container]
    width, more = {"AU": (4, 0), "AIFF": (4, 8), "CAF": (8, 4)}[container]
    place = data.index(name) + (8 if container == "AU" else 4)
    length = -1 if stated < 0 else round(stated * size) + (more if stated else 0)
    data[place : place + width] = length.to_bytes(width, "big", signed=length < 0)
    account = read(bytes(data), tmp_path)
    assert seconds(account) == pytest.approx(3.0, abs=0.001)
    assert lost(account) == 0


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_flac_whose_header_states_a_part(share: float, tmp_path: Path) -> None:
    data = bytearray(file_of("flac"))
    total = int.from_bytes(data[21:26], "big") & 0xF_FFFF_FFFF
    assert total == LENGTH * RATE_OF_FILE
    high = data[21] & 0xF0
    data[21:26] = round(total * share).to_bytes(5, "big")
    data[21] |= high
    assert seconds(read(bytes(data), tmp_path)) == pytest.approx(LENGTH, abs=0.001)

"""The watermark: its effect on the sound, its detection, and no detection without a mark."""

import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from support.signals import Wave, resampled, speechlike, through_mp3

from voicemill.model.audio import watermark
from voicemill.model.audio.watermark import Embedder, Settings, detect, embed
from voicemill.storage.errors import ConfigError
from voicemill.storage.units import RATE

RECORDINGS = Path(__file__).parents[4] / "shared" / "speech" / "recordings"


@pytest.fixture(scope="module")
def speech() -> Wave:
    return speechlike(8, seed=4)


@pytest.fixture(scope="module")
def marked(speech: Wave) -> Wave:
    return embed(speech, 40_001)


# -- embedding


@settings(max_examples=30)
@given(st.integers(0, 9000), st.lists(st.integers(0, 3000), max_size=12), st.integers(0, 2**32 - 1))
def test_a_stream_in_pieces_is_the_whole_bit_for_bit(samples: int, pieces: list[int], seed: int) -> None:
    wave = np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)
    embedder, out, at = Embedder(seed % 65536), [], 0
    for size in [*pieces, samples]:
        out.append(embedder.push(wave[at : at + size]))
        at = min(samples, at + size)
        behind = at - sum(map(len, out))
        assert behind < 1024
    out.append(embedder.finish())
    streamed = np.concatenate(out)
    assert streamed.dtype == np.float32
    assert np.array_equal(streamed, embed(wave, seed % 65536))
    assert len(streamed) == samples


def test_it_lies_under_the_speech(speech: Wave, marked: Wave) -> None:
    """1 dB up or down in the band is an error 18 to 19 dB below each bin; outside the band nothing changes."""
    error = np.abs(np.fft.rfft(marked - speech)) ** 2
    signal = np.abs(np.fft.rfft(speech)) ** 2
    hertz = np.fft.rfftfreq(len(speech), 1 / RATE)
    inside = (hertz > 1100) & (hertz < 6900)
    assert 17 < 10 * math.log10(signal[inside].sum() / error[inside].sum()) < 22
    assert error[(hertz < 800) | (hertz > 7300)].sum() < 1e-4 * error.sum()


def test_silence_stays_silent() -> None:
    wave = np.zeros(20_000, np.float32)
    assert np.array_equal(embed(wave), wave)


def test_without_depth_the_wave_would_come_back(speech: Wave, monkeypatch: pytest.MonkeyPatch) -> None:
    """Analysis and synthesis alone change nothing but rounding."""
    embedder = Embedder(1)
    embedder._gains = np.ones_like(embedder._gains)
    out = np.concatenate([embedder.push(speech), embedder.finish()])
    np.testing.assert_allclose(out, speech, atol=1e-6)


def test_the_same_on_every_machine() -> None:
    """Literal values of the pattern: a change would make published speech undetectable."""
    assert watermark._pattern("voicemill")[:12].tolist() == [1, 1, 1, 1, 1, 1, 1, -1, 1, 1, -1, -1]
    assert watermark._places("voicemill")[:6].tolist() == [4322, 114, 6039, 5607, 3265, 441]
    assert (
        "".join("1" if bit < 0 else "0" for bit in watermark._code()[1])
        == "1101010011011100101110111101000011001001101100110000000000000001"
    )


def test_words_of_the_code_differ_in_24_places() -> None:
    weights = (watermark._code() < 0).sum(1)
    assert np.unique(weights).tolist() == [0, 24, 28, 32, 36, 40, 64]


def test_settings_and_payloads_out_of_range() -> None:
    for payload in (-1, 65536):
        with pytest.raises(ConfigError, match="0 to 65535"):
            embed(np.zeros(9, np.float32), payload)
    for value in (0.0, 7.0, math.nan):
        with pytest.raises(ConfigError, match=r"watermark\.depth"):
            Settings(depth=value)
    for value in (0.0, 1.0):
        with pytest.raises(ConfigError, match=r"watermark\.false_positives"):
            Settings(false_positives=value)


# -- detection


def crop(wave: Wave, seconds: float = 3, at: float = 1.2345) -> Wave:
    return wave[round(at * RATE) : round((at + seconds) * RATE)]


ATTACKS: dict[str, tuple[Callable[[Wave], Wave], int]] = {
    "none": (lambda wave: wave, RATE),
    "16 bits": (lambda wave: np.round(wave * 32767).astype(np.float32) / 32767, RATE),
    "cropped to 3 s": (crop, RATE),
    "cropped elsewhere": (lambda wave: crop(wave, at=4.01), RATE),
    "-6 dB": (lambda wave: wave * 0.5, RATE),
    "-40 dB": (lambda wave: wave * 0.01, RATE),
    "turned over": (lambda wave: -wave, RATE),
    "16 kHz": (lambda wave: resampled(wave, RATE, 16_000), 16_000),
    "48 kHz": (lambda wave: resampled(wave, RATE, 48_000), 48_000),
    "mp3": (through_mp3, RATE),
    "mp3 at 44.1 kHz": (lambda wave: through_mp3(resampled(wave, RATE, 44_100), 44_100), 44_100),
    "noise 30 dB below": (
        lambda wave: wave + np.random.default_rng(1).normal(0, wave.std() / 31.6, len(wave)).astype(np.float32), RATE
    ),
    "mp3, 16 kHz, -6 dB, 3 s": (lambda wave: resampled(crop(through_mp3(wave)), RATE, 16_000) * 0.5, 16_000),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_is_found_with_its_payload_after(attack: str, marked: Wave) -> None:
    change, rate = ATTACKS[attack]
    found = detect(change(marked), rate)
    assert found.present
    assert found.payload == 40_001
    assert found.score > found.threshold


@pytest.mark.parametrize("payload", [0, 1, 0x8000, 0xFFFF, 12_345])
def test_every_payload_comes_back(payload: int, speech: Wave) -> None:
    assert detect(crop(embed(speech, payload)), RATE).payload == payload


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_is_not_found_where_it_is_not(attack: str, speech: Wave) -> None:
    change, rate = ATTACKS[attack]
    found = detect(change(speech), rate)
    assert not found.present
    assert found.payload is None
    assert found.score < found.threshold - 0.5


def test_it_is_not_found_with_another_key(speech: Wave) -> None:
    mine = Settings(key="mine")
    wave = embed(speech, 5, mine)
    assert detect(wave, RATE, mine).payload == 5
    assert not detect(wave, RATE).present


@pytest.mark.parametrize(
    "wave",
    [
        np.zeros(100_000),
        np.ones(100_000),
        np.sin(np.arange(100_000) / 5),
        np.sin(np.arange(100_000) ** 2 / 1e6),
        (np.arange(100_000) % 32_768 == 0).astype(float),  # a click once a period
        np.tile(np.random.default_rng(0).normal(size=32_768), 6),  # noise that repeats with the period
        np.random.default_rng(1).normal(size=100_000),
        np.zeros(0),
        np.ones(3),
    ],
)
def test_it_is_not_found_in(wave: Wave) -> None:
    found = detect(wave.astype(np.float32), RATE)
    assert not found.present
    assert np.isfinite(found.score)
    assert 0 <= found.start <= found.stop <= max(len(wave) / RATE, 0)


def test_a_marked_part_of_a_long_recording_is_found_where_it_is() -> None:
    wave = speechlike(24, seed=9)
    wave[10 * RATE : 15 * RATE] = embed(wave[10 * RATE : 15 * RATE], 999)
    found = detect(wave, RATE)
    assert found.payload == 999
    assert found.start <= 11
    assert found.stop >= 14
    assert found.stop - found.start < 6.2


def test_scores_without_a_mark_keep_to_their_bound() -> None:
    """One position and payload exceed t with a probability of at most exp(-t^2 / 2) over keys; so do 2 million."""
    wave = speechlike(3, seed=1)
    words = watermark._code()[:4096].T
    scores = np.concatenate([(watermark._soft(wave, f"key {i}") @ words).ravel() for i in range(8)])
    assert scores.std() == pytest.approx(1, abs=0.1)
    for t in (1.0, 2.0, 3.0, 4.0):
        assert (scores > t).mean() < math.exp(-t * t / 2)
    assert (scores > 2).mean() > 0.005  # the bound is near: a score that were too small would be a wasted mark


def test_the_threshold_is_that_of_the_settings() -> None:
    wave = speechlike(3)
    for rate in (1e-3, 1e-6, 1e-9):
        found = detect(wave, RATE, Settings(false_positives=rate))
        tried = 64 * 4 * 65536
        assert tried * math.exp(-(found.threshold**2) / 2) == pytest.approx(rate)
    longer = detect(speechlike(12), RATE)
    assert longer.threshold > detect(wave, RATE).threshold  # more windows are tried


@pytest.mark.parametrize("wave", [np.full(9, np.nan), np.full(9, np.inf), np.zeros((2, 9))])
def test_what_cannot_be_searched(wave: Wave) -> None:
    with pytest.raises(ValueError, match="finite mono"):
        detect(wave, RATE)


def recordings(count: int) -> list[Wave]:
    """First 12 s of `count` recordings, spread over the speakers, at 32 kHz."""
    if not RECORDINGS.exists():
        pytest.skip("../shared/speech is not here")
    with (RECORDINGS / "metadata.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if float(row["duration_s"]) >= 4]
    rows = [row for row in rows if int(row["sample_rate"]) >= 16_000]
    waves = []
    for row in rows[:: len(rows) // count][:count]:
        wave, rate = soundfile.read(RECORDINGS / row["file"], dtype="float32", always_2d=True)
        waves.append(resampled(wave.mean(1)[: 12 * rate], rate, RATE))
    return waves


@pytest.mark.slow
@pytest.mark.realdata
def test_real_speech_with_and_without() -> None:
    """A sample; tests/bench/watermark.py measures all recordings."""
    change, rate = ATTACKS["mp3, 16 kHz, -6 dB, 3 s"]
    for number, wave in enumerate(recordings(30)):
        assert not detect(wave, RATE).present
        starts = range(0, len(wave) - 3 * RATE, RATE // 4)
        loud = max(starts, key=lambda a: float(np.square(wave[a : a + 3 * RATE]).sum()))  # not a pause of 3 s
        heard = np.roll(embed(wave, number), round(1.2345 * RATE) - loud)
        assert detect(change(heard), rate).payload == number

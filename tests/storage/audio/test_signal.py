"""Channels, offset, level and clipping of a file: what is chosen, and what comes out."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from voicemill.storage.audio.reading import open_audio, read_samples
from voicemill.storage.audio.signal.account import Account
from voicemill.storage.units import RATE

Wave = NDArray[np.float64]


def voice(seconds: float = 4.0, pitch: float = 120.0) -> Wave:
    """A buzz under a syllable envelope."""
    t = np.arange(round(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * pitch * k * t + k * k) / k for k in range(1, 20))
    return np.asarray(0.15 * np.clip(np.sin(2 * np.pi * 3.1 * t), 0.02, 1) * buzz)


def read(path: Path, data: Wave, subtype: str = "FLOAT") -> tuple[NDArray[np.float32], Account]:
    soundfile.write(path, data, RATE, format="WAV", subtype=subtype)
    account = Account()
    with open_audio(path) as source:
        return np.concatenate(list(read_samples(source, account))), account


V = voice()
HISS = np.random.default_rng(0).normal(0, 0.03, len(V))
DELAYED = np.concatenate([np.zeros(160), V[:-160]])
SILENT = np.zeros(len(V))
CHANNELS = {
    "the same twice": ([V, V], V, ""),
    "opposite phase": ([V, -V], V, "difference"),
    "opposite phase, not as loud": ([V, -0.8 * V], 0.9 * V, "difference"),
    "four whose sum is 0": ([V, -V, 0.5 * V, -0.5 * V], 0.75 * V, "difference"),
    "a delayed copy": ([V, 0.9 * DELAYED], V, "channel 1"),
    "a dead channel": ([SILENT, V], V, "channel 2"),
    "a noise and a voice": ([HISS, V], V, "channel 2"),
    "two people": ([V, voice(pitch=173.0)], (V + voice(pitch=173.0)) / 2, ""),
}


@pytest.mark.parametrize("name", CHANNELS)
def test_channels_become_one(name: str, tmp_path: Path) -> None:
    channels, expected, mix = CHANNELS[name]
    wave, account = read(tmp_path / "many.wav", np.stack(channels, axis=1))
    assert account.treatment is not None
    assert account.treatment.mix.name.startswith(mix)
    assert bool(account.treatment.mix.name) == bool(mix)
    np.testing.assert_allclose(wave, expected, atol=1e-5)


def test_a_long_file_is_read_again_where_its_first_minute_misleads(tmp_path: Path) -> None:
    """The second person speaks after 70 s."""
    quiet, other = np.zeros(70 * RATE), voice(4.0, 173.0)
    left, right = np.concatenate([np.tile(V, 18)[: 70 * RATE], 0 * V]), np.concatenate([quiet, 3 * other])
    path = tmp_path / "long.wav"
    _, account = read(path, np.stack([left, right], axis=1))
    assert account.again
    second = Account(account.best)
    with open_audio(path) as source:
        wave = np.concatenate(list(read_samples(source, second)))
    assert not second.again
    np.testing.assert_allclose(wave[70 * RATE :], 1.5 * other, atol=1e-5)


@pytest.mark.parametrize("offset", [0.01, 0.05, 0.4, -0.4])
def test_an_offset_is_removed_and_nothing_else(offset: float, tmp_path: Path) -> None:
    plain, _ = read(tmp_path / "plain.wav", V)
    wave, account = read(tmp_path / "offset.wav", V + offset)
    assert account.treatment is not None
    assert account.treatment.condition.offset == pytest.approx(offset, abs=1e-3)
    np.testing.assert_allclose(wave, plain, atol=1e-3)
    assert abs(float(wave.mean())) < 1e-5


def test_a_slow_drift_is_removed_in_its_place(tmp_path: Path) -> None:
    drift = 0.2 * np.sin(2 * np.pi * 0.3 * np.arange(len(V)) / RATE)
    wave, account = read(tmp_path / "drift.wav", V + drift)
    assert account.treatment is not None
    assert account.treatment.condition.high_pass
    lag = np.argmax(np.correlate(wave[RATE : 2 * RATE], V[RATE - 64 : 2 * RATE + 64], "valid")[::-1]) - 64
    assert abs(int(lag)) <= 16  # 0.5 ms
    assert np.corrcoef(wave, V)[0, 1] > 0.98


@pytest.mark.parametrize(("level", "scaled"), [(1.0, False), (3e-3, True), (1e-3, True), (0.0, False), (3e4, True)])
def test_very_quiet_and_very_loud_files_are_scaled(level: float, scaled: bool, tmp_path: Path) -> None:
    wave, account = read(tmp_path / "level.wav", V * level)
    assert account.treatment is not None
    assert bool(account.treatment.condition.gain_db) is scaled
    if scaled:
        frames = wave[: len(wave) // 800 * 800].reshape(-1, 800)
        assert 10 * np.log10(np.percentile(np.mean(frames**2, axis=1), 95)) == pytest.approx(-26, abs=0.2)


@pytest.mark.parametrize("limit", [1.0, 0.3, 0.05])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_cut_wave_is_clipped_at_any_level_and_in_any_channel(limit: float, subtype: str, tmp_path: Path) -> None:
    cut = np.clip(V * 8, -1, 1) * limit
    _, mono = read(tmp_path / "mono.wav", cut, subtype)
    _, stereo = read(tmp_path / "stereo.wav", np.stack([cut, V * limit], axis=1), subtype)
    for account in (mono, stereo):
        assert sum(account.clipped.values()) > 0.01 * len(V) / RATE


def test_a_loud_wave_that_is_not_cut_is_not_clipped(tmp_path: Path) -> None:
    for level, subtype in ((5.0, "FLOAT"), (0.99 / np.abs(V).max(), "PCM_16"), (0.5, "PCM_U8"), (0.01, "PCM_16")):
        _, account = read(tmp_path / "loud.wav", V * level, subtype)
        assert sum(account.clipped.values()) < 1e-3 * len(V) / RATE, (level, subtype)

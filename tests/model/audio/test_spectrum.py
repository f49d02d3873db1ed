"""Entropy and bandwidth on signals with known values, and against the resampled definition."""

import librosa
import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import stft

from voicemill.model.audio.spectrum import BANDS, FRAME, _bank, active, bandwidth, entropy, power_of
from voicemill.storage.units import RATE


def bits(wave: np.ndarray) -> float:
    return entropy(active(power_of(wave.astype(np.float32))))


def test_tone_voice_and_white_noise() -> None:
    t = np.arange(3 * RATE) / RATE
    assert bits(np.sin(2 * np.pi * 440 * t)) == pytest.approx(1.5, abs=0.15)
    assert bits(np.random.default_rng(0).normal(size=len(t))) == pytest.approx(5.8, abs=0.05)
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 40))
    assert 2.0 < bits(buzz) < 4.5


def test_the_bank_is_librosas_htk_bank() -> None:
    expected = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=BANDS, htk=True, norm=None)
    np.testing.assert_allclose(_bank().T, expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_no_resampling_is_needed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wide = rng.normal(size=3 * RATE) * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * np.arange(3 * RATE) / RATE))
    wide = np.convolve(wide, np.hanning(rng.integers(3, 9)), "same").astype(np.float32)
    narrow = soxr.resample(wide, RATE, RATE // 2)
    _, _, spectrum = stft(narrow, nperseg=512, noverlap=352, boundary=None, padded=False)
    mel = np.abs(spectrum.T) ** 2 @ _bank()
    level = mel.sum(axis=1)
    mel = mel[level >= np.percentile(level, 95) * 1e-3]
    share = mel / mel.sum(axis=1, keepdims=True)
    assert bits(wide) == pytest.approx(-(share * np.log2(share)).sum(axis=1).mean(), abs=0.05)


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050])
def test_bandwidth_of_what_was_once_sampled_slower(rate: int) -> None:
    low = np.random.default_rng(rate).normal(size=2 * rate).astype(np.float32)
    wave = soxr.resample(low, rate, RATE)
    assert bandwidth(power_of(wave)) == pytest.approx(rate / 2, rel=0.08)
    dither = np.random.default_rng(1).normal(size=len(wave)).astype(np.float32) * 10 ** (-80 / 20)
    assert bandwidth(power_of(wave + dither)) == pytest.approx(rate / 2, rel=0.08)


@given(st.integers(0, 5000), st.floats(0.01, 100), st.integers(0, 9))
def test_scores_are_finite_and_do_not_know_the_level(samples: int, gain: float, seed: int) -> None:
    wave = np.random.default_rng(seed).normal(size=samples).astype(np.float32)
    one, other = power_of(wave), power_of(wave * np.float32(gain))
    assert len(one) == max((samples - FRAME) // 320 + 1, 1)
    assert entropy(active(one)) == pytest.approx(entropy(active(other)), abs=1e-3)
    assert bandwidth(one) == bandwidth(other)
    assert 0.0 <= entropy(one) <= np.log2(BANDS)


def test_silence_has_no_entropy_and_no_band() -> None:
    power = power_of(np.zeros(RATE, np.float32))
    assert entropy(active(power)) == 0.0
    assert bandwidth(power) == 0.0

"""The gate against noisereduce, signals that it leaves unchanged, and the SNR of known mixtures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from noisereduce.spectralgate.stationary import SpectralGateStationary
from scipy.signal import butter, sosfiltfilt

from voicemill.model.audio.noise_gate import BINS, CONTEXT, FRAME, HOP, frames_of, gate, learn, smooth, snr_db
from voicemill.storage.units import RATE


def tones(seconds: float, seed: int = 0) -> np.ndarray:
    """Syllables: harmonic tones of changing pitch, on for 200 ms and off for 100 ms."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    wave = np.zeros_like(t)
    for start in np.arange(0.0, seconds, 0.3):
        on = (t >= start) & (t < start + 0.2)
        f0 = rng.uniform(90, 250)
        for harmonic in range(1, 25):
            wave[on] += np.sin(2 * np.pi * f0 * harmonic * t[on]) / harmonic**1.3
    return (0.1 * wave).astype(np.float32)


def noise(seconds: float, level: float, seed: int = 1) -> np.ndarray:
    return (level * np.random.default_rng(seed).normal(size=round(seconds * RATE))).astype(np.float32)


@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_parity_with_noisereduce(strength: float) -> None:
    wave, heard = tones(3.0) + noise(3.0, 0.01), noise(2.0, 0.01, seed=2)
    # its padding, with the 512 zeros that scipy puts before, a multiple of the hop: the same grid of frames
    library = SpectralGateStationary(
        y=wave, sr=RATE, y_noise=heard, n_std_thresh_stationary=1.5, chunk_size=600_000, clip_noise_stationary=True,
        padding=30_208, n_fft=FRAME, win_length=None, hop_length=HOP, time_constant_s=2.0, freq_mask_smooth_hz=500,
        time_mask_smooth_ms=50, tmp_folder=None, prop_decrease=strength, use_tqdm=False, n_jobs=1,
    )  # fmt: skip
    ours = gate(wave, (10 ** (library.noise_thresh / 10)).astype(np.float32), strength)
    band = butter(8, [400, 15_500], "band", fs=RATE, output="sos")
    a, b = (sosfiltfilt(band, x.astype(np.float64))[2 * FRAME : -2 * FRAME] for x in (ours, library.get_traces()))
    assert 10 * np.log10(np.sum((a - b) ** 2) / np.sum(b**2)) < -90
    profile = learn(frames_of(heard), 1.5)
    assert profile is not None
    # without the two half frames at the ends that scipy fills up with zeros
    np.testing.assert_allclose(10 * np.log10(profile.threshold), library.noise_thresh, atol=0.7)


@given(st.integers(1, 9000), st.integers(0, 99))
def test_an_open_mask_changes_nothing_not_even_at_the_edges(samples: int, seed: int) -> None:
    wave = noise(samples / RATE, 0.3, seed)[:samples]
    out = gate(wave, np.full(BINS, -1.0, np.float32))
    assert len(out) == samples
    np.testing.assert_allclose(out, wave, atol=2e-6)


def test_a_closed_mask_leaves_what_the_strength_leaves() -> None:
    wave = noise(1.0, 0.1)
    closed = np.full(BINS, 1e9, np.float32)
    assert np.abs(gate(wave, closed)).max() == 0.0
    np.testing.assert_allclose(gate(wave, closed, 0.75), 0.25 * wave, atol=1e-6)


def test_smoothing_is_the_product_of_two_triangles() -> None:
    mask = np.zeros((31, 41), bool)
    mask[15, 20] = True
    rows, columns = np.clip(7 - np.abs(np.arange(31) - 15), 0, None), np.clip(9 - np.abs(np.arange(41) - 20), 0, None)
    np.testing.assert_allclose(smooth(mask), np.outer(rows, columns) / 49 / 81, rtol=1e-6)
    np.testing.assert_allclose(smooth(np.ones((31, 41), bool)), 1.0, rtol=1e-6)


def test_context_is_enough() -> None:
    wave = tones(2.0) + noise(2.0, 0.02)
    profile = learn(frames_of(noise(1.0, 0.02, seed=5)), 1.5)
    assert profile is not None
    start, stop = 32 * HOP, 200 * HOP
    inner = gate(wave[start - CONTEXT : stop + CONTEXT], profile.threshold)[CONTEXT:-CONTEXT]
    np.testing.assert_allclose(inner, gate(wave, profile.threshold)[start:stop], atol=1e-6)


@pytest.mark.parametrize("target", [0.0, 5.0, 10.0, 20.0, 30.0, 40.0])
def test_snr_of_known_mixtures(target: float) -> None:
    speech = tones(4.0)
    level = np.sqrt(np.mean(speech**2) / 10 ** (target / 10))
    profile = learn(frames_of(noise(1.0, level, seed=3)), 1.5)
    mixed = speech + noise(4.0, level)
    assert snr_db(mixed, profile) == pytest.approx(target, abs=0.5)
    assert snr_db(mixed + np.float32(0.2), profile) == pytest.approx(target, abs=0.5)  # DC is not signal


def test_digital_silence_is_no_noise() -> None:
    assert learn(frames_of(np.zeros(RATE, np.float32)), 1.5) is None
    assert learn(frames_of(np.zeros(10, np.float32)), 1.5) is None
    assert snr_db(tones(1.0), None) == 100.0
    heard = np.concatenate([np.zeros(RATE, np.float32), noise(1.0, 0.01)])
    profile = learn(frames_of(heard), 1.5)
    assert profile is not None
    assert profile.power == pytest.approx(1e-4, rel=0.1)

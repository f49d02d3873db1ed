"""The meter against EBU Tech 3341 and against pyloudnorm; the true peak against interpolating everything."""

import math

import numpy as np
import pyloudnorm
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import resample_poly

from voicemill.model.audio.loudness_meter import BLOCK, FLOOR, Meter, gated_loudness, true_peak, true_peak_db
from voicemill.storage.units import RATE

# EBU Tech 3341, table 1, cases 1 to 5: (dBFS, seconds) of a stereo 1 kHz sine, in phase, and the expected LUFS.
# Case 6 needs five channels; 7 and 8 are programmes that cannot be synthesised.
EBU_LOUDNESS = {
    1: ([(-23.0, 20.0)], -23.0),
    2: ([(-33.0, 20.0)], -33.0),
    3: ([(-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0)], -23.0),
    4: ([(-72.0, 10.0), (-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0), (-72.0, 10.0)], -23.0),
    5: ([(-26.0, 20.0), (-20.0, 20.1), (-26.0, 20.0)], -23.0),
}
# cases 15 to 19: rate / frequency, phase in degrees, amplitude, expected dBTP; tolerance +0.2 / -0.4 dB
EBU_PEAK = {
    15: (4, 0.0, 0.50, -6.0),
    16: (4, 45.0, 0.50, -6.0),
    17: (6, 60.0, 0.50, -6.0),
    18: (8, 67.5, 0.50, -6.0),
    19: (4, 45.0, 1.41, 3.0),
}


def sines(parts: list[tuple[float, float]]) -> np.ndarray:
    """1 kHz at each level for its duration, with continuous phase."""
    envelope = np.concatenate([np.full(round(s * RATE), 10 ** (db / 20)) for db, s in parts])
    return envelope * np.sin(2 * np.pi * 1000 * np.arange(len(envelope)) / RATE)


def measure(wave: np.ndarray, block: int = 60 * RATE) -> float:
    meter = Meter()
    for start in range(0, len(wave), block):
        meter.push(wave[start : start + block].astype(np.float32))
    return meter.integrated()


@pytest.mark.parametrize("case", EBU_LOUDNESS)
def test_ebu_tech_3341_loudness(case: int) -> None:
    parts, expected = EBU_LOUDNESS[case]
    # the same sine in two channels is 3.01 dB louder than in one: the mono signal of equal loudness is sqrt(2) larger
    assert measure(math.sqrt(2) * sines(parts)) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("case", EBU_PEAK)
def test_ebu_tech_3341_true_peak(case: int) -> None:
    divisor, phase, amplitude, expected = EBU_PEAK[case]
    t = np.arange(RATE)
    wave = amplitude * np.sin(2 * np.pi * t / divisor + np.deg2rad(phase))
    ramp = np.clip(np.minimum(t, t[::-1]) / (0.1 * RATE), 0.0, 1.0)  # an abrupt start really does overshoot
    assert expected - 0.4 <= true_peak_db((wave * ramp).astype(np.float32)) <= expected + 0.2


def speechlike(seconds: float, seed: int) -> np.ndarray:
    """Noise under a slow, deep envelope: some blocks pass the gates and some do not."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    knots = rng.uniform(-80, -10, max(int(seconds * 2), 2))
    envelope = 10 ** (np.interp(np.linspace(0, len(knots) - 1, n), np.arange(len(knots)), knots) / 20)
    return (envelope * np.cumsum(rng.normal(size=n)) * 0.05).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.4, 0.4499, 0.4501, 1.0, 3.337, 20.03, 20.07, 65.0])
def test_parity_with_pyloudnorm(seconds: float) -> None:
    for seed in range(4):
        wave = speechlike(seconds, seed)
        expected = pyloudnorm.Meter(RATE).integrated_loudness(wave.astype(np.float64))
        assert measure(wave) == pytest.approx(max(expected, FLOOR), abs=0.01)


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=12), st.integers(0, 99))
def test_block_borders_do_not_matter(lengths: list[int], seed: int) -> None:
    wave = speechlike(sum(lengths) / RATE, seed)
    whole, parts = Meter(), Meter()
    whole.push(wave)
    for start, length in zip(np.cumsum([0, *lengths]), lengths, strict=False):
        parts.push(wave[start : start + length])
    np.testing.assert_allclose(parts.steps, whole.steps, rtol=1e-9, atol=1e-18)


def test_silence_and_too_little_have_a_finite_measure() -> None:
    assert measure(np.zeros(5 * RATE)) == FLOOR
    assert measure(np.zeros(0)) == FLOOR
    assert gated_loudness(np.empty(0)) == FLOOR
    assert true_peak_db(np.zeros(100, np.float32)) == FLOOR
    assert true_peak_db(np.zeros(0, np.float32)) == FLOOR
    short = measure(sines([(-23.0, 0.3)]))
    assert short == pytest.approx(measure(sines([(-23.0, 5.0)])), abs=0.5)
    assert round(0.4 * RATE) == BLOCK


@given(st.integers(1, 3000), st.integers(0, 999), st.sampled_from([0.0, 0.7, 0.97]))
def test_the_search_for_the_true_peak_misses_nothing(samples: int, seed: int, smooth: float) -> None:
    rng = np.random.default_rng(seed)
    wave = rng.normal(size=samples) * np.exp(rng.normal(size=samples))
    for n in range(1, samples):
        wave[n] += smooth * wave[n - 1]
    wave = wave.astype(np.float32)
    padded = np.concatenate([np.zeros(12), wave.astype(np.float64), np.zeros(12)])
    at = np.arange(-11, 13)[:, None] - np.array([0.0, 0.25, 0.5, 0.75])
    taps = np.sinc(at) * np.i0(6.0 * np.sqrt(1 - (at / 12) ** 2))
    taps /= taps.sum(axis=0)
    everything = np.lib.stride_tricks.sliding_window_view(padded, 24) @ taps
    # interpolated values before the first sample are not looked at: their block has no sample of the signal
    assert true_peak(wave) == pytest.approx(np.abs(everything[1:]).max(), rel=1e-5)


def test_true_peak_agrees_with_another_interpolator() -> None:
    rng = np.random.default_rng(3)
    wave = resample_poly(rng.normal(size=RATE // 2), 2, 1).astype(np.float32)
    reference = np.abs(resample_poly(wave.astype(np.float64), 16, 1)).max()
    assert 20 * math.log10(true_peak(wave) / reference) == pytest.approx(0.0, abs=0.2)

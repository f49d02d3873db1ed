"""The log-mel against golden tensors, against a second implementation, and its gradients."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voicemill.model.audio.mel import BANDS, FLOOR, HOP, N_FFT, PAD, LogMel

GOLD = Path(__file__).parents[4] / "shared" / "gptsovits" / "s2_features_gold.npz"


def golden_wave() -> NDArray[np.float32]:
    """Input of the golden tensors, float32 [1, 8000]."""
    seed = zlib.crc32(b"in.feat.wav")
    return (np.random.RandomState(seed).standard_normal((1, 8000)) * 0.1).astype(np.float32)


def reference(wave: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spectrogram [1025, frames] and log-mel [128, frames] of one wave, in float64, frame by frame."""
    x = np.pad(wave.astype(np.float64), PAD, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    frames = [np.fft.rfft(x[i * HOP : i * HOP + N_FFT] * window) for i in range(len(wave) // HOP)]
    spec = np.sqrt(np.abs(np.array(frames).T) ** 2 + 1e-8)
    return spec, np.log(np.maximum(slaney(16_000) @ spec, FLOOR))


def slaney(top: float) -> NDArray[np.float64]:
    """Slaney's bands (linear below 1 kHz, logarithmic above), each of unit area: float64 [128, 1025]."""

    def to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))

    edges = to_hz(np.linspace(0, 15 + 27 * np.log(top / 1000) / np.log(6.4), BANDS + 2))
    bins = np.linspace(0, top, N_FFT // 2 + 1)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def test_golden_tensors() -> None:
    if not GOLD.exists():
        pytest.skip("../shared/gptsovits is not here; the tests below check the same rule")
    gold, compute, wave = np.load(GOLD), LogMel(), torch.from_numpy(golden_wave())
    spec = compute.spectrogram(wave)
    np.testing.assert_allclose(spec.numpy(), gold["spec"], atol=2e-5)
    np.testing.assert_allclose(compute.mel(wave).numpy(), gold["mel_direct"], atol=1e-5)
    np.testing.assert_allclose(compute.from_spectrogram(spec).numpy(), gold["mel"], atol=1e-5)


def test_literal_values_of_the_golden_input() -> None:
    compute, wave = LogMel(), torch.from_numpy(golden_wave())
    assert compute.spectrogram(wave)[0, 0, :3].tolist() == pytest.approx([2.1585438, 2.8428726, 2.4281178], abs=2e-5)
    assert compute.mel(wave)[0, 0, :3].tolist() == pytest.approx([-2.7025156, -2.657262, -2.15513], abs=1e-5)


def test_second_implementation() -> None:
    wave = golden_wave()[0]
    spec, mel = reference(wave)
    compute = LogMel()
    np.testing.assert_allclose(compute.spectrogram(torch.from_numpy(wave)[None])[0].numpy(), spec, atol=2e-5)
    np.testing.assert_allclose(compute.frames(wave), mel.T, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(PAD + 1, 90_000), st.integers(0, 2**32 - 1))
def test_frames_are_mel_whatever_the_length(samples: int, seed: int) -> None:
    wave = np.random.default_rng(seed).standard_normal(samples).astype(np.float32)
    compute = LogMel()
    frames = compute.frames(wave)
    assert frames.shape == (samples // HOP, BANDS)
    assert frames.dtype == np.float32
    np.testing.assert_allclose(frames.T, compute.mel(torch.from_numpy(wave)[None])[0].numpy(), atol=1e-4)


def test_a_batch_is_its_rows() -> None:
    waves = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 20_000)).astype(np.float32))
    compute = LogMel()
    rows = torch.cat([compute.mel(wave[None]) for wave in waves])
    torch.testing.assert_close(compute.mel(waves), rows, atol=1e-5, rtol=0)


def test_gradients() -> None:
    wave = torch.from_numpy(golden_wave()).double()[:, :3000].requires_grad_()
    compute = LogMel().double()
    loss = compute.mel(wave).square().sum()
    (slope,) = torch.autograd.grad(loss, wave)
    step = torch.zeros_like(wave)
    step[0, 1234] = 1e-6
    with torch.no_grad():
        rise = compute.mel(wave + step).square().sum() - compute.mel(wave - step).square().sum()
    assert rise.item() / 2e-6 == pytest.approx(slope[0, 1234].item(), rel=1e-4)


def test_silence_is_finite_with_finite_gradients() -> None:
    wave = torch.zeros(1, 4000, requires_grad=True)
    mel = LogMel().mel(wave)
    mel.sum().backward()
    assert torch.isfinite(mel).all()
    assert torch.isfinite(wave.grad).all()


def test_too_short_a_wave_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 705 samples"):
        LogMel().mel(torch.zeros(1, PAD))

"""The stationary spectral gate: what stands out of the noise's own spectrum passes, the rest is taken out.

The method is that of `noisereduce` (Sainburg, Thielk and Gentner, 2020, stationary mode): for every frequency the mean
of the noise's level in dB plus `deviations` standard deviations is the threshold; a mask of what lies above it is
smoothed by triangles over 500 Hz and 50 ms and multiplied with the STFT (1024/256 at 32 kHz, Hann).

The arithmetic is ours, for speed (1,100 times real time where the library has 150): float32, powers instead of dB, the
mask smoothed in whole numbers, the profile taken once. Equal to `noisereduce.reduce_noise` from 400 Hz to 15.5 kHz, to
-100 dB. Outside of that it differs on purpose: at both edges of the spectrum the library's smoothing averages with
zeros from beyond, and so takes up to 5 dB off 0-250 Hz, where the fundamental of a voice lies, even where the mask is
open; here the average is over the bins that exist.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Decibels, Samples

FRAME: Samples = 1024
"""32 ms."""
HOP: Samples = FRAME // 4
BINS = FRAME // 2 + 1
CONTEXT: Samples = 10 * HOP
"""Samples on either side that a gated sample depends on: the frame it is in, and six more by the smoothing in time."""
SNR_RANGE: tuple[Decibels, Decibels] = (-20.0, 100.0)
"""Estimates are kept within: no noise at all would be infinite."""
_SMOOTH_BINS = int(500 / (RATE / (FRAME / 2)))
_SMOOTH_FRAMES = int(0.050 * RATE / HOP)
_TOP_DB = 80.0
_SILENT = 10.0 ** (-90.0 / 10.0)
"""Mean square under which a frame is digital silence or its dither: it says nothing about the room's noise."""


@dataclass(frozen=True)
class Noise:
    """Noise profile of one upload."""

    threshold: NDArray[np.float32]
    """float32 [513], power of the windowed and scaled STFT above which a bin is signal."""
    power: float
    """Mean square of the noise, DC taken out."""
    frames: int
    """Number of frames that it was learnt from, 256 samples apart."""


def frames_of(wave: Wave) -> Any:
    """float32 [frames, 1024] of a signal, every 256 samples, whole frames only; a view."""
    if len(wave) < FRAME:
        return np.empty((0, FRAME), np.float32)
    return np.lib.stride_tricks.sliding_window_view(wave, FRAME)[::HOP]


def sounding(frames: Any) -> Any:
    """The frames that are more than digital silence or its dither."""
    return frames[powers(frames) > _SILENT]


def powers(frames: Any) -> NDArray[np.float32]:
    """Mean square of each frame, DC taken out: float32 [frames]."""
    means = frames.mean(axis=1)
    out: NDArray[np.float32] = np.einsum("ij,ij->i", frames, frames) / np.float32(FRAME) - means * means
    return np.maximum(out, np.float32(0.0))


def learn(frames: Any, deviations: float) -> Noise | None:
    """The profile of noise frames, float32 [frames, 1024]; None if fewer than 8 are more than digital silence.

    Its power is the mean without the loudest tenth of the frames; where that is 6 dB over the mean of the quieter half,
    the pauses hold something else than the room, as words that the detector missed, and the quieter half counts.
    """
    frames = sounding(frames)
    if len(frames) < 8:
        return None
    power = np.sort(powers(frames))
    spectrum = _spectrum(frames)
    level = 10.0 * np.log10(np.maximum(_power(spectrum), 1e-30))
    level = np.maximum(level, level.max(axis=0) - _TOP_DB)
    threshold = level.mean(axis=0) + deviations * level.std(axis=0)
    steady = float(power[: (len(power) + 1) // 2].mean(dtype=np.float64))
    most = float(power[: len(power) * 9 // 10].mean(dtype=np.float64))
    chosen = most if most < 4.0 * steady else steady
    return Noise((10.0 ** (threshold / 10.0)).astype(np.float32), chosen, len(power))


def snr_db(wave: Wave, noise: Noise | None) -> Decibels:
    """Signal-to-noise ratio of a signal, float32 [samples], against a known noise; within `SNR_RANGE`.

    10 log10((P - N) / N): P the mean square of the signal, N that of the noise. Without a noise: the upper end.
    """
    least, most = SNR_RANGE
    if noise is None or len(wave) < FRAME:
        return most
    whole = wave[: len(wave) // FRAME * FRAME].reshape(-1, FRAME)
    signal = float(powers(whole).mean(dtype=np.float64)) - noise.power
    ratio = max(signal / noise.power, 10.0 ** (least / 10.0))
    return float(min(10.0 * np.log10(ratio), most))


def gate(wave: Wave, threshold: NDArray[np.float32], strength: float = 1.0) -> Wave:
    """float32 [samples] with the noise taken out, of the same length; `strength` 0..1 is the share taken out."""
    if len(wave) == 0:
        return wave
    samples = len(wave)
    padded = np.zeros(FRAME + -(-samples // HOP) * HOP + FRAME, np.float32)
    padded[FRAME : FRAME + samples] = wave
    spectrum = _spectrum(frames_of(padded))
    power = _power(spectrum)
    # noisereduce counts nothing as lower than 80 dB under the loudest frame of its bin
    threshold = np.where(power.max(axis=0) * 10.0 ** (-_TOP_DB / 10.0) > threshold, np.float32(-1.0), threshold)
    mask = smooth(power > threshold)
    if strength < 1.0:
        mask = mask * np.float32(strength) + np.float32(1.0 - strength)
    spectrum *= mask
    return _overlap_add(spectrum)[FRAME : FRAME + samples]


def smooth(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Average a mask [frames, bins] with triangles over 500 Hz and 50 ms; float32 0..1.

    A triangle is a box twice, and the sums of a mask are whole numbers under 2**15: exact and cheap.
    """
    counts = _box_twice(mask.astype(np.int16), _SMOOTH_FRAMES, axis=0)
    counts = _box_twice(counts, _SMOOTH_BINS, axis=1)
    return counts * (_weights(mask.shape[0], _SMOOTH_FRAMES)[:, None] * _weights(mask.shape[1], _SMOOTH_BINS))


def _box_twice(a: NDArray[np.int16], reach: int, axis: int) -> NDArray[np.int16]:
    shape = list(a.shape)
    shape[axis] += 2 * reach
    padded = np.zeros(shape, np.int16)
    at: list[slice] = [slice(None), slice(None)]
    at[axis] = slice(reach, reach + a.shape[axis])
    padded[tuple(at)] = a
    for _ in range(2):
        length = padded.shape[axis] - reach
        total = None
        for shift in range(reach + 1):
            at[axis] = slice(shift, shift + length)
            total = padded[tuple(at)].copy() if total is None else np.add(total, padded[tuple(at)], out=total)
        padded = total  # type: ignore[assignment]
    return padded


@lru_cache(64)
def _weights(length: int, reach: int) -> NDArray[np.float32]:
    """1 / what a triangle counts along one axis where the mask is open, float32 [length]: less at both edges."""
    return np.float32(1.0) / _box_twice(np.ones((length, 1), np.int16), reach, axis=0)[:, 0].astype(np.float32)


@cache
def _window() -> NDArray[np.float32]:
    """Periodic Hann."""
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)


def _spectrum(frames: Any) -> Any:
    """complex64 [frames, 513], scaled so that a sine of amplitude 1 reads 1/2 (as scipy.signal.stft)."""
    from scipy.fft import rfft

    return rfft(frames * (_window() / np.float32(FRAME / 2)), axis=1)


def _power(spectrum: Any) -> NDArray[np.float32]:
    power: NDArray[np.float32] = spectrum.real**2 + spectrum.imag**2
    return power


def _overlap_add(spectrum: Any) -> Wave:
    """The inverse of `_spectrum` over frames 256 samples apart; the first and last 768 samples are not whole."""
    from scipy.fft import irfft

    # four squared Hann windows a quarter apart add up to 3/2
    frames = irfft(spectrum, n=FRAME, axis=1, overwrite_x=True) * (_window() * np.float32(FRAME / 2 / 1.5))
    quarters = frames.reshape(len(frames), 4, HOP)
    out = np.zeros((len(frames) + 3, HOP), np.float32)
    for quarter in range(4):
        out[quarter : quarter + len(frames)] += quarters[:, quarter]
    return out.reshape(-1)

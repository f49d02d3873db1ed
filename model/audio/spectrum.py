"""Spectral entropy and effective bandwidth of a stretch of audio, from its short-time spectrum.

One power spectrogram, 1024/320 at 32 kHz with a Hann window, serves both. Up to 8 kHz its bins are those of 512/160 at
16 kHz (31.25 Hz apart, windows of 32 ms every 10 ms), so that entropy needs no resampling: on real speech it differs
from the entropy of the resampled signal by 0.002 bits on average, 0.015 at most. Cost: 4,000 times real time.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Bits, Decibels, Hertz, Samples

FRAME: Samples = 1024
HOP: Samples = 320
BANDS = 80
_TOP: Hertz = 8000.0
_BIN: Hertz = RATE / FRAME
_HUM = 5
"""Bins that the fundamental of mains hum reaches, at 50 or 60 Hz and through the window."""
_HUM_SHARE = 0.1
_HUM_REST = 1e-3
"""Share of the power that must be left: else the hum is all that there is."""
_WIDTH = 8
"""Bins (250 Hz) over which the long-term spectrum is averaged."""

Power = NDArray[np.float32]


def power_of(wave: Wave) -> Power:
    """Power of the whole Hann-windowed frames of float32 [samples], 32 kHz: float32 [frames, 513].

    A signal shorter than a frame is filled up with zeros.
    """
    from scipy.fft import rfft

    if len(wave) < FRAME:
        wave = np.concatenate([wave, np.zeros(FRAME - len(wave), np.float32)])
    spectrum = rfft(np.lib.stride_tricks.sliding_window_view(wave, FRAME)[::HOP] * _window(), axis=1)
    return np.asarray(spectrum.real**2 + spectrum.imag**2, np.float32)


def without_hum(power: Power, loud_frames: Power) -> Power:
    """Power of the frames of float32 [frames, 513] without the lowest bins (125 Hz), where a strong hum fills them.

    `loud_frames`: those that are `active`.

    The fundamental of mains hum is the same in every frame, a voice is not: the tenth percentile of a bin over the
    frames is that of the hum. From a tenth of the loud frames' power on it hides the entropy of the voice. Where hardly
    anything else is there, `power` itself is returned, as for all other signals.
    """
    loud = loud_frames.mean(axis=0, dtype=np.float64)
    if not float(np.percentile(power[:, :_HUM], 10, axis=0).sum()) > _HUM_SHARE * float(loud.sum()):
        return power
    cleaned = power.copy()
    cleaned[:, :_HUM] = 0.0
    rest = float(active(cleaned).mean(axis=0, dtype=np.float64).sum())
    return cleaned if rest > _HUM_REST * float(loud.sum()) else power


def active(power: Power, below_db: Decibels = 30.0) -> Power:
    """Frames at most `below_db` below the loud ones (95th percentile of the frames' power up to 8 kHz)."""
    level = power[:, : round(_TOP / _BIN) + 1].sum(axis=1)
    loud: Power = power[level >= np.percentile(level, 95) * 10.0 ** (-below_db / 10.0)]
    return loud


def entropy(power: Power) -> Bits:
    """Mean over the frames of the entropy of the normalised mel power, bits; 80 bands up to 8 kHz.

    0 = all power in one band, log2(80) = 6.32 = equal in each; pure tone 1.5, speech 2.6-4.4, white noise 5.8. Never
    NaN: frames without power count as 0.
    """
    mel = mel_power(power)
    total = mel.sum(axis=1, keepdims=True)
    share = mel / np.maximum(total, np.float32(1e-30))
    bits = np.log2(np.maximum(share, np.float32(1e-12)))
    return float(-np.mean(np.einsum("ij,ij->i", share, bits), dtype=np.float64))


def mel_power(power: Power) -> Power:
    """Power in 80 mel bands up to 8 kHz of float32 [frames, 513]: float32 [frames, 80]."""
    mel: Power = power[:, : _bank().shape[0]] @ _bank()
    return mel


def bandwidth(power: Power, floor_db: Decibels = 65.0) -> Hertz:
    """Highest frequency where the long-term spectrum is less than `floor_db` below its maximum; 0 for silence.

    The spectrum is averaged over frames and 250 Hz. In a recording that was once sampled at 8 kHz it drops by 60 dB
    within 200 Hz above 4 kHz; full-band speech is 20 to 60 dB below its maximum at 7 kHz.
    """
    level = np.convolve(power.mean(axis=0, dtype=np.float64), np.full(_WIDTH, 1.0 / _WIDTH), "same")
    if not level.max() > 0.0:
        return 0.0
    return float(np.flatnonzero(level > level.max() * 10.0 ** (-floor_db / 10.0))[-1] * _BIN)


@cache
def _window() -> Wave:
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)


@cache
def _bank() -> NDArray[np.float32]:
    """Mel filter bank, float32 [257, 80]: triangles of height 1 on the mel scale of O'Shaughnessy (HTK), 0 to 8 kHz."""
    edges = 700.0 * (10.0 ** (np.linspace(0.0, 2595.0 * np.log10(1.0 + _TOP / 700.0), BANDS + 2) / 2595.0) - 1.0)
    at = np.arange(round(_TOP / _BIN) + 1)[:, None] * _BIN
    rising = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    return np.maximum(np.minimum(rising, falling), 0.0).astype(np.float32)

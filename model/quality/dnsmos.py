"""DNSMOS: opinions on speech, background and the whole (ITU-T P.835) and on overall quality (P.808), 1 to 5.

Two convolutional networks of Microsoft (Reddy, Gopal and Cutler 2022), run by onnxruntime on windows of 9.01 s at
16 kHz; a shorter signal is repeated until it fills one. The package `speechmos` averages windows one second apart, and
`windows = 0` gives its numbers to four digits. Its weights are read as data (`voicemill.model.embedded`), its code is
not run. Cost: one window takes 0.4 s, so that all windows of speech cost 25 times real time on one core.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicemill.model.embedded import DNSMOS
from voicemill.storage.corpus.artifacts import Wave

HZ = 16_000
WINDOW = 144_160
"""Samples of one window: 9.01 s."""
_FRAME, _HOP, _BANDS, _TOP_DB = 321, 160, 120, 80.0
_SIG = (-0.08397278, 1.22083953, 0.0052439)
_BAK = (-0.13166888, 1.60915514, -0.39604546)
_OVRL = (-0.06766283, 1.11546468, 0.04602535)
"""Polynomials, highest power first, from a network's output to the scale of the listeners."""


@dataclass(frozen=True)
class Opinions:
    """Mean opinions, about 1 (bad) to 5 (excellent)."""

    sig: float
    """Speech: distortions of the voice."""
    bak: float
    """Background: how little noise intrudes."""
    ovrl: float
    """The whole, P.835."""
    p808: float
    """The whole, P.808, by another network."""


class Dnsmos:
    """Both networks; the result for a signal does not depend on those before it."""

    def __init__(self) -> None:
        """Load the networks. Raises ModelMissing: the wheel is not installed, or a file differs from the pinned one."""
        self._p835 = _session("dnsmos_models/sig_bak_ovr.onnx")
        self._p808 = _session("dnsmos_models/model_v8.onnx")

    def opinions(self, wave: Wave, windows: int = 0) -> Opinions:
        """Opinions on float32 [samples], 16 kHz, -1..1.

        `windows`: the most windows to average, evenly spaced over the signal; 0 = all, one second apart.

        Raises ValueError: the signal is empty.
        """
        if len(wave) == 0:
            raise ValueError("DNSMOS needs a signal, got 0 samples")
        starts = window_starts(len(wave), windows)
        while len(wave) < WINDOW:
            wave = np.concatenate([wave, wave])
        parts = [np.ascontiguousarray(wave[start : start + WINDOW], np.float32) for start in starts]
        raw = np.array([self._p835.run(None, {"input_1": part[None]})[0][0] for part in parts], np.float64)
        mels = [log_mel(part[:-_HOP])[None] for part in parts]
        p808 = np.array([self._p808.run(None, {"input_1": mel})[0][0, 0] for mel in mels], np.float64)
        sig, bak, ovrl = (np.polyval(p, raw[:, n]).mean() for n, p in enumerate((_SIG, _BAK, _OVRL)))
        return Opinions(sig=float(sig), bak=float(bak), ovrl=float(ovrl), p808=float(p808.mean()))


def window_starts(samples: int, windows: int = 0) -> list[int]:
    """First samples of the windows of a signal of `samples`: as the package, or at most `windows` of them."""
    while samples < WINDOW:
        samples *= 2
    seconds = np.arange(int(samples // HZ - WINDOW / HZ) + 1) * HZ
    starts: list[int] = [int(start) for start in seconds if start + WINDOW <= samples]
    if 0 < windows < len(starts):
        places = (np.arange(windows) + 0.5) * len(starts) / windows
        return [starts[int(place)] for place in places]
    return starts


def log_mel(wave: Wave) -> NDArray[np.float32]:
    """Input of the P.808 network for float32 [samples], 16 kHz: float32 [samples // 160 + 1, 120].

    As librosa: frames of 321 samples every 160, centred, zeros around the signal, periodic Hann, power, slaney bands,
    dB under the loudest value down to -80, then (dB + 40) / 40.
    """
    from scipy.fft import rfft

    padded = np.pad(wave, _FRAME // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP]
    spectrum = rfft(frames * _window(), axis=1)
    power = (spectrum.real**2 + spectrum.imag**2) @ _bank()
    decibels = 10.0 * np.log10(np.maximum(power, 1e-10) / max(float(power.max()), 1e-10))
    mel: NDArray[np.float32] = ((np.maximum(decibels, -_TOP_DB) + 40.0) / 40.0).astype(np.float32)
    return mel


@cache
def _window() -> Wave:
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(_FRAME) / _FRAME)).astype(np.float32)


@cache
def _bank() -> NDArray[np.float32]:
    """Weight of each bin in each band, float32 [161, 120]."""
    from librosa.filters import mel

    bank: NDArray[np.float32] = mel(sr=HZ, n_fft=_FRAME, n_mels=_BANDS)
    return np.ascontiguousarray(bank.T)


def _session(name: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(DNSMOS.path(name)), options, providers=["CPUExecutionProvider"])

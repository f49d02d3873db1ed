"""Synthetic signals, and the codecs and resamplers that signals pass through."""

import io

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from voicemill.storage.units import RATE

Wave = NDArray[np.float32]


def speechlike(seconds: float, seed: int = 0, rate: int = RATE) -> Wave:
    """float32 [samples], peak 0.5: a buzz with a wandering pitch and noise through three wandering resonances, in
    syllables with pauses between them, over a floor 60 dB below."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    t = np.arange(n) / rate

    def wander(low: float, high: float, per_second: float) -> NDArray[np.float64]:
        knots = max(2, round(seconds * per_second) + 2)
        return np.interp(t, np.linspace(0, seconds, knots), rng.uniform(low, high, knots))

    phase = np.cumsum(wander(90, 220, 3)) / rate
    buzz = np.diff(np.floor(phase), prepend=0.0)
    source = buzz + 0.05 * rng.normal(size=n)
    voiced = wander(0, 1, 5) > 0.35
    source = np.where(voiced, source, 0.3 * rng.normal(size=n))
    out = np.zeros(n)
    frame, hop = 1024, 512
    window = np.sin(np.pi * (np.arange(frame) + 0.5) / frame)
    bins = np.fft.rfftfreq(frame, 1 / rate)
    centres = [wander(300, 900, 6), wander(900, 2500, 6), wander(2500, 3800, 6)]
    for start in range(0, n - frame, hop):
        shape = sum(1 / (1 + ((bins - c[start]) / w) ** 2) for c, w in zip(centres, (80, 120, 200), strict=True))
        spectrum = np.fft.rfft(source[start : start + frame] * window) * (shape + 0.003)
        out[start : start + frame] += np.fft.irfft(spectrum) * window
    out *= np.clip(wander(-0.3, 1, 4), 0, None)
    out = out / (np.abs(out).max() + 1e-12) + rng.normal(0, 1e-3, n)
    return (0.5 * out / np.abs(out).max()).astype(np.float32)


def through_mp3(wave: Wave, rate: int = RATE, kbit: int = 64) -> Wave:
    """float32 [samples], mono -> the same through LAME at `kbit` kbit/s and back; longer by the encoder's delay."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as file:
        stream = file.add_stream("libmp3lame", rate=rate)
        stream.bit_rate, stream.layout, stream.format = kbit * 1000, "mono", "s16p"
        samples = np.round(np.clip(wave, -1, 1) * 32767).astype(np.int16)
        for start in range(0, len(samples), 1152):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1152], format="s16p", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as file:
        parts = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]
    return np.concatenate(parts).astype(np.float32)


def resampled(wave: Wave, rate: int, to: int) -> Wave:
    """float32 [samples] at `rate` -> the same at `to`, by soxr."""
    result: Wave = soxr.resample(wave, rate, to)
    return result

"""Speech with known faults: noise, music, a room, clipping, a narrow band, made of the recordings in ../shared/speech.

Speakers, noises and music of the training half are never those of the half that the figures are measured on. Recordings
whose licence forbids commercial use are in no training.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

from voicemill.storage.units import RATE

Wave = NDArray[np.float32]
Half = Literal["train", "test"]
SPEECH = Path(__file__).resolve().parents[3] / "shared" / "speech"
TRAIN_SPEAKERS = {
    "aishell_S0150", "ljspeech", "vctk_p225", "vctk_p226", "vctk_p228", "vctk_p230", "vctk_p233", "vctk_p236",
    "arctic_aew", "librivox_es", "mls_13697", "cv_en_a", "ami_meeting", "nst_sv", "sphinx_cards", "librivox_sense",
}  # fmt: skip
"""And every second of the LibriSpeech speakers; all have licences that permit commercial use."""
TRAIN_NOISES = ("noise1", "noise2", "noise3", "friction0", "friction1")
FLOOR_DB = -50.0
"""Only recordings with a noise floor so far under their level count as clean."""


@dataclass(frozen=True)
class Mixture:
    """A clip and what is known of it; NaN = not known."""

    wave: Wave
    """float32 [samples], 32 kHz."""
    snr_db: float = np.nan
    """Speech over everything else; -20 without speech, 60 without anything else."""
    c50_db: float = np.nan
    music_db: float = np.nan
    """Speech over music; inf = no music, -inf = music alone."""
    speech: float = 1.0
    fault: str = ""


def load(path: Path) -> Wave:
    """float32 [samples] of the mean of a file's channels, 32 kHz."""
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = wave.mean(axis=1)
    result: Wave = soxr.resample(mono, rate, RATE) if rate != RATE else mono
    return result


@cache
def listed() -> tuple[dict[str, str], ...]:
    """Rows of the list of recordings."""
    with (SPEECH / "recordings/metadata.csv").open(encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def half_of(speaker: str) -> Half:
    """The half that a speaker belongs to."""
    if speaker.startswith("libri_"):
        names = sorted({row["speaker"] for row in listed() if row["speaker"].startswith("libri_")})
        return "train" if names.index(speaker) % 2 == 0 else "test"
    return "train" if speaker in TRAIN_SPEAKERS else "test"


def recordings(half: Half, clean: bool = True) -> list[dict[str, str]]:
    """Rows of one half; `clean`: those with a low floor that hold one voice and nothing else."""
    rows = [row for row in listed() if half_of(row["speaker"]) == half and row["kind"] not in ("silence", "vad")]
    if clean:
        rows = [
            row
            for row in rows
            if float(row["floor_db"]) - float(row["rms_db"]) < -25.0
            and row["kind"] not in ("conversation",)
            and row["speaker"] not in ("musan_mix", "silero_test", "azure_mix")
            and int(row["sample_rate"]) >= 16_000
        ]
    return rows


@cache
def sounds(half: Half) -> dict[str, Wave]:
    """Everyday noises of one half."""
    files = sorted((SPEECH / "noise").glob("*.flac"))
    return {f.stem: load(f) for f in files if (f.stem in TRAIN_NOISES) == (half == "train") and "guitar" not in f.stem}


def made_noise(samples: int, rng: np.random.Generator) -> Wave:
    """Coloured noise, steady, breathing, in bursts, with hum or with clicks."""
    white = rng.normal(size=samples)
    f = np.maximum(np.fft.rfftfreq(samples, 1 / RATE), 20.0)
    shape = f ** -rng.uniform(0, 1.2)
    if rng.random() < 0.4:  # a resonance
        centre, width = np.exp(rng.uniform(np.log(150), np.log(6000))), rng.uniform(0.1, 1.0)
        shape *= 1 + 8 * np.exp(-((np.log(f / centre) / width) ** 2))
    noise = np.fft.irfft(np.fft.rfft(white) * shape, samples)
    noise /= noise.std() + 1e-9
    kind = rng.integers(0, 5)
    t = np.arange(samples) / RATE
    knots = max(3, int(t[-1] * rng.uniform(0.5, 6)))
    envelope = np.interp(t, np.linspace(0, t[-1], knots), rng.uniform(0, 1, knots) ** 2)
    if kind == 1:
        noise *= 0.1 + envelope
    elif kind == 2:
        noise *= envelope > np.quantile(envelope, rng.uniform(0.3, 0.9))
    elif kind == 3:
        noise += sum(rng.uniform(0, 3) * np.sin(2 * np.pi * rng.choice([50, 60]) * k * t) / k for k in range(1, 6))
    elif kind == 4:
        for at in rng.integers(0, samples, rng.integers(2, 20)):
            length = min(rng.integers(200, 6000), samples - at)
            noise[at : at + length] += rng.uniform(2, 12) * rng.normal(size=length) * np.exp(-np.arange(length) / 800)
    return noise.astype(np.float32)


def room(rng: np.random.Generator) -> tuple[Wave, float]:
    """A made-up room's response and its C50: direct sound, sparse early echoes, a tail that decays by band."""
    t60 = np.exp(rng.uniform(np.log(0.12), np.log(1.6)))
    samples = int(min(t60 * 1.3, 1.8) * RATE)
    t = np.arange(samples) / RATE
    tail = np.zeros(samples)
    for low, high, factor in (
        (60, 500, rng.uniform(0.9, 1.4)),
        (500, 2000, 1.0),
        (2000, 12_000, rng.uniform(0.4, 0.9)),
    ):
        band = sosfilt(butter(2, (low, high), "band", fs=RATE, output="sos"), rng.normal(size=samples))
        tail += band * 10.0 ** (-3 * t / (t60 * factor))
    start = int(rng.uniform(0.001, 0.012) * RATE)
    response = np.zeros(samples)
    response[start:] = tail[: samples - start]
    for _ in range(rng.integers(3, 14)):
        at = int(rng.uniform(0.001, 0.05) * RATE)
        response[at] += rng.choice([-1, 1]) * rng.uniform(0.5, 3) * np.exp(-at / (0.02 * RATE))
    response /= np.sqrt((response**2).sum())
    response *= 10 ** (-rng.uniform(-14, 14) / 20)
    response[0] += 1.0
    return response.astype(np.float32), c50(response)


def c50(response: NDArray[Any]) -> float:
    """Energy of the first 50 ms after the direct sound over the rest, dB, at 32 kHz."""
    direct = int(np.argmax(np.abs(response)))
    power = response.astype(np.float64) ** 2
    early, late = power[: direct + RATE // 20].sum(), power[direct + RATE // 20 :].sum()
    return float(10 * np.log10(early / max(late, early * 1e-6)))


def cut(wave: Wave, samples: int, rng: np.random.Generator) -> Wave:
    """A random stretch of `samples`, repeated where the signal is shorter."""
    while len(wave) < samples:
        wave = np.concatenate([wave, wave])
    start = int(rng.integers(0, len(wave) - samples + 1))
    return wave[start : start + samples]


def level_to(noise: Wave, speech: Wave, snr_db: float) -> Wave:
    """Noise scaled to a ratio to the speech; power of the whole clip each."""
    power = float(np.mean(np.square(speech, dtype=np.float64)))
    own = float(np.mean(np.square(noise, dtype=np.float64)))
    return (noise * np.sqrt(power / max(own, 1e-12) * 10 ** (-snr_db / 10))).astype(np.float32)


def in_room(wave: Wave, response: Wave) -> Wave:
    """The signal in a room, of its length."""
    direct = int(np.argmax(np.abs(response)))
    return fftconvolve(wave, response)[direct : direct + len(wave)].astype(np.float32)


def distorted(wave: Wave, rng: np.random.Generator) -> tuple[Wave, str]:
    """Clipped, or with a narrow band."""
    if rng.random() < 0.5:
        top = np.quantile(np.abs(wave), rng.uniform(0.9, 0.995))
        return np.clip(wave, -top, top), "clipped"
    rate = int(rng.choice([6000, 8000, 11_025, 12_000]))
    narrow = soxr.resample(soxr.resample(wave, RATE, rate), rate, RATE)
    return np.resize(narrow, len(wave)).astype(np.float32), "narrow"

"""F0 engines compared: on synthetic speech whose pitch is known, and on real speech in noise.

    python tests/bench/f0.py [--engines swift,autocorrelation,swift:float32]

`swift` computes in the precision of `auto` on this machine, `swift:float32` in the one named, outside the consensus.

Synthetic: harmonic sources with glides, vibrato and 0.3 % jitter through four formants, fricatives and silence between
them, 8 voices of 6 s; real noises added. Real: recordings at 20, 10 and 5 dB against a consensus on the clean signal
(voiced where all engines but one agree within 5 %, unvoiced where none finds a voice, other frames left out; an error
common to most engines is not seen). Frames within one of a change of voicing are left out.
Speed: CPU seconds of one thread, the best of three rounds in turns, so other processes on the machine weigh little.

gross: share of frames voiced in both that are off by over 20 %; octave: those off by whole octaves; cents: mean error
of the others; missed: voiced taken for unvoiced; false: unvoiced taken for voiced; FFE: share of all frames with any
of these, all in percent. Writes bench/f0.json.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter

from voicemill.model.pitch.engines import ENGINES, Precision, Tracker, tracker
from voicemill.model.pitch.grid import F0, HOP
from voicemill.storage.errors import ConfigError
from voicemill.storage.units import RATE

ROOT = Path(__file__).parents[2]
SPEECH = ROOT.parent / "shared" / "speech"
VOWELS = [(730, 1090, 2440, 3400), (270, 2290, 3010, 3700), (300, 870, 2240, 3300), (530, 1840, 2480, 3500)]
SNRS: tuple[float | None, ...] = (None, 20, 10, 5)
Wave = NDArray[np.float32]


def spoken(seed: int, seconds: float = 6.0) -> tuple[Wave, F0]:
    """One synthetic voice, and its F0 at the frames (-1 = left out)."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    wave, hertz = 1e-4 * rng.standard_normal(n), np.zeros(n)
    base, at = np.exp(rng.uniform(np.log(85), np.log(320))), RATE // 10
    while at < n - RATE // 5:
        length = min(int(rng.uniform(0.15, 0.9) * RATE), n - at - RATE // 20)
        t = np.arange(length) / RATE
        start, stop = base * 2 ** rng.uniform(-0.4, 0.4, 2)
        curve = start * (stop / start) ** (t / t[-1])
        if rng.random() < 0.4:
            curve = curve * 2 ** (rng.uniform(0.2, 1) / 12 * np.sin(2 * np.pi * rng.uniform(4, 7) * t))
        hertz[at : at + length] = curve = np.clip(curve, 65, 700)
        knots = np.arange(0, length + 400, 400)
        jittered = curve * (1 + 0.003 * np.interp(np.arange(length), knots, rng.standard_normal(len(knots))))
        wave[at : at + length] += voiced(jittered, VOWELS[rng.integers(len(VOWELS))], rng)
        pause = int(rng.uniform(0.06, 0.3) * RATE)
        if rng.random() < 0.6:
            part = wave[at + length + 320 : at + length + pause - 320]
            hiss = lfilter([1, -0.95], [1], rng.standard_normal(len(part)))
            part += hiss * rng.uniform(0.1, 0.6)
        at += length + pause
    truth = hertz[HOP // 2 : n // HOP * HOP : HOP].astype(np.float32)
    truth[changes(truth)] = -1
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32), truth


def voiced(hertz: NDArray[np.float64], formants: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    phase, tilt = np.cumsum(hertz) / RATE * 2 * np.pi, rng.uniform(0.9, 1.1)
    wave = sum(np.cos(k * phase + 0.3 * k) / k**tilt * (k * hertz < 10_000) for k in range(1, int(8000 / hertz.min())))
    for centre, width in zip(formants, (60, 90, 150, 200), strict=True):
        r = np.exp(-np.pi * width / RATE)
        a = [1, -2 * r * np.cos(2 * np.pi * centre * rng.uniform(0.95, 1.1) / RATE), r * r]
        wave = lfilter([sum(a)], a, wave)
    wave = wave / wave.std() + 0.03 * rng.standard_normal(len(hertz))
    edge = np.minimum(np.arange(len(hertz)), np.arange(len(hertz))[::-1]) / (0.02 * RATE)
    result: NDArray[np.float64] = wave * np.minimum(1, edge) * rng.uniform(0.4, 1)
    return result


def changes(f0: F0) -> NDArray[np.bool_]:
    """Mask of the frames within one frame of a change of voicing."""
    change = np.diff((f0 > 0).astype(int), prepend=0) != 0
    result: NDArray[np.bool_] = change | np.roll(change, 1) | np.roll(change, -1)
    return result


def load(path: Path) -> Wave:
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono: Wave = wave.mean(1)
    return mono if rate == RATE else soxr.resample(mono, rate, RATE)


def noises() -> list[Wave]:
    """The everyday noises, without those that have a pitch themselves."""
    pitched = ("guitar", "hens", "sheep")
    files = [f for f in sorted((SPEECH / "noise").glob("*.flac")) if not f.name.startswith(pitched)]
    return [wave for wave in map(load, files) if len(wave) > RATE]


def noisy(wave: Wave, noise: Wave, snr: float | None, seed: int) -> Wave:
    """`wave` with `noise` added; the ratio is that to its active part."""
    if snr is None:
        return wave
    noise = np.resize(np.roll(noise, np.random.default_rng(seed).integers(len(noise))), len(wave))
    active = np.sqrt(np.mean(wave[np.abs(wave) > 0.02 * np.abs(wave).max()] ** 2))
    return (wave + noise * active / np.sqrt(np.mean(noise**2)) * 10 ** (-snr / 20)).astype(np.float32)


def recordings(count: int) -> list[Wave]:
    """The first 8 s of one clean recording of each of `count` speakers, at 16 kHz or more."""
    found: list[Wave] = []
    folders = sorted(p for p in (SPEECH / "recordings").iterdir() if p.is_dir())
    for folder in folders[:: max(1, len(folders) // (2 * count))]:
        file = min(folder.glob("*.flac"), key=lambda f: f.name, default=None)
        if file is None or folder.name.startswith(("ami", "musan", "vox")):
            continue
        if soundfile.info(file).samplerate >= 16_000 and soundfile.info(file).duration >= 2:
            found.append(load(file)[: 8 * RATE])
    return found[:count]


def consensus(tracks: list[F0]) -> F0:
    """F0 that all engines but one agree on; 0 where all find none; -1 elsewhere."""
    n = min(map(len, tracks))
    stack = np.stack([track[:n] for track in tracks])
    with np.errstate(divide="ignore"):
        middle = np.nan_to_num(np.exp2(np.median(np.where(stack > 0, np.log2(stack), np.nan), axis=0)))
    for i in range(n):  # the median of the voiced ones
        pitches = stack[:, i][stack[:, i] > 0]
        middle[i] = np.median(pitches) if len(pitches) else 0
    agree = (np.abs(stack / np.maximum(middle, 1) - 1) < 0.05).sum(0) >= len(tracks) - 1
    result = np.where((stack == 0).all(0), 0, np.where(agree & (middle > 0), middle, -1)).astype(np.float32)
    result[changes(np.maximum(result, 0))] = -1
    return result


def errors(pairs: Iterator[tuple[F0, F0]]) -> dict[str, float]:
    """Rates in percent (cents in cents) over (truth, estimate)."""
    sums = np.zeros(9)
    for truth, found in pairs:
        n = min(len(truth), len(found))
        truth, found = truth[:n][truth[:n] >= 0], found[:n][truth[:n] >= 0]
        both = (truth > 0) & (found > 0)
        octaves = np.log2(found[both] / truth[both])
        gross = np.abs(2**octaves - 1) > 0.2
        whole = gross & (np.abs(octaves - np.round(octaves)) < 0.1)
        missed, false = ((truth > 0) & (found == 0)).sum(), ((truth == 0) & (found > 0)).sum()
        fine = 1200 * np.abs(octaves[~gross])
        counts = (both, gross, whole)
        sums += [*(c.sum() for c in counts), fine.sum(), len(fine), missed, (truth > 0).sum(), false, len(truth)]
    both_n, gross_n, whole_n, cents, fine_n, missed_n, voiced_n, false_n, total = sums
    return {
        "gross": 100 * gross_n / both_n,
        "octave": 100 * whole_n / both_n,
        "cents": cents / fine_n,
        "missed": 100 * missed_n / voiced_n,
        "false": 100 * false_n / (total - voiced_n),
        "ffe": 100 * (gross_n + missed_n + false_n) / total,
    }


def speeds(engines: dict[str, Tracker], waves: list[Wave]) -> dict[str, float]:
    """Times real time, CPU seconds of this process, best of three rounds; slow engines have one."""
    seconds, best = sum(map(len, waves)) / RATE, dict.fromkeys(engines, np.inf)
    for turn in range(3):
        for name, engine in engines.items():
            if turn == 0 or best[name] < 3:
                start = time.process_time()
                engine.track(waves)
                best[name] = min(best[name], time.process_time() - start)
    return {name: seconds / value for name, value in best.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--voices", type=int, default=8)
    parser.add_argument("--recordings", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    engines: dict[str, Tracker] = {}
    for name in options.engines.split(","):
        try:
            engine, _, precision = name.partition(":")
            engines[name] = tracker(engine, 60.0, 800.0, None, cast(Precision, precision or "auto"))
        except ConfigError as error:
            print(error)
    voices = [spoken(seed) for seed in range(options.voices)]
    noise = noises() if SPEECH.exists() else [np.random.default_rng(9).standard_normal(4 * RATE).astype(np.float32)]
    rows: list[dict[str, Any]] = []

    def compare(kind: str, waves: list[Wave], truths: list[F0]) -> None:
        for snr in SNRS:
            mixed = [noisy(wave, noise[i % len(noise)], snr, i) for i, wave in enumerate(waves)]
            for name, engine in engines.items():
                measured = errors(zip(truths, engine.track(mixed), strict=True))
                rows.append({"signal": kind, "snr": snr, "engine": name, **measured})
                show(rows[-1])

    print(
        f"{'signal':10}{'SNR':>6} {'engine':16}" + "".join(f"{key:>8}" for key in ("gross", "octave", "cents")), end=""
    )
    print("".join(f"{key:>8}" for key in ("missed", "false", "FFE")))
    compare("synthetic", [wave for wave, _ in voices], [truth for _, truth in voices])
    if SPEECH.exists():
        real = recordings(options.recordings)
        tracks = [engine.track(real) for name, engine in engines.items() if ":" not in name]
        compare("real", real, [consensus(list(each)) for each in zip(*tracks, strict=True)])
    times = speeds(engines, [wave for wave, _ in voices])
    print("\ntimes real time, one core: " + ", ".join(f"{name} {value:.0f}" for name, value in times.items()))
    out = ROOT / "bench" / "f0.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"errors": rows, "times_real_time": times}, indent=1))


def show(row: dict[str, Any]) -> None:
    snr = "clean" if row["snr"] is None else f"{row['snr']} dB"
    values = "".join(f"{row[key]:8.2f}" for key in ("gross", "octave", "cents", "missed", "false", "ffe"))
    print(f"{row['signal']:10}{snr:>6} {row['engine']:16}{values}", flush=True)


if __name__ == "__main__":
    main()

"""The screen on real speech against noises, tones and music: ROC of the spectral entropy, shares dropped, cost.

    python tests/bench/screen.py

Speech: every recording of ../shared/speech/recordings except kind silence, cut by `slice`. Against it: the clips
of ../shared/speech/noise, synthesised tones, noises and music, and the music of musan_mix, in windows of 3 s. Prints
tables and writes bench/screen.json.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a stage has one core; two threads on a busy machine wait for each other


import csv
import json
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from voicemill.model.audio.loudness_meter import Meter, true_peak
from voicemill.model.audio.noise_gate import frames_of, gate, learn, powers
from voicemill.model.audio.spectrum import active, entropy, power_of
from voicemill.storage.corpus.artifacts import Artifact, ArtifactMeta, ArtifactWriter, Wave
from voicemill.storage.keys import file_digest
from voicemill.storage.outcomes import Failure
from voicemill.storage.records import Batch, Decoded, Denoised, Screened, Upload
from voicemill.storage.units import RATE
from voicemill.tasks.contract.stage import Audio, Inputs, RunContext, Stage
from voicemill.tasks.stages import denoise, loudness, quality, screen
from voicemill.tasks.stages import slice as slicing

ROOT = Path(__file__).resolve().parents[2]
SPEECH = ROOT / "../shared/speech"
WINDOW = 3 * RATE


def made(folder: Path, stage: Stage[Any], batch: Batch, artifacts: dict[str, Artifact]) -> Artifact:
    """The artifact of one stage at its default settings."""
    inputs, rows = Inputs(batch, artifacts), []
    with ArtifactWriter(folder / f"{stage.name}.arrow") as writer:
        for item in stage.records(inputs, stage.settings(), RunContext()):
            if isinstance(item, Failure):
                raise RuntimeError(item.error)
            if isinstance(item, Audio):
                writer.audio(item.upload, item.index, item.wave)
            else:
                rows.append(item)
        inputs.close()
        return writer.finish(rows, stage.row, ArtifactMeta(stage.name, "bench"))


def load(path: Path) -> tuple[Wave, int]:
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = wave.mean(axis=1)
    return (soxr.resample(mono, rate, RATE) if rate != RATE else mono), rate


def windows(wave: Wave) -> list[Wave]:
    """Windows of 3 s of a clip, the last of 1 s or more; a clip shorter than 1 s is one window."""
    parts = [wave[start : start + WINDOW] for start in range(0, len(wave), WINDOW)]
    return [part for part in parts if len(part) >= RATE] or parts


def tones() -> dict[str, Wave]:
    """Sines, sweeps, dial tones, hum, chords."""
    t = np.arange(WINDOW) / RATE
    sine = lambda f: np.sin(2 * np.pi * f * t)  # noqa: E731
    out = {f"sine_{f}": sine(f) for f in (60, 220, 440, 1000, 3000, 7000)}
    out |= {f"dtmf_{a}_{b}": sine(a) + sine(b) for a, b in ((697, 1209), (770, 1336), (852, 1477), (941, 1633))}
    out |= {f"sweep_{a}_{b}": np.sin(2 * np.pi * (a * t + (b - a) * t**2 / 6)) for a, b in ((100, 1000), (200, 7000))}
    out |= {f"hum_{f}": sum(sine(f * k) / k for k in range(1, 9)) for f in (50, 60)}
    out["beeps"] = sine(1000) * (np.sin(2 * np.pi * 2 * t) > 0)
    return {name: (0.2 * wave / np.abs(wave).max()).astype(np.float32) for name, wave in out.items()}


def hisses() -> dict[str, Wave]:
    """White, pink and brown noise, crackle, applause."""
    rng = np.random.default_rng(0)
    white = rng.normal(size=WINDOW)
    spectrum, f = np.fft.rfft(white), np.maximum(np.fft.rfftfreq(WINDOW, 1 / RATE), 20.0)
    claps = np.zeros(WINDOW)
    for at in rng.integers(0, WINDOW - 400, 600):
        claps[at : at + 400] += rng.normal(size=400) * np.exp(-np.arange(400) / 60)
    out = {"white": white, "pink": np.fft.irfft(spectrum / f**0.5), "brown": np.fft.irfft(spectrum / f)}
    out |= {"applause": claps, "crackle": white * (rng.uniform(size=WINDOW) > 0.999)}
    return {name: (0.2 * wave / np.abs(wave).max()).astype(np.float32) for name, wave in out.items()}


def music() -> dict[str, Wave]:
    """Plucked strings (Karplus and Strong), single notes and chords."""
    out = {}
    for seed, voices in enumerate((1, 1, 2, 3, 3, 4)):
        rng = np.random.default_rng(seed)
        wave = np.zeros(WINDOW)
        for start in np.arange(0.0, 3.0, 0.5):
            for note in rng.choice([45, 48, 52, 55, 57, 60, 64, 67, 72], voices, replace=False):
                period = round(RATE / (440 * 2 ** ((note - 69) / 12)))
                string = rng.uniform(-1, 1, period)
                sound = np.empty(RATE // 2)
                for n in range(0, len(sound), period):
                    part = string[: len(sound) - n]
                    sound[n : n + len(part)] = part
                    string = 0.498 * (string + np.roll(string, 1))
                wave[round(start * RATE) :][: len(sound)] += sound
        out[f"strings_{voices}_{seed}"] = (0.2 * wave / np.abs(wave).max()).astype(np.float32)
    return out


def speech() -> list[dict[str, Any]]:
    """Scores of every segment that `loudness` kept, each recording run through the stages."""
    rows = []
    with (SPEECH / "recordings/metadata.csv").open() as file:
        listed = [row for row in csv.DictReader(file) if row["kind"] != "silence"]
    for item in listed:
        path = SPEECH / "recordings" / item["file"]
        upload = Upload(file_digest(path), item["speaker"], item["file"], path.stat().st_size, text=item["text"])
        batch, done = Batch("bench", 1, (upload,)), {}
        with tempfile.TemporaryDirectory() as folder:
            wave, rate = load(path)
            with ArtifactWriter(Path(folder) / "decode.arrow") as writer:
                writer.audio(upload.sha256, -1, wave)
                row = Decoded(upload=upload.sha256, samples=len(wave), pcm="bench", codec="FLAC", rate=rate, channels=1)
                done["decode"] = writer.finish([row], Decoded, ArtifactMeta("decode", "bench"))
            for stage in (slicing.STAGE, denoise.STAGE, loudness.STAGE, quality.STAGE, screen.STAGE):
                done[stage.name] = made(Path(folder), stage, batch, done)
            inputs = Inputs(batch, done)
            lengths = {row.index: row.stop - row.start for row in inputs.segments()}
            gated = {row.index: row.denoised for row in inputs.rows("denoise", Denoised)}
            for score in inputs.rows("screen", Screened):
                prepared = inputs.waves("denoise").read(upload.sha256, score.index)
                rows.append(
                    {"file": item["file"], "language": item["language"], "kind": item["kind"], "rate": rate,
                     "seconds": lengths[score.index] / RATE, "entropy": score.entropy, "snr_db": score.snr_db,
                     "clipped": score.clipped, "bandwidth_hz": score.bandwidth_hz, "reason": score.reason,
                     "denoised": gated[score.index], "prepared": entropy(active(power_of(prepared)))}
                )  # fmt: skip
            inputs.close()
    return rows


def others() -> list[dict[str, Any]]:
    """Scores of the clips without speech; `prepared`: after a noise gate fitted to the quietest tenth of the clip."""
    clips = {("tones", name): wave for name, wave in tones().items()}
    clips |= {("hiss", name): wave for name, wave in hisses().items()}
    clips |= {("music", name): wave for name, wave in music().items()}
    for path in sorted((SPEECH / "noise").glob("*.flac")):
        clips["music" if "guitar" in path.stem else "noises", path.stem] = load(path)[0]
    mix = SPEECH / "recordings/musan_mix/musanmix.flac"
    if mix.exists():
        clips["music", "musan_mix"] = load(mix)[0][int(MUSIC[0] * RATE) : int(MUSIC[1] * RATE)]
    rows = []
    for (kind, name), wave in clips.items():
        every = frames_of(wave)
        noise = learn(every[np.argsort(powers(every))[: max(len(every) // 10, 8)]], denoise.Settings().deviations)
        cleaned = gate(wave, noise.threshold, denoise.Settings().strength) if noise else wave
        for part, gated in zip(windows(wave), windows(cleaned), strict=True):
            bits = [entropy(active(power_of(x))) for x in (part, gated)]
            rows.append({"kind": kind, "name": name, "entropy": bits[0], "prepared": bits[1]})
    return rows


MUSIC = (5.5, 13.0)
"""Seconds of musan_mix that are music."""


def area(positive: np.ndarray, negative: np.ndarray) -> float:
    """Area under the ROC of "a larger score is positive": the share of pairs in that order."""
    both = np.concatenate([positive, negative])
    ranks = np.argsort(np.argsort(both, kind="stable"), kind="stable")[: len(positive)] + 1
    return float((ranks.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative)))


def cost(seconds: float = 10.0, rounds: int = 9) -> dict[str, float]:
    """Times real time on one core, best of some rounds."""
    wave = np.concatenate([load(path)[0] for path in sorted((SPEECH / "recordings").glob("libri_*/*.flac"))[:3]])
    wave = wave[: int(seconds * RATE)]
    row, frames = Denoised("u", 0, 40.0, False), active(power_of(wave))
    profile = learn(frames_of(wave[:RATE]), 1.5)
    assert profile is not None
    jobs = {
        "screen": lambda: screen.screen_segment(wave, row, 48_000, screen.Settings()),
        "its spectra": lambda: power_of(wave),
        "its entropy": lambda: entropy(frames),
        "denoise (gate)": lambda: gate(wave, profile.threshold),
        "denoise (noisereduce)": lambda: denoise._library(wave, profile.threshold, 1.0),
        "loudness (meter)": lambda: Meter().push(wave),
        "loudness (true peak)": lambda: true_peak(wave),
    }
    best = dict.fromkeys(jobs, 1e9)
    for _ in range(rounds):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            best[name] = min(best[name], time.perf_counter() - began)
    return {name: len(wave) / RATE / took for name, took in best.items()}


def main() -> None:
    good, bad = speech(), others()
    settings = screen.Settings()
    result: dict[str, Any] = {"speech": good, "others": bad, "default": settings.model_dump(), "cost": cost()}
    for score in ("entropy", "prepared"):
        p, n = np.array([r[score] for r in good]), np.array([r[score] for r in bad])
        centre = np.median(p)
        kinds = sorted({r["kind"] for r in bad})
        by_kind = {k: np.array([r[score] for r in bad if r["kind"] == k]) for k in kinds}
        spread = np.percentile(p, [0.5, 1, 5, 50, 95, 99, 99.5]).round(2)
        print(f"\n{score}: speech percentiles 0.5/1/5/50/95/99/99.5 %:", spread)
        result[f"auc_{score}"] = {
            "low (against tones)": area(p, by_kind["tones"]),
            "high (against hiss)": area(by_kind["hiss"], p),
            "band (distance from the median)": area(np.abs(n - centre), np.abs(p - centre)),
        } | {f"band against {k}": area(np.abs(v - centre), np.abs(p - centre)) for k, v in by_kind.items()}
        for name, value in result[f"auc_{score}"].items():
            print(f"  AUC {name:34s} {value:.3f}")
    p, n = np.array([r["entropy"] for r in good]), np.array([r["entropy"] for r in bad])
    print("\nband (bits)   speech kept   not speech let through:", *kinds)
    result["roc"] = []
    bands = [(lo, hi) for lo in (2.2, 2.4, 2.5, 2.6, 2.7, 2.8) for hi in (4.2, 4.3, 4.4, 4.5, 4.6, 4.8, 5.0)]
    for lo, hi in sorted({*bands, (settings.min_entropy, settings.max_entropy)}):
        inside = lambda x, lo=lo, hi=hi: float(((x >= lo) & (x <= hi)).mean())  # noqa: E731
        line = {"low": lo, "high": hi, "speech": inside(p), "others": inside(n)}
        line |= {k: inside(np.array([r["entropy"] for r in bad if r["kind"] == k])) for k in kinds}
        result["roc"].append(line)
        mark = " <- default" if (lo, hi) == (settings.min_entropy, settings.max_entropy) else ""
        rates = " ".join(f"{line[k]:.2f}" for k in kinds)
        print(f"{lo:.1f} - {hi:.1f}     {line['speech']:.4f}        {line['others']:.3f}: {rates}{mark}")
    passed = [r["name"] for r in bad if settings.min_entropy <= r["entropy"] <= settings.max_entropy]
    print("\nnot speech, in the band:", dict(Counter(passed).most_common()))
    seconds: dict[str, float] = defaultdict(float)
    for row in good:
        seconds[row["reason"] or "kept"] += row["seconds"]
    print(f"\nthe default rules on {len(good)} segments, {sum(seconds.values()) / 60:.1f} min of real speech:")
    for reason, value in sorted(seconds.items(), key=lambda item: -item[1]):
        files = Counter(row["file"].split("/")[0] for row in good if (row["reason"] or "kept") == reason)
        print(f"  {reason:14s} {value:7.1f} s  {dict(files.most_common(6)) if reason != 'kept' else ''}")
    for name in ("snr_db", "clipped", "bandwidth_hz"):
        values = np.percentile([r[name] for r in good], [0.5, 1, 2, 5, 50, 95, 99])
        print(f"  {name:13s} 0.5/1/2/5/50/95/99 %: {values.round(4)}")
    print("\ntimes real time:", {k: round(v) for k, v in result["cost"].items()})
    (ROOT / "bench").mkdir(exist_ok=True)
    (ROOT / "bench/screen.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

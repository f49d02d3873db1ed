"""The watermark on real speech: detection after each attack, false alarms, its level under the speech, its cost.

    python tests/bench/watermark.py [recordings of each speaker]

Speech: the recordings of ../shared/speech/recordings. Marked: of each speaker one or more with 4 s or more at 16 kHz or
more, at 32 kHz, at most 12 s. Cropped: 3 s at a random place, pauses included. Not marked: every recording, whole, and
every fourth after mp3. Noise to mask: the error in each Bark band against the masked threshold of Johnston (IEEE J.
Selected Areas in Communications 6(2), 1988), without the threshold of hearing. PESQ: wide band, ITU-T P.862.2, of the
marked recording against the unmarked one, with mp3 for comparison; of the package `pesq`, which compiles C when it is
installed and so is in no extra: without it, no figures. Prints tables and writes bench/watermark.json.
"""

import csv
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.signals import through_mp3  # noqa: E402

from voicemill.model.audio.watermark import BITS, PERIOD, STEPS, Detection, Settings, Wave, detect, embed  # noqa: E402
from voicemill.storage.units import RATE  # noqa: E402

RECORDINGS = ROOT / "../shared/speech/recordings"
DEPTHS = (1.0, 0.5, 0.75, 1.5)
"""Strengths, dB: the default on all recordings, the others on every sixth."""


def load(file: str, seconds: float = math.inf) -> Wave:
    wave, rate = soundfile.read(RECORDINGS / file, dtype="float32", always_2d=True)
    mono = wave.mean(1)[: None if seconds == math.inf else round(seconds * rate)]
    result: Wave = soxr.resample(mono, rate, RATE)
    return result


def crop(wave: Wave, rng: np.random.Generator) -> Wave:
    start = int(rng.integers(0, max(1, len(wave) - 3 * RATE)))
    return wave[start : start + 3 * RATE]


def attacks(marked: Wave, rng: np.random.Generator) -> dict[str, tuple[Wave, int]]:
    """Attack -> the attacked wave and its rate."""
    packed = through_mp3(marked)
    narrow = lambda wave: soxr.resample(wave, RATE, 16_000)  # noqa: E731
    return {
        "none, whole": (marked, RATE),
        "3 s": (crop(marked, rng), RATE),
        "16 kHz, 3 s": (narrow(crop(marked, rng)), 16_000),
        "-6 dB, 3 s": (crop(marked, rng) * 0.5, RATE),
        "mp3 64 kbit/s, whole": (packed, RATE),
        "mp3 64 kbit/s, 3 s": (crop(packed, rng), RATE),
        "mp3 32 kbit/s, 3 s": (crop(through_mp3(marked, kbit=32), rng), RATE),
        "all: mp3, 16 kHz, -6 dB, 3 s": (narrow(crop(packed, rng)) * 0.5, 16_000),
    }


def segmental_snr(wave: Wave, marked: Wave) -> float:
    """Mean over 20 ms frames within 40 dB of the loudest, dB."""
    n = len(wave) // 640
    signal = np.square(wave[: n * 640].reshape(n, 640)).sum(1)
    noise = np.square((marked - wave)[: n * 640].reshape(n, 640)).sum(1)
    loud = (signal > signal.max() * 1e-4) & (noise > 0)
    return float(np.mean(10 * np.log10(signal[loud] / noise[loud])))


def noise_to_mask(wave: Wave, marked: Wave) -> dict[str, NDArray[np.float64]]:
    """dB [band-frames], 1 to 7 kHz: noise over masked threshold, where the signal is within 60 dB of its loudest.

    Masking depends on the tonality assumed for speech, so there are three answers: as if it were all a tone, which
    masks least; by the flatness of the whole spectrum, as Johnston has it, which takes the tilt of speech and an empty
    band over 8 kHz for tones; by the flatness of each band.
    """
    size = 2048
    hertz = np.fft.rfftfreq(size, 1 / RATE)
    bark = 13 * np.arctan(0.00076 * hertz) + 3.5 * np.arctan((hertz / 7500) ** 2)
    bands = (np.floor(bark).astype(int)[:, None] == np.arange(24)).astype(float)
    distance = np.arange(24)[:, None] - np.arange(24)
    spread = 10 ** ((15.81 + 7.5 * (distance + 0.474) - 17.5 * np.sqrt(1 + (distance + 0.474) ** 2)) / 10)
    frames = lambda x: np.lib.stride_tricks.sliding_window_view(x, size)[:: size // 2] * np.hanning(size)  # noqa: E731
    power, noise = (np.abs(np.fft.rfft(frames(x))) ** 2 for x in (wave, marked - wave))
    energy, count = power @ bands, bands.sum(0)
    whole = 10 * (np.log10(power + 1e-12).mean(1) - np.log10(power.mean(1) + 1e-12))[:, None]
    each = 10 * (np.log10(power + 1e-12) @ bands / count - np.log10(energy / count + 1e-12))
    inside = (np.arange(24) >= bark[32 * 2]) & (np.arange(24) < np.floor(bark[224 * 2]))
    loud = (energy > energy.max() * 1e-6)[:, inside]
    ratios = {}
    for name, flatness in (("all a tone", np.full_like(each, -60)), ("whole spectrum", whole), ("each band", each)):
        tonal = np.clip(flatness / -60, 0, 1)
        offset = tonal * (14.5 + np.arange(24) + 1) + (1 - tonal) * 5.5
        threshold = energy @ spread.T / spread.sum(1) * 10 ** (-offset / 10)
        ratios[name] = 10 * np.log10((noise @ bands + 1e-20) / (threshold + 1e-20))[:, inside][loud]
    return ratios


def pesq_of(files: list[str]) -> dict[str, dict[str, float]]:
    """Treatment of a recording -> PESQ-WB, 1 to 4.644; empty where the package is not installed."""
    try:
        from pesq import pesq
    except ImportError:
        return {}
    scores: dict[str, list[float]] = defaultdict(list)
    for name in files:
        wave = load(name, 10)
        changed = {f"watermark, {depth} dB": embed(wave, 7, Settings(depth=depth)) for depth in DEPTHS}
        changed |= {f"mp3 {kbit} kbit/s": through_mp3(wave, kbit=kbit) for kbit in (128, 64)}
        changed["no change but 16 bits"] = np.round(wave * 32767) / np.float32(32767)
        for what, other in changed.items():
            size = min(len(wave), len(other))
            heard = [soxr.resample(x[:size], RATE, 16_000) for x in (wave, other)]
            scores[what].append(pesq(16_000, *heard, "wb"))
    return {
        what: {"median": float(np.median(s)), "5 %": float(np.percentile(s, 5)), "lowest": min(s)}
        for what, s in scores.items()
    }


def median_ms(job: Callable[[], Any], rounds: int = 7) -> float:
    times = []
    for _ in range(rounds):
        began = time.process_time()
        job()
        times.append(time.process_time() - began)
    return 1000 * float(np.median(times))


def main() -> None:
    if not RECORDINGS.exists():
        print("../shared/speech is not here: nothing to measure")
        return
    each = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    with (RECORDINGS / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    by: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if float(row["duration_s"]) >= 4 and int(row["sample_rate"]) >= 16_000 and row["kind"] != "silence":
            by[row["speaker"]].append(row["file"])
    files = [file for found in by.values() for file in found[:each]]
    result: dict[str, Any] = {"marked": len(files), "found": {}, "quality": {}}

    print(f"{len(files)} marked recordings of {len(by)} speakers: found %, payload right %, lowest and median score")
    for depth in DEPTHS:
        rng, heard = np.random.default_rng(7), defaultdict(list)
        snr, segments, masks = [], [], []
        chosen = files[:: 1 if depth == Settings().depth else 6]
        for number, name in enumerate(chosen):
            wave = load(name, 12)
            payload = (number * 40_503 + 1) % (1 << BITS)
            marked = embed(wave, payload, Settings(depth=depth))
            snr.append(10 * math.log10(float(np.square(wave).sum() / np.square(marked - wave).sum())))
            segments.append(segmental_snr(wave, marked))
            masks.append(noise_to_mask(wave, marked))
            for attack, (sound, rate) in attacks(marked, rng).items():
                found = detect(sound, rate)
                heard[attack].append((found.present, found.payload == payload, found.score))
        quality: dict[str, Any] = {"snr": float(np.mean(snr)), "segmental": float(np.mean(segments))}
        for name in masks[0]:
            ratio = np.concatenate([found[name] for found in masks])
            values = {"mean": ratio.mean(), "95": np.percentile(ratio, 95), "over": (ratio > 0).mean()}
            quality[name] = {key: float(value) for key, value in values.items()}
        result["quality"][depth] = quality
        print(
            f"\ndepth {depth} dB, {len(chosen)} recordings: SNR {quality['snr']:.1f} dB, segmental "
            f"{quality['segmental']:.1f} dB; noise to mask"
        )
        for name in masks[0]:
            mean, high, over = quality[name].values()
            print(f"  {name:16s} mean {mean:5.1f} dB, 95 % under {high:5.1f} dB, above in {over:.1%}")
        result["found"][depth] = {}
        for attack, values in heard.items():
            present, right, score = (np.array(column) for column in zip(*values, strict=True))
            line = {"found": present.mean(), "right": right.mean(), "low": score.min(), "median": np.median(score)}
            result["found"][depth][attack] = {key: float(value) for key, value in line.items()}
            print(
                f"  {attack:30s} {present.mean():7.1%} {right.mean():7.1%}   {score.min():5.1f} {np.median(score):5.1f}"
                f"   wrong id {int((present & ~right).sum())}"
            )

    result["pesq"] = pesq_of(files)
    print("\nPESQ-WB, 4.644 = no difference:" if result["pesq"] else "\nPESQ: needs `pip install pesq` (a C compiler)")
    for what, scores in result["pesq"].items():
        print(f"  {what:24s}", ", ".join(f"{name} {score:.3f}" for name, score in scores.items()))

    settings = Settings()
    print(
        f"\nthreshold: {PERIOD} x {STEPS} positions x {1 << BITS} payloads (x windows) are tried, each over t with a "
        f"probability of at most exp(-t^2/2);\nfor {settings.false_positives:g} a recording that is t = "
        f"{math.sqrt(2 * math.log(PERIOD * STEPS * (1 << BITS) / settings.false_positives)):.2f} up to 6.1 s"
    )
    result["false"] = {}
    unmarked = (("as they are", lambda wave: wave, rows), ("after mp3 64 kbit/s", through_mp3, rows[::4]))
    for name, change, some in unmarked:
        found_: list[Detection] = [detect(change(load(row["file"])), RATE) for row in some]
        wrong = [row["file"] for row, item in zip(some, found_, strict=True) if item.present]
        top = max(found_, key=lambda item: item.score - item.threshold)
        result["false"][name] = {"recordings": len(some), "found": wrong, "top": top.score, "at": top.threshold}
        print(
            f"not marked, {name}: {len(wrong)} of {len(some)} found; nearest score {top.score:.2f} at a threshold of "
            f"{top.threshold:.2f}; 99 % under {np.percentile([item.score for item in found_], 99):.2f}"
        )

    wave = load(files[0], 10)
    costs = {"embed": median_ms(lambda: embed(wave)), "detect": median_ms(lambda: detect(wave, RATE))}
    result["times_real_time"] = {name: 1000 * len(wave) / RATE / ms for name, ms in costs.items()}
    print("\ntimes real time, processor time:", {name: round(x) for name, x in result["times_real_time"].items()})
    (ROOT / "bench").mkdir(exist_ok=True)
    (ROOT / "bench/watermark.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

"""Measures of quality: parity, cost, and how well music, noise, rooms and SNR are found, on kept-out speakers.

    python tests/bench/quality.py [--music FOLDER] [--clips 120] [--only cost snr ...]

Speakers, noises, music and rooms are not those that the network was trained on (`quality_mixtures.py`; the rooms are
the real ones of ../shared/speech/rir). FOLDER/test holds music without voices; without it only the music of musan_mix,
a guitar and synthesised strings are used. Prints tables and writes bench/quality.json.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from quality_mixtures import (
    RATE,
    SPEECH,
    Wave,
    c50,
    cut,
    in_room,
    level_to,
    load,
    made_noise,
    recordings,
    sounds,
)
from screen import area, music, tones

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.quality.dnsmos import Dnsmos
from voicemill.model.quality.network import Measures, QualityNetwork
from voicemill.storage.outcomes import Outcome
from voicemill.storage.records import Segment
from voicemill.tasks.stages import denoise, screen

ROOT = Path(__file__).resolve().parents[2]
SCREEN = screen.Settings()
NETWORK = QualityNetwork()


def speech(count: int, seed: int = 0) -> list[tuple[str, Wave]]:
    """(language, wave) of clean recordings of the test half, at most 12 s each, spread over the speakers."""
    rows = recordings("test")
    rng = np.random.default_rng(seed)
    by_speaker: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_speaker.setdefault(row["speaker"], []).append(row)
    order = [own[n] for n in range(200) for own in by_speaker.values() if n < len(own)]
    chosen = order[:count]
    waves = [(row["language"], load(SPEECH / "recordings" / row["file"])) for row in chosen]
    return [(language, cut(wave, min(len(wave), 12 * RATE), rng)) for language, wave in waves]


def cost(result: dict[str, Any], options: argparse.Namespace) -> None:
    """Times real time per core, by processor time."""
    waves = [wave for _, wave in speech(60)]
    seconds = sum(map(len, waves)) / RATE
    full, jobs = Dnsmos(), dict[str, Callable[[Wave], Any]]()
    jobs["network"] = NETWORK.measure
    jobs["DNSMOS, one window"] = lambda wave: full.opinions(to_16_khz(wave), 1)
    jobs["DNSMOS, all windows"] = lambda wave: full.opinions(to_16_khz(wave))
    for name, job in jobs.items():
        part = waves if name == "network" else waves[:12]
        began = time.process_time()
        for wave in part:
            job(wave)
        took = time.process_time() - began
        result[f"times real time, {name}"] = sum(map(len, part)) / RATE / took
    result["seconds of speech"] = seconds


def pearson(result: dict[str, Any], options: argparse.Namespace) -> None:
    """Network against DNSMOS of all windows: clean recordings, and the same with noise and in rooms."""
    rng, full = np.random.default_rng(1), Dnsmos()
    rooms = list(real_rooms().values())
    pairs: dict[str, list[tuple[list[float], list[float]]]] = {"as recorded": [], "with faults": []}
    noises = list(sounds("test").values())
    for number, (_, wave) in enumerate(speech(options.clips)):
        spoilt = in_room(wave, rooms[number % len(rooms)][0]) if number % 3 == 0 else wave
        noise = cut(noises[number % len(noises)], len(wave), rng)
        spoilt = (spoilt + level_to(noise, spoilt, rng.uniform(-5, 40))) * 0.5 if number % 4 else spoilt
        for kind, signal in (("as recorded", wave), ("with faults", spoilt)):
            signal = np.clip(signal, -1, 1).astype(np.float32)
            ours, theirs = NETWORK.measure(signal), full.opinions(to_16_khz(signal))
            pairs[kind].append(
                ([ours.sig, ours.bak, ours.ovrl, ours.p808], [theirs.sig, theirs.bak, theirs.ovrl, theirs.p808])
            )
    pairs["all"] = [pair for own in pairs.values() for pair in own]
    for kind, own in pairs.items():
        ours, theirs = (np.array(side) for side in zip(*own, strict=True))
        for n, name in enumerate(("sig", "bak", "ovrl", "p808")):
            r = float(np.corrcoef(ours[:, n], theirs[:, n])[0, 1])
            result[f"{kind}, {name}"] = {"r": r, "rmse": float(np.sqrt(np.mean((ours - theirs)[:, n] ** 2)))}


class Memory:
    """One upload in memory, as `denoise` reads it."""

    def __init__(self, wave: Wave) -> None:
        self.wave = wave

    def read(self, upload: str, index: int, start: int = 0, stop: int | None = None) -> Wave:
        return self.wave[start:stop]

    def samples(self, upload: str, index: int = -1) -> int:
        return len(self.wave)


def snr(result: dict[str, Any], options: argparse.Namespace) -> None:
    """Errors of both estimates of SNR: three utterances with pauses of 1 s, a noise over all, the truth by segment."""
    rng, waves = np.random.default_rng(2), [wave[: 6 * RATE] for _, wave in speech(options.clips)]
    kinds = {"steady": made_steady, "everyday": lambda n: cut(noises[rng.integers(len(noises))], n, rng)}
    kinds["made, unsteady"] = lambda n: made_noise(n, rng)
    noises = [wave for wave in sounds("test").values() if len(wave) > RATE]
    gap = np.zeros(RATE, np.float32)
    for kind, make in kinds.items():
        rows = []
        for start in range(0, len(waves) - 2, 3):
            clean = np.concatenate([gap, *(part for wave in waves[start : start + 3] for part in (wave, gap))])
            noise = level_to(make(len(clean)), clean, rng.uniform(-5, 30))
            mixed, at, cut_up = clean + noise, RATE, [segment(-1, 0, RATE)]
            for index, wave in enumerate(waves[start : start + 3]):
                cut_up += [segment(index, at, at + len(wave)), segment(-1, at + len(wave), at + len(wave) + RATE)]
                at += len(wave) + RATE
            profile = denoise.noise_of(Memory(mixed), "u", cut_up, denoise.Settings())  # type: ignore[arg-type]
            for row in cut_up:
                if row.index >= 0:
                    part = slice(row.start, row.stop)
                    true = 10 * np.log10(np.mean(clean[part] ** 2) / np.mean(noise[part] ** 2))
                    rows.append((true, denoise.snr_db(mixed[part], profile), NETWORK.measure(mixed[part]).snr_db))
        table = np.array(rows)
        table = table[(table[:, 0] > -10) & (table[:, 0] < 35)]
        wrong_side = [np.mean((table[:, n] < SCREEN.min_snr_db) != (table[:, 0] < SCREEN.min_snr_db)) for n in (1, 2)]
        for n, name in ((1, "denoise"), (2, "network")):
            error = np.abs(table[:, n] - table[:, 0])
            result[f"{kind}, {name}"] = {
                "median": float(np.median(error)), "p90": float(np.quantile(error, 0.9)), "worst": float(error.max()),
                "decides wrongly": float(wrong_side[n - 1]), "segments": len(table),
            }  # fmt: skip
    for path in sorted((SPEECH / "noisy_pairs").glob("*/*_clean.flac")):
        clean, noisy = load(path), load(Path(str(path).replace("_clean", "_noisy")))
        size = min(len(clean), len(noisy))
        noise = noisy[:size] - clean[:size]
        true = float(10 * np.log10(np.mean(clean[:size] ** 2) / np.mean(noise**2)))
        result[f"pair {path.stem[:8]}"] = {"true": true, "network": NETWORK.measure(noisy).snr_db}


def made_steady(samples: int) -> Wave:
    """Pink noise."""
    spectrum = np.fft.rfft(np.random.default_rng(samples).normal(size=samples))
    return np.fft.irfft(spectrum / np.maximum(np.fft.rfftfreq(samples, 1 / RATE), 20) ** 0.5, samples).astype(
        np.float32
    )


def segment(index: int, start: int, stop: int) -> Segment:
    outcome = Outcome.KEPT if index >= 0 else Outcome.SILENCE
    return Segment(upload="u", index=index, start=start, stop=stop, outcome=outcome)


def real_rooms() -> dict[str, tuple[Wave, float]]:
    """Response and C50 of the rooms of ../shared/speech/rir."""
    rooms = {}
    for path in sorted((SPEECH / "rir").glob("*.wav")):
        response = load_first(path)
        response = response / np.sqrt((response**2).sum())
        rooms[path.stem] = (response.astype(np.float32), c50(response))
    return rooms


def load_first(path: Path) -> Wave:
    """First channel at 32 kHz: the mean of several microphones is no room's response."""
    import soundfile
    import soxr

    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    response: Wave = soxr.resample(wave[:, 0], rate, RATE) if rate != RATE else wave[:, 0]
    return response


def rooms(result: dict[str, Any], options: argparse.Namespace) -> None:
    """C50 of clean speech in the real rooms."""
    waves = [wave for _, wave in speech(40)]
    estimates, truths = [], []
    for name, (response, true) in real_rooms().items():
        own = [NETWORK.measure(in_room(wave, response)).c50_db for wave in waves]
        result[name] = {"true": true, "median": float(np.median(own)), "spread": float(np.std(own))}
        estimates += own
        truths += [true] * len(own)
    dry = [NETWORK.measure(wave).c50_db for wave in waves]
    result["as recorded"] = {"median": float(np.median(dry)), "lowest": float(np.min(dry))}
    result["correlation over rooms"] = float(np.corrcoef(estimates, np.clip(truths, -10, 35))[0, 1])
    heavy = np.array([value for value, true in zip(estimates, truths, strict=True) if true < 12])
    result["AUC, rooms under 12 dB"] = area(-heavy, -np.array(dry))


def beds(result: dict[str, Any], options: argparse.Namespace) -> None:
    """Music under speech, music alone, noises, tones: what is found, at the bounds of `screen`; clean speech lost."""
    rng = np.random.default_rng(3)
    clean = [wave for _, wave in speech(options.clips * 3)]
    tunes = {f"made {name}": wave for name, wave in music().items()}
    tunes["guitar"] = load(SPEECH / "noise/guitar_16k.flac")
    tunes["musan_mix"] = load(SPEECH / "recordings/musan_mix/musanmix.flac")[int(5.5 * RATE) : 13 * RATE]
    if options.music:
        tunes |= {path.stem: load(path) for path in sorted((options.music / "test").glob("*.flac"))}
    names = sorted(tunes)
    base = [NETWORK.measure(wave) for wave in clean]
    result["clean speech lost"] = {
        "clips": len(base),
        "music": float(np.mean([m.music > SCREEN.max_music for m in base])),
        "speech": float(np.mean([m.speech < SCREEN.min_speech for m in base])),
        "noisy": float(np.mean([m.snr_db < SCREEN.min_snr_db for m in base])),
        "c50": float(np.mean([m.c50_db < SCREEN.min_c50_db for m in base])),
    }
    scores = np.array([m.music for m in base])
    for low, high in ((0, 5), (5, 10), (10, 15), (15, 20)):
        found = []
        for number, wave in enumerate(clean):
            tune = cut(tunes[names[number % len(names)]], len(wave), rng)
            found.append(NETWORK.measure(wave + level_to(tune, wave, rng.uniform(low, high))).music)
        result[f"bed {low} to {high} dB"] = rates(np.array(found), scores)
    for kind, signals in others(tunes, rng).items():
        measures = [NETWORK.measure(signal) for signal in signals]
        result[kind] = {"clips": len(measures), "refused": float(np.mean([refused(m) for m in measures]))}
    noisy = np.array([NETWORK.measure(w + level_to(made_noise(len(w), rng), w, 10.0)).music for w in clean[:200]])
    result["noise at 10 dB taken for music"] = float(np.mean(noisy > SCREEN.max_music))


def rates(found: np.ndarray, clean: np.ndarray) -> dict[str, float]:
    """AUC, share found at the bound of `screen`, share found where 1 % of clean speech is lost."""
    bound = float(np.quantile(clean, 0.99))
    return {
        "AUC": area(found, clean),
        "found": float(np.mean(found > SCREEN.max_music)),
        "found at 1 % lost": float(np.mean(found > bound)),
        "bound of 1 %": bound,
    }


def others(tunes: dict[str, Wave], rng: np.random.Generator) -> dict[str, list[Wave]]:
    """Clips of 3 s or less without speech, by kind."""
    parts = lambda wave: [wave[n : n + 3 * RATE] for n in range(0, max(len(wave) - RATE, 1), 3 * RATE)]  # noqa: E731
    return {
        "music alone": [part for wave in tunes.values() for part in parts(wave)],
        "everyday noises alone": [part for wave in sounds("test").values() for part in parts(wave)],
        "made noises alone": [0.1 * made_noise(3 * RATE, rng) for _ in range(40)],
        "tones alone": list(tones().values()),
    }


def refused(measures: Measures) -> bool:
    """Whether a rule of `screen` on the network's measures refuses it."""
    return (
        measures.speech < SCREEN.min_speech
        or measures.music > SCREEN.max_music
        or measures.snr_db < SCREEN.min_snr_db
        or measures.c50_db < SCREEN.min_c50_db
    )


def parity(result: dict[str, Any], options: argparse.Namespace) -> None:
    """Largest difference to the package's own numbers, on 12 real recordings."""
    from speechmos import dnsmos

    full = Dnsmos()
    worst = dict.fromkeys(("sig", "bak", "ovrl", "p808"), 0.0)
    for _, wave in speech(12):
        signal = np.clip(to_16_khz(wave), -1, 1)
        theirs, ours = dnsmos.run(signal, 16_000), full.opinions(signal)
        for name in worst:
            worst[name] = max(worst[name], abs(float(theirs[f"{name}_mos"]) - getattr(ours, name)))
    result |= worst


PARTS = {"parity": parity, "cost": cost, "pearson": pearson, "snr": snr, "rooms": rooms, "beds": beds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--music", type=Path)
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    path = ROOT / "bench/quality.json"
    path.parent.mkdir(exist_ok=True)
    whole: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for name in options.only:
        whole[name] = {}
        PARTS[name](whole[name], options)
        print(f"\n{name}")
        for key, value in whole[name].items():
            shown = value if not isinstance(value, dict) else {k: round(v, 3) for k, v in value.items()}
            print(f"  {key:36s} {round(shown, 6) if isinstance(shown, float) else shown}", flush=True)
    path.write_text(json.dumps(whole, indent=1))


if __name__ == "__main__":
    main()

"""Makes labelled mixtures for `quality_train.py`: `python tests/bench/quality_labels.py train FOLDER SEED COUNT MUSIC`.

MUSIC holds `train/*.flac` and `test/*.flac`: any music without voices. That of the shipped network was rendered from
scores and made-up tunes by the instruments of a soundfont, other scores and instruments in either half. Each clip of
2 to 6 s is speech in a made-up room, with noise, babble or music, clipped or narrow, or no speech at all; its opinions
are DNSMOS's of one window, its SNR, clarity and music are what was added. Half a second of processor a clip.
"""

import sys
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
from quality_mixtures import (
    RATE,
    SPEECH,
    Half,
    Mixture,
    Wave,
    cut,
    distorted,
    in_room,
    level_to,
    load,
    made_noise,
    recordings,
    room,
    sounds,
)

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.quality.dnsmos import Dnsmos

SHARD = 250


class Source:
    """Draws mixtures of one half."""

    def __init__(self, half: Half, music: Path, seed: int) -> None:
        self.rng, self.half = np.random.default_rng(seed), half
        self.every = recordings(half, clean=False)
        self.speakers: dict[str, list[dict[str, str]]] = {}
        for row in recordings(half):
            self.speakers.setdefault(row["speaker"], []).append(row)
        self.names = sorted(self.speakers)
        weights = np.array([min(len(self.speakers[name]), 12) ** 0.5 for name in self.names])
        self.weights = weights / weights.sum()
        self.music = sorted((music / half).glob("*.flac"))
        self.read = lru_cache(4000)(lambda file: load(SPEECH / "recordings" / file).astype(np.float16))
        self.read_music = lru_cache(400)(load)

    def tune(self, samples: int) -> Wave:
        return cut(self.read_music(self.music[self.rng.integers(len(self.music))]), samples, self.rng)

    def sound(self, samples: int) -> Wave:
        own = list(sounds(self.half).values())
        return cut(own[self.rng.integers(len(own))], samples, self.rng)

    def speech(self, speaker: str) -> tuple[Wave, float]:
        """A recording without the silence around it, and its own SNR, dB."""
        rows = self.speakers[speaker]
        row = rows[self.rng.integers(len(rows))]
        wave = self.read(row["file"]).astype(np.float32)
        step = RATE // 50
        peaks = np.abs(wave[: len(wave) // step * step].reshape(-1, step)).max(axis=1)
        on = np.flatnonzero(peaks > 0.03 * np.quantile(peaks, 0.98))
        own = float(row["rms_db"]) - float(row["floor_db"]) - 1.0
        return (wave[on[0] * step : (on[-1] + 1) * step] if len(on) else wave), own

    def babble(self, samples: int) -> Wave:
        total = np.zeros(samples, np.float32)
        for _ in range(self.rng.integers(3, 8)):
            voice = cut(self.speech(self.names[self.rng.integers(len(self.names))])[0], samples, self.rng)
            total += voice / (voice.std() + 1e-6)
        return total

    def without_speech(self, samples: int) -> Mixture:
        rng, kind = self.rng, self.rng.random()
        wave = self.tune(samples) if kind < 0.5 else made_noise(samples, rng) if kind < 0.75 else self.sound(samples)
        wave = (0.2 * wave / (np.abs(wave).max() + 1e-9)).astype(np.float32)
        if kind < 0.5 and rng.random() < 0.3:
            wave = wave + level_to(made_noise(samples, rng), wave, rng.uniform(5, 30))
        music_db = -np.inf if kind < 0.5 else np.inf
        return Mixture(wave, snr_db=-20.0, music_db=music_db, speech=0.0, fault="no speech")

    def draw(self) -> Mixture:
        rng = self.rng
        samples, kind = int(rng.uniform(2.0, 6.0) * RATE), rng.random()
        if kind < 0.06:  # as it was recorded: only the opinions are known
            row = self.every[rng.integers(len(self.every))]
            return Mixture(cut(self.read(row["file"]).astype(np.float32), samples, rng), speech=np.nan)
        if kind < 0.16:
            return self.without_speech(samples)
        speaker = self.names[rng.choice(len(self.names), p=self.weights)]
        wave, snr = self.speech(speaker)
        if len(wave) < samples and rng.random() < 0.5:
            parts = [wave]
            while sum(map(len, parts)) < samples:
                parts += [np.zeros(int(rng.uniform(0.05, 0.6) * RATE), np.float32), self.speech(speaker)[0]]
            wave = np.concatenate(parts)
        wave = cut(wave, samples, rng) if len(wave) > samples else wave
        if len(wave) < RATE:
            wave = np.resize(wave, RATE)
        c50_db, music_db, fault = np.nan, np.inf, "clean"
        if rng.random() < 0.4:
            response, c50_db = room(rng)
            wave, fault = in_room(wave, response), "room"
        extra = np.zeros_like(wave)
        if rng.random() < 0.45:
            kind = rng.random()
            noise = made_noise if kind < 0.6 else (lambda n, _: self.sound(n) if kind < 0.9 else self.babble(n))
            extra += level_to(noise(len(wave), rng), wave, rng.uniform(-5, 45))
            fault += "+noise"
        if rng.random() < 0.3:
            music_db = rng.uniform(-3, 28)
            extra += level_to(self.tune(len(wave)), wave, music_db)
            fault += "+music"
        power = float(np.mean(np.square(extra, dtype=np.float64)))
        if power > 0:
            added = 10 * np.log10(float(np.mean(np.square(wave, dtype=np.float64))) / power)
            snr = min(snr, added)
        mixed = wave + extra
        if rng.random() < 0.15:
            mixed, name = distorted(mixed, rng)
            fault += f"+{name}"
        gain = 10 ** (rng.uniform(-30, 0) / 20) * 0.9 / (np.abs(mixed).max() + 1e-9)
        mixed = mixed if fault == "clean" and rng.random() < 0.6 else mixed * gain
        return Mixture(mixed.astype(np.float32), min(snr, 60.0), c50_db, music_db, 1.0, fault)


def main() -> None:
    half, folder, seed, count, music = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:5]), Path(sys.argv[5])
    folder.mkdir(exist_ok=True, parents=True)
    source, networks, began = Source("train" if half == "train" else "test", music, seed), Dnsmos(), time.process_time()
    waves: list[Wave] = []
    labels = []
    for number in range(1, count + 1):
        item = source.draw()
        if np.isfinite(item.wave).all() and np.abs(item.wave).max() > 1e-4:
            waves.append(np.rint(np.clip(item.wave, -1, 1) * 32767).astype(np.int16))
            heard = networks.opinions(to_16_khz(waves[-1].astype(np.float32) / 32767), windows=1)
            known = [item.snr_db, item.c50_db, item.music_db, item.speech]
            labels.append([heard.sig, heard.bak, heard.ovrl, heard.p808, *known])
        if waves and (number % SHARD == 0 or number == count):
            path = folder / f"{seed}_{number:05}.npz"
            np.savez(path, wave=np.concatenate(waves), length=[len(w) for w in waves], label=np.float32(labels))
            print(f"{number} clips, {time.process_time() - began:.0f} s", flush=True)
            waves, labels = [], []


if __name__ == "__main__":
    main()

"""Share of the speech that a detector keeps, and share of the pauses that it takes for speech.

Material, built as it runs from `../shared/speech`: read utterances of 1.5-8 s, trimmed to where they first and last
come within 35 dB of their loudest 10 ms, all brought to one level; pauses of 0.8-2.5 s between them; one noise,
repeated, over all of a session at 60, 10 or 5 dB below the mean power of the speech. The level of a session is drawn
from -36 to -20 dBFS. Scored on 10 ms frames; 200 ms to both sides of every joint are left out. A speaker or a noise is
in one of two halves: settings were chosen on `tune`, the figures that count are those of `report`. Pauses of 0.5 s and
longer inside a recording do not count as speech and split it in two: with `--inner 100000` they count as speech.

    python tests/bench/vad.py [--half report|tune] [--utterances N] [--seed S]
"""

import argparse
import csv
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from voicemill.model.audio.spans import Span
from voicemill.model.audio.vad import hop, speech_probability
from voicemill.storage.outcomes import Outcome
from voicemill.storage.units import RATE, Frames
from voicemill.tasks.stages.slice import Settings, speech_spans, tile_segments

ROOT = Path(__file__).resolve().parents[2]
SPEECH = ROOT.parent / "shared" / "speech"
FRAME = RATE // 100
COLLAR: Frames = 20
INNER: Frames = 50
"""Shortest quiet stretch inside a recording that counts as a pause."""
ENGINES = {
    "webrtc": Settings(engine="webrtc"),
    "silero": Settings(engine="silero"),
    "forward": Settings(doubt=1),
    "cascade": Settings(),
}
"""`forward` is the cascade without the second, backward pass."""
SNRS = (60, 10, 5)
BLOCK = 60 * RATE

Wave = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Session:
    """A session: one noise, many speakers."""

    noise: str
    snr_db: int
    wave: Wave
    """float32 [samples], 32 kHz."""
    truth: Mask
    """[frames of 10 ms]: inside an utterance."""
    scored: Mask
    """[frames of 10 ms]: farther than the collar from every joint."""


@dataclass(frozen=True)
class Score:
    """Frames counted over sessions."""

    speech: int = 0
    kept: int = 0
    pause: int = 0
    taken: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(*(a + b for a, b in zip(asdict(self).values(), asdict(other).values(), strict=True)))

    @property
    def hit(self) -> float:
        """Share of the speech kept."""
        return self.kept / self.speech

    @property
    def false(self) -> float:
        """Share of the pauses taken for speech."""
        return self.taken / self.pause


def halves(names: set[str], half: str) -> list[str]:
    """Half of the names: every second one, from the first for `report` and from the second for `tune`."""
    return sorted(names)[0 if half == "report" else 1 :: 2]


def read(path: Path) -> Wave:
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(wave.mean(axis=1), rate, RATE), np.float32)


def utterances_in(wave: Wave, inner: Frames) -> Iterator[Wave]:
    """The stretches between pauses of `inner` frames or longer, trimmed; quiet is 35 dB under the loudest frame."""
    frames = wave[: len(wave) // FRAME * FRAME].reshape(-1, FRAME)
    power = (frames.astype(np.float64) ** 2).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10**-3.5)
    for part in np.split(loud, np.flatnonzero(np.diff(loud) > inner) + 1):
        yield frames[part[0] : part[-1] + 1].reshape(-1)


@cache
def utterances(half: str, inner: Frames = INNER, per_speaker: int = 6) -> tuple[Wave, ...]:
    """Utterances of 1.5-8 s at an RMS of 1, at most `per_speaker` of one speaker."""
    with (SPEECH / "recordings" / "metadata.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "read"]
    speakers = halves({row["speaker"] for row in rows}, half)
    count = dict.fromkeys(speakers, 0)
    found: list[Wave] = []
    for row in rows:
        speaker = row["speaker"]
        if count.get(speaker, per_speaker) >= per_speaker:
            continue
        for wave in utterances_in(read(SPEECH / "recordings" / row["file"]), inner):
            if 1.5 * RATE <= len(wave) <= 8 * RATE and count[speaker] < per_speaker:
                found.append(levelled(wave))
                count[speaker] += 1
    return tuple(found)


def noises(half: str) -> list[str]:
    return halves({path.stem for path in (SPEECH / "noise").glob("*.flac")}, half)


def levelled(wave: Wave) -> Wave:
    """The wave scaled to a root mean square of 1."""
    return (wave / np.sqrt((wave.astype(np.float64) ** 2).mean())).astype(np.float32)


def sessions(half: str, snr_db: int, per_session: int, seed: int, inner: Frames = INNER) -> Iterator[Session]:
    """One session of `per_session` utterances for each noise of the half."""
    material = utterances(half, inner)
    for number, name in enumerate(noises(half)):
        rng = np.random.default_rng([seed, number])
        parts: list[Wave] = []
        truth: list[Mask] = []
        for pick in [*rng.choice(len(material), per_session, replace=per_session > len(material)), -1]:
            pause = int(rng.uniform(80, 250))
            parts.append(np.zeros(pause * FRAME, np.float32))
            truth.append(np.zeros(pause, np.bool_))
            if pick >= 0:
                parts.append(material[pick])
                truth.append(np.ones(len(material[pick]) // FRAME, np.bool_))
        speech, mask = np.concatenate(parts), np.concatenate(truth)
        noise = np.resize(levelled(read(SPEECH / "noise" / f"{name}.flac")), len(speech))
        level = 10 ** (rng.uniform(-36, -20) / 20)
        wave = ((speech + noise * 10 ** (-snr_db / 20)) * level).astype(np.float32)
        joints = np.flatnonzero(np.diff(mask)) + 1
        scored = np.ones(len(mask), np.bool_)
        for joint in joints:
            scored[max(joint - COLLAR, 0) : joint + COLLAR] = False
        yield Session(noise=name, snr_db=snr_db, wave=np.clip(wave, -1, 1), truth=mask, scored=scored)


def score(session: Session, spans: list[Span]) -> Score:
    """Score of the spans: a frame is speech where half of it or more lies inside them."""
    inside = np.zeros(len(session.truth) * FRAME + 1, np.int8)
    for start, stop in spans:
        inside[start:stop] = 1
    heard = inside[:-1].reshape(-1, FRAME).mean(axis=1) >= 0.5
    speech, pause = session.truth & session.scored, ~session.truth & session.scored
    return Score(int(speech.sum()), int((speech & heard).sum()), int(pause.sum()), int((pause & heard).sum()))


def probability(wave: Wave, settings: Settings) -> Wave:
    blocks = (wave[at : at + BLOCK] for at in range(0, len(wave), BLOCK))
    return speech_probability(blocks, settings.engine, settings.webrtc_mode, settings.reach_s, settings.doubt)


def judged(session: Session, settings: Settings) -> tuple[Score, Score]:
    """Spans that the detector gives, and the segments that are kept of them."""
    found, samples = probability(session.wave, settings), len(session.wave)
    step = hop(settings.engine)
    _, speech = speech_spans(found, step, samples, settings)
    rows = tile_segments("session", found, step, samples, False, settings)
    kept = [Span(row.start, row.stop) for row in rows if row.outcome is Outcome.KEPT]
    return score(session, speech), score(session, kept)


def speeds(sample: list[Wave], repeat: int = 5) -> dict[str, float]:
    """Times real time per second of processor time on one thread, resampling and cutting included: the median of
    `repeat` runs, engines in turn."""
    seconds = sum(map(len, sample)) / RATE
    runs: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for _ in range(repeat):
        for engine, settings in ENGINES.items():
            start = time.process_time()
            for wave in sample:
                found = probability(wave, settings)
                tile_segments("upload", found, hop(settings.engine), len(wave), False, settings)
            runs[engine].append(seconds / (time.process_time() - start))
    return {engine: float(np.median(values)) for engine, values in runs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=("report", "tune"), default="report")
    parser.add_argument("--utterances", type=int, default=30, help="per noise")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inner", type=int, default=INNER, help="frames of 10 ms")
    args = parser.parse_args()

    totals: dict[str, Score] = {}
    by_noise: dict[str, list[float]] = {}
    seconds = 0.0
    for snr in SNRS:
        for session in sessions(args.half, snr, args.utterances, args.seed, args.inner):
            seconds += len(session.wave) / RATE
            for engine, settings in ENGINES.items():
                for kind, one in zip(("speech", "kept"), judged(session, settings), strict=True):
                    name = f"{engine} {snr} {kind}"
                    totals[name] = totals.get(name, Score()) + one
                    by_noise[f"{name} {session.noise}"] = [round(one.hit, 4), round(one.false, 4)]
    voices = utterances(args.half, args.inner)
    print(
        f"half {args.half}, seed {args.seed}: {seconds / 60 / len(SNRS):.1f} min at each SNR, {len(voices)} utterances,"
    )
    print(f"{len(noises(args.half))} noises. Share of the speech kept / share of the pauses taken for speech")
    print(f"{'':26}" + "".join(f"{snr:>9} dB   " for snr in SNRS))
    for engine in ENGINES:
        for kind, label in (("speech", "as heard"), ("kept", "in kept segments")):
            cells = [totals[f"{engine} {snr} {kind}"] for snr in SNRS]
            print(f"{engine:8} {label:17}" + "".join(f"  {cell.hit:.3f} / {cell.false:.3f}" for cell in cells))
    print("\ncascade by noise, in kept segments")
    for noise in noises(args.half):
        shares = [by_noise[f"cascade {snr} kept {noise}"] for snr in SNRS]
        print(f"{noise:26}" + "".join(f"  {hit:.3f} / {false:.3f}" for hit, false in shares))

    clean = next(sessions(args.half, 60, args.utterances, args.seed, args.inner)).wave
    noisy = next(sessions(args.half, 10, args.utterances, args.seed, args.inner)).wave
    quiet = np.concatenate([np.pad(part, (0, 2 * len(part))) for part in np.array_split(clean, 20)])
    rates = {"60 dB": speeds([clean]), "10 dB": speeds([noisy]), "two thirds digital silence": speeds([quiet])}
    print("\ntimes real time on one core")
    for name, rate in rates.items():
        print(f"{name:28}" + "".join(f"{engine:>9} {value:7.0f}" for engine, value in rate.items()))

    path = ROOT / "bench" / "vad.json"
    path.parent.mkdir(exist_ok=True)
    figures = {name: {"kept": round(one.hit, 4), "taken": round(one.false, 4)} for name, one in totals.items()}
    result = {"args": vars(args), "minutes": seconds / 60, "totals": figures, "by_noise": by_noise, "speed": rates}
    path.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

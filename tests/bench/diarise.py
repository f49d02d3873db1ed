"""Benchmark of diarisation: errors beside the plain folder rule, and cost.

`python tests/bench/diarise.py [FOLDER]`: recordings joined of turns of 1 to 8 s of 2 to 4 speakers of one language, a
third of them under 2 s, pauses of 0 to 0.6 s, levels within 3 dB, up to 90 s; their turns are the truth. English from
two halves of the speakers: the thresholds were chosen on `tune` alone. Mandarin from all speakers; most have 3 to 5 s
of speech, which repeat. AMI: the clips of ami_meeting, by their RTTM file. Speech is found as in the product. DER:
share of the speakers' time that is missed, invented (false alarm), or given to another speaker (confusion), in frames
of 10 ms, with the best assignment of voices to speakers, 0.25 s around each change of the truth left out. Folder rule:
all speech is one speaker. `FOLDER` may hold RTTM files of other recordings there, as `aepyx_8k.rttm` of VoxConverse.
Then speakers with 58 s and more: how many are taken for several; and the other folders with several people: voices
found. Tables, and bench/diarise.json.
"""

import csv
import json
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cut_speech import SPEECH, read
from scipy.optimize import linear_sum_assignment
from speaker import MIXED

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.device import place
from voicemill.model.embedded import SPEAKER
from voicemill.model.speaker.diarisation import diarise, has_several_voices
from voicemill.model.speaker.encoder import Encoder
from voicemill.storage.inbox.transcripts.rttm import read_rttm, turns_of
from voicemill.storage.records import Turn
from voicemill.storage.units import RATE, to_samples
from voicemill.tasks.stages.diarise import speech_of

OUT = Path("bench/diarise.json")
FRAME, COLLAR = RATE // 100, 25
"""Samples of a frame, and frames around a change that are not counted."""
COUNT = 12
"""Joined recordings for each number of speakers."""


def error(truth: Sequence[Turn], turns: Sequence[Turn], samples: int, *, overlaps: bool) -> Any:
    """Frames missed, invented, confused, and spoken: int [4]."""

    def grid(rows: Sequence[Turn]) -> Any:
        names = sorted({row.voice for row in rows})
        frames = np.zeros((len(names), samples // FRAME + 1), bool)
        for row in rows:
            frames[names.index(row.voice), row.start // FRAME : row.stop // FRAME] = True
        return frames

    reference, guess = grid(truth), grid(turns)
    counted = np.ones(reference.shape[1], bool)
    for edge in (edge for turn in truth for edge in (turn.start, turn.stop)):
        counted[max(edge // FRAME - COLLAR, 0) : edge // FRAME + COLLAR] = False
    if not overlaps:
        counted &= reference.sum(0) < 2
    reference, guess = reference[:, counted], guess[:, counted]
    pairs = linear_sum_assignment(-(reference.astype(int) @ guess.T.astype(int)))
    right = sum((reference[a] & guess[b]).sum() for a, b in zip(*pairs, strict=True))
    spoken, heard = reference.sum(0), guess.sum(0)
    both = np.minimum(spoken, heard).sum()
    return np.array([(spoken - heard).clip(0).sum(), (heard - spoken).clip(0).sum(), both - right, spoken.sum()])


def streams() -> dict[str, tuple[str, Any]]:
    """Speaker -> language, and all speech in one wave, float32 [samples], 32 kHz."""
    parts: dict[str, list[Any]] = defaultdict(list)
    languages = {}
    with (SPEECH / "recordings/metadata.csv").open() as file:
        for row in csv.DictReader(file):
            if row["speaker"] not in MIXED and row["language"] in ("en", "zh") and int(row["sample_rate"]) >= 16_000:
                wave = read(SPEECH / "recordings" / row["file"])
                parts[row["speaker"]] += [wave[a:b] for a, b in speech_of([wave], len(wave))]
                languages[row["speaker"]] = row["language"]
    joined = {name: (languages[name], np.concatenate(waves)) for name, waves in parts.items() if waves}
    least = {"en": 8, "zh": 3}
    return {name: (lang, wave) for name, (lang, wave) in joined.items() if len(wave) > least[lang] * RATE}


def half(speaker: str) -> str:
    return "tune" if zlib.crc32(speaker.encode()) % 2 else "held out"


def join(rng: Any, voices: dict[str, Any], *, repeat: bool, seconds: float = 90) -> tuple[Any, list[Turn]]:
    """One recording of these speakers, each a wave that is used up (or repeats), and its turns."""
    used = dict.fromkeys(voices, 0)
    levels = {n: 0.05 * 10 ** (rng.uniform(-3, 3) / 20) / np.sqrt(np.mean(w**2)) for n, w in voices.items()}
    parts: list[Any] = []
    turns: list[Turn] = []
    at, last = 0, ""
    while at < seconds * RATE:
        names = [n for n in voices if (n != last or len(voices) == 1) and (repeat or len(voices[n]) - used[n] > RATE)]
        if not names:
            break
        last = str(rng.choice(names))
        length = to_samples(rng.uniform(1, 2) if rng.random() < 0.35 else rng.uniform(2, 8))
        if repeat and len(voices[last]) - used[last] <= RATE:
            used[last] = 0
        wave = voices[last][used[last] : used[last] + length] * levels[last]
        used[last] += len(wave)
        turns.append(Turn(at, at + len(wave), last))
        parts += [wave, np.zeros(to_samples(rng.uniform(0, 0.6)) if rng.random() < 0.7 else 0)]
        at += len(wave) + len(parts[-1])
    return (np.concatenate(parts) + rng.normal(0, 1e-4, at)).astype(np.float32), turns


class Scores:
    """Sums of errors by group."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.sums: dict[str, Any] = defaultdict(lambda: np.zeros((3, 4), int))
        self.voices: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.seconds = self.processor = 0.0

    def add(self, group: str, wave: Any, truth: Sequence[Turn]) -> None:
        spans = speech_of([wave], len(wave))
        began = time.process_time()
        turns = diarise(self.encoder, spans, lambda span: to_16_khz(wave[span.start : span.stop]))
        self.processor += time.process_time() - began
        self.seconds += len(wave) / RATE
        folder = [Turn(span.start, span.stop, "1") for span in spans]
        self.sums[group][0] += error(truth, turns, len(wave), overlaps=True)
        self.sums[group][1] += error(truth, turns, len(wave), overlaps=False)
        self.sums[group][2] += error(truth, folder, len(wave), overlaps=True)
        self.voices[group].append((len({t.voice for t in truth}), len({t.voice for t in turns})))

    def show(self) -> None:
        print(f"{'':22s}DER     missed  invented  confused  without overlaps  folder rule  right number of voices")
        for group, sums in self.sums.items():
            shares = 100 * sums[:, :3] / sums[:, 3:]
            right = sum(a == b for a, b in self.voices[group])
            missed, invented, confused = shares[0]
            print(
                f"{group:20s}{shares[0].sum():5.1f} %  {missed:5.1f} %   {invented:5.1f} %   {confused:5.1f} %"
                f"   {shares[1].sum():12.1f} %  {shares[2].sum():9.1f} %   {right} of {len(self.voices[group])}"
            )
        print(f"turns of mixed recordings: {self.seconds / self.processor:.0f} x real time per core")


def single(encoder: Encoder, spoken: dict[str, tuple[str, Any]]) -> dict[str, int]:
    """Speaker with 58 s and more -> voices found in up to two minutes, as the stage does; prints the search's cost."""
    counts, seconds, processor = {}, 0.0, 0.0
    for name, (_, wave) in spoken.items():
        if len(wave) < 58 * RATE:
            continue
        wave = wave[: 120 * RATE]
        began = time.process_time()
        spans = speech_of([wave], len(wave), "webrtc")
        several = has_several_voices(encoder, spans, lambda span, wave=wave: to_16_khz(wave[span.start : span.stop]))
        processor += time.process_time() - began
        seconds += len(wave) / RATE
        counts[name] = count(encoder, wave) if several else 1
    print(f"\nsearch for a second voice: {seconds / processor:.0f} x real time per core")
    print(f"voices found in 1 to 2 minutes of one speaker: {counts}")
    return counts


def recording(clip: Path, turns: Sequence[Turn]) -> tuple[Any, list[Turn]]:
    wave = read(clip)
    return wave, [Turn(t.start, min(t.stop, len(wave)), t.voice) for t in turns if t.start < len(wave)]


def count(encoder: Encoder, wave: Any) -> int:
    spans = speech_of([wave], len(wave))
    turns = diarise(encoder, spans, lambda span: to_16_khz(wave[span.start : span.stop]))
    return len({turn.voice for turn in turns})


def main() -> None:
    encoder = Encoder.load(SPEAKER.path("pretrained.pt"), place("cpu").dtype)
    scores = Scores(encoder)
    spoken = streams()
    for number, name in enumerate(("tune", "held out", "zh")):
        rng = np.random.default_rng(number)
        pool = [
            s for s, (lang, _) in spoken.items()
            if (lang == "zh" if name == "zh" else lang == "en" and half(s) == name)
        ]  # fmt: skip
        for size in (2, 3, 4):
            for _ in range(COUNT if pool else 0):
                chosen = {str(s): spoken[str(s)][1] for s in rng.choice(pool, size, replace=False)}
                scores.add(f"{name}, {size} speakers", *join(rng, chosen, repeat=name == "zh"))
    truth = read_rttm((SPEECH / "recordings/ami_meeting/segments.rttm").read_text(), "segments.rttm")
    for clip in sorted((SPEECH / "recordings/ami_meeting").glob("*.flac")):
        if clip.stem in truth:
            scores.add("AMI", *recording(clip, truth[clip.stem]))
    for file in sorted(Path(sys.argv[1]).glob("*.rttm")) if len(sys.argv) > 1 else ():
        (clip,) = (SPEECH / "recordings").glob(f"*/{file.stem}.flac")
        scores.add(file.stem, *recording(clip, turns_of(read_rttm(file.read_text(), file.name), file.stem, file.name)))
    scores.show()
    counts = single(encoder, spoken)
    found = {
        clip.relative_to(SPEECH / "recordings").as_posix(): count(encoder, read(clip))
        for name in sorted(MIXED - {"ami_meeting"})
        for clip in sorted((SPEECH / "recordings" / name).glob("*.flac"))
    }
    print(f"voices in the folders with several people: {found}")
    OUT.parent.mkdir(exist_ok=True)
    sums = {group: rows.tolist() for group, rows in scores.sums.items()}
    OUT.write_text(json.dumps({"errors": sums, "voices": scores.voices, "single": counts, "mixed": found}, indent=1))


if __name__ == "__main__":
    main()

"""Benchmark: a poisoned corpus, and what a refresh with the default config finds in it, beside Emilia's rules.

`python tests/bench/poisoned.py [--seed 1]`: the recordings of ../shared/speech, in which for each of seven kinds 2 % of
the files are damaged (no file twice): another speaker's recording, two speakers in one file, the text of another file,
half of the text, speech in a foreign language, a music bed at 5 dB, clipping of 3 % of the samples. A refresh of the
undamaged recordings with the config `plain` says which of them are usable at all.

A file that stands in the place of another is moved there: in its own folder it is missing. Clean are the undamaged
files of folders with one voice that DNSMOS itself gives an OVRL of 2.0 and more.

A damaged file counts as found where nothing of it can be trained on as what it claims to be: no utterance of tiers A
and B is left over the damage, or, where the text was damaged, none with that text. An undamaged file counts as lost
where it was usable and keeps under half of its seconds in tiers A and B, or loses its text.

Emilia's rules (He et al. 2024) on the same clips: DNSMOS P.835 OVRL at least 3, and characters per second within 1.5
interquartile ranges of the quartiles of the language. The table goes to bench/poisoned.json.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr
from speaker import MIXED

from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.store import Store
from voicemill.storage.units import RATE

SPEECH = Path(__file__).parents[3] / "shared" / "speech" / "recordings"
OUT = Path("bench/poisoned.json")
SHARE = 0.02
"""Share of the files that each kind damages."""
MUSIC_DB, CLIPPED = 5.0, 0.03
CLEAN_OVRL = 2.0
"""Least OVRL of a recording that counts as clean."""
SPEECH_KINDS = frozenset({"read", "long", "spontaneous", "speech", "conversation"})
Wave = np.ndarray


@dataclass(frozen=True)
class Recording:
    """One file of the recordings and what is said of it."""

    speaker: str
    file: str
    language: str
    text: str
    kind: str

    def read(self) -> tuple[Wave, int]:
        wave, rate = soundfile.read(SPEECH / self.file, dtype="float32", always_2d=True)
        return wave.mean(1), rate


@dataclass(frozen=True)
class Clip:
    """One file of the poisoned inbox."""

    recording: Recording
    text: str
    damage: str = ""
    """Kind of the damage, "" for none."""
    wave: Wave | None = field(default=None, repr=False)
    """Samples where they differ from the recording's, at its rate."""
    foreign_from_s: float = 0.0
    """Place from which two speakers' file holds the other voice."""


def recordings() -> list[Recording]:
    with (SPEECH / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = ("speaker", "file", "language", "text", "kind")
    return [Recording(**{name: row[name] for name in names}) for row in rows]


def resampled(wave: Wave, rate: int, to: int) -> Wave:
    return np.asarray(soxr.resample(wave, rate, to), np.float32) if rate != to else wave


def music(samples: int, rate: int, rng: np.random.Generator) -> Wave:
    """Chords of decaying harmonics with a bass and a beat, another piece for each call."""
    t = np.arange(samples) / rate
    wave = np.zeros(samples)
    root, beat = 110 * 2 ** (rng.integers(0, 12) / 12), 0.35 + 0.3 * rng.random()
    for number, start in enumerate(np.arange(0, samples / rate, beat)):
        here = np.clip(t - start, 0, None) * (t >= start)
        fade = np.exp(-2.5 * here) * (t >= start)
        chord = rng.permutation([0, 3, 4, 5, 7, 9, 12])[:3]
        for step in chord:
            for harmonic in range(1, 6):
                wave += fade * np.sin(2 * np.pi * root * 2 ** (step / 12) * harmonic * here) / harmonic
        wave += 1.5 * fade * np.sin(np.pi * root * here)
        if number % 2:
            wave += 0.5 * np.exp(-30 * here) * (t >= start) * rng.standard_normal(samples)
    return np.asarray(wave / (np.sqrt(np.mean(wave**2)) + 1e-9), np.float32)


class Poisoner:
    """Damages recordings; each method takes one and returns a clip, or None where it does not suit."""

    def __init__(self, all_: list[Recording], seed: int) -> None:
        self._all, self._rng = all_, np.random.default_rng(seed)
        self._moved: set[str] = set()
        self._damaged: dict[str, Clip] = {}
        self._files: dict[str, int] = defaultdict(int)
        for recording in all_:
            self._files[recording.speaker] += 1

    def clips(self) -> list[Clip]:
        """Every recording once, damaged or not, without those that stand in another's place."""
        order = [self._all[i] for i in self._rng.permutation(len(self._all))]
        count = round(SHARE * len(self._all))
        damaged = self._damaged
        kinds = (
            self.other_speaker,
            self.two_speakers,
            self.other_text,
            self.half_a_text,
            self.foreign_language,
            self.music_bed,
            self.clipping,
        )
        for kind in kinds:
            made: list[Clip] = []
            for recording in order:
                free = recording.file not in damaged and recording.file not in self._moved
                if len(made) < count and free and recording.kind in SPEECH_KINDS:
                    clip = kind(recording)
                    if clip is not None:
                        made.append(replace(clip, damage=kind.__name__))
                        damaged[recording.file] = made[-1]
        return [damaged.get(r.file, Clip(r, r.text)) for r in self._all if r.file not in self._moved]

    def _other(self, suits: Callable[[Recording], bool]) -> Recording | None:
        """A read recording that suits."""
        candidates = [r for r in self._all if r.kind == "read" and suits(r)]
        return candidates[self._rng.integers(len(candidates))] if candidates else None

    def _moved_here(self, suits: Callable[[Recording], bool], place: Recording) -> tuple[Recording, Wave] | None:
        """A read recording that suits, taken from its own folder."""
        taken = self._moved | self._damaged.keys() | {place.file}
        other = self._other(lambda r: r.file not in taken and suits(r))
        if other is None:
            return None
        self._moved.add(other.file)
        return other, self._at_rate(other, place)

    def other_speaker(self, recording: Recording) -> Clip | None:
        if self._files[recording.speaker] < 5:
            return None  # nobody can tell whose voice a folder of one or two files is
        moved = self._moved_here(
            lambda r: r.language == recording.language and r.speaker != recording.speaker, recording
        )
        return Clip(recording, moved[0].text, wave=moved[1]) if moved else None

    def two_speakers(self, recording: Recording) -> Clip | None:
        other = self._other(lambda r: r.language == recording.language and r.speaker != recording.speaker)
        wave, rate = recording.read()
        if other is None or self._files[recording.speaker] < 5 or not 2 <= len(wave) / rate <= 15:
            return None
        second = self._at_rate(other, recording)
        text = f"{recording.text} {other.text}" if recording.text and other.text else ""
        return Clip(recording, text, wave=np.concatenate([wave, second]), foreign_from_s=len(wave) / rate)

    def other_text(self, recording: Recording) -> Clip | None:
        other = self._other(lambda r: r.language == recording.language and bool(r.text) and r.text != recording.text)
        return Clip(recording, other.text) if recording.text and other else None

    def half_a_text(self, recording: Recording) -> Clip | None:
        words = recording.text.split()
        text = " ".join(words[: len(words) // 2]) if len(words) > 1 else recording.text[: len(recording.text) // 2]
        return Clip(recording, text) if len(recording.text) >= 8 else None

    def foreign_language(self, recording: Recording) -> Clip | None:
        if recording.language != "en":
            return None
        moved = self._moved_here(lambda r: r.language not in ("", "und", recording.language), recording)
        return Clip(recording, "", wave=moved[1]) if moved else None

    def music_bed(self, recording: Recording) -> Clip | None:
        wave, rate = recording.read()
        if rate < 16_000 or not 2 <= len(wave) / rate <= 30:
            return None
        level = np.sqrt(np.mean(wave**2)) * 10 ** (-MUSIC_DB / 20)
        mixed = wave + level * music(len(wave), rate, self._rng)
        return Clip(recording, recording.text, wave=mixed / max(1.0, np.abs(mixed).max() / 0.98))

    def clipping(self, recording: Recording) -> Clip | None:
        wave, _ = recording.read()
        top = np.quantile(np.abs(wave), 1 - CLIPPED)
        return Clip(recording, recording.text, wave=np.clip(wave / max(top, 1e-6), -1, 1))

    def _at_rate(self, other: Recording, recording: Recording) -> Wave:
        wave, rate = other.read()
        return resampled(wave, rate, soundfile.info(SPEECH / recording.file).samplerate)


def write_inbox(folder: Path, clips: list[Clip]) -> None:
    """Files, and metadata.csv with language and text."""
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["speaker", "file", "language", "text"])
        for clip in clips:
            path = folder / clip.recording.file
            path.parent.mkdir(parents=True, exist_ok=True)
            if clip.wave is None:
                shutil.copy(SPEECH / clip.recording.file, path)
            else:
                soundfile.write(path, clip.wave, soundfile.info(SPEECH / clip.recording.file).samplerate)
            known = clip.recording.language if clip.recording.language != "und" else ""
            table.writerow([clip.recording.speaker, clip.recording.file, known, clip.text])


@dataclass(frozen=True)
class Outcome:
    """Utterances and losses of one file after a refresh."""

    usable_s: float = 0.0
    """Seconds of utterances of tiers A and B."""
    foreign_s: float = 0.0
    """Seconds of those behind the place from which the file holds another voice."""
    texts: tuple[str, ...] = ()
    """Texts of those utterances."""
    ovrl: float | None = None
    """Mean OVRL of all utterances, weighted by seconds."""
    reasons: tuple[str, ...] = ()
    """Reasons of the ledger, the longest first, without silence."""


def refresh(inbox: Path, store: Path, config: str) -> dict[str, dict[str, float]]:
    """Run `voicemill refresh` as a user does; the stages of its summary."""
    command = [sys.executable, "-m", "voicemill.flows.cli.main", "refresh", "--inbox", inbox, "--store", store]
    command += ["--config", config, "--assume-consent", "benchmark", "--json", "--force-publish"]
    done = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
    stages: dict[str, dict[str, float]] = json.loads(done.stdout)["stages"]
    return stages


def outcomes(store: Path, clips: list[Clip]) -> dict[str, Outcome]:
    """File -> outcome, from the tables of the last version."""
    corpus = CorpusVersion.open(Store.open(store))
    foreign = {clip.recording.file: clip.foreign_from_s * RATE for clip in clips}
    rows: dict[str, list[dict[str, object]]] = defaultdict(list)
    for row in corpus.utterances(["path", "start", "stop", "text", "tier", "ovrl"]).to_pylist():
        rows[row["path"]].append(row)
    lost: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in corpus.ledger().to_pylist():
        if row["outcome"] not in ("kept", "silence"):
            lost[row["path"]][row["reason"]] += row["stop"] - row["start"]
    return {clip.recording.file: _outcome(rows, lost, foreign, clip.recording.file) for clip in clips}


def _outcome(rows: dict, lost: dict, foreign: dict, file: str) -> Outcome:
    usable = [row for row in rows[file] if row["tier"] != "C"]
    length = sum(row["stop"] - row["start"] for row in rows[file])
    judged = [(row["ovrl"], row["stop"] - row["start"]) for row in rows[file] if row["ovrl"] is not None]
    behind = [max(0, row["stop"] - max(row["start"], foreign[file])) for row in usable] if foreign[file] else [0]
    return Outcome(
        usable_s=sum(row["stop"] - row["start"] for row in usable) / RATE,
        foreign_s=sum(behind) / RATE,
        texts=tuple(row["text"] for row in usable if row["text"]),
        ovrl=sum(score * n for score, n in judged) / sum(n for _, n in judged) if judged and length else None,
        reasons=tuple(sorted(lost[file], key=lambda reason: -lost[file][reason])),
    )


def is_found(clip: Clip, outcome: Outcome) -> bool:
    """Whether nothing of the damage is left to train on."""
    if clip.damage == "two_speakers":
        return outcome.foreign_s < 0.3
    if clip.damage in ("other_text", "half_a_text"):
        return not outcome.texts
    if clip.damage == "foreign_language":
        return not outcome.texts or outcome.usable_s == 0
    return outcome.usable_s == 0


def is_lost(before: Outcome, after: Outcome) -> bool:
    """Whether a clean file that was usable is not any more."""
    return after.usable_s < before.usable_s / 2 or (bool(before.texts) and not after.texts)


def emilia(clips: list[Clip], scores: dict[str, float]) -> set[str]:
    """Files that Emilia's rules drop: OVRL under 3, or characters per second outside 1.5 interquartile ranges."""
    dropped = {clip.recording.file for clip in clips if scores.get(clip.recording.file, 0.0) < 3.0}
    speeds: dict[str, dict[str, float]] = defaultdict(dict)
    for clip in clips:
        if clip.text:
            info = soundfile.info(SPEECH / clip.recording.file)
            seconds = info.duration if clip.wave is None else len(clip.wave) / info.samplerate
            speeds[clip.recording.language][clip.recording.file] = len(clip.text) / seconds
    for by_file in speeds.values():
        low, high = np.quantile(list(by_file.values()), [0.25, 0.75])
        reach = 1.5 * (high - low)
        dropped |= {file for file, speed in by_file.items() if not low - reach <= speed <= high + reach}
    return dropped


def overall(clips: list[Clip], inbox: Path) -> dict[str, float]:
    """OVRL of DNSMOS of each whole file."""
    from voicemill.model.quality.dnsmos import Dnsmos

    model = Dnsmos()
    scores = {}
    for clip in clips:
        wave, rate = soundfile.read(inbox / clip.recording.file, dtype="float32", always_2d=True)
        if len(wave):
            scores[clip.recording.file] = float(model.opinions(resampled(wave.mean(1), rate, 16_000), windows=2).ovrl)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="Folder for inboxes and stores; default: a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.keep or temporary)
        every = recordings()
        clean, clips = [Clip(r, r.text) for r in every], Poisoner(every, options.seed).clips()
        for name, made in (("clean", clean), ("poisoned", clips)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            write_inbox(folder / name, made)
        refresh(folder / "clean", folder / "clean-store", "plain")
        refresh(folder / "poisoned", folder / "poisoned-store", "default")
        before, after = outcomes(folder / "clean-store", clean), outcomes(folder / "poisoned-store", clips)
        scores = overall(clips, folder / "poisoned")
        dropped = emilia(clips, scores)
    usable = {file for file, outcome in before.items() if outcome.usable_s and scores.get(file, 0.0) >= CLEAN_OVRL}
    result: dict[str, dict[str, float]] = {}
    print(f"{'kind':<18}{'files':>6}{'found':>7}{'share':>8}{'Emilia':>8}")
    for kind in sorted({clip.damage for clip in clips} - {""}):
        own = [clip for clip in clips if clip.damage == kind]
        found = sum(is_found(clip, after[clip.recording.file]) for clip in own)
        theirs = sum(clip.recording.file in dropped for clip in own)
        result[kind] = {"files": len(own), "found": found, "emilia": theirs}
        print(f"{kind:<18}{len(own):>6}{found:>7}{found / len(own):>8.1%}{theirs / len(own):>8.1%}")
        for clip in own:
            if not is_found(clip, after[clip.recording.file]):
                print(f"    left: {clip.recording.file} {after[clip.recording.file]}")
    undamaged = [c for c in clips if not c.damage and c.recording.file in usable and c.recording.speaker not in MIXED]
    lost = [clip for clip in undamaged if is_lost(before[clip.recording.file], after[clip.recording.file])]
    theirs = sum(clip.recording.file in dropped for clip in undamaged)
    result["undamaged"] = {"files": len(undamaged), "lost": len(lost), "emilia": theirs}
    print(f"clean: {len(undamaged)}, lost {len(lost) / len(undamaged):.1%}, Emilia {theirs / len(undamaged):.1%}")
    for clip in lost:
        print(f"    lost: {clip.recording.file} {after[clip.recording.file]}")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

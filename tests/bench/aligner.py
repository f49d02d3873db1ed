"""Small aligners trained on ../shared/speech: word boundaries and wrong texts on speech that they never had.

For each language (default zh, de) an aligner learns from the speaker with the most speech, as little as a user may
have; all other speakers are new voices. Boundaries: joined recordings with known joints, and espeak-ng, which gives
the times of its words. Texts: the own one against others, and against those whose second half is another's; the
threshold is calibrated on other clips of the teacher. With en a second aligner learns from two thirds of the
speakers, and its words on the others are compared with those of pocketsphinx, an aligner of another origin.

    python tests/bench/aligner.py [languages]

Cost: 20 s for a language, en 2 min. Writes bench/aligner.json.
"""

import csv
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from voicemill.flows.demo.timed_speech import timed_speech
from voicemill.model.aligner import measuring, recipe
from voicemill.model.aligner.aligner import TrainedAligner
from voicemill.model.aligner.features import FRAME
from voicemill.model.aligner.measuring import Spoken
from voicemill.model.speech.pocketsphinx_aligner import PocketsphinxAligner
from voicemill.model.speech.pronunciation import WILD, pronounce
from voicemill.model.speech.words import Unalignable, split
from voicemill.storage.units import RATE, Seconds

ROOT = Path(__file__).parents[2]
SPEECH = ROOT / "../shared/speech/recordings"
LONGEST: Seconds = 16.5


def recordings(language: str) -> list[Spoken]:
    """Recordings of a language with a transcript, speaker by speaker."""
    with (SPEECH / "metadata.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["language"] == language and row["text"]]
    clips = []
    for row in (row for row in rows if float(row["duration_s"]) <= LONGEST):
        wave, rate = soundfile.read(SPEECH / row["file"], dtype="float32", always_2d=True)
        words = tuple(split(row["text"], language))
        low = soxr.resample(wave.mean(1), rate, RATE).astype(np.float32)
        clips.append(Spoken(row["speaker"], low, words, pronounce(words, language)))
    return clips


def figures(aligner: TrainedAligner, clips: list[Spoken], others: list[Spoken]) -> dict[str, Any]:
    """Joints and texts of some clips."""
    return {
        "speakers": len({clip.speaker for clip in clips}),
        "clips": len(clips),
        "joints": asdict(measuring.boundaries(aligner, measuring.joined(clips))),
        "texts": asdict(measuring.texts(aligner, measuring.ratios(aligner, clips, others))),
    }


def one_teacher(language: str) -> dict[str, Any]:
    """An aligner of one speaker, on its other clips, on all other speakers, and on synthetic voices."""
    clips = recordings(language)
    seconds: dict[str, int] = {}
    for clip in clips:
        seconds[clip.speaker] = seconds.get(clip.speaker, 0) + len(clip.wave)
    teacher = max(seconds, key=seconds.__getitem__)
    own, new = ([c for c in clips if (c.speaker == teacher) == known] for known in (True, False))
    start = time.process_time()
    aligner, parts = recipe.make(own, language)
    result: dict[str, Any] = {"train_cpu_s": time.process_time() - start, "train_s": seconds[teacher] / RATE}
    known = list(parts.known_speakers)
    result |= {"known voice": figures(aligner, known, own), "new voices": figures(aligner, new, own)}
    texts = [clip.words for clip in own if not any(WILD in word for word in clip.text)][:20]
    spoken = timed_speech(texts, language)
    result["synthetic"] = {"joints": asdict(measuring.boundaries(aligner, spoken))} if spoken else None
    start = time.process_time()
    for clip in known:
        aligner.place(aligner.emissions([clip.wave]), clip.words, language)
    result["times_real_time"] = sum(len(c.wave) for c in known) / RATE / (time.process_time() - start)
    return result


def beside_pocketsphinx() -> dict[str, Any]:
    """Differences of word boundaries between an English aligner and pocketsphinx, on speakers new to the aligner."""
    aligner, parts = recipe.make(recordings("en"), "en")
    pocket, differences = PocketsphinxAligner(), list[float]()
    for clip in parts.new_speakers:
        try:
            reference = pocket.align(clip.wave, clip.words).spans
            placed = aligner.place(aligner.emissions([clip.wave]), clip.words, "en").spans
        except Unalignable:
            continue
        scores = [span.score for span in reference if span]
        if np.quantile(scores, 0.25) < 0.5:
            continue
        pairs = [(a, b) for a, b in zip(placed, reference, strict=True) if a and b]
        differences += [abs(x - y) / RATE * 1000 for a, b in pairs for x, y in ((a.start, b.start), (a.stop, b.stop))]
    values = np.array(differences)
    median, p90 = (float(np.quantile(values, q)) for q in (0.5, 0.9))
    difference = asdict(measuring.Boundaries(len(values), median, p90, float((values <= 50).mean())))
    return {
        "new voices": figures(aligner, list(parts.new_speakers), list(parts.train)),
        "pocketsphinx": {"joints": difference},
    }


def show(language: str, result: dict[str, Any]) -> None:
    """Print the figures of one aligner."""
    for name, group in result.items():
        if isinstance(group, dict):
            bounds, texts = group["joints"], group.get("texts")
            line = f"{language}  {name:12}  {bounds['count']:5} boundaries  median {bounds['median_ms']:5.1f} ms"
            line += f"  90 % {bounds['p90_ms']:6.1f}  within 50 ms {bounds['within_50_ms']:.3f}"
            if texts:
                line += f"  AUC {texts['auc']:.3f}, half wrong {texts['auc_half']:.3f}"
                line += f"  kept {texts['right_kept']:.3f} of {texts['right']}, found {texts['wrong_found']:.3f}"
            print(line)
        elif group is not None:
            print(f"{language}  {name}: {group:.1f}")


def main() -> None:
    if not SPEECH.is_dir():
        print(f"no recordings at {SPEECH}: nothing to measure")
        return
    results = {}
    for language in sys.argv[1:] or ["zh", "de"]:
        results[language] = beside_pocketsphinx() if language == "en" else one_teacher(language)
        show(language, results[language])
    print(f"one frame of the aligner is {FRAME / RATE * 1000:.0f} ms")
    (ROOT / "bench").mkdir(exist_ok=True)
    (ROOT / "bench/aligner.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

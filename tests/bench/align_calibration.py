"""How well pocketsphinx's score tells a right transcript from a wrong one, on ../shared/speech, English,
and on the synthetic voices of the demo.

Every recording is aligned with its own text, with the text of another speaker's recording of about its length, and with
its own words shuffled. Printed: the share that has an alignment, the scores, and what each threshold lets through.

    python tests/bench/align_calibration.py [recordings]
"""

import csv
import json
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from voicemill.flows.demo.sentences import SENTENCES
from voicemill.flows.demo.speakers import VOICES
from voicemill.flows.demo.voice import RATE as ESPEAK_RATE
from voicemill.flows.demo.voice import Line, speak
from voicemill.model.speech.pocketsphinx_aligner import PocketsphinxAligner
from voicemill.model.speech.text_fit import quality
from voicemill.model.speech.words import Span, Unalignable, split
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE, Seconds

ROOT = Path(__file__).parents[2]
SPEECH = ROOT / "../shared/speech/recordings"
THRESHOLDS = (0.30, 0.33, 0.36, 0.40, 0.45, 0.50, 0.55, 0.60)


@dataclass(frozen=True)
class Recording:
    speaker: str
    file: str
    text: str
    seconds: Seconds


@dataclass(frozen=True)
class Trial:
    kind: str
    file: str
    words: int
    score: float | None
    """Score of the alignment; None = no path."""


def recordings(most_seconds: Seconds = 40.0) -> list[Recording]:
    """English recordings with a transcript."""
    with (SPEECH / "metadata.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["language"] == "en" and row["text"]]
    found = [Recording(r["speaker"], r["file"], r["text"], float(r["duration_s"])) for r in rows]
    return [r for r in found if r.seconds <= most_seconds]


def read(file: str) -> Wave:
    """float32 [samples], 32 kHz, mono."""
    wave, rate = soundfile.read(SPEECH / file, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(wave.mean(1), rate, RATE), np.float32)


def synthetic() -> list[tuple[Recording, Wave]]:
    """The English sentences of the demo in its English voices (espeak-ng)."""
    found = []
    for voice in (voice for voice in VOICES if voice.language == "en"):
        said = speak(
            [
                Line(text=text, voice=voice.voice, rate=voice.rate, pitch=voice.pitch, range=voice.range)
                for text in SENTENCES["en"]
            ]
        )
        for text, wave in zip(SENTENCES["en"], said, strict=True):
            wave = np.asarray(soxr.resample(wave, ESPEAK_RATE, RATE), np.float32)
            found.append((Recording(voice.name, "", text, len(wave) / RATE), wave))
    return found


def judged(spans: list[Span | None]) -> float:
    """Verdict on a segment, as `voicemill.model.speech.word_placement` gives it."""
    return quality([span.score for span in spans if span])


def main() -> None:
    rng = random.Random(1)
    every = recordings()
    chosen = rng.sample(every, min(int(sys.argv[1]) if len(sys.argv) > 1 else len(every), len(every)))
    pocket, trials, spent, heard = PocketsphinxAligner(), list[Trial](), 0.0, 0.0
    for recording, wave in [*((r, read(r.file)) for r in chosen), *synthetic()]:
        words, made = split(recording.text, "en"), " synthetic" if not recording.file else ""
        others = [r for r in every if r.speaker != recording.speaker and r.text != recording.text]
        near = sorted(others, key=lambda r: abs(r.seconds - recording.seconds))[:8]
        texts = {"right" + made: words, "exchanged" + made: split(rng.choice(near).text, "en")}
        if len(words) > 3:
            texts["shuffled" + made] = rng.sample(words, len(words))
        for kind, said in texts.items():
            start = time.perf_counter()
            try:
                score: float | None = judged(pocket.align(wave, said).spans)
            except Unalignable:
                score = None
            spent += time.perf_counter() - start
            heard += len(wave) / RATE
            trials.append(Trial(kind, recording.file, len(said), score))
    table = {}
    kinds = list(dict.fromkeys(t.kind for t in trials))
    for kind, least in [(kind, least) for least in (1, 3) for kind in kinds]:
        mine = [t for t in trials if t.kind == kind and t.words >= least]
        scores = sorted(t.score for t in mine if t.score is not None)
        passed = {f"{at:.2f}": sum(s >= at for s in scores) / len(mine) for at in THRESHOLDS}
        quantiles = [float(np.quantile(scores, q)) for q in (0.02, 0.05, 0.5, 0.95, 0.98)]
        table[f"{kind}, {least} words or more"] = {
            "texts": len(mine),
            "path": len(scores) / len(mine),
            "scores": quantiles,
            "accepted": passed,
        }
        print(
            f"{kind:10} {len(mine):4} texts, a path in {len(scores) / len(mine):6.1%}; scores at 2 5 50 95 98 %: ",
            end="",
        )
        print(" ".join(f"{q:.2f}" for q in quantiles))
        print("   accepted at", "  ".join(f"{at}: {share:.1%}" for at, share in passed.items()))
    print(f"{heard / spent:.1f} x real time on one thread, {heard:.0f} s heard")
    lost = sorted((t for t in trials if t.kind.startswith("right")), key=lambda t: t.score or 0)[:12]
    fooled = sorted((t for t in trials if not t.kind.startswith("right")), key=lambda t: -(t.score or 0))[:12]
    print("lowest right:", *[f"  {t.score} {t.file} ({t.words} words)" for t in lost], sep="\n")
    print("highest wrong:", *[f"  {t.score} {t.kind} {t.file} ({t.words} words)" for t in fooled], sep="\n")
    out = ROOT / "bench/align_calibration.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"table": table, "x_real_time": heard / spent, "trials": [asdict(t) for t in trials]}))


if __name__ == "__main__":
    main()

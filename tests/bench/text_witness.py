"""Benchmark of `align` as the witness of a text: right, exchanged and half texts, and joints, in en, zh and de.

`python tests/bench/text_witness.py [every]`: the recordings of ../shared/speech with a transcript and up to 30 s of
speech, cut by `slice`; every: use one in so many. Each is aligned by pocketsphinx as the stage does with its own text,
the text of another recording, one of about the same length, its own text without its second or first half, and with
another text behind it; printed is the share that the default limits refuse. Joints: recordings of one speaker set end
to end with known pauses (model/aligner/measuring.py), and how far off the words beside them begin and end.
Table, and bench/text_witness.json.
"""

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from cut_speech import CutRecording, cut_recordings

from voicemill.model.aligner import measuring
from voicemill.model.speech.pocketsphinx_aligner import PocketsphinxAligner
from voicemill.model.speech.word_placement import FitLimits, Unit, distribute, failed_rows
from voicemill.model.speech.words import Unalignable, is_sounded, split
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.outcomes import Outcome
from voicemill.storage.records import Segment
from voicemill.storage.units import RATE
from voicemill.tasks.stages.align import Settings

OUT = Path("bench/text_witness.json")
LONGEST = 30.0
LIMITS = FitLimits(Settings().min_score, Settings().max_uncovered)
Words = Sequence[str]


def texts(own: CutRecording, others: Sequence[CutRecording], rng: random.Random) -> dict[str, Words]:
    """Name -> words: the right ones, and wrong ones."""
    words = split(own.text, own.language)
    strangers = [o for o in others if o.text != own.text]
    other, half = rng.choice(strangers), len(words) // 2
    alike = min(strangers, key=lambda o: abs(len(o.text) / len(own.text) - 1) + 0.2 * rng.random())
    return {
        "right": words,
        "another": split(other.text, own.language),
        "another of its length": split(alike.text, own.language),
        "first half": words[:half],
        "second half": words[half:],
        "twice the text": [*words, *split(other.text, own.language)],
    }


def is_refused(aligner: PocketsphinxAligner, wave: Wave, words: Words, language: str) -> bool:
    """Whether the stage refuses a text."""
    segment = Segment(upload="u", index=0, start=0, stop=len(wave), outcome=Outcome.KEPT)
    unit = Unit((segment,), tuple(words), language)
    try:
        rows = distribute(unit, aligner.align(wave, words, language), LIMITS)
    except Unalignable as error:
        rows = failed_rows(unit, str(error))
    return rows[0].status != "aligned"


def joints(aligner: PocketsphinxAligner, clips: Sequence[CutRecording]) -> dict[str, float]:
    """Errors of the words beside known pauses, ms."""
    spoken = []
    for clip in clips:
        words = tuple(word for word in split(clip.text, clip.language) if is_sounded(word))
        spoken.append(measuring.Spoken(clip.speaker, np.concatenate(clip.waves), words, [(word,) for word in words]))
    errors: list[float] = []
    for chain in measuring.joined(spoken):
        try:
            spans = aligner.align(chain.wave, [word[0] for word in chain.text], clips[0].language).spans
        except Unalignable:
            errors += [1000.0] * (len(chain.starts) + len(chain.stops))
            continue
        for edge, known in (("start", chain.starts), ("stop", chain.stops)):
            errors += [abs(getattr(spans[number], edge) - truth) / RATE * 1000 for number, truth in known]
    return {
        "count": len(errors),
        "median_ms": float(np.median(errors)),
        "p90_ms": float(np.quantile(errors, 0.9)),
        "within_50_ms": float(np.mean(np.array(errors) <= 50)),
    }


def measured(aligner: PocketsphinxAligner, clips: Sequence[CutRecording], tell: Callable[[str], None]) -> dict:
    rng, refused, seconds = random.Random(0), {}, 0.0
    start = time.process_time()
    for clip in clips:
        wave = np.concatenate(clip.waves)
        for name, words in texts(clip, clips, rng).items():
            refused.setdefault(name, []).append(is_refused(aligner, wave, words, clip.language))
            seconds += len(wave) / RATE
    speed = seconds / (time.process_time() - start)
    result = {
        "recordings": len(clips),
        "speakers": len({clip.speaker for clip in clips}),
        "refused": {name: float(np.mean(flags)) for name, flags in refused.items()},
        "times_real_time": speed,
        "joints": joints(aligner, clips),
    }
    tell(f"{result['recordings']} recordings, {result['speakers']} speakers, {speed:.1f} x real time")
    tell("refused: " + ", ".join(f"{name} {share:.1%}" for name, share in result["refused"].items()))
    bounds = result["joints"]
    tell(
        f"joints: {bounds['count']}, median {bounds['median_ms']:.1f} ms, 90 % {bounds['p90_ms']:.1f} ms, "
        f"within 50 ms {bounds['within_50_ms']:.1%}"
    )
    return result


def main() -> None:
    every = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    aligner, results = PocketsphinxAligner(), {}
    cut = [clip for clip in cut_recordings() if clip.text and clip.seconds <= LONGEST]
    for language in ("en", "zh", "de"):
        clips = [clip for clip in cut if clip.language == language][::every]
        results[language] = measured(aligner, clips, lambda line, language=language: print(language, line, flush=True))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()

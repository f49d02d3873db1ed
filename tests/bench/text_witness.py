"""Benchmark of `align` as the witness of a text: right texts, fourteen kinds of wrong ones and joints, in en, zh, de.

`python tests/bench/text_witness.py [most] [language ...]`: the recordings of ../shared/speech with a transcript and up
to 14 s of speech, cut by `slice`; most: recordings of a speaker, default 30. Each is aligned as the stage does by the
embedded aligners, with its own text and with wrong ones (`texts`), and judged by the default limits. Printed for every
kind: the share refused and the share of each reason, among the speakers that the limits were calibrated on
(`CALIBRATED`) and among the others, who were measured once the limits stood. Joints: recordings of one speaker set end
to end with known pauses (model/aligner/measuring.py), and how far off the words beside them begin and end.
Table, and bench/text_witness.json. The verdicts on a recording are a line of bench/text_witness.jsonl: a run that was
stopped goes on there, while the version of the stage and the limits stay the same. The wrong texts of a recording are
drawn from its name, so they are the same in every run of one selection.
"""

import hashlib
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Protocol

import numpy as np
from cut_speech import CutRecording, cut_recordings

from voicemill.model.aligner import measuring
from voicemill.model.aligner.phone_aligner import PhoneAligner
from voicemill.model.speech.pocketsphinx_aligner import PocketsphinxAligner
from voicemill.model.speech.text_fit import FitSettings, check_rate
from voicemill.model.speech.word_placement import Unit, distribute, failed_rows
from voicemill.model.speech.words import Alignment, Unalignable, is_sounded, split
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.outcomes import Outcome
from voicemill.storage.records import Aligned, Segment
from voicemill.storage.units import RATE
from voicemill.tasks.contract.embedded_aligners import engine_for
from voicemill.tasks.stages.align import STAGE

OUT, LINES = Path("bench/text_witness.json"), Path("bench/text_witness.jsonl")
LANGUAGES = ("en", "zh", "de")
LONGEST, MOST = 14.0, 30
SETTINGS = FitSettings()
FEWEST = 4
"""Words of the shortest text that is cut: of a shorter one, half is a word."""
ALIKE = 0.3
"""Share of words in common from which the text of another recording is no wrong one: commands begin alike."""
CALIBRATED = {"aishell_S0150", "kerstin"}
"""Speakers of Chinese and German that the limits were calibrated on; of English it is every other one."""
Words = Sequence[str]


class Places(Protocol):
    """An aligner."""

    def align(self, wave: Wave, words: Words, language: str) -> Alignment:
        """Place words on a wave."""


def is_calibrated(clip: CutRecording) -> bool:
    """Whether the limits were calibrated on the speaker of a recording."""
    if clip.language == "en":
        return hashlib.sha256(clip.speaker.encode()).digest()[-1] % 2 == 0
    return clip.speaker in CALIBRATED


def texts(own: CutRecording, others: Sequence[CutRecording], rng: random.Random) -> dict[str, Words]:
    """Kind -> words: the right ones, and wrong ones; a kind that the text is too short for is left out."""
    words = split(own.text, own.language)
    strangers = [o for o in others if SequenceMatcher(None, words, split(o.text, o.language)).ratio() < ALIKE]
    mates = [o for o in others if o.speaker == own.speaker]
    after = next((o for o in mates[mates.index(own) + 1 :] + mates if o in strangers), own)
    plain = [split(o.text, o.language) for o in strangers]
    plain = [
        p for p in plain if len(p) >= 8 and all(map(is_sounded, p)) and not any(w.isascii() and len(w) == 1 for w in p)
    ]
    alike = min(strangers, key=lambda o: abs(len(o.text) / len(own.text) - 1) + 0.2 * rng.random())
    other, count = rng.choice(plain), len(words)
    half = count // 2
    made = {
        "right": words,
        "another recording's": split(rng.choice(strangers).text, own.language),
        "another's of its length": split(alike.text, own.language),
        "the next recording's": split(after.text, own.language),
        "first word": words[:1],
        "one word": [rng.choice([word for word in words if is_sounded(word)])],
    }
    if count >= FEWEST:
        made |= {
            "first half": words[:half],
            "last half": words[count - half :],
            "first third": words[: count // 3],
            "middle third missing": [*words[: count // 3], *words[count - count // 3 :]],
            "four words too many, behind": [*words, *other[:4]],
            "four words too many, before": [*other[:4], *words],
            "four words too many, inside": [*words[:half], *other[:4], *words[half:]],
            "half of another behind": [*words, *other[: len(other) // 2]],
            "half of it, half of another": [*words[:half], *other[len(other) // 2 :]],
        }
    return {kind: text for kind, text in made.items() if kind == "right" or list(text) != words}


def judged(aligner: Places, wave: Wave, words: Words, language: str) -> Aligned:
    """Row of the stage for a text of one segment."""
    segment = Segment(upload="u", index=0, start=0, stop=len(wave), outcome=Outcome.KEPT)
    unit = Unit((segment,), tuple(words), language)
    limits = SETTINGS.fit_limits(is_ctc=False, is_recognised=False)

    def align(part: Unit) -> Alignment:
        return aligner.align(wave, part.words, language)

    try:
        (row,) = distribute(unit, align(unit), limits)
    except Unalignable as error:
        (row,) = failed_rows(unit, str(error), align)
    return check_rate(row, len(wave), SETTINGS.rate_limits)


def joints(aligner: Places, clips: Sequence[CutRecording]) -> dict[str, float]:
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


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Verdict on one text of a recording."""

    file: str
    kind: str
    reason: str
    detail: str
    measures: tuple[float | None, float | None, float | None]
    """`fit`, `missing`, `worst_run` of the row."""
    seconds: float
    processor_s: float


class Lines:
    """Verdicts of earlier runs with the same key, and those of this run, each written as soon as it is known."""

    def __init__(self, key: str) -> None:
        self._key = key
        lines = LINES.read_text(encoding="utf-8").splitlines() if LINES.is_file() else []
        # a run that was killed may leave half a line at the end
        rows = [json.loads(line) for line in lines if line.endswith("}]}")]
        self._known = {row["file"]: row["rows"] for row in rows if row["key"] == key}

    def of(self, file: str, measure: Callable[[], list[Judged]]) -> list[Judged]:
        """Verdicts on the texts of a recording, measured where no earlier run has."""
        if file not in self._known:
            rows = [asdict(row) for row in measure()]
            LINES.parent.mkdir(exist_ok=True)
            with LINES.open("a", encoding="utf-8") as out:
                out.write("\n" + json.dumps({"key": self._key, "file": file, "rows": rows}))
            self._known[file] = rows
        return [Judged(**row | {"measures": tuple(row["measures"])}) for row in self._known[file]]


def judgements(aligner: Places, clip: CutRecording, clips: Sequence[CutRecording]) -> list[Judged]:
    """Verdicts on every text of a recording."""
    wave, rows = np.concatenate(clip.waves), []
    for kind, words in texts(clip, clips, random.Random(clip.file)).items():
        start = time.process_time()
        row = judged(aligner, wave, words, clip.language)
        rows.append(
            Judged(
                file=clip.file,
                kind=kind,
                reason=row.reason,
                detail=row.detail,
                measures=(row.fit, row.missing, row.worst_run),
                seconds=len(wave) / RATE,
                processor_s=time.process_time() - start,
            )
        )
    return rows


def rates(rows: Iterable[Judged]) -> dict[str, dict[str, float]]:
    """Kind -> number of texts, share refused, and share refused for each reason."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        reasons[row.kind].append(row.reason)
    return {
        kind: {"texts": len(own), "refused": float(np.mean([bool(reason) for reason in own]))}
        | {reason: count / len(own) for reason, count in sorted(Counter(own).items()) if reason}
        for kind, own in reasons.items()
    }


def measured(aligner: Places, clips: Sequence[CutRecording], key: str, tell: Callable[[str], None]) -> dict:
    lines, sides = Lines(key), {True: list[Judged](), False: list[Judged]()}
    for clip in clips:
        rows = lines.of(clip.file, lambda clip=clip: judgements(aligner, clip, clips))  # type: ignore[misc]
        sides[is_calibrated(clip)] += rows
        for row in rows:
            if row.kind == "right" and row.reason:
                tell(f"refused: {row.file} {row.reason}: {row.detail}")
    everything = sides[True] + sides[False]
    speed = sum(row.seconds for row in everything) / sum(row.processor_s for row in everything)
    result: dict = {"times_real_time": speed, "joints": joints(aligner, clips)}
    for side, name in ((True, "calibrated on"), (False, "others")):
        speakers = {clip.speaker for clip in clips if is_calibrated(clip) is side}
        result[name] = {"speakers": len(speakers), "kinds": rates(sides[side])}
        tell(f"{name}: {len(speakers)} speakers, measures of right texts at 0, 1, 5, 50 %: {quantiles(sides[side])}")
        for kind, row in result[name]["kinds"].items():
            tell(f"  {kind:28} " + " ".join(f"{k} {v:.3g}" if k == "texts" else f"{k} {v:.1%}" for k, v in row.items()))
    bounds = result["joints"]
    tell(
        f"{speed:.1f} x real time; joints: {bounds['count']}, median {bounds['median_ms']:.1f} ms, 90 % "
        f"{bounds['p90_ms']:.1f} ms, within 50 ms {bounds['within_50_ms']:.1%}"
    )
    return result


def quantiles(rows: Iterable[Judged]) -> str:
    """Extremes and medians of the measures of right texts."""
    known = [row.measures for row in rows if row.kind == "right" and row.measures[0] is not None]
    if not known:
        return "none"
    table = np.array([[fit, 1 - (missing or 0), run] for fit, missing, run in known])
    places = np.quantile(table, (0, 0.01, 0.05, 0.5), axis=0).T
    return "; ".join(
        f"{name} {' '.join(f'{value:.2f}' for value in line)}"
        for name, line in zip(("fit", "1 - missing", "worst run"), places, strict=True)
    )


def few(clips: Iterable[CutRecording], most: int) -> list[CutRecording]:
    """Evenly spread recordings of each speaker, so many at most."""
    by_speaker: dict[str, list[CutRecording]] = defaultdict(list)
    for clip in clips:
        by_speaker[clip.speaker].append(clip)
    return [clip for own in by_speaker.values() for clip in own[:: -(-len(own) // most)]]


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else MOST
    aligners: dict[str, Places] = {"phones": PhoneAligner(), "pocketsphinx": PocketsphinxAligner()}
    results = {}
    cut = [clip for clip in cut_recordings() if clip.text and clip.seconds <= LONGEST]
    for language in sys.argv[2:] or LANGUAGES:
        aligner = aligners[str(engine_for(language, hears=True))]
        clips = few([clip for clip in cut if clip.language == language], most)
        key = f"{STAGE.version} {most} {language} {SETTINGS.model_dump_json()}"
        results[language] = measured(
            aligner, clips, key, lambda line, language=language: print(language, line, flush=True)
        )
        OUT.parent.mkdir(exist_ok=True)
        OUT.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()

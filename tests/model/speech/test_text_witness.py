"""The embedded aligners as witnesses of given texts on real speech: each wrong kind is refused, with its reason."""

import csv
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voicemill.model.aligner.phone_aligner import PhoneAligner
from voicemill.model.speech.pocketsphinx_aligner import PocketsphinxAligner
from voicemill.model.speech.text_fit import FitSettings
from voicemill.model.speech.word_placement import Unit, distribute, failed_rows
from voicemill.model.speech.words import Alignment, Unalignable, split
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.outcomes import Outcome
from voicemill.storage.records import Aligned, Segment
from voicemill.storage.units import RATE
from voicemill.tasks.contract.embedded_aligners import Engine, engine_for

SPEECH = Path(__file__).parents[3] / "../shared/speech/recordings"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.realdata,
    pytest.mark.skipif(not SPEECH.is_dir(), reason="no ../shared/speech"),
]
SPEAKERS = {"en": ("libri_1688", "vctk_p225", "ljspeech"), "zh": ("aishell_S0150",), "de": ("kerstin",)}
COUNT = 4
"""Recordings of each language."""


@cache
def aligner(engine: Engine | None) -> PhoneAligner | PocketsphinxAligner:
    return PhoneAligner() if engine == "phones" else PocketsphinxAligner()


def read(file: str) -> Wave:
    wave, rate = soundfile.read(SPEECH / file, dtype="float32")
    return np.asarray(soxr.resample(wave, rate, RATE), np.float32)


def judged(wave: Wave, words: list[str], language: str) -> Aligned:
    unit = Unit((Segment(upload="u", index=0, start=0, stop=len(wave), outcome=Outcome.KEPT),), tuple(words), language)

    def align(part: Unit) -> Alignment:
        return aligner(engine_for(language, hears=True)).align(wave, part.words, language)

    try:
        (row,) = distribute(unit, align(unit), FitSettings().fit_limits(is_ctc=False, is_recognised=False))
    except Unalignable as error:
        (row,) = failed_rows(unit, str(error), align)
    return row


def clips(language: str) -> list[tuple[Wave, list[str]]]:
    """Recordings of 2 to 5 s, of 8 words or more, the speakers in turns."""
    with (SPEECH / "metadata.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["speaker"] in SPEAKERS[language] and row["text"]]
    rows = [row for row in rows if 2 <= float(row["duration_s"]) <= 5 and len(split(row["text"], language)) >= 8]
    order = sorted(rows, key=lambda row: [r for r in rows if r["speaker"] == row["speaker"]].index(row))
    return [(read(row["file"]), split(row["text"], language)) for row in order[:COUNT]]


@pytest.mark.parametrize("language", SPEAKERS)
def test_each_kind_of_text_by_its_reason(language: str) -> None:
    spoken = clips(language)
    assert len(spoken) == COUNT
    found: dict[str, Counter[str]] = {}
    for number, (wave, words) in enumerate(spoken):
        other, third = spoken[(number + 1) % COUNT][1], len(words) // 3
        texts = {
            "right": words,
            "one word": words[:1],
            "first half": words[: len(words) // 2],
            "last half": words[len(words) // 2 :],
            "middle missing": words[:third] + words[-third:],
            "four too many": words[: 2 * third] + other[:4] + words[2 * third :],
            "another": other,
        }
        for kind, text in texts.items():
            row = judged(wave, text, language)
            assert (row.status == "failed") == bool(row.reason)
            found.setdefault(kind, Counter())[row.reason] += 1
    assert found["right"] == {"": COUNT}
    for kind in ("one word", "first half", "last half", "middle missing"):
        assert found[kind]["text_incomplete"] >= COUNT - 1, (kind, found[kind])
        assert found[kind][""] == 0, (kind, found[kind])
    assert found["four too many"][""] == 0
    assert found["four too many"]["text_surplus"] >= COUNT // 2
    assert found["another"][""] == 0
    assert found["another"]["unaligned"] >= COUNT // 2


def test_one_word_of_a_long_recording_is_incomplete() -> None:
    """8.1 s of speech, 23 words, of which the metadata gave the first."""
    row = judged(read("libri_1688/1688-142285-0006.flac"), ["i"], "en")
    assert (row.status, row.reason) == ("failed", "text_incomplete")
    assert row.measure is not None
    assert row.measure > 0.8

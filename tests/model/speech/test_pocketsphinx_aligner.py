"""pocketsphinx: right texts are placed, wrong ones refused, and earlier texts change nothing."""

import csv
import itertools
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voicemill.flows.demo.voice import RATE as ESPEAK_RATE
from voicemill.flows.demo.voice import Line, speak
from voicemill.model.speech.pocketsphinx_aligner import PocketsphinxAligner
from voicemill.model.speech.text_fit import quality
from voicemill.model.speech.words import Span, Unalignable, split
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE
from voicemill.tasks.stages.align import Settings

SPEECH = Path(__file__).parents[3] / "../shared/speech/recordings"
SENTENCES = (
    "The old lighthouse stood above the harbour.",
    "Nobody had answered the letter for 3 weeks.",
    "Yesterday Trandorf walked through Zandoria.",
)
LEAST = Settings().min_score


@cache
def said() -> tuple[Wave, ...]:
    lines = speak([Line(text, "en-us") for text in SENTENCES])
    return tuple(np.asarray(soxr.resample(wave, ESPEAK_RATE, RATE), np.float32) for wave in lines)


def score(spans: Sequence[Span | None]) -> float:
    return quality([span.score for span in spans if span])


def test_a_sentence_and_a_pause_before_it() -> None:
    words = split(SENTENCES[0], "en")
    silence = np.zeros(RATE, np.float32)
    pocket = PocketsphinxAligner()
    plain, late = (pocket.align(wave, words).spans for wave in (said()[0], np.concatenate([silence, said()[0]])))
    assert all(span is not None for span in plain)
    times = [edge for span in plain if span for edge in (span.start, span.stop)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= len(said()[0])
    assert score(plain) > LEAST
    # a second later everywhere, within 60 ms
    assert [b.start - a.start for a, b in zip(plain, late, strict=True) if a and b] == pytest.approx(
        [RATE] * 7, abs=1920
    )


def test_a_word_of_which_nothing_is_left_has_a_length() -> None:
    """A recording that begins too late: the decoder places the word in the noise before the audio."""
    words = ["It", *split(SENTENCES[0], "en")]
    edges = [(span.start, span.stop) for span in PocketsphinxAligner().align(said()[0], words).spans if span]
    assert len(edges) == len(words)
    assert all(start < stop for start, stop in edges)
    assert all(stop <= start for (_, stop), (start, _) in itertools.pairwise(edges))
    assert 0 <= edges[0][0] < edges[-1][1] <= len(said()[0])


def test_numbers_unknown_names_and_signs() -> None:
    spans = (
        PocketsphinxAligner()
        .align(said()[1], ["Nobody", "had", "answered", "—", "the", "letter", "for", "3", "weeks."])
        .spans
    )
    assert [span is None for span in spans] == [False, False, False, True, *[False] * 5]
    pocket = PocketsphinxAligner()
    assert score(pocket.align(said()[2], split(SENTENCES[2], "en")).spans) > LEAST


def test_the_text_of_another_sentence_is_refused() -> None:
    pocket = PocketsphinxAligner()
    for wave, text in ((said()[0], SENTENCES[1]), (said()[1], SENTENCES[0])):
        try:
            found = score(pocket.align(wave, split(text, "en")).spans)
        except Unalignable:
            continue
        assert found < LEAST


FOREIGN = {
    "de": ("de", "Am Ende der Straße steht ein altes Haus mit roten Fenstern."),
    "zh": ("cmn", "今天早上我在公园里看见一只白色的小狗。"),
}


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", *FOREIGN])
def test_a_text_that_lacks_words_leaves_speech_uncovered(language: str) -> None:
    voice, text = FOREIGN.get(language, ("en-us", SENTENCES[0]))
    wave = np.asarray(soxr.resample(speak([Line(text, voice)])[0], ESPEAK_RATE, RATE), np.float32)
    words, pocket = split(text, language), PocketsphinxAligner()

    def uncovered(some: list[str]) -> float:
        stretches = pocket.align(wave, some, language).uncovered
        assert all(0 <= start < stop <= len(wave) for start, stop in stretches)
        return sum(stop - start for start, stop in stretches) / len(wave)

    most = Settings().max_uncovered
    assert score(pocket.align(wave, words, language).spans) > LEAST
    assert uncovered(words) <= most
    assert uncovered(words[: len(words) // 2]) > most
    assert uncovered(words[len(words) // 2 :]) > most


def test_no_words_no_alignment() -> None:
    with pytest.raises(Unalignable, match="no word"):
        PocketsphinxAligner().align(said()[0], ["...", "[noise]"])
    with pytest.raises(Unalignable):
        PocketsphinxAligner().align(np.zeros(3200, np.float32), split(SENTENCES[0], "en"))


def test_the_order_of_work_changes_nothing() -> None:
    pocket, fresh = PocketsphinxAligner(), PocketsphinxAligner()
    words = [split(text, "en") for text in SENTENCES]
    first = [pocket.align(wave, text) for wave, text in zip(said(), words, strict=True)]
    with pytest.raises(Unalignable):
        fresh.align(said()[0][:6400], ["xylographical", *words[1]])
    second = [fresh.align(wave, text) for wave, text in reversed(list(zip(said(), words, strict=True)))]
    assert first == second[::-1]


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.skipif(not SPEECH.is_dir(), reason="../shared/speech is not here")
def test_real_speech_right_and_exchanged_texts() -> None:
    with (SPEECH / "metadata.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["speaker"] in ("ljspeech", "libri_367", "vctk_p226") and r["text"]]
    chosen = rows[::3]
    pocket, right, wrong = PocketsphinxAligner(), list[float](), list[float]()
    for row, other in zip(chosen, chosen[7:] + chosen[:7], strict=True):
        wave, rate = soundfile.read(SPEECH / row["file"], dtype="float32")
        wave = np.asarray(soxr.resample(wave, rate, RATE), np.float32)
        for text, scores in ((row["text"], right), (other["text"], wrong)):
            try:
                scores.append(score(pocket.align(wave, split(text, "en")).spans))
            except Unalignable:
                scores.append(0.0)
    assert np.mean(np.array(right) > LEAST) >= 0.95
    assert np.mean(np.array(wrong) > LEAST) <= 0.2
    # the default has to let synthetic voices through too; people's speech leaves room for a stricter one
    assert np.mean(np.array(right) > 0.5) >= 0.95
    assert np.mean(np.array(wrong) > 0.5) <= 0.06

"""Texts that do not fit their audio: another text, words missing, words too many, by their measures and reasons."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.settings.training import DataSettings
from voicemill.model.speech.text_fit import (
    RUN,
    FitLimits,
    FitSettings,
    RateLimits,
    check_rate,
    fitting_part,
    judge,
    missing_share,
    phones_in,
    worst_run,
)
from voicemill.model.speech.words import Span
from voicemill.storage.records import Aligned, Word
from voicemill.storage.units import RATE

LIMITS = FitLimits(score=0.33, missing=0.1, run=0.4)


def row(text: str, language: str = "en", status: str = "aligned") -> Aligned:
    words = tuple(Word(word, 100 * at, 100 * at + 90, 0.9) for at, word in enumerate(text.split()))
    return Aligned(upload="u", index=0, text=text, language=language, words=words, status=status)


def spans(*scores: float, phones: int = 4) -> list[Span]:
    return [Span(100 * at, 100 * at + 90, score, phones) for at, score in enumerate(scores)]


def test_the_worst_words_in_a_row() -> None:
    assert worst_run(spans(0.9, 0.25, 0.64, 0.9)) == (pytest.approx(0.4), range(1, 3))
    assert worst_run([Span(0, 9, 0.5, 3)]) == (pytest.approx(0.5), range(1))  # a text of fewer phones is one run
    assert worst_run([Span(0, 9, 0.9, 2), Span(9, 19, 0.1, RUN)]) == (pytest.approx(0.1), range(1, 2))
    assert worst_run(spans(0.9, 0.9, 0.9, 0.0))[0] < 0.001  # the last words are a run, too


def test_the_part_that_fits_is_one_run() -> None:
    assert fitting_part(spans(0.9, 0.9, 0.1, 0.1)) == 0.5
    assert fitting_part(spans(0.9, 0.1, 0.9, 0.1)) == 0.25
    assert fitting_part(spans(0.9, 0.9, 0.1, 0.9)) == 0.5
    assert fitting_part(spans(0.1)) == 0.0


@given(st.lists(st.tuples(st.floats(0.01, 1.0), st.integers(1, 12)), min_size=1, max_size=30))
def test_a_run_is_within_the_text_and_no_better_than_the_whole(words: list[tuple[float, int]]) -> None:
    made = [Span(at, at + 1, score, phones) for at, (score, phones) in enumerate(words)]
    score, place = worst_run(made)
    phones = [number for _, number in words]
    assert 0 <= place.start < place.stop <= len(words)
    assert sum(phones[place.start : place.stop]) >= min(RUN, sum(phones))
    assert min(score for score, _ in words) * 0.999 <= score <= max(score for score, _ in words) * 1.001
    if place.stop - place.start > 1:
        assert sum(phones[place.start : place.stop - 1]) < RUN


def test_each_sign_has_its_reason() -> None:
    text = row("one two three four")
    good = judge(text, spans(0.9, 0.9, 0.9, 0.9), 0.05, LIMITS)
    assert (good.status, good.reason, good.words) == ("aligned", "", text.words)
    assert (good.fit, good.missing, good.worst_run) == (0.9, 0.05, pytest.approx(0.9))
    other = judge(text, spans(0.1, 0.1, 0.9, 0.1), 0.5, LIMITS)
    assert (other.status, other.reason, other.measure, other.limit) == ("failed", "unaligned", pytest.approx(0.1), 0.33)
    assert other.detail.endswith("this is not the text of this audio")
    less = judge(text, spans(0.9, 0.9, 0.9, 0.9), 0.3, LIMITS)
    assert (less.reason, less.measure, less.limit, less.words) == ("text_incomplete", 0.3, 0.1, ())
    assert less.detail.endswith("phones that it lacks, score 30% of the segment, more than 10%")
    in_part = judge(text, spans(0.9, 0.9, 0.1, 0.1), 0.0, LIMITS)
    assert (in_part.reason, in_part.measure, in_part.limit) == ("text_surplus", pytest.approx(0.1), 0.33)
    both = judge(text, spans(0.9, 0.9, 0.1, 0.1), 0.3, LIMITS)
    assert (both.reason, both.measure) == ("text_incomplete", 0.3)
    more = judge(text, spans(0.9, 0.9, 0.35, 0.35), 0.0, LIMITS)
    assert (more.reason, more.limit, more.fit) == ("text_surplus", 0.4, pytest.approx(0.35))
    assert more.detail == "'three four' scores 0.350, less than 0.4: these words are not spoken there"
    empty = judge(replace(row("one"), words=(Word("one", 5, 5, 0.9),)), spans(0.9), 0.0, LIMITS)
    assert (empty.reason, empty.detail) == ("unaligned", "a word has no length")


def test_what_is_missing_is_speech_without_a_word_and_phones_that_fall_short() -> None:
    assert missing_share(0.1, spans(0.9, 0.9), None) == 0.1
    assert missing_share(0.1, spans(0.9, 0.9), 10.0) == 0.1
    assert missing_share(0.1, spans(0.9, 0.9), 4.0) == 0.1  # more than are spoken
    assert missing_share(0.1, spans(0.9, 0.9), 16.0) == pytest.approx(0.1 + 0.7 * (1 - 10 / 16))
    assert missing_share(0.0, spans(0.9), 0.0) == 0.0  # silence


def test_the_limits_of_each_engine_and_source() -> None:
    settings = FitSettings()
    given_, recognised = (settings.fit_limits(is_ctc=False, is_recognised=flag) for flag in (False, True))
    assert (given_.score, given_.missing, given_.run) == (
        settings.min_score,
        settings.max_uncovered,
        settings.min_run,
    )
    assert (recognised.missing, recognised.run) == (settings.max_uncovered_recognised, 0.0)
    ctc = settings.fit_limits(is_ctc=True, is_recognised=False)
    assert (ctc.score, ctc.run) == (settings.min_score_ctc, 0.0)


@pytest.mark.parametrize(
    ("text", "language", "phones"),
    [
        ("what a lovely day", "en", 11),
        ("今天天气很好", "zh", 12),
        ("das ist schön", "de", 9),
        ("un été chaud", "fr", 10),
        ("いい天気", "ja", 10.0),
        ("สวัสดี", "th", 4.0),
        ("... !", "de", 0),
        ("what a lovely day", "", 11),
    ],
)
def test_phones_of_a_text_in_any_language(text: str, language: str, phones: float) -> None:
    assert phones_in(text, language) == phones


def test_phones_a_second_judge_every_language() -> None:
    limits = FitSettings().rate_limits
    assert limits == RateLimits(DataSettings().fewest_phones, DataSettings().most_phones)  # the ledger knows before
    for language in ("en", "de", "fr"):
        status = "aligned" if language == "en" else "no_aligner"
        kept = check_rate(row("alles gut soweit", language, status), 2 * RATE, limits)
        assert (kept.status, kept.reason) == (status, "")
        assert kept.phone_rate is not None
        assert 5 <= kept.phone_rate <= 10
        few = check_rate(row("no", language, status), 8 * RATE, limits)
        assert (few.status, few.reason, few.limit, few.words) == ("failed", "text_incomplete", 2.0, ())
        many = check_rate(row("responsibility " * 20, language, status), 2 * RATE, limits)
        assert (many.status, many.reason, many.limit) == ("failed", "text_surplus", 30.0)
    silent = row("", "en", "no_text")
    assert check_rate(silent, RATE, limits) == silent
    failed = check_rate(judge(row("no"), spans(0.1), 0.0, LIMITS), 8 * RATE, limits)
    assert failed.reason == "unaligned"  # the first reason stays
    assert failed.phone_rate == 3 / 8  # with the mark that the front end ends a short text with

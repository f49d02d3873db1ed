"""The figures against values worked out by hand, and what must hold of any two recordings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.signals import speechlike

from voicemill.model.audio.mel import BANDS
from voicemill.model.judging.metrics.against_recording import duration_error, f0_error, mcd
from voicemill.model.judging.metrics.alignment import cepstra, distances, log_mel, seconds_of, speech_of, warp
from voicemill.model.judging.metrics.recognition import cer, distance, plain, wer, word_errors
from voicemill.storage.units import RATE

SEEDS = st.integers(0, 2**32 - 1)
WORDS = st.text("abc ", max_size=12)


def frames(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 13))


@given(SEEDS, st.integers(1, 20), st.integers(1, 20))
def test_a_warping_path_is_monotonic_whole_and_the_cheapest(seed: int, n: int, m: int) -> None:
    one, other = frames(seed, n), frames(seed + 1, m)
    path = warp(one, other)
    assert path[0].tolist() == [0, 0]
    assert path[-1].tolist() == [n - 1, m - 1]
    assert {tuple(step) for step in np.diff(path, axis=0).tolist()} <= {(0, 1), (1, 0), (1, 1)}
    cost = distances(one, other)
    best = np.full((n, m), np.inf)  # by its definition, cell by cell
    for i in range(n):
        for j in range(m):
            before = [best[a, b] for a, b in ((i - 1, j), (i, j - 1), (i - 1, j - 1)) if a >= 0 and b >= 0]
            best[i, j] = cost[i, j] + min(before, default=0.0)
    assert cost[path[:, 0], path[:, 1]].sum() == pytest.approx(best[-1, -1])


@given(SEEDS, st.integers(1, 20), st.integers(1, 20))
def test_distortion_is_none_with_itself_and_the_same_both_ways(seed: int, n: int, m: int) -> None:
    one, other = frames(seed, n), frames(seed + 1, m)
    assert mcd(one, one) == 0
    assert mcd(one, np.repeat(one, 3, axis=0)) == 0  # slower by a factor: warping takes it up
    assert mcd(one, other) == pytest.approx(mcd(other, one))
    assert mcd(one, other) > 0


def test_distortion_of_one_ripple_is_its_height_in_decibels() -> None:
    """A log spectrum that differs by A cos(m x) differs by A / sqrt 2 in root mean square; A nepers are 8.686 A dB."""
    ripple = 0.5 * np.cos(np.pi * 4 * (np.arange(BANDS) + 0.5) / BANDS)
    flat = np.zeros((7, BANDS), np.float32)
    found = mcd(cepstra(flat), cepstra((flat + ripple).astype(np.float32)))
    assert found == pytest.approx(0.5 / np.sqrt(2) * 20 / np.log(10), rel=1e-5)
    assert mcd(cepstra(flat), cepstra(flat + np.float32(3))) == pytest.approx(0, abs=1e-5)  # louder alone is no change


def test_distortion_by_hand() -> None:
    one = np.zeros((1, 13))
    other = np.zeros((1, 13))
    other[0, :2] = 3, 4
    assert mcd(one, other) == pytest.approx(10 / np.log(10) * np.sqrt(2) * 5)


def test_speech_is_found_between_silences_and_has_its_length() -> None:
    wave = speechlike(1.0)
    silent = np.zeros(RATE // 2, np.float32)
    mel = log_mel(np.concatenate([silent, wave, silent]))
    speech = speech_of(mel)
    assert 20 <= speech.start <= 30
    assert seconds_of(speech) == pytest.approx(1.0, abs=0.15)
    assert len(log_mel(np.zeros(3, np.float32))) == 2  # shorter than a frame
    assert speech_of(log_mel(np.zeros(RATE, np.float32))) == slice(0, 50)


def test_pitch_error_by_hand() -> None:
    path = np.stack([np.arange(8), np.arange(8)], axis=1)
    one = np.array([100, 100, 100, 100, 100, 100, 0, 100], np.float32)
    other = np.array([200, 50, 100, 100, 100, 100, 100, 0], np.float32)
    assert f0_error(one, other, path) == pytest.approx(1200 * np.sqrt(2 / 6))
    assert f0_error(other, one, path) == pytest.approx(1200 * np.sqrt(2 / 6))
    assert f0_error(one, np.zeros(8, np.float32), path) is None
    assert f0_error(one[:4], other[:4], path[:4]) is None
    assert duration_error(1.5, 2.0) == pytest.approx(0.25)


@given(WORDS, WORDS, WORDS)
def test_edit_distance_is_a_metric(one: str, two: str, three: str) -> None:
    assert distance(one, two) == distance(two, one)
    assert (distance(one, two) == 0) == (one == two)
    assert distance(one, three) <= distance(one, two) + distance(two, three)
    assert abs(len(one) - len(two)) <= distance(one, two) <= max(len(one), len(two))


def test_error_rates_by_hand() -> None:
    assert distance("kitten", "sitting") == 3
    assert cer("kitten", "sit ting") == pytest.approx(3 / 6)
    assert wer("the cat sat", "a cat sat down", "en") == pytest.approx(2 / 3)
    assert wer("我们走", "我们 跑", "zh") == pytest.approx(1 / 3)
    assert wer("one", "one two three", "en") == 2
    with pytest.raises(ValueError, match="without a text"):
        cer("", "something")


def test_texts_are_compared_as_they_are_read_out() -> None:
    assert plain("I have 3 dogs, Dr. Smith!", "en") == plain("i have three dogs doctor smith", "en")
    assert plain("  Grüße, JÖRG — 'n Tag ", "de") == "grüsse jörg n tag"  # no front end: as it is written
    assert plain("...", "en") == ""
    assert plain("Uh, the neighbour's colour <noise> he remember'd, um", "en") == "the neighbors color he remembered"


@pytest.mark.parametrize(
    ("one", "other", "errors"),
    [
        ("a work house", "a workhouse", 0),
        ("out gaze him in thy self", "outgaze him in thyself", 0),
        ("to day", "toda y", 0),
        ("in doubt", "endowed", 2),
        ("a b c d", "abcd", 4),  # four words are more than `DIVIDED`
        ("", "a", 1),
    ],
)
def test_words_that_are_divided_in_another_way_are_no_error(one: str, other: str, errors: int) -> None:
    assert word_errors(one.split(), other.split()) == word_errors(other.split(), one.split()) == errors


def test_the_word_error_rate_counts_the_words_of_the_text() -> None:
    assert wer("in the workhouse there", "the work house there", "en") == pytest.approx(1 / 4)


@given(st.lists(st.text("ab", min_size=1, max_size=3), max_size=6), st.lists(st.text("ab", min_size=1), max_size=6))
def test_division_only_takes_errors_away(one: list[str], other: list[str]) -> None:
    errors = word_errors(one, other)
    assert errors == word_errors(other, one) <= distance(one, other)
    assert "".join(one) == "".join(other) or errors > 0

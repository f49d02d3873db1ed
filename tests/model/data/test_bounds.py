"""Frames of words as bounds of their phones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.data.bounds import bounds_of, unbounded
from voicemill.model.text.frontend import phonemes
from voicemill.storage.records import Word

HOP = 640


def words(*spoken: tuple[str, int, int], start: int = 5000) -> list[Word]:
    """By frames of an utterance that begins at a sample of its upload."""
    return [Word(text, start + HOP * a, start + HOP * b, 0.9) for text, a, b in spoken]


def test_pauses_are_of_the_marks_and_else_of_the_neighbours() -> None:
    found = phonemes("Good day, a man.", "en")
    assert found.phones == ("G", "UH1", "D", "D", "EY1", ",", "AH0", "M", "AE1", "N", ".")
    spoken = words(("Good", 3, 10), ("day,", 14, 20), ("a", 26, 28), ("man.", 28, 40))
    bounds = bounds_of(found, spoken, 5000, 45, HOP)
    assert bounds is not None
    assert bounds.dtype == np.int32
    assert bounds.tolist() == [
        [0, 10], [3, 10], [3, 14],  # Good: what is before it, and the pause behind it, in which nobody speaks
        [10, 20], [14, 20],
        [20, 26],  # the comma
        [26, 28],
        [28, 40], [28, 40], [28, 40],
        [40, 45],
    ]  # fmt: skip


def test_a_word_may_be_one_phone_between_pauses() -> None:
    found = phonemes("I owe a man", "en")
    assert found.phones[:3] == ("AY1", "OW1", "AH0")
    bounds = bounds_of(found, words(("I", 2, 5), ("owe", 8, 11), ("a", 12, 13), ("man", 15, 20)), 5000, 22, HOP)
    assert bounds is not None
    assert bounds.tolist() == [[0, 8], [5, 12], [11, 15], [13, 20], [15, 20], [15, 22]]


def test_times_out_of_order_say_nothing() -> None:
    found = phonemes("Good day", "en")
    assert bounds_of(found, words(("Good", 9, 12), ("day", 3, 6)), 5000, 20, HOP) is None
    assert bounds_of(found, words(("Good", 3, 6), ("day", 9, 12)), 5000, 20, HOP) is not None
    assert bounds_of(phonemes("안녕", "ko"), words(("안녕", 3, 6)), 5000, 20, HOP) is None


TIMES = st.lists(st.tuples(st.integers(-3, 6), st.integers(-3, 12)), min_size=6, max_size=6)


@pytest.mark.parametrize("text", ["the old cat, I see, ran", "oh, my: it is, well"])
@given(TIMES, st.integers(1, 60))
def test_bounds_are_in_order_and_cover_all(text: str, steps: list[tuple[int, int]], frames: int) -> None:
    """Whatever the words' times, overlaps and words out of the utterance included."""
    at, spoken = 0, []
    for word, (gap, length) in zip(text.split(), steps, strict=False):
        at += max(gap, 0) if spoken else gap
        spoken.append((word, at, at + length))
    bounds = bounds_of(phonemes(text, "en"), words(*spoken), 5000, frames, HOP)
    assert bounds is not None
    assert (np.diff(bounds, axis=0) >= 0).all()
    assert (bounds[:, 0] <= bounds[:, 1]).all()
    assert (bounds[0, 0], bounds[-1, 1]) == (0, frames)
    assert {frame for a, b in bounds.tolist() for frame in range(a, b)} == set(range(frames))


def test_nothing_known_is_all_frames() -> None:
    assert unbounded(3, 7).tolist() == [[0, 7]] * 3

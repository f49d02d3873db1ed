"""Words: nothing of a text is lost, and English words are spelt out as the front end reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.speech.words import is_sounded, join, split, spoken_english


@given(st.text(), st.sampled_from(["en", "zh", "ja", "de"]))
def test_split_loses_only_white_space(text: str, language: str) -> None:
    words = split(text, language)
    assert "".join(words) == "".join(text.split())
    assert "".join(join(words, language).split()) == "".join(words)


@given(st.text())
def test_what_is_spoken_is_letters(text: str) -> None:
    words = split(text, "en")
    shares = spoken_english(words)
    assert len(shares) == len(words)
    assert all(set(part.text.lower()) <= set("abcdefghijklmnopqrstuvwxyz'") for share in shares for part in share)
    assert all(part.phones for share in shares for part in share)


@pytest.mark.parametrize(
    ("word", "sounded"), [("don't", True), ("42", True), ("—", False), ("<noise>", False), ("[laughter]", False)]
)
def test_punctuation_and_marks_make_no_sound(word: str, sounded: bool) -> None:
    assert is_sounded(word) is sounded
    assert bool(spoken_english([word])[0]) is sounded


def test_chinese_is_split_by_character() -> None:
    assert split("我有GPU，3.5个", "zh") == ["我", "有", "GPU", "，", "3.5", "个"]

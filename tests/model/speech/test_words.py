"""Words: nothing of a text is lost, and English is spelled out as it is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.speech.words import cardinal, is_sounded, join, split, spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Hello,", "hello"),
        ("don’t", "don't"),
        ("well-known", "well known"),
        ("42", "forty two"),
        ("1,250,007", "one million two hundred fifty thousand seven"),
        ("1984.", "nineteen eighty four"),
        ("1805", "eighteen oh five"),
        ("2000", "two thousand"),
        ("2014", "twenty fourteen"),
        ("3.14", "three point one four"),
        ("$5", "five dollars"),
        ("50%", "fifty percent"),
        ("21st", "twenty first"),
        ("30th", "thirtieth"),
        ("1990s", "nineteen nineties"),
        ("007", "zero zero seven"),
        ("café", "cafe"),
        ("&", "and"),
        ("—", ""),
        ("<noise>", ""),
        ("[laughter]", ""),
    ],
)
def test_spoken(written: str, said: str) -> None:
    assert " ".join(spoken(written)) == said


@given(st.integers(0, 10**15 - 1))
def test_every_number_is_words(number: int) -> None:
    said = cardinal(number)
    assert said
    assert all(word.isalpha() for word in said)


@given(st.integers(0, 10**15 - 1))
def test_different_numbers_are_different_words(number: int) -> None:
    assert cardinal(number) != cardinal(number + 1)


@given(st.text(), st.sampled_from(["en", "zh", "ja", "de"]))
def test_split_loses_only_white_space(text: str, language: str) -> None:
    words = split(text, language)
    assert "".join(words) == "".join(text.split())
    assert "".join(join(words, language).split()) == "".join(words)


@given(st.text())
def test_what_is_spoken_is_letters(text: str) -> None:
    for word in split(text, "en"):
        assert all(part and set(part) <= set("abcdefghijklmnopqrstuvwxyz'") for part in spoken(word))
        assert is_sounded(word) or word in "&+%=@°" or not spoken(word)


def test_chinese_is_split_by_character() -> None:
    assert split("我有GPU，3.5个", "zh") == ["我", "有", "GPU", "，", "3.5", "个"]

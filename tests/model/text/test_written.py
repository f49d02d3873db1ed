"""Written words and their phones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.speech.words import is_sounded, split
from voicemill.model.text.frontend import phonemes
from voicemill.model.text.symbols import PUNCTUATION
from voicemill.model.text.written import stretches


def told(text: str, language: str) -> list[tuple[str, str]] | None:
    """Written words and phones of each stretch."""
    words = [word for word in split(text, language) if is_sounded(word)]
    found = phonemes(text, language)
    parts = stretches(found, words)
    if parts is None:
        return None
    return [(" ".join(words[slice(*part.words)]), " ".join(found.phones[slice(*part.phones)])) for part in parts]


def test_english_numbers_and_marks() -> None:
    assert told("On 3 May, Dr. Smith paid $12.50 - for “it”.", "en") == [
        ("On", "AA1 N"),
        ("3", "DH AH0 TH ER1 D AH1 V"),
        ("May,", "M EY1"),
        ("Dr.", "D AA1 K T ER0"),
        ("Smith", "S M IH1 TH"),
        ("paid", "P EY1 D"),
        ("$12.50", "T W EH1 L V D AA1 L ER0 Z AH0 N D F IH1 F T IY0 S EH1 N T S"),
        ("for", "F AO1 R"),
        ("“it”.", "IH1 T"),
    ]


def test_what_is_read_together_stays_together() -> None:
    assert told("It is 5 km, to C++.", "en") == [
        ("It", "IH1 T"),
        ("is", "IH1 Z"),
        ("5 km,", "F AY1 V K AH0 L AA1 M AH2 T ER0 Z"),
        ("to", "T UW1"),
        ("C++.", "S IY1 P L AH1 S P L AH1 S"),
    ]


def test_chinese_numbers_and_marks() -> None:
    assert told("1998年，GPU卖了15块！", "zh") == [
        ("1998", "y i1 j iu2 j iu3 b a1"),
        ("年", "n ian2"),
        ("GPU", "JH IY1 P IY1 Y UW1"),
        ("卖", "m ai4"),
        ("了", "l e5"),
        ("15", "sh ir2 w u3"),
        ("块", "k uai4"),
    ]


def test_traditional_characters_keep_their_phones() -> None:
    assert told("他看著GPU笑，15塊。", "zh") == [
        ("他", "t a1"),
        ("看", "k an4"),
        ("著", "zh e5"),
        ("GPU", "JH IY1 P IY1 Y UW1"),
        ("笑", "x iao4"),
        ("15", "sh ir2 w u3"),
        ("塊", "k uai4"),
    ]


def test_a_short_text_begins_with_a_comma() -> None:
    assert phonemes("Hi.", "en").phones[0] == ","
    assert told("Hi.", "en") == [("Hi.", "HH AY1")]


@pytest.mark.parametrize(("text", "language"), [("안녕하세요 여러분", "ko"), ("5 7", "en"), ("…", "en")])
def test_what_cannot_be_told(text: str, language: str) -> None:
    """A front end that names no words, no word that is written as it is spoken, no sound."""
    assert told(text, language) is None


PIECES = st.sampled_from(
    ["the", "The", "cat,", "7", "$5", "-", "…", "don't", "A&W", "GPUs", "(café)", "x!", "21st", "&"]
)


@given(st.lists(PIECES, min_size=1, max_size=9))
def test_all_words_and_all_sounds_are_in_a_stretch_once(pieces: list[str]) -> None:
    words, found = [piece for piece in pieces if is_sounded(piece)], phonemes(" ".join(pieces), "en")
    parts = stretches(found, words)
    if parts is None:
        return
    assert [n for part in parts for n in range(*part.words)] == list(range(len(words)))
    said = [n for part in parts for n in range(*part.phones)]
    assert said == sorted(set(said))
    assert {found.phones[n] for n in range(len(found.phones)) if n not in said} <= set(PUNCTUATION)
    assert all(part.words[0] < part.words[1] and part.phones[0] < part.phones[1] for part in parts)

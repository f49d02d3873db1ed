"""Phones of other languages in English ones: every one that the front end gives has a reading."""

import pytest

from voicemill.flows.demo.sentences import SENTENCES
from voicemill.model.speech.arpabet import MOST, TABLES, english_readings
from voicemill.model.speech.pronunciation import WILD, pronounce
from voicemill.model.speech.words import split


@pytest.mark.parametrize("language", TABLES)
def test_every_phone_of_real_text_is_in_the_table(language: str) -> None:
    words = [word for text in SENTENCES[language] for word in split(text, language)]
    phones = {phone for word in pronounce(words, language) for phone in word} - {WILD}
    assert phones
    assert {phone for phone in phones if not phone.isupper()} <= TABLES[language].keys()


def test_readings() -> None:
    assert english_readings(["b", "a"], "zh") == ["B AA", "P AA"]
    assert english_readings(["x", "a:"], "de") == ["SH AA", "HH AA", "K AA"]
    assert english_readings([WILD], "de") == ["AH"]
    long = english_readings(["e", "r"] * 8, "de")
    assert long[:2] == [" ".join(["EH", "R"] * 8), " ".join(["AH", "R", *["EH", "R"] * 7])]
    assert len(long) == len(set(long)) == MOST

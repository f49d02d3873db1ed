"""Text as it stands in transcripts and on the web, against sentences written by hand."""

import runpy
from pathlib import Path

import pytest

from voicemill.model.text.chinese.front_end import normalise, pinyin
from voicemill.model.text.frontend import phonemes

TABLE = runpy.run_path(str(Path(__file__).with_name("found_sentences.py")))
INVENTED = runpy.run_path(str(Path(__file__).with_name("invented_sentences.py")))["SPOKEN"]
SPOKEN = [pytest.param(*case, id=case[1]) for cases in TABLE["SPOKEN"].values() for case in cases]


def test_there_are_a_hundred_and_fifty_of_them() -> None:
    assert len(SPOKEN) + len(TABLE["TRADITIONAL"]) + len(TABLE["SOUNDS"]) >= 150


@pytest.mark.parametrize(("language", "text", "normal"), SPOKEN)
def test_what_is_spoken(language: str, text: str, normal: str) -> None:
    reading = phonemes(text, language)
    assert reading.normalised == normal
    assert reading.unknown == ()


@pytest.mark.parametrize(("language", "text", "normal"), INVENTED)
def test_what_users_write(language: str, text: str, normal: str) -> None:
    reading = phonemes(text, language)
    assert reading.normalised == normal
    assert reading.unknown == ()


@pytest.mark.parametrize(("traditional", "simplified", "reading"), TABLE["TRADITIONAL"])
def test_traditional_characters_are_read_like_simplified_ones(traditional: str, simplified: str, reading: str) -> None:
    assert " ".join(s for s in pinyin(normalise(simplified)) if s) == reading
    assert phonemes(traditional, "zh").phones == phonemes(simplified, "zh").phones


@pytest.mark.parametrize(("language", "text", "phones"), TABLE["SOUNDS"])
def test_sounds(language: str, text: str, phones: str) -> None:
    assert " ".join(phonemes(text, language).phones) == phones

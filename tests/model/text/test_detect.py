"""The language that a given text is written in."""

import csv
from pathlib import Path

import pytest

from voicemill.model.text.detect import contradiction, text_language

METADATA = Path(__file__).parents[3] / "../shared/speech/recordings/metadata.csv"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("There is iron, they say, in all our blood.", "en"),
        ("Seven.", "en"),
        ("Margaret said mister Hale", "en"),
        ("Das ist nicht das, was ich wollte.", "de"),
        ("Il n'est pas dans la maison avec les autres.", "fr"),
        ("El hombre que vino a la casa no es de aquí.", "es"),
        ("Non è il libro che ho letto con la mia famiglia.", "it"),
        ("Ele não é o homem que veio com a gente.", "pt"),
        ("Hij is niet de man die ik in het huis zag.", "nl"),
        ("Jag vet inte vad det är som han har på sig.", "sv"),
        ("我在Google上search了一下。", "zh"),
        ("今日はいい天気ですね。", "ja"),
        ("오늘은 날씨가 좋다.", "ko"),
        ("Сегодня хорошая погода.", "ru"),
        ("Сьогодні гарна погода, її всі люблять.", "uk"),
        ("الطقس جميل اليوم", "ar"),
        ("امروز هوا خوب است پس بیرون می‌رویم", "fa"),
        ("Heute ist in Bangladesch Neujahrstag.", "de"),
        ("Große Straße", "de"),
        ("Übrigens: Mängel in Person, Form oder Präsenz", "de"),
        ("mañana", "es"),
        ("źdźbło", "pl"),
        ("O P A（淮海店）", "zh"),
        ("Donaudampfschifffahrtsgesellschaft", ""),
        ("12 34", ""),
        ("", ""),
    ],
)
def test_language_of_a_text(text: str, language: str) -> None:
    assert text_language(text) == language


@pytest.mark.parametrize(
    ("text", "stated", "actual"),
    [
        ("Das ist nicht das, was ich wollte.", "en", "de"),
        ("This is what they said of it.", "de", "en"),
        ("我们今天去看电影", "en", "zh"),
        ("Сегодня хорошая погода.", "de", "ru"),
        ("Сегодня хорошая погода.", "bg", ""),  # one script, and too few words to tell
        ("我们今天去看电影", "yue", ""),
        ("東京都千代田区", "ja", ""),
        ("Das ist nicht das, was ich wollte.", "de", ""),
        ("Das ist nicht das, was ich wollte.", "", ""),
        ("Donaudampfschifffahrtsgesellschaft", "en", ""),
        ("Das war gut", "en", ""),  # three words are no evidence
        ("我在Google上search了一下。", "zh", ""),
        ("I was in Berlin when the war ended.", "en", ""),
        ("", "en", ""),
    ],
)
def test_a_clear_contradiction_to_a_stated_language(text: str, stated: str, actual: str) -> None:
    assert contradiction(text, stated) == actual


@pytest.mark.realdata
@pytest.mark.skipif(not METADATA.is_file(), reason="no ../shared/speech")
def test_languages_of_real_texts() -> None:
    with METADATA.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["text"] and row["language"]]
    detected = [text_language(row["text"]) for row in rows]
    assert len(rows) == 466
    assert sum(language == row["language"] for language, row in zip(detected, rows, strict=True)) >= 460
    wrong = [row["text"] for language, row in zip(detected, rows, strict=True) if language not in ("", row["language"])]
    assert wrong == ["C Z F"]  # stated as zh
    assert [row["text"] for row in rows if contradiction(row["text"], row["language"])] == []

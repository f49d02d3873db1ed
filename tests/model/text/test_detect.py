"""The language that a given text is written in."""

import pytest

from voicemill.model.text.detect import text_language


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
        ("Сегодня хорошая погода.", ""),
        ("Donaudampfschifffahrtsgesellschaft", ""),
        ("12 34", ""),
        ("", ""),
    ],
)
def test_language_of_a_text(text: str, language: str) -> None:
    assert text_language(text) == language

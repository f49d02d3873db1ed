"""Phones of written words, language by language, as literals."""

import pytest

from voicemill.model.speech.pronunciation import WILD, german, pronounce
from voicemill.model.speech.words import split
from voicemill.storage.errors import ConfigError


def phones(text: str, language: str) -> list[str]:
    return [" ".join(word) for word in pronounce(split(text, language), language)]


def test_chinese_has_initials_medials_and_rimes_without_tones() -> None:
    assert phones("今天很好,", "zh") == ["j in", "t i En", "h en", "h ao", ""]
    assert phones("有一只大王鱼。", "zh") == ["i ou", "i", "zh ir", "d a", "u ang", "v", ""]
    assert phones("儿童15元", "zh") == ["er", "t ong", "sh ir u", "v En"]


def test_german_goes_by_groups_of_letters() -> None:
    assert phones("Der Stern: schön, 15 Städte!", "de") == [
        "d e r",
        "S t e r n",
        "S ö n",
        f"{WILD} " * 5 + WILD,
        "S t ä t e",
    ]
    assert [" ".join(german(word)) for word in ("Bahnhof", "Quatsch", "Straße", "wach", "Rad", "heute", "Fuchs")] == [
        "b a: n h o f", "k v a t S", "S t r a s e", "v a x", "r a t", "h OY t e", "f u k s",
    ]  # fmt: skip


def test_other_languages_go_by_letters() -> None:
    assert phones("El niño corría", "es") == ["e l", "n i ñ o", "c o r í a"]
    assert phones("<noise> Привет, мир -", "ru") == ["", "п р и в е т", "м и р", ""]
    assert phones("한국", "ko") == ["ᄒ ᅡ ᆫ ᄀ ᅮ ᆨ"]


def test_english_is_read_by_the_front_end() -> None:
    assert phones("It costs $2.", "en") == ["IH T", "K AA S T S", "T UW D AA L ER Z"]


def test_a_language_without_words_is_refused() -> None:
    with pytest.raises(ConfigError, match="'ja'"):
        pronounce(["日", "本"], "ja")

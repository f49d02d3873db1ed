"""Text in any of the languages to phones: which run of a sentence is in which language, and the phones of each.

A sentence of one language may hold words of another: in `zh`, Latin letters are English; in `en`, Chinese characters
are Chinese. Digits belong to the language around them: those inside a stretch of Latin words are English (I have 3
dogs), all others are in the language of the text (iPhone 15 is read 十五 in Chinese). Japanese, Korean and Cantonese
take their own characters and leave Latin words to English.

    found = phonemes("我在Google上search了一下。", "zh")
    found.phones, found.ids, [(run.language, run.normalised) for run in found.runs]
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicemill.model.text.english import front_end as english
from voicemill.model.text.symbols import UNKNOWN, ids
from voicemill.storage.errors import ConfigError

LANGUAGES = ("zh", "en", "ja", "ko", "yue", "auto")
ALIASES = {"jp": "ja", "chinese": "zh", "english": "en", "japanese": "ja", "korean": "ko", "cantonese": "yue"}

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KANA = "぀-ヿｦ-ﾟ"
HANGUL = "가-힣ᄀ-ᇿㄱ-ㆎ"

LATIN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z](?:[A-Za-z0-9 .,!?:;'’@&+#/_=%$-]*(?:[A-Za-z]|\+\+|(?<=[A-Z])#))?")
"""Latin words with what stands between them, digits too; it starts and ends with a letter, and a letter behind a digit
(20kg, 5G) does not start it."""

WORDS = re.compile(r"[A-Za-z](?:[A-Za-z' ,.!?…-]*[A-Za-z'])?")
"""The same in a normal form."""


@dataclass(frozen=True)
class Run:
    """A stretch of one language in the normal form of a text."""

    language: str
    normalised: str
    phones: tuple[str, ...]
    word2ph: tuple[int, ...] | None
    """Phones of each character of `normalised`, where the language is zh; None for others."""
    parts: tuple[tuple[str, int], ...] | None = None
    """Each word (en) or character (zh), marks among them, and how many phones it has; None for others."""


@dataclass(frozen=True)
class Phonemes:
    """The phones of a text and how they came about."""

    phones: tuple[str, ...]
    ids: NDArray[np.int64]
    """int64 [phones], 0..731: rows of the embedding of version 2."""
    word2ph: tuple[int, ...] | None
    """Phones of each character of `normalised`, where all of it is zh; None else."""
    normalised: str
    runs: tuple[Run, ...]
    """In order; their texts joined are `normalised`, their phones joined are `phones` (a leading `,` aside)."""
    unknown: tuple[str, ...]
    """Phones that the symbol table lacks, and `UNK` for characters without a reading, each time they came."""


def phonemes(text: str, language: str = "auto") -> Phonemes:
    """Text -> phones, ids and runs. Text without anything to read gives no phones.

    Args:
        language: `zh`, `en` (each with words of the other), `ja`, `ko`, `yue` (with English words), or `auto`: ja where
            there are kana, ko where there is Hangul, else zh where Chinese characters outnumber Latin words, else en.

    Raises:
        ConfigError: another language; or the library of ja, ko or yue is missing: the message names the extra.
        ModelMissing: the wheel with the English dictionary is missing.
    """
    name = ALIASES.get(language.lower(), language.lower())
    if name not in LANGUAGES:
        raise ConfigError(f"language = {language!r}: no such language; the languages are {', '.join(LANGUAGES)}")
    name = guess(text) if name == "auto" else name
    runs = tuple(run for run in _RUNS[name](text) if run.normalised)
    phones = tuple(phone for run in runs for phone in run.phones)
    if 0 < len(phones) < english.FEWEST and {run.language for run in runs} == {"en"}:
        phones = (",", *phones)
    table = ids(phones)
    only = runs[0].word2ph if len(runs) == 1 else None
    # in Japanese UNK is the border of a phrase
    unread = tuple(phone for run in runs if run.language != "ja" for phone in run.phones if phone == UNKNOWN)
    return Phonemes(phones, table.ids, only, "".join(run.normalised for run in runs), runs, unread + table.unknown)


def guess(text: str) -> str:
    """The language of a text by its characters: ja, ko, zh or en. yue is written like zh and never guessed."""
    if re.search(f"[{KANA}]", text):
        return "ja"
    if re.search(f"[{HANGUL}]", text):
        return "ko"
    return "zh" if len(re.findall(f"[{HAN}]", text)) > len(re.findall("[A-Za-z]+", text)) else "en"


def _zh(text: str) -> list[Run]:
    from voicemill.model.text.chinese import front_end as chinese

    return _mixed(chinese.normalise(_with_english(text)), _chinese_run)


def _en(text: str) -> list[Run]:
    if not re.search(f"[{HAN}]", text):
        return [_english_run(text)]
    from voicemill.model.text.chinese import front_end as chinese

    runs: list[Run] = []
    for part in re.split(f"([{HAN}](?:[{HAN}、，。：；！？“”《》 ]*[{HAN}])?)", text):
        if re.match(f"[{HAN}]", part):
            runs.append(_chinese_run(chinese.normalise(part)))
        elif re.search(r"\w", part):
            runs.append(_english_run(part))
        elif runs and (mark := english.normalise("a" + part)[1:].strip()):
            runs.append(_english_run(mark, normal=True))
    return runs


def _with_english(text: str) -> str:
    """Every stretch of Latin words in its English normal form, so that only digits of the other language are left."""
    return LATIN.sub(lambda m: english.normalise(m[0]), text)


def _mixed(normalised: str, other: Callable[[str], Run]) -> list[Run]:
    """A normal form -> runs: Latin words are English, the rest is for `other`."""
    runs, done = [], 0
    for match in WORDS.finditer(normalised):
        runs += [other(normalised[done : match.start()])] if match.start() > done else []
        runs.append(_english_run(match[0], normal=True))
        done = match.end()
    return [*runs, other(normalised[done:])] if done < len(normalised) else runs


def _english_run(text: str, normal: bool = False) -> Run:
    normalised = text if normal else english.normalise(text)
    spoken = english.phones(normalised).words
    parts = tuple((text, len(sounds)) for text, sounds in spoken)
    return Run("en", normalised, tuple(phone for _, sounds in spoken for phone in sounds), None, parts)


def _chinese_run(normalised: str) -> Run:
    from voicemill.model.text.chinese import front_end as chinese

    found = chinese.phones(normalised)
    parts = tuple(zip(normalised, found.word2ph, strict=True))
    return Run("zh", normalised, tuple(found.phones), tuple(found.word2ph), parts)


def _yue(text: str) -> list[Run]:
    from voicemill.model.text import cantonese
    from voicemill.model.text.chinese import front_end as chinese

    return _mixed(chinese.normalise(_with_english(text)), lambda part: Run("yue", part, cantonese.phones(part), None))


def _ja(text: str) -> list[Run]:
    from voicemill.model.text import japanese

    return _mixed(japanese.normalise(_with_english(text)), lambda part: Run("ja", part, japanese.phones(part), None))


def _ko(text: str) -> list[Run]:
    from voicemill.model.text import korean

    return _mixed(korean.normalise(_with_english(text)), lambda part: Run("ko", part, korean.phones(part), None))


_RUNS: dict[str, Callable[[str], list[Run]]] = {"zh": _zh, "en": _en, "ja": _ja, "ko": _ko, "yue": _yue}

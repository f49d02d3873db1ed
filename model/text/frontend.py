"""Text to phones: split a sentence into runs of one language, then read each run.

A sentence of one language may hold words of another: in `zh`, Latin letters are English; in `en`, Chinese characters
are Chinese. Digits belong to the language around them: those inside a stretch of Latin words are English (I have 3
dogs) and those behind an English label (page 3), all others are in the language of the text (iPhone 15 is read 十五 in
Chinese); units behind a number are that language's too (100km/h). Japanese, Korean and Cantonese
take their own characters and leave Latin words to English.

    reading = phonemes("我在Google上search了一下。", "zh")
    reading.phones, reading.ids, [(run.language, run.normalised) for run in reading.runs]
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voicemill.model.text.english import front_end as english
from voicemill.model.text.languages import LANGUAGES
from voicemill.model.text.symbols import UNKNOWN, ids
from voicemill.model.text.unspoken import spoken_only
from voicemill.storage.errors import ConfigError
from voicemill.storage.inbox.languages import normalise_language as language_code

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KANA = "぀-ヿｦ-ﾟ"
HANGUL = "가-힣ᄀ-ᇿㄱ-ㆎ"

LATIN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z](?:[A-Za-z0-9 .,!?:;'’@&+#/_=%$-]*(?:[A-Za-z]|\+\+|(?<=[A-Z])#))?")
"""Latin words and everything between them, digits too. A match starts and ends with a letter; a letter behind a digit
(20kg, 5G) does not start one."""

LABEL = re.compile(
    r"(?<![A-Za-z])(?:page|chapter|part|lesson|unit|section|volume|vol|level|day|week|step|stage|"
    r"phase|round|season|episode|version|top|type|class|grade|game|set|test|task|track|gate|room|line|zone|team|group|"
    r"option|question|exercise|example|figure|table|slide|number|act|scene|book|rule|tip|point|model|web|appendix)$",
    re.IGNORECASE,
)
"""English words whose number is read with them."""
NUMBERED = re.compile(r"(?<![A-Za-z])(?:Nos?|NO|no)$")
LABELLED = re.compile(r"\.?\s?\d{1,4}(?:\.\d+)?(?![\d.]*[A-Za-z0-9%°/:])")

WORDS = re.compile(r"[A-Za-z](?:[A-Za-z' ,.!?…-]*[A-Za-z'])?")
"""Latin words in a normal form, which has no digits and few marks."""


@dataclass(frozen=True)
class Run:
    """A stretch of one language in the normal form of a text."""

    language: str
    normalised: str
    phones: tuple[str, ...]
    word2ph: tuple[int, ...] | None
    """Number of phones of each character of `normalised` in zh; None in other languages."""
    parts: tuple[tuple[str, int], ...] | None = None
    """Each word (en) or character (zh), punctuation included, with its number of phones; None in other languages."""


@dataclass(frozen=True)
class Phonemes:
    """The phones of a text and their derivation."""

    phones: tuple[str, ...]
    ids: "NDArray[np.int64]"
    """int64 [phones], 0..731: rows of the embedding of version 2."""
    word2ph: tuple[int, ...] | None
    """Number of phones of each character of `normalised` where all of it is zh, else None."""
    normalised: str
    runs: tuple[Run, ...]
    """Runs in order; their texts joined are `normalised`, their phones joined are `phones` (a leading `,` aside)."""
    unknown: tuple[str, ...]
    """Phones that the symbol table lacks, and `UNK` for characters without a reading, with repetitions."""


def phonemes(text: str, language: str = "auto") -> Phonemes:
    """Text -> phones, ids and runs. Text without anything to read gives no phones.

    Args:
        language: `zh`, `en` (each with words of the other), `ja`, `ko`, `yue` (each with English words) or another
            spelling of these (`zh-CN`, `English`); `auto`: see `guess_language`.

    Raises:
        ConfigError: another language, or the library of ja or yue is not installed; the message names the extra.
        ModelMissing: the wheel with the English dictionary is not installed.
    """
    text = spoken_only(text)
    name = language_of(text, language)
    if name not in LANGUAGES:
        raise ConfigError(f"language = {language!r}: no such language; the languages are {', '.join(LANGUAGES)}, auto")
    runs = tuple(run for run in _RUNS[name](text) if run.normalised)
    phones = tuple(phone for run in runs for phone in run.phones)
    if 0 < len(phones) < english.FEWEST and {run.language for run in runs} == {"en"}:
        phones = (",", *phones)
    table = ids(phones)
    only = runs[0].word2ph if len(runs) == 1 else None
    # in Japanese UNK marks the border of a phrase
    unread = tuple(phone for run in runs if run.language != "ja" for phone in run.phones if phone == UNKNOWN)
    return Phonemes(
        phones=phones,
        ids=table.ids,
        word2ph=only,
        normalised="".join(run.normalised for run in runs),
        runs=runs,
        unknown=unread + table.unknown,
    )


def language_of(text: str, language: str = "auto") -> str:
    """Code of the language that `text` is read in: the stated one, else (`auto`, "", several) `guess_language`.

    The code need not be one of `LANGUAGES`.
    """
    try:
        return language_code(language) or guess_language(text)
    except ValueError:  # not a code of ISO 639
        return language


def guess_language(text: str) -> str:
    """Language of a text by its characters: ja with any kana, ko with any Hangul, zh where Chinese characters outnumber
    Latin words, else en. yue is written like zh and never guessed."""
    if re.search(f"[{KANA}]", text):
        return "ja"
    if re.search(f"[{HANGUL}]", text):
        return "ko"
    return "zh" if len(re.findall(f"[{HAN}]", text)) > len(re.findall("[A-Za-z]+", text)) else "en"


def _zh(text: str) -> list[Run]:
    from voicemill.model.text.chinese import front_end as chinese
    from voicemill.model.text.chinese.units import MEASURE

    return _mixed(chinese.normalise(_with_english(text, MEASURE)), _chinese_run)


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


def _with_english(text: str, units: re.Pattern[str] | None = None) -> str:
    """Replace every stretch of Latin words by its English normal form.

    The digits left belong to the other language, and so do `units` behind them.
    """
    parts, at = [], 0
    while match := LATIN.search(text, at):
        unit = units and units.search(text, at, match.end() + 4)
        if unit and unit.start() <= match.start() and not re.search(r"[0-9]\s[AVWUtlh]$", unit[0]):
            parts.append(text[at : unit.end()])
            at = unit.end()
            continue
        end = match.end()
        if LABEL.search(match[0]) or (text[end : end + 1] == "." and NUMBERED.search(match[0])):
            number = LABELLED.match(text, end)
            end = number.end() if number else end
        elif re.search(r"[0-9][A-Za-z]+$", match[0]):  # H7N9 is one name
            end += len(text[end:]) - len(text[end:].lstrip("0123456789"))
        parts += [text[at : match.start()], english.normalise(text[match.start() : end])]
        at = end
    return "".join([*parts, text[at:]])


def _mixed(normalised: str, other: Callable[[str], Run]) -> list[Run]:
    """Normal form -> runs: Latin words are English, `other` reads the rest."""
    runs, end = [], 0
    for match in WORDS.finditer(normalised):
        runs += [other(normalised[end : match.start()])] if match.start() > end else []
        runs.append(_english_run(match[0], normal=True))
        end = match.end()
    return [*runs, other(normalised[end:])] if end < len(normalised) else runs


def _english_run(text: str, normal: bool = False) -> Run:
    normalised = text if normal else english.normalise(text)
    words = english.phones(normalised).words
    parts = tuple((word, len(phones)) for word, phones in words)
    return Run(
        language="en",
        normalised=normalised,
        phones=tuple(phone for _, phones in words for phone in phones),
        word2ph=None,
        parts=parts,
    )


def _chinese_run(normalised: str) -> Run:
    from voicemill.model.text.chinese import front_end as chinese

    reading = chinese.phones(normalised)
    parts = tuple(zip(normalised, reading.word2ph, strict=True))
    return Run(
        language="zh", normalised=normalised, phones=tuple(reading.phones), word2ph=tuple(reading.word2ph), parts=parts
    )


def _yue(text: str) -> list[Run]:
    from voicemill.model.text import cantonese
    from voicemill.model.text.chinese import front_end as chinese
    from voicemill.model.text.chinese.units import MEASURE

    normal = chinese.normalise(_with_english(text, MEASURE), simplify=False)
    return _mixed(normal, lambda part: Run("yue", part, cantonese.phones(part), None))


def _ja(text: str) -> list[Run]:
    from voicemill.model.text import japanese

    return _mixed(japanese.normalise(_with_english(text)), lambda part: Run("ja", part, japanese.phones(part), None))


def _ko(text: str) -> list[Run]:
    from voicemill.model.text import korean

    return _mixed(korean.normalise(_with_english(text)), lambda part: Run("ko", part, korean.phones(part), None))


_RUNS: dict[str, Callable[[str], list[Run]]] = {"zh": _zh, "en": _en, "ja": _ja, "ko": _ko, "yue": _yue}

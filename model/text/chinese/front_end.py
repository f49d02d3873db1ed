"""Chinese text to the phones of GPT-SoVITS v2: `normalise`, then `phones`.

    spoken = normalise("我有2本书。")   # "我有两本书."
    phones(spoken).phones               # ["w", "o2", "y", "ou3", "l", "iang2", "b", "en3", "sh", "u1", "."]

Everything works offline: words from rjieba, readings from pypinyin and our own tables, both loaded on first use.
"""

from dataclasses import dataclass

from voicemill.model.text.chinese.normal import normalise
from voicemill.model.text.chinese.phones import PUNCTUATION, UNKNOWN, syllable
from voicemill.model.text.chinese.readings import is_han, read
from voicemill.model.text.chinese.sandhi import apply

__all__ = ["Phones", "normalise", "phones", "pinyin"]


@dataclass(frozen=True)
class Phones:
    """Phones of a text and their number for each of its characters: `sum(word2ph) == len(phones)`.

    A Chinese character has two phones, a mark of the symbol table one, a space none. A character without a known
    reading has one, `UNK`; so has a Latin letter, which belongs to the English front end.
    """

    phones: list[str]
    word2ph: list[int]


def phones(normalised: str) -> Phones:
    """Phones of a normal form or a stretch of it, all in the 732 symbols of GPT-SoVITS v2."""
    sounds: list[str] = []
    counts: list[int] = []
    for character, reading in zip(normalised, pinyin(normalised), strict=True):
        parts = syllable(reading) if reading else None
        own = [character] if character in PUNCTUATION else [] if character.isspace() else list(parts or (UNKNOWN,))
        sounds += own
        counts.append(len(own))
    return Phones(sounds, counts)


def pinyin(normalised: str) -> list[str | None]:
    """Pinyin of each character with its tone after sandhi (5 = neutral; ü is v), None for other characters."""
    words = read(normalised)
    apply(words)
    return [s if is_han(c) else None for word in words for c, s in zip(word.text, word.pinyin, strict=True)]

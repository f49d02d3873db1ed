"""The pronunciation of one English word: the dictionary, endings and compounds of its words, then letter to sound.

A word that CMUdict lacks is taken apart before letter to sound is used: possessive and plural ('s), endings
(-ed -ing -er -ly ...), prefixes (un- re- ...) and compounds of two words; their sounds are joined by the rules of
English (voiced or voiceless s and d, secondary stress on the second half). `Word.guessed` marks letter to sound.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from voicemill.model.text.english.lexicon import Pronunciation, lexicon
from voicemill.model.text.english.numbers import entries

HISS = frozenset(entries("S Z SH ZH CH JH"))
VOICELESS = frozenset(entries("P T K F TH HH"))

ENDINGS: tuple[tuple[str, str], ...] = (
    ("ingly", "IH0 NG L IY0"), ("ness", "N AH0 S"), ("less", "L AH0 S"), ("able", "AH0 B AH0 L"), ("ment", "M AH0 N T"),
    ("ship", "SH IH2 P"), ("like", "L AY2 K"), ("wise", "W AY2 Z"), ("ing", "IH0 NG"), ("est", "AH0 S T"),
    ("ful", "F AH0 L"), ("ish", "IH0 SH"), ("ism", "IH2 Z AH0 M"), ("ist", "IH0 S T"), ("er", "ER0"), ("ly", "L IY0"),
    ("y", "IY0"),
)  # fmt: skip
PREFIXES: tuple[tuple[str, str], ...] = (
    ("counter", "K AW1 N T ER0"), ("under", "AH2 N D ER0"), ("super", "S UW2 P ER0"), ("inter", "IH2 N T ER0"),
    ("micro", "M AY1 K R OW0"), ("multi", "M AH2 L T IY0"), ("over", "OW2 V ER0"), ("anti", "AE2 N T IY0"),
    ("self", "S EH2 L F"), ("semi", "S EH2 M IY0"), ("cyber", "S AY2 B ER0"), ("auto", "AO2 T OW0"),
    ("non", "N AA2 N"), ("pre", "P R IY0"), ("mis", "M IH0 S"), ("dis", "D IH0 S"), ("out", "AW2 T"),
    ("un", "AH0 N"), ("re", "R IY0"),
)  # fmt: skip
SHORTEST = 4
"""Fewest letters in each half of a compound: shorter entries of CMUdict are often names and letters."""


@dataclass(frozen=True)
class Word:
    """Pronunciation of one word."""

    phones: Pronunciation
    guessed: bool
    """Whether letter to sound gave it, wholly or in part."""


@lru_cache(maxsize=65536)
def word(spelling: str) -> Word:
    """Pronunciation of a word of the normal form (letters and apostrophes); a single capital is the letter's name.

    Raises ModelMissing where the wheel with the dictionary is not installed.
    """
    if len(spelling) == 1:
        return Word(("EY1",) if spelling == "A" else lexicon().first(spelling.lower()) or (), False)
    known = lexicon().first(spelling.lower()) or (None if spelling[1:2] == "'" else parts(spelling.lower()))
    if known:
        return Word(known, False)
    if match := re.fullmatch(r"(.+)'s", spelling):
        base = word(match[1])
        return Word(base.phones + plural(base.phones), base.guessed)
    if spelling.endswith("'"):
        return word(spelling.rstrip("'"))
    if match := re.fullmatch(r"(.+)'(d|ll|ve|re|m)", spelling):
        base, tail = word(match[1]), {"d": "D", "ll": "L", "ve": "V", "re": "R", "m": "M"}[match[2]]
        vowel = ("AH0",) if base.phones and base.phones[-1][-1] not in "012" else ()
        return Word((*base.phones, *vowel, tail), base.guessed)
    from voicemill.model.text.english.letter_to_sound import letter_to_sound  # numpy, for unknown words alone

    letters = re.sub("[^a-z]", "", spelling.lower())
    return Word(letter_to_sound().phones(letters), True)


def plural(phones: Pronunciation) -> Pronunciation:
    """Phones of the ending -s after `phones`: IH0 Z after a hiss, S after a voiceless sound, else Z."""
    last = phones[-1] if phones else ""
    return ("IH0", "Z") if last in HISS else ("S",) if last in VOICELESS else ("Z",)


def past(phones: Pronunciation) -> Pronunciation:
    """Phones of the ending -ed after `phones`: IH0 D after T and D, T after a voiceless sound, else D."""
    last = phones[-1] if phones else ""
    return ("IH0", "D") if last in ("T", "D") else ("T",) if last in VOICELESS | HISS - {"Z", "ZH", "JH"} else ("D",)


def parts(spelling: str) -> Pronunciation | None:
    """Phones of a word that CMUdict lacks, from words that it has: base and ending, prefix and base, or two halves."""
    return _inflected(spelling) or _derived(spelling) or _prefixed(spelling) or _compound(spelling)


def _bases(stem: str) -> list[str]:
    """Words that may precede an ending: walk(ing), mak(e), stop(p), happ(i/y)."""
    bases = [stem, stem + "e"]
    if len(stem) > 3 and stem[-1] == stem[-2]:
        bases.append(stem[:-1])
    if stem.endswith("i"):
        bases.append(stem[:-1] + "y")
    return [base for base in bases if len(base) > 2]


def _known(spelling: str) -> Pronunciation | None:
    return lexicon().first(spelling) or _compound(spelling)


def _inflected(spelling: str) -> Pronunciation | None:
    if re.search("[^s]s$", spelling):
        stems = [spelling[:-1], spelling[:-2]] if re.search("(s|x|z|ch|sh|o)es$", spelling) else [spelling[:-1]]
        stems += [spelling[:-3] + "y"] if spelling.endswith("ies") else []
        for stem in stems:
            if len(stem) > 2 and (base := _known(stem) or _derived(stem)):
                return base + plural(base)
    if spelling.endswith("ed"):
        for stem in _bases(spelling[:-2]):
            if base := _known(stem):
                return base + past(base)
    return None


def _derived(spelling: str) -> Pronunciation | None:
    for ending, phones in ENDINGS:
        if spelling.endswith(ending):
            for stem in _bases(spelling[: -len(ending)]):
                if base := _known(stem) or _prefixed(stem):
                    return base + tuple(phones.split())
    return None


def _prefixed(spelling: str) -> Pronunciation | None:
    for prefix, phones in PREFIXES:
        rest = spelling.removeprefix(prefix)
        if rest != spelling and len(rest) >= SHORTEST and (base := lexicon().first(rest)):
            return tuple(phones.split()) + base
    return None


def _compound(spelling: str) -> Pronunciation | None:
    """Phones of two words of the dictionary, split nearest the middle; the second keeps a secondary stress."""
    for cut in sorted(range(SHORTEST, len(spelling) - SHORTEST + 1), key=lambda i: abs(i - len(spelling) / 2)):
        first, second = lexicon().first(spelling[:cut]), lexicon().first(spelling[cut:])
        if first and second:
            return first + tuple(phone.replace("1", "2") for phone in second)
    return None

"""Phones of other languages as the nearest English ones: an English acoustic model then places and judges their text.

A phone becomes one or several ARPAbet phones, of which the decoder takes the likeliest. That is too rough to recognise
by, and enough to align: the scores of a right and of a wrong text lie as far apart as in English
(`tests/bench/text_witness.py`). Source: cross-language forced alignment, as Tang and Bennett (2019) compare it.
"""

import itertools
import math
from collections.abc import Mapping, Sequence

_PHONES = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
_ARPABET = frozenset(_PHONES.split())
"""Phones of the English acoustic model."""
_CHINESE = {
    "b": "B|P", "p": "P", "m": "M", "f": "F", "d": "D|T", "t": "T", "n": "N", "l": "L", "g": "G|K", "k": "K",
    "h": "HH", "j": "JH", "q": "CH", "x": "SH", "zh": "JH|D Z", "ch": "CH|T S", "sh": "SH|S", "r": "R|ZH",
    "z": "D Z|Z", "c": "T S", "s": "S", "y": "Y", "w": "W",
    "a": "AA", "o": "AO", "e": "AH|ER", "i": "IY", "u": "UW|UH", "v": "Y UW|IY", "E": "EH", "er": "AA R|ER",
    "ir": "ER|IH", "i0": "IH|AH", "ai": "AY", "ei": "EY", "ao": "AW", "ou": "OW", "an": "AE N|AA N", "en": "AH N",
    "En": "EH N", "in": "IY N", "ang": "AA NG", "eng": "AH NG", "ing": "IY NG", "ong": "UH NG|OW NG",
}  # fmt: skip
"""Initials and finals of `pronunciation` -> readings with "|" between them."""
_GERMAN = {
    "a": "AA|AH", "a:": "AA", "ä": "EH", "e": "EH|AH", "e:": "EY", "i": "IH", "i:": "IY", "o": "AO", "o:": "OW",
    "ö": "ER", "u": "UH", "u:": "UW", "ü": "IY|UW", "aI": "AY", "aU": "AW", "OY": "OY", "b": "B", "d": "D", "f": "F",
    "g": "G", "h": "HH", "j": "Y", "k": "K", "l": "L", "m": "M", "n": "N", "N": "NG", "p": "P", "r": "R|AH|ER",
    "s": "S|Z", "S": "SH", "t": "T", "ts": "T S", "v": "V", "x": "SH|HH|K",
}  # fmt: skip
"""Phones of the German letter table -> readings."""
TABLES: Mapping[str, Mapping[str, str]] = {"zh": _CHINESE, "de": _GERMAN}
"""Language -> its table. English needs none."""
LANGUAGES = frozenset({"en", *TABLES})
"""Languages that the English acoustic model aligns, ISO 639-1."""
USUAL: Mapping[str, float] = {"en": 0.88, "zh": 0.67, "de": 0.99}
"""Phones of a right text for each phone that the decoder finds without it: medians of tests/bench/text_witness.py."""
MOST = 24
"""Readings of a word: a dictionary with all combinations of a long word would not fit into memory."""


def english_readings(phones: Sequence[str], language: str) -> list[str]:
    """Readings of a word in ARPAbet, at most `MOST`, the first alternative of each phone first.

    `phones`: as `pronunciation.pronounce` gives them. What no table knows becomes a schwa.
    """
    table = TABLES[language]
    choices = [table.get(phone, phone if phone in _ARPABET else "AH").split("|") for phone in phones]
    if math.prod(map(len, choices)) <= MOST:
        readings = [" ".join(reading) for reading in itertools.product(*choices)]
    else:  # a long word: all first ones, and one phone at a time changed
        first = [choice[0] for choice in choices]
        readings = [" ".join(first)]
        for at, choice in enumerate(choices):
            readings += [" ".join([*first[:at], other, *first[at + 1 :]]) for other in choice[1:]]
    return list(dict.fromkeys(readings))[:MOST]

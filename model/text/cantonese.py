"""Cantonese to the phones of GPT-SoVITS v2: Jyutping by ToJyutping (extra `yue`), each phone behind a `Y`.

A syllable is an initial and a final with its tone (1-6). A syllable without an initial is two phones too, as in the
table: its longest start that the table has without a tone, then the rest or the last letter (uk1 = Yuk Yk1, aa3 = Yaa
Ya3, m4 = Ym Ym4).
"""

from functools import cache

from voicemill.model.text.languages import library
from voicemill.model.text.symbols import PUNCTUATION, SYMBOLS, UNKNOWN

ONSETS = ("gw", "kw", "ng", *"bcdfghjklmnpstwz")
_TABLE = frozenset(SYMBOLS)


def phones(normalised: str) -> tuple[str, ...]:
    """Phones of Chinese characters and `!,-.?…`; a character without a reading is `UNK`.

    Raises ConfigError where ToJyutping is not installed.
    """
    reader = library("yue")
    sounds: list[str] = []
    for character, jyutping in reader.get_jyutping_list(normalised):
        if character in PUNCTUATION:
            sounds.append(character)
        elif not character.isspace():
            sounds += [phone for one in jyutping.split() for phone in syllable(one)] if jyutping else [UNKNOWN]
    return tuple(sounds)


@cache
def syllable(jyutping: str) -> tuple[str, ...]:
    """Phones of one syllable with its tone ("gwong2", "uk1"); `UNK` for a syllable that the table lacks."""
    base, tone = jyutping[:-1], jyutping[-1:]
    onset = next((o for o in ONSETS if base.startswith(o) and len(base) > len(o)), None)
    starts = [onset] if onset else [base[:length] for length in range(len(base), 0, -1)]
    for start in starts:
        pair = ("Y" + start, "Y" + (base[len(start) :] or start[-1]) + tone)
        if _TABLE.issuperset(pair):
            return pair
    whole = "Y" + base + tone
    return (whole,) if whole in _TABLE else (UNKNOWN,)

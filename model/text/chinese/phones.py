"""Pinyin syllables as the initials and finals of the GPT-SoVITS v2 symbol table (opencpop-strict of PaddleSpeech).

Two phones for each syllable: an initial and a final with its tone (1-4, 5 = neutral). A syllable without an initial
gets `AA`, `EE` or `OO` by its vowel, or `y` and `w` as pinyin writes them; i is `i0` after z c s and `ir` after zh ch
sh r; ü is `v` also where pinyin writes u; yan is `y En`, ye is `y E`. The table has no rhotic finals.
"""

from functools import cache

PUNCTUATION = "!,-.?…"
"""Marks of the symbol table, each its own phone."""

UNKNOWN = "UNK"

INITIALS = ("zh", "ch", "sh", *"bpmfdtnlgkhjqxrzcsyw")
FINALS = frozenset((
    *("a", "ai", "an", "ang", "ao", "e", "ei", "en", "eng", "er", "i", "i0", "ia", "ian", "iang", "iao", "ie"),
    *("in", "ing", "iong", "ir", "iu", "o", "ong", "ou", "u", "ua", "uai", "uan", "uang", "ui", "un", "uo"),
    *("v", "van", "ve", "vn", "E", "En"),
))  # fmt: skip
OPENINGS = {"a": "AA", "e": "EE", "o": "OO"}
AFTER_PALATAL = {"u": "v", "ue": "ve", "uan": "van", "un": "vn"}
AFTER_Y = AFTER_PALATAL | {"an": "En", "e": "E"}
# Interjections without a vowel, in syllables that have one.
VOWELLESS = {"n": "en", "ng": "en", "m": "mu", "hm": "heng", "hng": "heng", "ê": "ei"}


@cache
def syllable(pinyin: str) -> tuple[str, str] | None:
    """Initial and final with tone of one syllable ("zhuang1", "lv4", "er2").

    None for what is no syllable of the table. ü is written v; `ue` behind n and l is `ve`.
    """
    base, tone = pinyin[:-1], pinyin[-1:]
    if tone not in set("12345"):
        return None
    base = VOWELLESS.get(base, base)
    if base[:1] in OPENINGS:
        return (OPENINGS[base[0]], base + tone) if base in FINALS else None
    initial = next((i for i in INITIALS if base.startswith(i)), "")
    final = base[len(initial) :]
    if initial in ("j", "q", "x"):
        final = AFTER_PALATAL.get(final, final)
    elif initial == "y":
        final = AFTER_Y.get(final, final)
    elif initial in ("zh", "ch", "sh", "r", "z", "c", "s") and final == "i":
        final = "i0" if initial in ("z", "c", "s") else "ir"
    elif initial in ("n", "l") and final == "ue":
        final = "ve"
    return (initial, final + tone) if initial and final in FINALS else None

"""Korean to the phones of GPT-SoVITS v2: letters as pronounced by the rules of standard pronunciation.

The rules are those of 표준 발음법 (National Institute of Korean Language, 1988), chapters 4 to 6: simplified endings,
linking, aspiration with ㅎ, palatalisation, tense consonants behind stops, nasals, ㄹ. They work on the spelling alone,
inside a word; changes that need grammar or a dictionary (tense consonants in compounds, ㄴ inserted between them) are
left out. The phones are the letters of the table: a diphthong is two (ㅑ = ㅣ ㅏ), the silent ㅇ is one, a space is 空.
"""

import re
import unicodedata
from itertools import pairwise

from voicemill.model.text.korean_numbers import spell_out
from voicemill.model.text.symbols import PUNCTUATION, SYMBOLS, UNKNOWN

FIRST = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
MIDDLE = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
LAST = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")

DIVIDED = {
    "ㅑ": "ㅣㅏ", "ㅒ": "ㅣㅐ", "ㅕ": "ㅣㅓ", "ㅖ": "ㅣㅔ", "ㅛ": "ㅣㅗ", "ㅠ": "ㅣㅜ",
    "ㅘ": "ㅗㅏ", "ㅙ": "ㅗㅐ", "ㅚ": "ㅗㅣ", "ㅝ": "ㅜㅓ", "ㅞ": "ㅜㅔ", "ㅟ": "ㅜㅣ", "ㅢ": "ㅡㅣ",
}  # fmt: skip
DOUBLE = {
    "ㄳ": "ㄱㅅ", "ㄵ": "ㄴㅈ", "ㄶ": "ㄴㅎ", "ㄺ": "ㄹㄱ", "ㄻ": "ㄹㅁ", "ㄼ": "ㄹㅂ",
    "ㄽ": "ㄹㅅ", "ㄾ": "ㄹㅌ", "ㄿ": "ㄹㅍ", "ㅀ": "ㄹㅎ", "ㅄ": "ㅂㅅ",
}  # fmt: skip
PLAIN_LAST = (
    dict.fromkeys("ㄲㅋㄳㄺ", "ㄱ") | dict.fromkeys("ㅅㅆㅈㅊㅌㅎ", "ㄷ") | dict.fromkeys("ㅍㅄㄿ", "ㅂ")
    | dict.fromkeys("ㄵㄶ", "ㄴ") | dict.fromkeys("ㄼㄽㄾㅀ", "ㄹ") | {"ㄻ": "ㅁ"}
)  # fmt: skip
"""Articles 8 to 11: a syllable ends in one of ㄱㄴㄷㄹㅁㅂㅇ."""
TENSE = dict(zip("ㄱㄷㅂㅅㅈ", "ㄲㄸㅃㅆㅉ", strict=True))
ASPIRATED = dict(zip("ㄱㄷㅂㅈ", "ㅋㅌㅍㅊ", strict=True))
NASAL = dict(zip("ㄱㄷㅂ", "ㅇㄴㅁ", strict=True))
LEGS = frozenset("읽맑밝늙굵긁붉묽얽")
"""Stems in ㄺ that keep ㄹ before ㄱ (article 11)."""

MARKS = str.maketrans(
    dict.fromkeys("、，；;：:「」『』（）()・/", ",")
    | dict.fromkeys("。｡\n", ".")
    | {"！": "!", "？": "?", "~": "…", "·": ","}
)

Syllable = list[str]
"""Initial, vowel and final ("" = none)."""


def normalise(text: str) -> str:
    """Normal form of any text: Hangul, Latin words, spaces and `!,-.?…`; numbers are words."""
    text = unicodedata.normalize("NFKC", text.replace("…", "\ue000")).replace("\ue000", "…")
    text = spell_out(text).translate(MARKS)
    text = re.sub(r"\.{2,}", "…", text)
    text = re.sub(rf"[^가-힣ㄱ-ㅣA-Za-z' {re.escape(''.join(PUNCTUATION))}]", "", text)
    text = re.sub(r"\s*([!,.?…])[\s!,.?…]*", r"\1 ", text)
    return re.sub(r"\s+", " ", text).strip().lstrip(",. ")


def phones(normalised: str) -> tuple[str, ...]:
    """Phones of a stretch of the normal form: letters as pronounced, punctuation, 空 for a space between words."""
    sounds: list[str] = []
    for part in re.findall(r"[가-힣]+|.", normalised):
        if re.match("[가-힣]", part):
            sounds += [sound for one in pronounce(part) for letter in one for sound in DIVIDED.get(letter, letter)]
        else:
            sounds.append("空" if part == " " else part if part in SYMBOLS else UNKNOWN)
    return tuple(sounds)


def pronounce(word: str) -> list[Syllable]:
    """Letters of each Hangul syllable of a word as pronounced: "학교" -> [[ㅎ ㅏ ㄱ], [ㄲ ㅛ ""]]."""
    syllables = [letters(c) for c in word]
    for (first, second), spelling in zip(pairwise(syllables), word, strict=False):
        _meet(first, second, spelling)
    for first, second in pairwise(syllables):
        first[2] = PLAIN_LAST.get(first[2], first[2])
        _assimilate(first, second)
    for one in syllables:
        one[2] = PLAIN_LAST.get(one[2], one[2])
        if one[1] == "ㅢ" and one[0] != "ㅇ":
            one[1] = "ㅣ"  # article 5: 희 = 히
        elif one[1] == "ㅖ" and one[0] not in "ㅇㄹ":
            one[1] = "ㅔ"
        elif one[1] == "ㅕ" and one[0] in "ㅈㅉㅊ":
            one[1] = "ㅓ"
    return syllables


def letters(syllable: str) -> Syllable:
    """Letters of a composed syllable (Unicode 3.12)."""
    code = ord(syllable) - 0xAC00
    return [FIRST[code // 588], MIDDLE[code % 588 // 28], LAST[code % 28]]


def _meet(first: Syllable, second: Syllable, spelling: str) -> None:
    """Apply articles 12 to 17 and 23 to 25 to final and initial: palatalisation, ㅎ, linking, tense consonants."""
    final, initial = first[2], second[0]
    stem, tail = DOUBLE.get(final, final)[:-1], DOUBLE.get(final, final)[-1:]
    if final in ("", "ㅇ"):
        return
    # 굳이, 붙여, 닫혔다; not 맏형: ㅕ only where it contracts 이어 or 히어
    before_i = second[1] == "ㅣ" or (second[1] == "ㅕ" and second[2] in ("", "ㅆ"))
    if tail in "ㄷㅌ" and before_i and (initial == "ㅇ" or (initial == "ㅎ" and tail == "ㄷ")):
        first[2], second[0] = stem, "ㅊ" if tail == "ㅌ" or initial == "ㅎ" else "ㅈ"
    elif tail == "ㅎ":
        first[2] = stem
        if initial in ASPIRATED and initial != "ㅂ":
            second[0] = ASPIRATED[initial]
        elif initial == "ㅅ":
            second[0] = "ㅆ"
        elif initial == "ㅇ":
            first[2], second[0] = ("", stem) if stem else ("", "ㅇ")
        elif not stem:
            first[2] = "ㄴ" if initial == "ㄴ" else "ㄷ"
    elif initial == "ㅎ":
        plain = PLAIN_LAST.get(tail, tail) if tail not in "ㅈ" else tail
        if plain in ASPIRATED:
            first[2], second[0] = stem, ASPIRATED[plain]
    elif initial == "ㅇ":
        first[2], second[0] = (stem, "ㅆ" if tail == "ㅅ" and stem else tail)
    elif final == "ㄺ" and initial == "ㄱ" and spelling in LEGS:
        first[2], second[0] = "ㄹ", "ㄲ"
    elif spelling == "밟":
        first[2], second[0] = "ㅂ", TENSE.get(initial, initial)
    elif initial in TENSE and (PLAIN_LAST.get(final, final) in NASAL or final in ("ㄵ", "ㄼ", "ㄾ")):
        second[0] = TENSE[initial]


def _assimilate(first: Syllable, second: Syllable) -> None:
    """Assimilate nasals and ㄹ (articles 18 to 20)."""
    final, initial = first[2], second[0]
    if initial == "ㄹ" and final in ("ㅁ", "ㅇ", *NASAL):
        second[0] = initial = "ㄴ"
    if final in NASAL and initial in ("ㄴ", "ㅁ"):
        first[2] = NASAL[final]
    elif (final, initial) in (("ㄴ", "ㄹ"), ("ㄹ", "ㄴ")):
        first[2] = second[0] = "ㄹ"

"""Japanese to the phones of GPT-SoVITS v2: Open JTalk (extra `ja`) with marks of pitch.

`[` follows the mora where the pitch rises, `]` the one from which it falls (the rules of Kurihara et al. 2021,
"Prosodic Features Control by Symbols as Input of Sequence-to-Sequence Acoustic Modeling"); devoiced vowels are written
as voiced ones. The table has no mark for the border of accent phrases; as in GPT-SoVITS it is `UNK`.
"""

import re
import unicodedata

from voicemill.model.text.languages import library
from voicemill.model.text.symbols import PUNCTUATION, UNKNOWN

MARKS = str.maketrans(
    dict.fromkeys("、，；;：:「」『』（）()・/", ",")
    | dict.fromkeys("。｡\n", ".")
    | dict.fromkeys("〜~", "ー")
    | {"！": "!", "？": "?"}
)
VOICED = str.maketrans("AEIOU", "aeiou")
BORDER = UNKNOWN
MORAS = frozenset({"a", "e", "i", "o", "u", "N", "cl"})
"""Phones that end a mora."""


def normalise(text: str) -> str:
    """Normal form of any text: Japanese and Latin characters, digits and `!,-.?…`; Open JTalk reads the numbers."""
    text = unicodedata.normalize("NFKC", text.replace("…", "\ue000")).replace("\ue000", "…").translate(MARKS)
    text = re.sub(r"\.{2,}", "…", text)
    text = re.sub(rf"[^\w' {re.escape(''.join(PUNCTUATION))}]", "", text)
    text = re.sub(r"\s+", " ", re.sub(r"\s*([!,.?…])[\s!,.?…]*", r"\1", text))
    return re.sub(r"(?<![A-Za-z]) | (?![A-Za-z])", "", text).lstrip(",.")


def phones(normalised: str) -> tuple[str, ...]:
    """Phones of a stretch of the normal form. Raises ConfigError where pyopenjtalk-plus is not installed."""
    sounds: list[str] = []
    for part in re.split(f"([{re.escape(''.join(PUNCTUATION))}])", normalised):
        if part in PUNCTUATION:
            sounds.append(part)
        elif part.strip():
            sounds += phones_with_pitch(library("ja").extract_fullcontext(part))
    return tuple(sounds)


def phones_with_pitch(labels: list[str]) -> list[str]:
    """Phones with marks of pitch from the HTS full-context labels of one stretch between pauses.

    A: a1 = position of the mora relative to the accent, a2 and a3 = from the start and the end of the phrase; F: f1 =
    number of moras in the phrase.
    """
    sounds: list[str] = []
    for label, behind in zip(labels, [*labels[1:], ""], strict=True):
        phone = re.search(r"-(.*?)\+", label)
        if phone is None or phone[1] == "sil":
            continue
        if phone[1] == "pau":
            sounds.append(",")
            continue
        sound = phone[1].translate(VOICED)
        sounds.append(sound)
        place = re.search(r"/A:(-?\d+)\+(\d+)\+(\d+)/", label)
        if place is None or sound not in MORAS:
            continue
        a1, a2, a3 = (int(number) for number in place.groups())
        moras = re.search(r"/F:(\d+)_", label)
        next_place = re.search(r"/A:-?\d+\+(\d+)\+", behind)
        next_a2 = int(next_place[1]) if next_place else 0
        if a3 == 1 and next_a2 == 1:
            sounds.append(BORDER)
        elif a1 == 0 and next_a2 == a2 + 1 and moras and a2 != int(moras[1]):
            sounds.append("]")
        elif a2 == 1 and next_a2 == 2:
            sounds.append("[")
    return sounds

"""Which phones are of which written words, so that what is known of a word holds for its phones.

Written words and spoken ones are compared as two sequences (the longest runs of equal words first: Ratcliff and
Obershelp's matching, `difflib`), letters alone, case and accents aside. Words that are written as they are spoken stand
for themselves; what differs between them ("$12.50": twelve dollars and fifty cents, 15: 十五, GPU: G P U) belongs
together as a whole. Nothing is read aloud twice, so that a number may be read by its neighbours, as the front end does.

Known for English and Chinese, which say what their words and characters sound like; not for Japanese, Korean and
Cantonese.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from voicemill.model.text.frontend import Phonemes
from voicemill.model.text.symbols import PUNCTUATION

_LETTERS = re.compile(r"[^\w$€£%&+=@#°]*([^\W\d_]+(?:['’][^\W\d_]+)*['’]?)[^\w$€£%&+=@#°]*")
"""A word that is spoken as its letters say, and the punctuation around it."""


@dataclass(frozen=True)
class Stretch:
    """Written words and the phones that they are together; both half open, neither empty."""

    words: tuple[int, int]
    phones: tuple[int, int]
    """From the first sound to the last: marks between them included, marks around them not."""


def stretches(found: Phonemes, words: Sequence[str]) -> tuple[Stretch, ...] | None:
    """The phones of a text, and its written words but for those that make no sound -> stretches in order, which hold
    all of these words and all phones but marks.

    None where it cannot be told: a language whose front end names no words, no sound, or several words of which not one
    is written as it is spoken.
    """
    sounds = _sounds(found)
    if not sounds or not words:
        return None
    written = [_letters(word) or f"{at} " for at, word in enumerate(words)]  # what is no word equals no other
    matcher = SequenceMatcher(None, written, [letters for letters, _, _ in sounds], autojunk=False)
    blocks: list[tuple[int, int, int, int]] = []
    for tag, *block in matcher.get_opcodes():
        a, b, c, d = block
        same = tag == "equal"
        blocks += [(a + n, a + n + 1, c + n, c + n + 1) for n in range(b - a)] if same else [(a, b, c, d)]
        if not same and len(words) > 1 and block == [0, len(words), 0, len(sounds)]:
            return None
    whole = _filled(blocks)
    return tuple(Stretch((a, b), (sounds[c][1], sounds[d - 1][2])) for a, b, c, d in whole)


def _filled(blocks: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Words without sounds, and sounds without words, join both neighbours: whose they are is open."""
    merged: list[tuple[int, int, int, int]] = []
    lacking = False
    for a, b, c, d in blocks:
        before, lacking = lacking, a == b or c == d
        if merged and (before or lacking):
            merged[-1] = merged[-1][0], b, merged[-1][2], d
        else:
            merged.append((a, b, c, d))
    return merged


def _sounds(found: Phonemes) -> list[tuple[str, int, int]] | None:
    """Each spoken word or character but marks: its letters, its first phone and the one after its last."""
    at = len(found.phones) - sum(len(run.phones) for run in found.runs)  # a comma in front of very short texts
    sounds = []
    for run in found.runs:
        if run.parts is None:
            return None
        for text, count in run.parts:
            if count and text not in PUNCTUATION:
                sounds.append((_letters(text), at, at + count))
            at += count
    return sounds


def _letters(word: str) -> str:
    """Lower-case letters; "" for what is not spoken as it is written."""
    match = _LETTERS.fullmatch(word)
    plain = unicodedata.normalize("NFKD", match[1]).casefold() if match else ""
    return "".join(c for c in plain if c.isalpha())

"""English text to ARPAbet phones with stress: normal form, CMUdict, homographs by their neighbours, letter to sound.

The phones of GPT-SoVITS v2: no marks between words, punctuation of the symbol table kept, and a `,` in front of fewer
than four phones.
"""

import re
from dataclasses import dataclass

from voicemill.model.text.english.homographs import reading
from voicemill.model.text.english.normal import normalise
from voicemill.model.text.english.words import word

__all__ = ["FEWEST", "EnglishPhones", "normalise", "phones"]

FEWEST = 4
"""Fewer phones than these are preceded by a comma, as in the texts on which the checkpoints were trained."""


@dataclass(frozen=True)
class EnglishPhones:
    """The phones of a normal form."""

    phones: tuple[str, ...]
    words: tuple[tuple[str, tuple[str, ...]], ...]
    """Words and marks in order, each with its phones."""
    guessed: tuple[str, ...]
    """Words in no dictionary, read by letter to sound."""


def phones(normalised: str) -> EnglishPhones:
    """ARPAbet phones and `!,-.?…` of a normal form; "" has no phones.

    Raises ModelMissing where the wheel with the dictionary is not installed.
    """
    tokens = re.findall(r"[A-Za-z']+|[!,\-.?…]", normalised)
    spoken: list[tuple[str, tuple[str, ...]]] = []
    guessed: list[str] = []
    for at, token in enumerate(tokens):
        if not token[0].isalpha() and token[0] != "'":
            spoken.append((token, (token,)))
            continue
        sounds = reading(tokens, at)
        if sounds is None:
            entry = word(token)
            sounds = entry.phones
            guessed += [token] if entry.guessed else []
        spoken.append((token, sounds))
    flat = tuple(phone for _, sounds in spoken for phone in sounds)
    return EnglishPhones((",", *flat) if 0 < len(flat) < FEWEST else flat, tuple(spoken), tuple(guessed))

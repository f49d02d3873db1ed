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
"""A comma stands in front of fewer phones than these, as in the texts that the checkpoints were trained on."""


@dataclass(frozen=True)
class EnglishPhones:
    """The phones of a normal form."""

    phones: tuple[str, ...]
    words: tuple[tuple[str, tuple[str, ...]], ...]
    """Each word or mark with its phones, in order."""
    guessed: tuple[str, ...]
    """Words that no dictionary has: their letters were sounded out."""


def phones(normalised: str) -> EnglishPhones:
    """What `normalise` gave -> ARPAbet phones and `!,-.?…`; "" gives no phones.

    Raises ModelMissing where the dictionary's wheel is missing.
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

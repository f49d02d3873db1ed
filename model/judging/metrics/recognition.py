"""Character and word error rate: the transcript of a recogniser against the text that was to be synthesised.

Rate = Levenshtein distance (insertions, deletions and substitutions cost 1) / length of the text, so it may exceed 1.
Both texts are first normalised: numbers and abbreviations are spelt out by the text front end where it has the
language; case and everything but letters, their marks and digits are removed. Words are separated by spaces; in
Chinese, Japanese and Cantonese each character is a word. Source: Levenshtein, Soviet Physics Doklady 10(8), 1966.
"""

import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from voicemill.model.text.frontend import phonemes
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError, ModelMissing

UNSPACED = frozenset({"zh", "ja", "yue"})


class Recogniser(Protocol):
    """A speech recogniser, such as `voicemill.model.speech.whisper.Whisper`."""

    def knows(self, language: str) -> bool:
        """Whether it recognises a language, ISO 639-1."""

    def transcribe(self, waves: Sequence[Wave], language: str, batch_size: int = 8) -> list[tuple[str, float]]:
        """Return text and confidence of each wave, float32 [samples], 32 kHz."""


def distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the Levenshtein distance of two sequences."""
    before = list(range(len(other) + 1))
    for i, first in enumerate(one, 1):
        row = [i]
        for j, second in enumerate(other, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (first != second)))
        before = row
    return before[-1]


def plain(text: str, language: str) -> str:
    """Return a text in the form for comparison: words in lower case with single spaces between them; "" = none."""
    with suppress(ConfigError, ModelMissing):  # without a front end for this language, as it is written
        text = phonemes(text, language).normalised
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" else "" if c in "'’" else " " for c in folded)
    return " ".join(kept.split())


def cer(text: str, heard: str) -> float:
    """Return the character error rate of two texts in `plain` form, spaces ignored. ValueError for an empty text."""
    return _rate(list(text.replace(" ", "")), list(heard.replace(" ", "")))


def wer(text: str, heard: str, language: str) -> float:
    """Return the word error rate of two texts in `plain` form. ValueError for an empty text."""
    return _rate(words(text, language), words(heard, language))


def words(text: str, language: str) -> list[str]:
    """Return the words of a text in `plain` form."""
    return list(text.replace(" ", "")) if language in UNSPACED else text.split()


def _rate(wanted: Sequence[str], heard: Sequence[str]) -> float:
    if not wanted:
        raise ValueError("no error rate without a text")
    return distance(wanted, heard) / len(wanted)

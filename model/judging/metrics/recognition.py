"""Character and word error rate: what a recogniser hears in the speech against what was to be said.

Rate = Levenshtein distance (insertions, deletions and substitutions cost 1) / length of the text, so it may pass 1.
Both texts are first brought to one form: numbers and abbreviations are spelt out by the text front end where it has the
language, case and everything but letters, marks of letters and digits go. A word is what spaces separate; in Chinese,
Japanese and Cantonese a character is one. Source: Levenshtein, Soviet Physics Doklady 10(8), 1966.
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
    """`voicemill.model.speech.whisper.Whisper` is one."""

    def transcribe(self, waves: Sequence[Wave], language: str, batch_size: int = 8) -> list[tuple[str, float]]:
        """float32 [samples], 32 kHz each -> for each its text and how sure it is."""


def distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Levenshtein distance of two sequences."""
    before = list(range(len(other) + 1))
    for i, first in enumerate(one, 1):
        row = [i]
        for j, second in enumerate(other, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (first != second)))
        before = row
    return before[-1]


def plain(text: str, language: str) -> str:
    """The form in which texts are compared: words in lower case with single spaces between them; "" = none."""
    with suppress(ConfigError, ModelMissing):  # no front end of this language here: compared as it is written
        text = phonemes(text, language).normalised
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" else "" if c in "'’" else " " for c in folded)
    return " ".join(kept.split())


def cer(text: str, heard: str) -> float:
    """Character error rate of two texts in `plain` form; spaces do not count. ValueError where there is no text."""
    return _rate(list(text.replace(" ", "")), list(heard.replace(" ", "")))


def wer(text: str, heard: str, language: str) -> float:
    """Word error rate of two texts in `plain` form."""
    return _rate(words(text, language), words(heard, language))


def words(text: str, language: str) -> list[str]:
    """The words of a text in `plain` form."""
    return list(text.replace(" ", "")) if language in UNSPACED else text.split()


def _rate(wanted: Sequence[str], heard: Sequence[str]) -> float:
    if not wanted:
        raise ValueError("no error rate without a text")
    return distance(wanted, heard) / len(wanted)

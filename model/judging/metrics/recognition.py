"""Character and word error rate: the transcript of a recogniser against the text that was to be synthesised.

Rate = Levenshtein distance (insertions, deletions and substitutions cost 1) / length of the text, so it may exceed 1.
Both texts are first normalised: numbers and abbreviations are spelt out by the text front end where it has the
language; English hesitations and annotations are left out and its words get one spelling (`english.spelling`); case
and everything but letters, their marks and digits are removed. Words are separated by spaces; words that are only
divided in another way (work house, workhouse) are no error; in Chinese, Japanese and Cantonese each character is a
word. On the recordings of `tests/bench/asr.py` these rules make 6.8 % word errors of 8.0 %.
Source: Levenshtein, Soviet Physics Doklady 10(8), 1966; Radford et al. 2022, appendix C (what is left out).
"""

import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from voicemill.model.text.english.spelling import uniform
from voicemill.model.text.frontend import language_of, phonemes
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError, ModelMissing

UNSPACED = frozenset({"zh", "ja", "yue"})
DIVIDED = 3
"""Most words that one word of the other text, or fewer, is divided into."""


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
        text = uniform(text) if language_of(text, language) == "en" else text
        text = phonemes(text, language).normalised
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" else "" if c in "'’" else " " for c in folded)
    return " ".join(kept.split())


def cer(text: str, heard: str) -> float:
    """Return the character error rate of two texts in `plain` form, spaces ignored. ValueError for an empty text."""
    return _rate(list(text.replace(" ", "")), list(heard.replace(" ", "")))


def wer(text: str, heard: str, language: str) -> float:
    """Return the word error rate of two texts in `plain` form. ValueError for an empty text."""
    expected, recognised = words(text, language), words(heard, language)
    return _rate(expected, recognised, distance if language in UNSPACED else word_errors)


def words(text: str, language: str) -> list[str]:
    """Return the words of a text in `plain` form."""
    return list(text.replace(" ", "")) if language in UNSPACED else text.split()


def word_errors(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the Levenshtein distance of two lists of words, in which up to `DIVIDED` words of each cost nothing where
    they have the same letters in a row."""
    rows = [list(range(len(other) + 1))]
    for i in range(1, len(one) + 1):
        row = [i]
        for j in range(1, len(other) + 1):
            costs = [rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + 1]
            costs += [
                rows[i - m][j - n]
                for m in range(1, min(DIVIDED, i) + 1)
                for n in range(1, min(DIVIDED, j) + 1)
                if one[i - 1][-1] == other[j - 1][-1] and "".join(one[i - m : i]) == "".join(other[j - n : j])
            ]
            row.append(min(costs))
        rows.append(row)
    return rows[-1][-1]


def _rate(
    expected: Sequence[str],
    recognised: Sequence[str],
    errors: Callable[[Sequence[str], Sequence[str]], int] = distance,
) -> float:
    if not expected:
        raise ValueError("no error rate without a text")
    return errors(expected, recognised) / len(expected)

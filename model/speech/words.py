"""Words of a text for the aligners: how a text is split, and how English words are read.

`split` cuts a text where its language separates words (at spaces; in zh and ja every character is a word). English is
read by the front end that training and speaking use (`voicemill.model.text`): `spoken_english` gives the spoken words
of each written one, with their phones. Cost: about a millisecond a sentence.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voicemill.storage.units import Samples

if TYPE_CHECKING:
    from voicemill.model.text.written import SpokenWord

WITHOUT_SPACES = frozenset({"zh", "ja"})
"""Languages written without spaces: each character is aligned on its own, as whisperx does."""


class Unalignable(Exception):
    """A text that cannot be placed on its audio; the message gives the reason."""


@dataclass(frozen=True)
class Span:
    """Place of a word in the audio that was aligned."""

    start: Samples
    stop: Samples
    """Samples at 32 kHz from the start of the audio."""
    score: float
    """Goodness of the alignment, 0..1; see the engine."""
    phones: int = 1
    """Phones of the word, or characters, as the engine reads it."""


@dataclass(frozen=True)
class Alignment:
    """The words of a text on the audio that they were aligned with."""

    spans: tuple[Span | None, ...]
    """Place of each word; None for those without sound."""
    uncovered: tuple[tuple[Samples, Samples], ...] = ()
    """Stretches of speech that no word covers, samples at 32 kHz from the start of the audio (`coverage`)."""
    phones: tuple[Samples, ...] | None = None
    """Middle of each phone that the audio has by itself, without the text; None = the engine counts none."""
    usual: float = 1.0
    """Phones of a right text for each of those, as the engine reads the language."""


def split(text: str, language: str) -> list[str]:
    """Words of a text with their punctuation, in order; nothing but white space is lost."""
    if language not in WITHOUT_SPACES:
        return text.split()
    # letters of other scripts and digits stay together: "GPU" is one word in a Chinese sentence too
    return re.findall(r"[A-Za-z0-9]+(?:['.][A-Za-z0-9]+)*|\S", text)


def join(words: list[str], language: str) -> str:
    """The inverse of `split`, up to white space."""
    return ("" if language in WITHOUT_SPACES else " ").join(words)


def is_sounded(word: str) -> bool:
    """Whether a word makes a sound: punctuation and marks such as <noise> or [laughter] make none."""
    return bool(re.search(r"\w", word)) and not re.fullmatch(_MARK, word)


def spoken_english(words: Sequence[str]) -> "list[tuple[SpokenWord, ...]]":
    """Spoken words of each word of an English text; () for punctuation and for marks such as <noise>."""
    from voicemill.model.text.written import spoken_words  # 0.1 s of patterns, not at every start

    return spoken_words(["" if re.fullmatch(_MARK, word) else word for word in words])


_MARK = r"<[^>]*>|\[[^\]]*\]"

"""Text as an aligner needs it: split into words, and English words as they are spoken.

What: `split` cuts a text where its language separates words (at spaces; zh and ja: every character is a word);
`spoken` spells out what English writes in signs and digits: "$12.50" -> "twelve point five zero dollars".
Cost: microseconds a word.
"""

import re
import unicodedata
from dataclasses import dataclass

from voicemill.storage.units import Samples

WITHOUT_SPACES = frozenset({"zh", "ja"})
"""Languages written without spaces: each character is aligned on its own, as whisperx does."""


class Unalignable(Exception):
    """This text cannot be placed on this audio; the message says why."""


@dataclass(frozen=True)
class Span:
    """Where a word was found."""

    start: Samples
    stop: Samples
    """At 32 kHz, counted from the start of the audio that was aligned."""
    score: float
    """0..1, see the engine."""


def split(text: str, language: str) -> list[str]:
    """The words of a text with their punctuation, in order; nothing of it is lost but white space."""
    if language not in WITHOUT_SPACES:
        return text.split()
    # letters of other scripts and digits stay together: "GPU" is one word in a Chinese sentence too
    return re.findall(r"[A-Za-z0-9]+(?:['.][A-Za-z0-9]+)*|\S", text)


def join(words: list[str], language: str) -> str:
    """The inverse of `split`, up to white space."""
    return ("" if language in WITHOUT_SPACES else " ").join(words)


def is_sounded(word: str) -> bool:
    """Whether anything of a word is heard: not so for punctuation and for marks such as <noise> or [laughter]."""
    return bool(re.search(r"\w", word)) and not re.fullmatch(r"<[^>]*>|\[[^\]]*\]", word)


_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_SIGNS = {"&": "and", "+": "plus", "%": "percent", "=": "equals", "@": "at", "°": "degrees"}
_MONEY = {"$": "dollars", "£": "pounds", "€": "euros"}
_PIECES = re.compile(
    r"(?P<money>[$£€])?(?P<number>\d{1,3}(?:,\d{3})+|\d+)(?P<fraction>\.\d+)?(?P<ordinal>st|nd|rd|th)?(?P<plural>'?s)?"
    r"|(?P<word>[a-z]+(?:'[a-z]+)*)|(?P<sign>[&+%=@°])"
)


def cardinal(number: int) -> list[str]:
    """A whole number >= 0 in English words: 342 -> three hundred forty two."""
    if number < 20:
        return [_ONES[number]]
    if number < 100:
        return [_TENS[number // 10], *([_ONES[number % 10]] if number % 10 else [])]
    scale, name = next((scale, name) for scale, name in _SCALES if number >= scale)
    return [*cardinal(number // scale), name, *(cardinal(number % scale) if number % scale else [])]


def year(number: int) -> list[str]:
    """A year as it is read: 1984 -> nineteen eighty four, 1900 -> nineteen hundred, 1805 -> eighteen oh five."""
    century, rest = divmod(number, 100)
    if not rest:
        return [*cardinal(century), "hundred"]
    return [*cardinal(century), *(["oh"] if rest < 10 else []), *cardinal(rest)]


def spoken(word: str) -> list[str]:
    """An English word as it is said: lower-case words of a-z and apostrophes; [] for what makes no sound.

    Accents are dropped, hyphens separate, four digits from 1100 to 1999 and from 2010 to 2099 are read as a year.
    """
    if not is_sounded(word):
        return [_SIGNS[word]] if word in _SIGNS else []
    plain = unicodedata.normalize("NFKD", word.lower().replace("’", "'"))
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    said: list[str] = []
    for piece in _PIECES.finditer(plain):
        if piece["word"]:
            said.append(piece["word"])
        elif piece["sign"]:
            said.append(_SIGNS[piece["sign"]])
        else:
            said += _number(piece)
    return said


def _number(piece: re.Match[str]) -> list[str]:
    digits = piece["number"].replace(",", "")
    number = int(digits)
    if len(digits) > 15 or (len(digits) > 1 and digits[0] == "0"):
        said = [_ONES[int(digit)] for digit in digits]
    elif len(piece["number"]) == 4 and (1100 <= number < 2000 or 2010 <= number < 2100) and not piece["fraction"]:
        said = year(number)
    else:
        said = cardinal(number)
    if piece["fraction"]:
        said += ["point", *(_ONES[int(digit)] for digit in piece["fraction"][1:])]
    if piece["ordinal"]:
        said[-1] = _ordinal(said[-1])
    elif piece["plural"]:
        said[-1] = said[-1][:-1] + "ies" if said[-1].endswith("y") else said[-1] + "s"
    return said + ([_MONEY[piece["money"]]] if piece["money"] else [])


def _ordinal(word: str) -> str:
    if word.endswith("y"):
        return word[:-1] + "ieth"
    return _ORDINALS.get(word, word + "th")

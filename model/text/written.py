"""Which spoken words and phones each written word has, so that times of written words hold for what they are read as.

Written and spoken words are compared as two sequences (the longest runs of equal words first: Ratcliff and Obershelp's
matching, `difflib`), by letters alone, without case and accents. Words that are written as they are spoken match
themselves. What differs in between ("$12.50": twelve dollars and fifty cents, 15: 十五, GPU: G P U) belongs together.
No word is read out of its context, since a number may be read by its neighbours.

`stretches` stops there; it holds for English and Chinese, whose front ends name words or characters, and not for
Japanese, Korean and Cantonese. `spoken_words` goes on for English and divides a stretch of several written words: each
is also read alone, and the spoken words are shared out by the smallest edit distance to those readings.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import accumulate, pairwise

from voicemill.model.text.chinese.simplified import simplified
from voicemill.model.text.english.front_end import normalise
from voicemill.model.text.frontend import Phonemes, phonemes
from voicemill.model.text.symbols import PUNCTUATION

_LETTERS = re.compile(r"[^\w$€£%&+=@#°]*([^\W\d_]+(?:['’][^\W\d_]+)*['’]?)[^\w$€£%&+=@#°]*")
"""A word that is spoken as its letters say, and the punctuation around it."""

_EMPTY, _OTHER, _EXTRA, _EXTRA_SIGN, _EXTRA_SCALE = 3.0, 1.1, 1.0, 1.05, 0.95
"""Costs of sharing out spoken words: a written word left without any; another word than expected; one too many or too
few, the same for a sign and behind a sum of money, which are less and more likely to own it."""

Block = tuple[int, int, int, int]
"""First and last + 1 written word, first and last + 1 spoken word."""


@dataclass(frozen=True)
class Stretch:
    """Written words and the phones that they have together; both ranges half open, neither empty."""

    words: tuple[int, int]
    phones: tuple[int, int]
    """Range from the first sound to the last: punctuation between them is included, around them it is not."""


@dataclass(frozen=True)
class SpokenWord:
    """One word of an English normal form."""

    text: str
    """Lower-case letters and apostrophes; a single capital is the name of a letter."""
    phones: tuple[str, ...]
    """ARPAbet with stress."""


def stretches(reading: Phonemes, words: Sequence[str]) -> tuple[Stretch, ...] | None:
    """Phones of a text and its sounded written words -> stretches in order, which hold all of these words and all
    phones but punctuation.

    None where the phones cannot be attributed: a language whose front end names no words, a text without sound, or
    several words of which none is written as it is spoken.
    """
    sounds = _sounds(reading)
    if not sounds or not words:
        return None
    if any(run.language == "zh" for run in reading.runs):
        words = _simplified(words)
    blocks = _blocks(words, [letters for letters, _, _ in sounds])
    if len(words) > 1 and blocks is None:
        return None
    blocks = blocks or [(0, 1, 0, len(sounds))]
    return tuple(Stretch((a, b), (sounds[c][1], sounds[d - 1][2])) for a, b, c, d in blocks)


def spoken_words(words: Sequence[str]) -> list[tuple[SpokenWord, ...]]:
    """Words of an English text -> the spoken words of each, in order: none for punctuation, several for `$12.50`.

    Together they are what `phonemes(" ".join(words), "en")` reads, without words of other languages. The words are
    those of the text's normal form, so that a text and its spelt-out form have the same ones.

    Raises ModelMissing where the wheel with the English dictionary is not installed.
    """
    spoken = _spoken(" ".join(words))
    shares: list[tuple[SpokenWord, ...]] = [()] * len(words)
    if not spoken:
        return shares
    for a, b, c, d in _blocks(words, [_letters(word.text) for word in spoken]) or [(0, len(words), 0, len(spoken))]:
        edges = [c, d] if b - a == 1 else [c + edge for edge in _shared_out(words[:b], a, spoken[c:d])]
        for at in range(b - a):
            shares[a + at] = tuple(spoken[edges[at] : edges[at + 1]])
    return shares


def _simplified(words: Sequence[str]) -> list[str]:
    """The words in simplified characters, which depend on their neighbours: a Chinese normal form has no others."""
    text, edges = simplified("".join(words)), [0, *accumulate(map(len, words))]
    return [text[a:b] for a, b in pairwise(edges)]


def _spoken(text: str) -> list[SpokenWord]:
    spoken = []
    for run in phonemes(text, "en").runs:
        at = 0
        for word, count in run.parts or ():
            if run.language == "en" and count and word not in PUNCTUATION:
                spoken.append(SpokenWord(word, run.phones[at : at + count]))
            at += count
    return spoken


def _blocks(words: Sequence[str], spoken: Sequence[str]) -> list[Block] | None:
    """Blocks in order that hold all written and all spoken words; None where no word is written as it is spoken."""
    written = [_letters(word) or f"{at} " for at, word in enumerate(words)]  # what is no word equals no other
    blocks: list[Block] = []
    equal = False
    for tag, a, b, c, d in SequenceMatcher(None, written, spoken, autojunk=False).get_opcodes():
        if tag == "equal":
            equal = True
            blocks += [(a + n, a + n + 1, c + n, c + n + 1) for n in range(b - a)]
        else:
            blocks.append((a, b, c, d))
    return _joined(blocks) if equal else None


def _joined(blocks: Sequence[Block]) -> list[Block]:
    """Join words without sounds, and sounds without words, to both neighbours: they may belong to either."""
    joined: list[Block] = []
    lacking = False
    for a, b, c, d in blocks:
        before, lacking = lacking, a == b or c == d
        if joined and (before or lacking):
            joined[-1] = joined[-1][0], b, joined[-1][2], d
        else:
            joined.append((a, b, c, d))
    return joined


def _shared_out(words: Sequence[str], first: int, spoken: Sequence[SpokenWord]) -> list[int]:
    """Edges of the spoken words of each written word from `first` on: one number more than words, from 0 to `spoken`.

    Dynamic programming over (written word, spoken words used so far). Inside a written word it is the edit distance
    between its reading alone and its share; every state carries where the share began, and whether it holds a word.
    """
    texts = [word.text.lower() for word in spoken]
    size = len(texts) + 1
    worst = (float("inf"), 0)
    costs = [0.0] + [worst[0]] * len(texts)
    begins: list[list[int]] = []
    for number in range(first, len(words)):
        alone = _alone(words[number])
        extra = _extra(words[number], words[number - 1] if number else "")
        empty = [(cost, at) for at, cost in enumerate(costs)]  # cost and begin of the share, which is still empty
        started = [worst] * size
        for at in range(1, size):
            started[at] = _plus(min(started[at - 1], empty[at - 1]), extra)
        for expected in alone:
            before, started = started, [worst] * size
            for at in range(size):
                options = [_plus(before[at], extra)]
                if at:
                    differs = _OTHER * (texts[at - 1] != expected)
                    options += [_plus(min(before[at - 1], empty[at - 1]), differs), _plus(started[at - 1], extra)]
                started[at] = min(options)
            empty = [_plus(state, extra) for state in empty]
        penalty = _EMPTY if alone else 0.0
        best = [min(started[at], _plus(empty[at], penalty)) for at in range(size)]
        costs = [cost for cost, _ in best]
        begins.append([begin for _, begin in best])
    edges = [len(texts)]
    for row in reversed(begins):
        edges.append(row[edges[-1]])
    return edges[::-1]


def _extra(word: str, before: str) -> float:
    """Cost of one spoken word more or fewer than a written word has alone."""
    if re.search(r"[$£€¥₹₩]\d", before):  # $5 million: five, million dollars
        return _EXTRA_SCALE
    return _EXTRA if re.search(r"\w", word) else _EXTRA_SIGN


def _plus(state: tuple[float, int], cost: float) -> tuple[float, int]:
    return state[0] + cost, state[1]


@lru_cache(maxsize=4096)
def _alone(word: str) -> tuple[str, ...]:
    """Words of the normal form of one written word alone, in lower case; a sign is read between two numbers."""
    sign = not re.search(r"\w", word)
    words = re.findall("[a-z']*[a-z][a-z']*", normalise(f"1 {word} 1" if sign else word).lower())
    return tuple(words[1:-1] if sign else words)


def _sounds(reading: Phonemes) -> list[tuple[str, int, int]] | None:
    """Letters, first phone and last + 1 phone of each spoken word or character, punctuation left out."""
    at = len(reading.phones) - sum(len(run.phones) for run in reading.runs)  # a comma in front of very short texts
    sounds = []
    for run in reading.runs:
        if run.parts is None:
            return None
        for text, count in run.parts:
            if count and text not in PUNCTUATION:
                sounds.append((_letters(text), at, at + count))
            at += count
    return sounds


def _letters(word: str) -> str:
    """Letters of a word in lower case, without accents; "" for what is not spoken as it is written."""
    match = _LETTERS.fullmatch(word)
    plain = unicodedata.normalize("NFKD", match[1]).casefold() if match else ""
    return "".join(c for c in plain if c.isalpha())

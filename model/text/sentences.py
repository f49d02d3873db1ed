"""Cuts long text into pieces for one synthesis each: whole sentences where possible, and nothing lost.

A piece is a sentence, or several; a part of a sentence between commas; or the whole text (`Cutting.method`).
Cuts follow the marks that end a sentence in Chinese or English (closing quotes and brackets stay with them),
never inside a number (3.14), an address, an abbreviation (Dr., e.g., U.S.), a quotation or brackets that close soon. A
piece shorter than `shortest` joins a neighbour; one longer than `longest` is cut again after commas, then between
words, finally between characters.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

from voicemill.model.text.english.abbreviations import SHORT, TITLES
from voicemill.storage.errors import ConfigError

ENDS = "。！？!?…．；;\n"
"""Marks that end a sentence everywhere; a dot ends one only by `_dot_ends`."""
CLOSING = "”’」』】）)]》〉\"'"
PAIRS = {"“": "”", "「": "」", "『": "』", "（": "）", "(": ")", "【": "】", "《": "》", "[": "]"}
COMMAS = "，、,：:—–"
COMMA = re.compile(rf"[{COMMAS}](?!\d)[{re.escape(CLOSING)}]*\s*")
Method: TypeAlias = Literal["sentence", "punctuation", "none"]
DOTTED = frozenset({"st", "dr", *TITLES, *SHORT})
COUNTERS = frozenset({"no", "nos", "pp", "p", "ch", "fig", "vol", "sec", "art"})
"""Abbreviations only before a number: No. 5."""
FINAL = frozenset({"inc", "co", "corp", "ltd", "jr", "sr", "st", "dr", "ave", "blvd", "rd", "ph.d"})
"""Abbreviations that may also end a sentence: a word of `OPENERS` after them starts a new one."""
SURE = frozenset({"etc", "a.m", "p.m"})
"""Abbreviations after which a capital always starts a new sentence."""
OPENERS = r"\s+[\"“(]?(?:The|He|She|It|We|They|You|I|In|On|At|A|An|But|And|Then|This|That|There|If|When|My|His|Her)\b"


@dataclass(frozen=True)
class Cutting:
    """Method of cutting, and lengths of pieces in characters."""

    method: Method = "sentence"
    """sentence: a piece is `sentences` sentences. punctuation: it also ends after every comma or colon. none: the whole
    text is one piece, whatever its length."""
    sentences: int = 1
    """Number of sentences in a piece, 1 or more; fewer where they would exceed `longest`."""
    shortest: int = 5
    """Shorter pieces join a neighbour. Default 5: GPT-SoVITS v2."""
    longest: int = 120
    """Longer sentences are cut at commas or words. Default 120: about 30 s of Chinese, 10 s of English."""
    quoted: int = 80
    """Longest quotation or bracket that is kept in one piece."""

    def __post_init__(self) -> None:
        if not 0 < self.shortest <= self.longest:
            raise ConfigError(f"sentences: 0 < shortest ({self.shortest}) <= longest ({self.longest}) must hold")
        if self.sentences < 1:
            raise ConfigError(f"sentences = {self.sentences}: expected 1 or more in a piece")
        if self.method not in get_args(Method):
            raise ConfigError(f"cutting.method = {self.method!r}: expected {', '.join(get_args(Method))}")
        if self.sentences > 1 and self.method != "sentence":
            raise ConfigError(f"sentences = {self.sentences} with method {self.method!r}: they need method 'sentence'")


def cut(text: str, cutting: Cutting | None = None) -> tuple[str, ...]:
    """Pieces of a text in order; joined they are the text, to the character. No piece is longer than `longest`, unless
    the method is none.

    A piece is shorter than `shortest` only where it would exceed `longest` with either neighbour, or where the whole
    text is. "" has no pieces.
    """
    cutting = cutting or Cutting()
    if cutting.method == "none":
        return (text,) if text else ()
    pieces = _sentences(text, cutting)
    if cutting.method == "punctuation":
        pieces = [part for piece in pieces for part in _after_commas(piece)]
    pieces = [part for piece in _grouped(pieces, cutting) for part in _split(piece, cutting.longest)]
    return tuple(_merged(pieces, cutting))


def _sentences(text: str, cutting: Cutting) -> list[str]:
    """Sentences of a text, each with the marks in a row, closing quotes and space that follow it."""
    shut = _closed(text, cutting.quoted)
    cuts = [0]
    at = 0
    while at < len(text):
        if (text[at] in ENDS or (text[at] == "." and _dot_ends(text, at))) and not shut[at]:
            while at + 1 < len(text) and (text[at + 1] in ENDS + "." + CLOSING):
                at += 1
            while at + 1 < len(text) and text[at + 1].isspace():
                at += 1
            cuts.append(at + 1)
        at += 1
    cuts += [len(text)] if cuts[-1] < len(text) else []
    return [text[start:stop] for start, stop in pairwise(cuts)]


def _closed(text: str, longest: int) -> list[bool]:
    """Whether each character is inside a quotation or bracket that closes within `longest` characters.

    Its last character is not: a quotation that ends its sentence ends it.
    """
    inside = [False] * len(text)
    for start, mark in enumerate(text):
        opens = mark in PAIRS or (mark == '"' and not inside[start] and text[:start].count('"') % 2 == 0)
        stop = text.find(PAIRS.get(mark, mark), start + 1, start + longest) if opens else -1
        if stop > 0:
            last = stop - 1 if text[stop - 1] in ENDS + "." else stop
            inside[start:last] = [True] * (last - start)
    return inside


def _dot_ends(text: str, at: int) -> bool:
    """Whether the dot at `at` ends a sentence: no digit or letter follows it, no abbreviation or initial precedes it.

    After an abbreviation that may end a sentence (in the U.S. The ...), it does before a word that opens sentences: a
    missing cut is inaudible, a wrong one is not.
    """
    behind = text[at + 1 :].lstrip("." + CLOSING)
    if behind and not behind[0].isspace() and (behind[0].isascii() or text[at - 1 : at].isdigit()):
        return False
    if not behind.strip():
        return True
    word = re.search(r"(?<!\d)[A-Za-z.]*$", text[:at])
    stem = word[0].strip(".").lower() if word else ""
    if stem in COUNTERS:
        return not re.match(r"\s+\d", behind)
    if stem in SURE:
        return bool(re.match(r"\s+[\"“(]?[A-Z]", behind))
    if stem in DOTTED or (re.fullmatch(r"(?:[a-z]\.)*[a-z]", stem) and stem != "i"):
        return bool(re.match(OPENERS, behind)) and (stem in FINAL or "." in stem or len(stem) == 1)
    return not re.match(r"\s+[a-z]", behind)


def _grouped(sentences: list[str], cutting: Cutting) -> Iterator[str]:
    """Join up to `cutting.sentences` sentences in a row, as long as they fit."""
    group, count = "", 0
    for sentence in sentences:
        if count == cutting.sentences or (count and len(group) + len(sentence) > cutting.longest):
            yield group
            group, count = "", 0
        group, count = group + sentence, count + 1
    if group:
        yield group


def _after_commas(piece: str) -> list[str]:
    ends = [match.end() for match in COMMA.finditer(piece)]
    return [piece[start:stop] for start, stop in pairwise([0, *ends, len(piece)]) if start < stop]


def _split(piece: str, longest: int) -> Iterator[str]:
    """Cut a piece to at most `longest` characters: after the last fitting comma, else between words, else anywhere."""
    while len(piece) > longest:
        commas = [m.end() for m in COMMA.finditer(piece[: 2 * longest])]
        spaces = [m.end() for m in re.finditer(r"\s+", piece[: longest + 1])]
        fitting = ([at for at in found if longest // 4 <= at <= longest] for found in (commas, spaces))
        at = next((found[-1] for found in fitting if found), longest)
        yield piece[:at]
        piece = piece[at:]
    yield piece


def _merged(pieces: list[str], cutting: Cutting) -> list[str]:
    """Join pieces of fewer than `shortest` characters, outer space not counted, to a neighbour where that fits."""
    merged: list[str] = []
    for piece in pieces:
        short = merged and min(len(merged[-1].strip()), len(piece.strip())) < cutting.shortest
        if short and len(merged[-1]) + len(piece) <= cutting.longest:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged

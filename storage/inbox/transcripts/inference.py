"""Layout of a table without a header, where its cells and the recordings leave no doubt about it.

Five layouts are known: `file|text` (piper, LJSpeech without a second text), `id|raw|normalised` (LJSpeech),
`file|speaker|text` (piper, VITS), `file|text|speaker` (Coqui's order) and `file|speaker|language|text` (GPT-SoVITS);
`file|phones|number` (StyleTTS 2) and `file|speaker|{phones}|text` (FastSpeech 2) have phones where others have a text.
Method: a layout is possible where every column is what the layout says. A column of languages holds codes; one of
speakers holds names (short, no marks of a sentence); one of texts holds a sentence somewhere; the two texts of LJSpeech
share their words; phones are letters of the IPA. One possible layout is taken; none or several are no answer: then
nothing is read. One number for all speakers is no name: then the folder is the speaker.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from voicemill.storage.inbox.transcripts.rows import Source

Role = Literal["file", "speaker", "language", "text", "phones"]
Layout = tuple[Role | None, ...]
PHONES: Role = "phones"
"""A column of phones, which is no text."""
LJSPEECH: Layout = ("file", "text", "text")
"""Two texts, as written and as spoken: the second one counts where a row has it."""

SAMPLE = 2000
"""Rows that are looked at."""
LEAST_FILES = 0.5
"""Share of the rows whose first cell is a recording of the inbox."""
LEAST_SHARED = 0.5
"""Share of the words of a raw text that its normalised form keeps."""

LEAST_LENGTH = 0.3
"""Length of a raw text, as a share of its normalised form."""
_CODES = """
zh en ja jp ko yue de fr es it pt ru nl pl tr ar hi vi th id sv da nb no fi cs uk el he hu ro ca fa auto all_zh all_ja
all_yue all_ko auto_yue zh-cn zh-tw en-us en-gb zho eng jpn kor deu
"""
LANGUAGES = frozenset(_CODES.split())
_SENTENCE = re.compile(r"[.!?;:。！？；：，、…][\s\"'”」』]*$|[,.!?;]\s|[。！？；，、]")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_IPA = re.compile("[\u0250-\u02af\u02c8\u02cc\u02d0\u1d7b\u1d4a]")
_BRACED = re.compile(r"\{[A-Z0-9a-z ]+\}")
_WORD = re.compile(r"[^\W\d_]+")


def infer_layout(source: Source, rows: Sequence[Sequence[str]]) -> Layout | None:
    """Role of each column of a table without a header; None where it is not certain."""
    rows = [row for row in rows[:SAMPLE] if any(cell.strip() for cell in row)]
    counts = Counter(len(row) for row in rows)
    if counts[2] and counts[3]:  # LJSpeech leaves the second text out
        padded = [[*row, ""][:3] for row in rows if len(row) in (2, 3)]
        if infer_layout(source, padded) == LJSPEECH:
            return LJSPEECH
    width = counts.most_common(1)[0][0] if rows else 0
    rows = [row for row in rows if len(row) == width]
    if not 2 <= width <= 4 or sum(source.names_audio(row[0].strip()) for row in rows) < LEAST_FILES * len(rows):
        return None
    columns = [[row[at].strip() for row in rows] for at in range(width)]
    possible = {2: _two, 3: _three, 4: _four}[width](source, columns)
    if len(possible) != 1:
        return None
    return tuple(
        None if role == "speaker" and len(set(column)) == 1 and column[0].isdigit() else role
        for role, column in zip(possible[0], columns, strict=True)
    )


def _two(source: Source, columns: list[list[str]]) -> list[Layout]:
    names, cells = columns
    filled = [cell for cell in cells if cell]
    bare = all("." not in name and "/" not in name and "\\" not in name for name in names)
    speakers = bool(filled) and (all(map(source.is_speaker, filled)) or (_repeats(filled) and all(map(_name, filled))))
    if _phones(filled):
        return [("file", PHONES)]
    return [("file", "text")] if not speakers and (_texts(filled) or (bare and _words(filled))) else []


def _three(source: Source, columns: list[list[str]]) -> list[Layout]:
    _, second, third = columns
    pairs = [(a, b) for a, b in zip(second, third, strict=True) if a or b]
    shared = [share for a, b in pairs if a and b and (share := _shared(a, b)) is not None]
    possible: list[Layout] = []
    numbers = all(cell.isdigit() for cell in third if cell) and any(third)
    if _phones([cell for cell in second if cell]) or (numbers and _texts([cell for cell in second if cell])):
        role: Role = PHONES if _phones([cell for cell in second if cell]) else "text"
        return [("file", role, "speaker" if numbers or _speakers(source, third, second) else None)]
    if not any(third) and _words(second):
        return [("file", "text", None)]
    short = [len(a) / len(b) for a, b in pairs if a and b]
    if shared and sum(shared) >= LEAST_SHARED * len(shared) and sum(short) >= LEAST_LENGTH * len(short):
        possible.append(LJSPEECH)
    if _speakers(source, second, third):
        possible.append(("file", "speaker", "text"))
    if _speakers(source, third, second):
        possible.append(("file", "text", "speaker"))
    return possible


def _four(source: Source, columns: list[list[str]]) -> list[Layout]:
    _, second, third, fourth = columns
    if all(_BRACED.fullmatch(cell) for cell in third):
        return [("file", "speaker", PHONES, "text")]
    languages = all(cell.lower().replace("_", "-") in LANGUAGES or cell.lower() in LANGUAGES for cell in third)
    return [("file", "speaker", "language", "text")] if languages and _speakers(source, second, fourth, True) else []


def _speakers(source: Source, names: list[str], texts: list[str], certain: bool = False) -> bool:
    """Whether the first column can hold speakers and the second their texts."""
    names, filled = [name for name in names if name], [text for text in texts if text]
    if not names or not filled or not all(map(_name, names)):
        return False
    return certain or _texts(filled) or (all(map(source.is_speaker, names)) and not any(map(source.is_speaker, filled)))


def _name(cell: str) -> bool:
    """Whether a cell can be the name of a speaker: at most four words, and no mark of a sentence."""
    words = len(cell.split())
    long = len(cell) > (128 if cell.isascii() else 40) or len(_WIDE.findall(cell)) > 8
    return not long and words <= 4 and not _SENTENCE.search(cell.replace(".", "", 1))


def _texts(cells: Sequence[str]) -> bool:
    """Whether a column holds texts: a tenth of its cells, and one at least, can be no name."""
    return sum(not _name(cell) for cell in cells) >= max(1, len(cells) // 10)


def _phones(cells: Sequence[str]) -> bool:
    """Whether a column is written in phones: nearly all cells have letters that only the IPA has."""
    return bool(cells) and sum(bool(_IPA.search(cell)) for cell in cells) >= 0.9 * len(cells)


def _words(cells: Sequence[str]) -> bool:
    return any(_WORD.search(cell) for cell in cells)


def _repeats(cells: Sequence[str]) -> bool:
    return len(cells) >= 4 and 2 * len(set(cells)) <= len(cells)


def _shared(raw: str, normalised: str) -> float | None:
    """Share of the words (or wide characters) of a raw text that its normalised form has; None = it has none."""
    words = [word.lower() for word in _WORD.findall(raw) for word in (_WIDE.findall(word) or [word])]
    others = {word.lower() for word in _WORD.findall(normalised) for word in (_WIDE.findall(word) or [word])}
    return sum(word in others for word in words) / len(words) if words else None

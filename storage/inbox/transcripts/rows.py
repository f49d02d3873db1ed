"""Rows of tables that describe recordings, as they are written, and what a reader of one layout needs of its file."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from voicemill.storage.units import Seconds

TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0", "")
"""Marks of the column `mixed`, in any case."""


@dataclass(frozen=True)
class Description:
    """Speaker, language and text of one upload, as its metadata states them; "" = not stated."""

    speaker: str = ""
    language: str = ""
    text: str = ""
    mixed: bool = False
    """Several people speak in it."""
    passages: tuple["Passage", ...] = ()
    """Parts of the recording that the text is made of, by time; () = the table states no times."""


@dataclass(frozen=True)
class Passage:
    """A stretch of a recording with its text."""

    start: Seconds
    stop: Seconds
    text: str
    speaker: str = ""


@dataclass(frozen=True, kw_only=True)
class MetadataRow:
    """One row of a metadata file, as it is written."""

    line: int
    """Line that it begins in, from 1."""
    stop: int
    """Line after its last one."""
    file: str
    description: Description = field(default_factory=Description)
    key: str = ""
    """Name of the utterance, under which other files of the folder speak of it."""
    span: tuple[Seconds, Seconds] | None = None
    """Start and end in the recording of what the text says; None = the whole recording, or not stated."""
    others: tuple[str, ...] = ()
    """Cells of columns that are not known, where none is known to name speakers."""
    of_table: bool = False
    """Whether a recording beside the table is that of the table's speaker, where none is stated."""
    listed: bool = False
    """Whether the row only names the file, and says nothing about it."""


class Source(Protocol):
    """A metadata file that is being read."""

    path: str
    unread: bool
    """Whether the file, or the end of it, is not read."""

    def problem(self, line: int, message: str, *, always: bool = False) -> None:
        """Add a problem of the file."""

    def doubt(self, line: int, cells: "list[str]") -> None:
        """Note the recordings that the cells of a row may name which is not used, and which would name the speaker."""

    def refuse(self, line: int, message: str, rows: "list[list[str]]") -> None:
        """Note that the layout of the table is not known, and its rows as cells: no row of it is used."""

    def names_audio(self, file: str) -> bool:
        """Whether a recording of the inbox has this name."""

    def is_speaker(self, name: str) -> bool:
        """Whether a folder of the inbox has this name."""

    def beside(self, name: str) -> str:
        """Path of a file of this name in the folder of the table."""

    def text_of(self, path: str) -> str | None:
        """Text of another table; None where there is none, or it cannot be read (which is then a problem)."""


def seconds(value: object) -> Seconds | None:
    """A finite number of seconds; None where this is none."""
    try:
        number = float(str(value).strip())
    except ValueError:
        return None
    return number if abs(number) < 1e9 else None


def joined(passages: Iterable[Passage]) -> str:
    """Text of passages in their order."""
    return " ".join(text for passage in passages if (text := passage.text.strip()))


def covered(passages: Iterable[Passage]) -> Seconds:
    """Seconds of a recording that lie in a passage with text."""
    total, reached = 0.0, 0.0
    for passage in sorted(passages, key=lambda passage: passage.start):
        if passage.text and passage.stop > reached:
            total += passage.stop - max(reached, passage.start)
            reached = passage.stop
    return total

"""Markdown (GitHub's dialect) for the artifacts of the dashboard and for model cards, safe against text from outside.

Names of speakers and files, notes of consents, transcripts and messages of errors come from outside, and the dashboard
renders Markdown: an image in a name would load from its host, a link would lead there. `text` and `code` return text
that is shown as it is; a table does that to every cell that is not `Markup` already. Backslashes do not suffice:
GitHub's dialect makes links of bare addresses, in a pass over the finished text, so these get an invisible joiner.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

JOINER = "\u2060"
"""Word joiner: has no width, and no address goes on across it."""
JOINING = "\u200c\u200d"
"""Invisible characters that the writing of some languages needs."""
LONGEST_NAME = 200
"""Longest name of a run, characters."""
_MARKS = re.compile(r"[\\`*\[\]<~]|(?<![^\W_])_|_(?![^\W_])|&(?=#|\w+;)")
"""Characters that Markdown may take for its own anywhere in a line; underscores only at the ends of words."""
_START = re.compile(r"([#>]|[-+=](?=[-+=\s]|$)|\d+(?=[.)](?:\s|$)))")
"""Marks at the start of a line that make it a heading, a list, a quotation or a rule."""
_ADDRESSES = re.compile(r"(?i)(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)(?=\w)")


class Markup(str):
    """Markdown on purpose, which is not escaped again."""


def text(value: object) -> Markup:
    """One line that is shown as it is; `Markup` stays."""
    if isinstance(value, Markup):
        return value
    line = _ADDRESSES.sub(JOINER, _MARKS.sub(r"\\\g<0>", one_line(str(value))))
    if start := _START.match(line):
        cut = start.end() if line[0].isdigit() else 0
        line = f"{line[:cut]}\\{line[cut:]}"
    return Markup(line)


def plain(line: str) -> str:
    """The line that `text` returned `line` for, as a terminal shows it."""
    return re.sub(r"\\(.)", r"\1", line.replace(JOINER, ""))


def code(value: object) -> Markup:
    """A span of code that is shown as it is, in which no address is a link."""
    line = one_line(str(value))
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    edge = " " if line.startswith("`") or line.endswith("`") else ""
    return Markup(f"{fence}{edge}{line or ' '}{edge}{fence}")


def block(value: str) -> Markup:
    """A block of code of several lines."""
    lines = "\n".join(map(printable, value.splitlines()))
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", lines)), default=0) + 1)
    return Markup(f"{fence}\n{lines}\n{fence}")


def link(label: str, address: str) -> Markup:
    """A link to a page of the dashboard; its label alone where the address could be another's."""
    own = re.fullmatch(r"(https?://[\w.:\[\]-]+)?/[\w/?=&.-]*", address)
    return Markup(f"[{text(label)}]({address})") if own else text(label)


def printable(line: str) -> str:
    """Text without control characters, and without those that turn the direction of writing."""
    return "".join(char for char in line if char in JOINING or not unicodedata.category(char).startswith("C"))


def one_line(value: str) -> str:
    """Text on one line, printable."""
    return printable(" ".join(value.split()))


def name(value: str) -> str:
    """Name of a run or a tag: one printable line of bounded length. Pages show names as plain text."""
    line = one_line(value)
    return line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 1]}…"


def cells(row: Mapping[str, object]) -> dict[str, object]:
    """Row of a table artifact, whose strings the dashboard renders as Markdown."""
    return {key: str(text(value)) if isinstance(value, str) else value for key, value in row.items()}


def table(columns: Sequence[str], rows: Iterable[Iterable[object]], align: str = "") -> str:
    """Return a table; "" without rows. Cells are shown as they are, except those that are `Markup`.

    Args:
        align: one letter for each column, `l` or `r`; columns beyond its end are aligned left.
    """
    lines = [_line(row) for row in rows]
    if not lines:
        return ""
    rules = ["---:" if mark == "r" else "---" for mark in align.ljust(len(columns), "l")]
    return "\n".join([_line(columns), f"|{'|'.join(rules)}|", *lines])


def _line(row: Iterable[object]) -> str:
    return f"| {' | '.join(map(_cell, row))} |"


def _cell(value: object) -> str:
    """Content of one cell: a pipe that no backslash escapes ends it, also within code."""

    def escape(pipe: re.Match[str]) -> str:
        slashes = pipe[1]
        return f"{slashes}{JOINER if len(slashes) % 2 else ''}\\|"

    return re.sub(r"(\\*)\|", escape, text(value))

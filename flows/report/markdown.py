"""Markdown tables (GitHub's dialect), for the artifacts of the dashboard and for model cards."""

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Iterable[object]], align: str = "") -> str:
    """Return a table; "" without rows.

    Args:
        align: one letter for each column, `l` or `r`; columns beyond its end are aligned left.
    """
    lines = [_line(row) for row in rows]
    if not lines:
        return ""
    rules = ["---:" if mark == "r" else "---" for mark in align.ljust(len(columns), "l")]
    return "\n".join([_line(columns), f"|{'|'.join(rules)}|", *lines])


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(escape(str(cell)) for cell in cells)} |"


def escape(text: str) -> str:
    """Return text that stays within one cell: pipes are escaped, line breaks become spaces."""
    return " ".join(text.replace("|", "\\|").splitlines())

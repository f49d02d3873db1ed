"""Drawing for the report: axes of matplotlib that become an SVG to stand inside an HTML page, and marks on them.

Inks are variables of the page (`--ink`, `--muted`, `--grid`, `--paper`, `--line`), so a picture follows the light or
dark mode of its reader; text stays text, drawn with the reader's fonts, so that every script shows. Names (of speakers)
go in as tokens and are put into the finished SVG, escaped: matplotlib would read `$` as mathematics and has no Chinese
glyphs.
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import Any

import numpy as np

from voicemill.flows.report.content import Values
from voicemill.storage.units import Seconds

INK, MUTED, GRID, PAPER, LINE = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
"""Stand for the page's variables while matplotlib draws."""

_INKS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", PAPER: "var(--paper)", LINE: "var(--line)"}

MAIN, OTHER = "#2f7fc1", "#e69f00"
"""What is; what was, or was dropped. Settings and aims are lines in LINE."""

WIDE, HALF = 1080, 520
"""Pixels."""


def unit_of(seconds: Seconds) -> tuple[float, str, str]:
    """The unit to show an amount of audio in: how many seconds it has, its name and its sign."""
    if seconds >= 7200:
        return 3600.0, "hours", "h"
    return (60.0, "minutes", "min") if seconds >= 120 else (1.0, "seconds", "s")


def shade(colour: str, number: int, many: int) -> str:
    """The colour of the n-th of many parts: from the colour itself to a light tint of it."""
    mix = 0.6 * number / max(many - 1, 1)
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * mix):02x}" for part in parts)


@contextmanager
def picture(
    width: int, height: int, *, left: int = 56, right: int = 16, bottom: int = 42, rows: int = 1, columns: int = 1
) -> Iterator[tuple[Any, list[str]]]:
    """Axes to draw on; the list holds the SVG when the block has ended. All lengths in pixels of the page."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "voicemill",
        "path.simplify": True,
        "font.family": "DejaVu Sans",
        "font.size": 10.5,
        "text.color": INK,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": MUTED,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.axisbelow": True,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "ytick.left": False,
        "xtick.major.size": 3,
        "legend.frameon": False,
    }
    result: list[str] = []
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width / 72, height / 72))
        FigureCanvasSVG(figure)
        axes = figure.subplots(rows, columns)
        figure.subplots_adjust(
            left / width, bottom / height, 1 - right / width, 1 - 14 / height, wspace=0.16, hspace=0.12
        )
        yield axes, result
        file = StringIO()
        empty = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(file, format="svg", transparent=True, metadata=empty)
    result.append(_inline(file.getvalue(), width, height))


def _inline(svg: str, width: int, height: int) -> str:
    """The SVG element alone, without its own styles and names, in the inks of the page."""
    svg = svg[svg.index("<svg") :]
    least = 760 if width > HALF else 0  # narrower screens scroll a wide picture
    style = f"min-width:{min(width, least)}px;max-width:{width}px"
    svg = re.sub(r"<svg [^>]*>", f'<svg viewBox="0 0 {width} {height}" style="{style}">', svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<g) id="[^"]*"', r"\1", svg)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    for sentinel, ink in _INKS.items():
        svg = svg.replace(sentinel, ink)
    return svg.strip()


def with_names(svg: str, names: Mapping[str, str]) -> str:
    """Token -> name, put into a finished SVG in one pass and escaped."""
    return re.sub("|".join(map(re.escape, names)), lambda token: escape(names[token[0]]), svg) if names else svg


def bars(axes: Any, edges: Values, kept: Values, dropped: Values | None = None, colours: Sequence[str] = ()) -> None:
    """A histogram, of what was filtered stacked on what was kept, with room for labels above it."""
    groups = [kept] if dropped is None or not len(dropped) else [kept, dropped]
    names = ["kept", "filtered"] if len(groups) == 2 else None
    colours = colours or [MAIN, OTHER][: len(groups)]
    axes.hist(groups, edges, stacked=True, color=colours, edgecolor=PAPER, linewidth=0.6, label=names)
    axes.set_ylim(0, max(axes.dataLim.y1, 1) * 1.3)
    axes.yaxis.set_major_locator(whole_numbers())
    grid(axes, "y")
    if names:
        legend(axes, "upper right")


def bin_edges(groups: Sequence[Values], step: float, least: int) -> Values:
    """Bins over all values: of width `step`, doubled until 60 are enough; at least so many, centred."""
    values = np.concatenate(groups)
    low, high = float(values.min()), float(values.max())
    while (high - low) / step > 60:
        step *= 2
    start, stop = math.floor(low / step) - 1, math.ceil(high / step) + 1
    room = max(least - (stop - start), 0)
    edges: Values = np.arange(start - room // 2, stop + room - room // 2 + 1) * np.float64(step)
    return edges


def marked_line(axes: Any, at: float, text: str, colour: str = LINE, *, left: bool = False, row: int = 0) -> None:
    """A vertical line with its label at the top, at its right or left, in one of the rows."""
    axes.axvline(at, color=colour, linewidth=1.4, linestyle="-" if colour == INK else (0, (5, 3)))
    axes.annotate(
        text, (at, 1), (-4 if left else 4, -1 - 14 * row), xycoords=("data", "axes fraction"),
        textcoords="offset points", ha="right" if left else "left", va="top", color=colour, annotation_clip=False,
    )  # fmt: skip


def box(axes: Any, place: int, values: Values) -> None:
    """The middle half of the values as a box with the median, and whiskers over nine in ten."""
    low, first, median, third, high = np.percentile(values, [5, 25, 50, 75, 95])
    axes.plot([place, place], [low, high], color=MAIN, linewidth=1.2)
    axes.bar(place, max(third - first, 0.004 * median), 0.62, first, color=MAIN, linewidth=0)
    axes.plot([place - 0.31, place + 0.31], [median, median], color=PAPER, linewidth=1.6, solid_capstyle="butt")


def legend(axes: Any, where: str = "upper left") -> None:
    """Which colour is what, in a corner."""
    axes.legend(loc=where, handlelength=1.4, borderaxespad=0.2)


def grid(axes: Any, axis: str) -> None:
    """Lines across the axis `x` or `y`."""
    axes.grid(axis=axis, color=GRID, linewidth=1)


def dates(axes: Any) -> None:
    """Ticks of the x axis for points that are dates."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def whole_numbers() -> Any:
    """Ticks for counts."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5, integer=True)


def no_ticks() -> Any:
    """For the minor ticks of a logarithmic axis."""
    from matplotlib.ticker import NullLocator

    return NullLocator()


def clipped(text: str, width: int) -> str:
    """A name cut to a display width; wide characters (Chinese, Japanese) count twice."""
    if display_width(text) <= width:
        return text
    least = next(place for place in range(len(text) + 1) if display_width(text[:place]) > width)
    return text[: max(least - 2, 1)] + "…"


def display_width(text: str) -> int:
    """Columns of a terminal, or half widths of a Chinese character."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def amount(value: float) -> str:
    """A number with three digits or more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percent(share: float) -> str:
    """A share, to a tenth of a percent."""
    return f"{share * 100:.1f} %" if share >= 0.001 else "< 0.1 %"

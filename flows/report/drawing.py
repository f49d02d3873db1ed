"""Drawing for the report: matplotlib axes that become inline SVG of an HTML page, and the marks on them.

Colours of lines and text are CSS variables of the page (`--ink`, `--muted`, `--grid`, `--paper`, `--line`), so that a
plot follows the reader's light or dark mode; text stays text in the reader's fonts, so that every script is shown.
Names of speakers are drawn as tokens and replaced, escaped, in the finished SVG: matplotlib would read `$` as
mathematics and has no Chinese glyphs.
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
"""Placeholders of the page's variables while matplotlib draws."""

_INKS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", PAPER: "var(--paper)", LINE: "var(--line)"}

MAIN, OTHER = "#2f7fc1", "#e69f00"
"""Colours of current values, and of earlier or filtered ones. Settings and targets are lines in LINE."""

WIDE, HALF = 1080, 520
"""Widths of plots, pixels."""


def unit_of(seconds: Seconds) -> tuple[float, str, str]:
    """Unit to show an amount of audio in: its length in seconds, name and symbol."""
    if seconds >= 7200:
        return 3600.0, "hours", "h"
    return (60.0, "minutes", "min") if seconds >= 120 else (1.0, "seconds", "s")


def shade(colour: str, number: int, many: int) -> str:
    """Colour of the n-th of many parts: from the colour itself to a light tint of it."""
    mix = 0.6 * number / max(many - 1, 1)
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * mix):02x}" for part in parts)


@contextmanager
def picture(
    width: int, height: int, *, left: int = 56, right: int = 16, bottom: int = 42, rows: int = 1, columns: int = 1
) -> Iterator[tuple[Any, list[str]]]:
    """Context that yields axes to draw on, and a list that holds the SVG after the context. Lengths are page pixels."""
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
    """The SVG element alone, without its own styles and ids, in the colours of the page."""
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
    """Replace tokens by names in a finished SVG, escaped, in one pass. `names`: token -> name."""
    return re.sub("|".join(map(re.escape, names)), lambda token: escape(names[token[0]]), svg) if names else svg


def bars(axes: Any, edges: Values, kept: Values, dropped: Values | None = None, colours: Sequence[str] = ()) -> None:
    """Draw a histogram, filtered values stacked on kept ones, with room for labels above it."""
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
    """Edges of bins over all values: `step` wide, doubled until 60 bins suffice; at least `least` bins, centred."""
    values = np.concatenate(groups)
    low, high = float(values.min()), float(values.max())
    while (high - low) / step > 60:
        step *= 2
    start, stop = math.floor(low / step) - 1, math.ceil(high / step) + 1
    room = max(least - (stop - start), 0)
    edges: Values = np.arange(start - room // 2, stop + room - room // 2 + 1) * np.float64(step)
    return edges


def marked_line(axes: Any, at: float, text: str, colour: str = LINE, *, left: bool = False, row: int = 0) -> None:
    """Draw a vertical line with a label at its top, on the right or left, in row `row` of the labels."""
    axes.axvline(at, color=colour, linewidth=1.4, linestyle="-" if colour == INK else (0, (5, 3)))
    axes.annotate(
        text, (at, 1), (-4 if left else 4, -1 - 14 * row), xycoords=("data", "axes fraction"),
        textcoords="offset points", ha="right" if left else "left", va="top", color=colour, annotation_clip=False,
    )  # fmt: skip


def box(axes: Any, place: int, values: Values) -> None:
    """Draw the middle half of the values as a box with the median, and whiskers over 90 %."""
    low, first, median, third, high = np.percentile(values, [5, 25, 50, 75, 95])
    axes.plot([place, place], [low, high], color=MAIN, linewidth=1.2)
    axes.bar(place, max(third - first, 0.004 * median), 0.62, first, color=MAIN, linewidth=0)
    axes.plot([place - 0.31, place + 0.31], [median, median], color=PAPER, linewidth=1.6, solid_capstyle="butt")


def legend(axes: Any, where: str = "upper left") -> None:
    """Draw a legend in a corner."""
    axes.legend(loc=where, handlelength=1.4, borderaxespad=0.2)


def grid(axes: Any, axis: str) -> None:
    """Draw grid lines across the axis `x` or `y`."""
    axes.grid(axis=axis, color=GRID, linewidth=1)


def dates(axes: Any) -> None:
    """Set the ticks of an x axis of dates."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def whole_numbers() -> Any:
    """Locator of ticks at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5, integer=True)


def no_ticks() -> Any:
    """Locator without ticks, for the minor ticks of a logarithmic axis."""
    from matplotlib.ticker import NullLocator

    return NullLocator()


def clipped(text: str, width: int) -> str:
    """Cut a name to a display width, in columns; wide characters (Chinese, Japanese) take two."""
    if display_width(text) <= width:
        return text
    least = next(place for place in range(len(text) + 1) if display_width(text[:place]) > width)
    return text[: max(least - 2, 1)] + "…"


def display_width(text: str) -> int:
    """Display width of a text, in terminal columns."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def amount(value: float) -> str:
    """Format a number with three digits or more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percent(share: float) -> str:
    """Format a share to a tenth of a percent."""
    return f"{share * 100:.1f} %" if share >= 0.001 else "< 0.1 %"

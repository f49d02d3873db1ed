"""The pictures of the report: SVG by matplotlib, to stand inside an HTML page.

Inks are variables of the page (`--ink`, `--muted`, `--grid`, `--paper`, `--line`), so a picture follows the light or
dark mode of its reader; text stays text, drawn with the reader's fonts, so that every script shows. Names (of speakers)
go in as tokens and are put into the finished SVG, escaped: matplotlib would read `$` as mathematics and has no Chinese
glyphs.
Equal facts give equal bytes. Cost: some 60 ms for each picture, and half a second to import matplotlib.
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from html import escape
from io import StringIO
from typing import Any

import numpy as np

from flows.facts import MONTH_DAYS, Facts, Values, aim, created
from storage.records import Outcome
from storage.units import Seconds
from storage.versions import Version

INK, MUTED, GRID, PAPER, LINE = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
"""Stand for the page's variables while matplotlib draws."""

_INKS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", PAPER: "var(--paper)", LINE: "var(--line)"}

COLOURS: Mapping[Outcome, str] = {
    Outcome.KEPT: "#009e73",
    Outcome.SILENCE: "#8fa3b5",
    Outcome.FILTERED: "#e69f00",
    Outcome.FAILED: "#d55e00",
    Outcome.CORRUPT: "#b0568f",
}
"""From the palette of Okabe and Ito, which colour-blind people can tell apart."""

MAIN, OTHER = "#2f7fc1", "#e69f00"
"""What is; what was, or was dropped. Settings and aims are lines in LINE."""

MOST_SPEAKERS = 40
"""In the picture of F0: more boxes cannot be read."""

BOXED = 6
"""Utterances from which on a speaker gets a box; fewer are drawn as dots."""

MOST_LANGUAGES = 15

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


def part_colours(facts: Facts) -> list[str]:
    """The colour of each of `facts.parts`, in the picture and in its table."""
    many = {outcome: sum(part.outcome is outcome for part in facts.parts) for outcome in Outcome}
    seen = dict.fromkeys(Outcome, 0)
    found = []
    for part in facts.parts:
        found.append(shade(COLOURS[part.outcome], seen[part.outcome], many[part.outcome]))
        seen[part.outcome] += 1
    return found


def outcomes(facts: Facts) -> str:
    """Audio by outcome, stacked by reason; the table below it names the colours."""
    shown = [outcome for outcome in Outcome if facts.outcomes[outcome] > 0]
    if not shown:
        return ""
    divisor, unit, short = unit_of(facts.seconds)
    with _picture(WIDE, 46 + 34 * len(shown), left=80, right=130) as (axes, result):
        ends = dict.fromkeys(Outcome, 0.0)
        for part, colour in zip(facts.parts, part_colours(facts), strict=True):
            place, width = len(shown) - 1 - shown.index(part.outcome) if part.seconds else -1, part.seconds / divisor
            if place >= 0:
                axes.barh(place, width, 0.68, left=ends[part.outcome], color=colour, edgecolor=PAPER, linewidth=1)
                ends[part.outcome] += width
        total = facts.seconds / divisor
        for number, outcome in enumerate(reversed(shown)):
            share = _share(facts.outcomes[outcome] / facts.seconds)
            axes.annotate(
                f"{_amount(ends[outcome])} {short} · {share}", (ends[outcome], number), (6, 0),
                textcoords="offset points", va="center", color=INK, fontsize=11.5, annotation_clip=False,
            )  # fmt: skip
        axes.set_yticks(range(len(shown)), [outcome.value for outcome in reversed(shown)], color=INK, fontsize=12)
        axes.set_xlim(0, max(max(ends.values()), total * 0.02))
        axes.set_ylim(-0.55, len(shown) - 0.45)
        axes.set_xlabel(unit)
        _grid(axes, "x")
    return result[0]


def durations(facts: Facts) -> str:
    """Histogram of the utterances' durations."""
    values, bounds = facts.measures.seconds, facts.bounds
    if not len(values):
        return ""
    edges = _edges([values], 0.25, 8)
    with _picture(HALF, 240) as (axes, result):
        _bars(axes, edges, values)
        axes.set_xlim(max(edges[0], 0), edges[-1])
        _line(axes, float(np.median(values)), f"median {np.median(values):.1f} s", INK, row=1)
        for bound, name in ((bounds.min_seconds, "shortest"), (bounds.max_seconds, "longest")):
            if bound is not None and edges[0] <= bound <= edges[-1]:
                _line(axes, bound, f"{name} allowed", left=name == "longest")
        axes.set_xlabel("seconds")
        axes.set_ylabel("utterances")
    return result[0]


def loudness(facts: Facts) -> str:
    """Histograms of the loudness before and after levelling, one over the other, and the target."""
    before, after = facts.measures.before, facts.measures.after
    if not len(after):
        return ""
    edges = _edges([before, after], 1.0, 12) - 0.5
    with _picture(HALF, 240, rows=2) as (both, result):
        for axes, values, name, colour in zip(both, (before, after), ("before", "after"), (OTHER, MAIN), strict=True):
            _bars(axes, edges, values, colours=[colour])
            axes.set_xlim(edges[0], edges[-1])
            axes.set_ylabel("utterances")
            axes.text(0.01, 0.97, name, transform=axes.transAxes, va="top", color=INK)
            if facts.bounds.target_lufs is not None:
                _line(
                    axes, facts.bounds.target_lufs, f"target {facts.bounds.target_lufs:g}" if name == "before" else ""
                )
        both[0].tick_params(labelbottom=False)
        both[1].set_xlabel("integrated loudness, LUFS")
    return result[0]


def entropy(facts: Facts) -> str:
    """Histogram of the spectral entropy, kept and filtered, with the band that is kept."""
    found, bounds = facts.measures, facts.bounds
    dropped = np.concatenate([found.entropy_low, found.entropy_high])
    if not len(found.entropy) + len(dropped):
        return ""
    with _picture(HALF, 240) as (axes, result):
        _bars(axes, _edges([found.entropy, dropped], 0.1, 20), found.entropy, dropped)
        low, high = bounds.min_entropy, bounds.max_entropy
        if low is not None and high is not None:
            axes.axvspan(low, high, color=MAIN, alpha=0.1, linewidth=0, zorder=0)
        for bound, left in ((low, False), (high, True)):
            if bound is not None:
                _line(axes, bound, f"{bound:g}", left=left)
        axes.set_xlabel("mean spectral entropy of the active frames, bits")
        axes.set_ylabel("segments")
    return result[0]


def snr(facts: Facts) -> str:
    """Histogram of the signal-to-noise ratio before denoising, kept and filtered."""
    found, bounds = facts.measures, facts.bounds
    if not len(found.snr_db) + len(found.noisy):
        return ""
    with _picture(HALF, 240) as (axes, result):
        _bars(axes, _edges([found.snr_db, found.noisy], 2.0, 10), found.snr_db, found.noisy)
        if bounds.min_snr_db is not None:
            _line(axes, bounds.min_snr_db, "kept above")
        if bounds.denoise_snr_db is not None:
            _line(axes, bounds.denoise_snr_db, "denoised below", row=1)
        axes.set_xlabel("signal-to-noise ratio before denoising, dB")
        axes.set_ylabel("segments")
    return result[0]


def pitch(facts: Facts) -> str:
    """Median F0 of the utterances by speaker, as a box or as dots, lowest voice first."""
    groups = facts.measures.f0_by_speaker
    most = [speaker.name for speaker in facts.speakers if speaker.name in groups][:MOST_SPEAKERS]
    if not most:
        return ""
    names = sorted(most, key=lambda name: (float(np.median(groups[name])), name))
    shown = np.concatenate([groups[name] for name in names])
    width = min(WIDE, 130 + max(24 * len(names), 220))
    tokens = {f"@speaker{number}@": clipped(name, 15) for number, name in enumerate(names)}
    room = 34 + round(5.4 * max(map(_columns, tokens.values())))
    with _picture(width, 216 + room, bottom=room) as (axes, result):
        for place, name in enumerate(names, 1):
            if len(groups[name]) < BOXED:
                axes.plot([place] * len(groups[name]), groups[name], "o", color=MAIN, markersize=4.5, markeredgewidth=0)
            else:
                _box(axes, place, groups[name])
        axes.set_yscale("log")
        low, high = 10 * math.floor(shown.min() / 11), 10 * math.ceil(shown.max() / 9.2)
        steps = (50, 60, 70, 80, 100, 120, 150, 200, 250, 300, 400, 500, 700, 1000)
        axes.set_yticks([hertz for hertz in steps if low <= hertz <= high])
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(_nothing())
        axes.set_ylim(max(low, 1), high)
        axes.set_xlim(0.3, len(names) + 0.7)
        axes.set_ylabel("F0, Hz")
        axes.set_xticks(range(1, len(names) + 1), list(tokens), rotation=60, ha="right", rotation_mode="anchor")
        _grid(axes, "y")
    return _named(result[0], tokens)


def _box(axes: Any, place: int, values: Values) -> None:
    """The middle half of the values as a box with the median, and whiskers over nine in ten."""
    low, first, median, third, high = np.percentile(values, [5, 25, 50, 75, 95])
    axes.plot([place, place], [low, high], color=MAIN, linewidth=1.2)
    axes.bar(place, max(third - first, 0.004 * median), 0.62, first, color=MAIN, linewidth=0)
    axes.plot([place - 0.31, place + 0.31], [median, median], color=PAPER, linewidth=1.6, solid_capstyle="butt")


def languages(facts: Facts) -> str:
    """Kept audio by language."""
    rows = list(facts.languages[:MOST_LANGUAGES])
    if not rows:
        return ""
    rest = sum(row.seconds for row in facts.languages[MOST_LANGUAGES:])
    names = {f"@language{number}@": clipped(row.code, 12) or "unknown" for number, row in enumerate(rows)}
    bars = [row.seconds for row in rows] + ([rest] if rest else [])
    labels = [*names, *(["others"] if rest else [])]
    divisor, unit, _ = unit_of(max(bars))
    with _picture(HALF, max(90 + 19 * len(bars), 120), left=80, right=60) as (axes, result):
        axes.barh(range(len(bars)), [bar / divisor for bar in bars], 0.68, color=MAIN)
        for number, bar in enumerate(bars):
            axes.annotate(
                _amount(bar / divisor), (bar / divisor, number), (5, 0), textcoords="offset points", va="center",
                color=INK, annotation_clip=False,
            )  # fmt: skip
        axes.set_yticks(range(len(bars)), labels, color=INK)
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlabel(f"{unit} kept")
        _grid(axes, "x")
    return _named(result[0], names)


def growth(facts: Facts) -> str:
    """Speakers and hours over the versions, with the monthly aim; by date where they span three days or more."""
    history = facts.history
    if len(history) < 2:
        return ""
    times = [created(version) for version in history]
    dated = times[-1] - times[0] >= timedelta(days=3)
    panels: list[tuple[str, list[float]]] = [
        ("speakers", [float(version.counts.speakers) for version in history]),
        ("hours kept", [version.counts.hours for version in history]),
    ]
    with _picture(WIDE, 240, columns=2) as (both, result):
        for axes, (name, values) in zip(both, panels, strict=True):
            places: list[Any] = list(times) if dated else [version.number for version in history]
            marker = "o" if len(places) <= 60 else ""
            axes.plot(places, values, color=MAIN, marker=marker, markersize=4.5, linewidth=2, label=name)
            if name == "speakers":
                _aim(axes, history, times, places, dated)
            axes.set_ylim(0, max([*values, *(line.get_ydata().max() for line in axes.lines), 1e-3]) * 1.18)
            axes.set_ylabel(name)
            if dated:
                _dates(axes)
            else:
                axes.set_xlabel("version")
                axes.xaxis.set_major_locator(_whole_numbers())
                axes.margins(x=0.08)
            if name == "speakers":
                axes.yaxis.set_major_locator(_whole_numbers())
            _grid(axes, "y")
    return result[0]


def _aim(axes: Any, history: Sequence[Version], times: Sequence[datetime], places: Sequence[Any], dated: bool) -> None:
    if dated:
        start, span = times[0], times[-1] - times[0]
        points = [start + span * step / 60 for step in range(61)]
        axes.plot(
            points,
            [aim(history, point) for point in points],
            color=LINE,
            linestyle=(0, (5, 3)),
            label="aim: +20 % a month",
        )
    else:
        goal = aim(history, times[0] + timedelta(days=MONTH_DAYS))
        axes.plot(
            [places[0], places[-1]], [goal, goal], color=LINE, linestyle=(0, (5, 3)), label="aim for the first month"
        )
    _legend(axes, "lower right")


def clipped(text: str, width: int) -> str:
    """A name cut to a display width; wide characters (Chinese, Japanese) count twice."""
    if _columns(text) <= width:
        return text
    least = next(place for place in range(len(text) + 1) if _columns(text[:place]) > width)
    return text[: max(least - 2, 1)] + "…"


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _share(share: float) -> str:
    return f"{share * 100:.1f} %" if share >= 0.001 else "< 0.1 %"


@contextmanager
def _picture(
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


def _named(svg: str, names: Mapping[str, str]) -> str:
    return re.sub("|".join(map(re.escape, names)), lambda token: escape(names[token[0]]), svg) if names else svg


def _bars(axes: Any, edges: Values, kept: Values, dropped: Values | None = None, colours: Sequence[str] = ()) -> None:
    """A histogram, of what was filtered stacked on what was kept, with room for labels above it."""
    groups = [kept] if dropped is None or not len(dropped) else [kept, dropped]
    names = ["kept", "filtered"] if len(groups) == 2 else None
    colours = colours or [MAIN, OTHER][: len(groups)]
    axes.hist(groups, edges, stacked=True, color=colours, edgecolor=PAPER, linewidth=0.6, label=names)
    axes.set_ylim(0, max(axes.dataLim.y1, 1) * 1.3)
    axes.yaxis.set_major_locator(_whole_numbers())
    _grid(axes, "y")
    if names:
        _legend(axes, "upper right")


def _edges(groups: Sequence[Values], step: float, least: int) -> Values:
    """Bins over all values: of width `step`, doubled until 60 are enough; at least so many, centred."""
    values = np.concatenate(groups)
    low, high = float(values.min()), float(values.max())
    while (high - low) / step > 60:
        step *= 2
    start, stop = math.floor(low / step) - 1, math.ceil(high / step) + 1
    room = max(least - (stop - start), 0)
    edges: Values = np.arange(start - room // 2, stop + room - room // 2 + 1) * np.float64(step)
    return edges


def _line(axes: Any, at: float, text: str, colour: str = LINE, *, left: bool = False, row: int = 0) -> None:
    """A vertical line with its label at the top, at its right or left, in one of the rows."""
    axes.axvline(at, color=colour, linewidth=1.4, linestyle="-" if colour == INK else (0, (5, 3)))
    axes.annotate(
        text, (at, 1), (-4 if left else 4, -1 - 14 * row), xycoords=("data", "axes fraction"),
        textcoords="offset points", ha="right" if left else "left", va="top", color=colour, annotation_clip=False,
    )  # fmt: skip


def _legend(axes: Any, where: str = "upper left") -> None:
    axes.legend(loc=where, handlelength=1.4, borderaxespad=0.2)


def _grid(axes: Any, axis: str) -> None:
    axes.grid(axis=axis, color=GRID, linewidth=1)


def _dates(axes: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _whole_numbers() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5, integer=True)


def _nothing() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()

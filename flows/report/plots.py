"""The plots of the report: one function for each, from the content to an SVG; "" where there is nothing to draw.

Equal content gives equal bytes. Cost: some 60 ms for each plot, and half a second to import matplotlib.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from voicemill.flows.report.content import ReportContent
from voicemill.flows.report.drawing import (
    HALF,
    INK,
    LINE,
    MAIN,
    OTHER,
    PAPER,
    WIDE,
    amount,
    bars,
    bin_edges,
    box,
    clipped,
    dates,
    display_width,
    grid,
    legend,
    marked_line,
    no_ticks,
    percent,
    picture,
    shade,
    unit_of,
    whole_numbers,
    with_names,
)
from voicemill.flows.report.growth import MONTH_DAYS, aim, created
from voicemill.storage.corpus.versions import Version
from voicemill.storage.outcomes import Outcome

COLOURS: Mapping[Outcome, str] = {
    Outcome.KEPT: "#009e73",
    Outcome.SILENCE: "#8fa3b5",
    Outcome.FILTERED: "#e69f00",
    Outcome.FAILED: "#d55e00",
    Outcome.CORRUPT: "#b0568f",
}
"""Colours of the palette by Okabe and Ito, which colour-blind readers can tell apart."""

MOST_SPEAKERS = 40
"""Speakers in the plot of F0, at most: more boxes are not readable."""

BOXED = 6
"""Smallest number of utterances that is drawn as a box; fewer are drawn as dots."""

MOST_LANGUAGES = 15
"""Languages with a bar of their own, at most; the others share one."""


def part_colours(content: ReportContent) -> list[str]:
    """Colour of each of `content.parts`, in the plot and in its table."""
    counts = {outcome: sum(part.outcome is outcome for part in content.parts) for outcome in Outcome}
    done = dict.fromkeys(Outcome, 0)
    colours = []
    for part in content.parts:
        colours.append(shade(COLOURS[part.outcome], done[part.outcome], counts[part.outcome]))
        done[part.outcome] += 1
    return colours


def outcomes(content: ReportContent) -> str:
    """Bars of the audio by outcome, stacked by reason; the table below the plot is the legend."""
    shown = [outcome for outcome in Outcome if content.outcomes[outcome] > 0]
    if not shown:
        return ""
    divisor, unit, short = unit_of(content.seconds)
    with picture(WIDE, 46 + 34 * len(shown), left=80, right=130) as (axes, result):
        ends = dict.fromkeys(Outcome, 0.0)
        for part, colour in zip(content.parts, part_colours(content), strict=True):
            place, width = len(shown) - 1 - shown.index(part.outcome) if part.seconds else -1, part.seconds / divisor
            if place >= 0:
                axes.barh(place, width, 0.68, left=ends[part.outcome], color=colour, edgecolor=PAPER, linewidth=1)
                ends[part.outcome] += width
        total = content.seconds / divisor
        for number, outcome in enumerate(reversed(shown)):
            share = percent(content.outcomes[outcome] / content.seconds)
            axes.annotate(
                f"{amount(ends[outcome])} {short} · {share}", (ends[outcome], number), (6, 0),
                textcoords="offset points", va="center", color=INK, fontsize=11.5, annotation_clip=False,
            )  # fmt: skip
        axes.set_yticks(range(len(shown)), [outcome.value for outcome in reversed(shown)], color=INK, fontsize=12)
        axes.set_xlim(0, max(max(ends.values()), total * 0.02))
        axes.set_ylim(-0.55, len(shown) - 0.45)
        axes.set_xlabel(unit)
        grid(axes, "x")
    return result[0]


def durations(content: ReportContent) -> str:
    """Histogram of the durations of the utterances."""
    values, bounds = content.measures.seconds, content.bounds
    if not len(values):
        return ""
    edges = bin_edges([values], 0.25, 8)
    with picture(HALF, 240) as (axes, result):
        bars(axes, edges, values)
        axes.set_xlim(max(edges[0], 0), edges[-1])
        marked_line(axes, float(np.median(values)), f"median {np.median(values):.1f} s", INK, row=1)
        for bound, name in ((bounds.min_seconds, "shortest"), (bounds.max_seconds, "longest")):
            if bound is not None and edges[0] <= bound <= edges[-1]:
                marked_line(axes, bound, f"{name} allowed", left=name == "longest")
        axes.set_xlabel("seconds")
        axes.set_ylabel("utterances")
    return result[0]


def loudness(content: ReportContent) -> str:
    """Histograms of the loudness before and after normalisation, one above the other, with the target."""
    before, after = content.measures.before, content.measures.after
    if not len(after):
        return ""
    edges = bin_edges([before, after], 1.0, 12) - 0.5
    with picture(HALF, 240, rows=2) as (both, result):
        for axes, values, name, colour in zip(both, (before, after), ("before", "after"), (OTHER, MAIN), strict=True):
            bars(axes, edges, values, colours=[colour])
            axes.set_xlim(edges[0], edges[-1])
            axes.set_ylabel("utterances")
            axes.text(0.01, 0.97, name, transform=axes.transAxes, va="top", color=INK)
            if content.bounds.target_lufs is not None:
                marked_line(
                    axes,
                    content.bounds.target_lufs,
                    f"target {content.bounds.target_lufs:g}" if name == "before" else "",
                )
        both[0].tick_params(labelbottom=False)
        both[1].set_xlabel("integrated loudness, LUFS")
    return result[0]


def entropy(content: ReportContent) -> str:
    """Histogram of the spectral entropy of kept and filtered segments, with the accepted band."""
    measures, bounds = content.measures, content.bounds
    dropped = np.concatenate([measures.entropy_low, measures.entropy_high])
    if not len(measures.entropy) + len(dropped):
        return ""
    with picture(HALF, 240) as (axes, result):
        bars(axes, bin_edges([measures.entropy, dropped], 0.1, 20), measures.entropy, dropped)
        low, high = bounds.min_entropy, bounds.max_entropy
        if low is not None and high is not None:
            axes.axvspan(low, high, color=MAIN, alpha=0.1, linewidth=0, zorder=0)
        for bound, left in ((low, False), (high, True)):
            if bound is not None:
                marked_line(axes, bound, f"{bound:g}", left=left)
        axes.set_xlabel("mean spectral entropy of the active frames, bits")
        axes.set_ylabel("segments")
    return result[0]


def snr(content: ReportContent) -> str:
    """Histogram of the signal-to-noise ratio before denoising, of kept and filtered segments."""
    measures, bounds = content.measures, content.bounds
    if not len(measures.snr_db) + len(measures.noisy):
        return ""
    with picture(HALF, 240) as (axes, result):
        bars(axes, bin_edges([measures.snr_db, measures.noisy], 2.0, 10), measures.snr_db, measures.noisy)
        if bounds.min_snr_db is not None:
            marked_line(axes, bounds.min_snr_db, "kept above")
        if bounds.denoise_snr_db is not None:
            marked_line(axes, bounds.denoise_snr_db, "denoised below", row=1)
        axes.set_xlabel("signal-to-noise ratio before denoising, dB")
        axes.set_ylabel("segments")
    return result[0]


def pitch(content: ReportContent) -> str:
    """Median F0 of the utterances by speaker, as boxes or dots, lowest voice first."""
    groups = content.measures.f0_by_speaker
    most = [speaker.name for speaker in content.speakers if speaker.name in groups][:MOST_SPEAKERS]
    if not most:
        return ""
    names = sorted(most, key=lambda name: (float(np.median(groups[name])), name))
    shown = np.concatenate([groups[name] for name in names])
    width = min(WIDE, 130 + max(24 * len(names), 220))
    tokens = {f"@speaker{number}@": clipped(name, 15) for number, name in enumerate(names)}
    room = 34 + round(5.4 * max(map(display_width, tokens.values())))
    with picture(width, 216 + room, bottom=room) as (axes, result):
        for place, name in enumerate(names, 1):
            if len(groups[name]) < BOXED:
                axes.plot([place] * len(groups[name]), groups[name], "o", color=MAIN, markersize=4.5, markeredgewidth=0)
            else:
                box(axes, place, groups[name])
        axes.set_yscale("log")
        low, high = 10 * math.floor(shown.min() / 11), 10 * math.ceil(shown.max() / 9.2)
        steps = (50, 60, 70, 80, 100, 120, 150, 200, 250, 300, 400, 500, 700, 1000)
        axes.set_yticks([hertz for hertz in steps if low <= hertz <= high])
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(no_ticks())
        axes.set_ylim(max(low, 1), high)
        axes.set_xlim(0.3, len(names) + 0.7)
        axes.set_ylabel("F0, Hz")
        axes.set_xticks(range(1, len(names) + 1), list(tokens), rotation=60, ha="right", rotation_mode="anchor")
        grid(axes, "y")
    return with_names(result[0], tokens)


def languages(content: ReportContent) -> str:
    """Bars of the kept audio by language."""
    rows = list(content.languages[:MOST_LANGUAGES])
    if not rows:
        return ""
    rest = sum(row.seconds for row in content.languages[MOST_LANGUAGES:])
    names = {f"@language{number}@": clipped(row.code, 12) or "unknown" for number, row in enumerate(rows)}
    bars = [row.seconds for row in rows] + ([rest] if rest else [])
    labels = [*names, *(["others"] if rest else [])]
    divisor, unit, _ = unit_of(max(bars))
    with picture(HALF, max(90 + 19 * len(bars), 120), left=80, right=60) as (axes, result):
        axes.barh(range(len(bars)), [bar / divisor for bar in bars], 0.68, color=MAIN)
        for number, bar in enumerate(bars):
            axes.annotate(
                amount(bar / divisor), (bar / divisor, number), (5, 0), textcoords="offset points", va="center",
                color=INK, annotation_clip=False,
            )  # fmt: skip
        axes.set_yticks(range(len(bars)), labels, color=INK)
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlabel(f"{unit} kept")
        grid(axes, "x")
    return with_names(result[0], names)


def growth(content: ReportContent) -> str:
    """Lines of speakers and hours by version, with the monthly target; by date if they span three days or more."""
    history = content.history
    if len(history) < 2:
        return ""
    times = [created(version) for version in history]
    dated = times[-1] - times[0] >= timedelta(days=3)
    panels: list[tuple[str, list[float]]] = [
        ("speakers", [float(version.counts.speakers) for version in history]),
        ("hours kept", [version.counts.hours for version in history]),
    ]
    with picture(WIDE, 240, columns=2) as (both, result):
        for axes, (name, values) in zip(both, panels, strict=True):
            places: list[Any] = list(times) if dated else [version.number for version in history]
            marker = "o" if len(places) <= 60 else ""
            axes.plot(places, values, color=MAIN, marker=marker, markersize=4.5, linewidth=2, label=name)
            if name == "speakers":
                _aim(axes, history, times, places, dated)
            axes.set_ylim(0, max([*values, *(line.get_ydata().max() for line in axes.lines), 1e-3]) * 1.18)
            axes.set_ylabel(name)
            if dated:
                dates(axes)
            else:
                axes.set_xlabel("version")
                axes.xaxis.set_major_locator(whole_numbers())
                axes.margins(x=0.08)
            if name == "speakers":
                axes.yaxis.set_major_locator(whole_numbers())
            grid(axes, "y")
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
            label="target: +20 % a month",
        )
    else:
        goal = aim(history, times[0] + timedelta(days=MONTH_DAYS))
        axes.plot(
            [places[0], places[-1]], [goal, goal], color=LINE, linestyle=(0, (5, 3)), label="target for the first month"
        )
    legend(axes, "lower right")

"""Pictures of an evaluation: bars with confidence intervals, spectrograms, and the matrix of similarities."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from voicemill.flows.report.drawing import (
    INK,
    MAIN,
    OTHER,
    clipped,
    display_width,
    grid,
    picture,
    shade,
    with_names,
)
from voicemill.model.judging.bootstrap import interval
from voicemill.model.judging.metrics.alignment import log_mel
from voicemill.model.settings.promotion import METRICS, Metric
from voicemill.storage.corpus.artifacts import Wave

RECORDINGS = "recordings"
"""Label of the recordings among the entries."""
NATURAL = "#8fa3b5"
"""Colour of the recordings."""
WIDTH = 346
"""Width of a picture of bars, pixels: three in a row of the page."""
RANGES = {"mos": (1.0, 5.0), "identified": (0.0, 1.0), "token_agreement": (0.0, 1.0)}
"""Metric -> ends of its axis; the others begin at 0 and end where the figures do."""
LEVELS = 32
"""Colours of the spectrograms: as many as can be told apart, so that a second takes 4 kB."""
DEPTH = 9.0
"""Range of the spectrograms below their loudest place, nepers: 78 dB."""


@dataclass(frozen=True)
class Bars:
    """Bars of one metric."""

    metric: Metric
    svg: str


def bars(scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[Bars]:
    """Bars with 95 % intervals, one picture for each metric that is a mean over sentences. `scores`: label -> metric ->
    sentence -> figure; the recordings first."""
    return [
        Bars(metric, _bars(name, {label: list(items.get(name, {}).values()) for label, items in scores.items()}))
        for name, metric in METRICS.items()
        if name != "rtf" and any(items.get(name) for label, items in scores.items() if label != RECORDINGS)
    ]


def _bars(name: str, values: Mapping[str, Sequence[float]]) -> str:
    """Bars of the means; whiskers are the intervals of more than one sentence."""
    tokens = {f"@entry{number}@": clipped(label, 22) for number, label in enumerate(values)}
    left = 18 + round(6.2 * max(map(display_width, tokens.values())))
    entries = [label for label in values if label != RECORDINGS]
    with picture(WIDTH, 50 + 27 * len(values), left=left, right=50, bottom=28) as (axes, result):
        end = 0.0
        for place, (label, found) in enumerate(values.items()):
            if not found:
                axes.annotate("–", (0, place), (5, 0), textcoords="offset points", va="center", color=INK)
                continue
            mean = interval(found)
            colour = NATURAL if label == RECORDINGS else _colour(entries.index(label), len(entries))
            axes.barh(place, mean.mean, 0.62, color=colour, linewidth=0)
            if math.isfinite(mean.low):
                axes.plot([mean.low, mean.high], [place, place], color=INK, linewidth=1.3, solid_capstyle="butt")
                for edge in (mean.low, mean.high):
                    axes.plot([edge, edge], [place - 0.14, place + 0.14], color=INK, linewidth=1.3)
            tip = max(mean.mean, mean.high) if math.isfinite(mean.high) else mean.mean
            end = max(end, tip)
            axes.annotate(
                f"{mean.mean:.3g}", (tip, place), (6, 0),
                textcoords="offset points", va="center", color=INK, annotation_clip=False,
            )  # fmt: skip
        axes.set_yticks(range(len(values)), list(tokens), color=INK)
        axes.set_ylim(len(values) - 0.45, -0.55)
        axes.set_xlim(*RANGES.get(name, (0.0, end or 1.0)))
        axes.locator_params(axis="x", nbins=5)
        grid(axes, "x")
    return with_names(result[0], tokens)


def _colour(number: int, many: int) -> str:
    return MAIN if number == 0 else shade(OTHER, number - 1, max(many - 1, 2))


def matrix(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Similarities as a matrix with its numbers. `rows`: label -> speaker -> mean cosine; "" where there are none."""
    if not rows:
        return ""
    speakers = list(dict.fromkeys(name for row in rows.values() for name in row))
    values = np.array([[row.get(name, np.nan) for name in speakers] for row in rows.values()])
    tokens = {f"@row{number}@": clipped(label, 34) for number, label in enumerate(rows)}
    heads = {f"@speaker{number}@": clipped(name, 14) for number, name in enumerate(speakers)}
    left = 18 + round(6.4 * max(map(display_width, tokens.values())))
    below = 30 + round(5.2 * max(map(display_width, heads.values())))
    width, height = left + 64 * len(speakers) + 40, 14 + 30 * len(rows) + below
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    with picture(width, height, left=left, right=40, bottom=below) as (axes, result):
        for y, row in enumerate(values):
            for x, value in enumerate(row):
                if np.isnan(value):
                    continue
                share = (value - low) / max(high - low, 1e-9)
                axes.barh(y, 0.94, 0.9, left=x - 0.47, color=shade(MAIN, round(100 * (1 - share)), 101), linewidth=0)
                axes.text(x, y, f"{value:.2f}", ha="center", va="center", color="#0b1a26")
        axes.set_xticks(range(len(speakers)), list(heads), rotation=50, ha="right", rotation_mode="anchor", color=INK)
        axes.set_yticks(range(len(rows)), list(tokens), color=INK)
        axes.set_xlim(-0.5, len(speakers) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(length=0)
        axes.spines["bottom"].set_visible(False)
    return with_names(result[0], tokens | heads)


def spectrogram(wave: Wave) -> str:
    """Log-mel of float32 [samples], 32 kHz, as the data: URL of a PNG, 128 high, a pixel for 20 ms."""
    from PIL import Image

    mel = log_mel(wave)
    levels = np.clip((mel - mel.max() + DEPTH) / DEPTH, 0.0, 1.0)
    image = Image.fromarray(np.flipud((LEVELS - 1) * levels.T + 0.5).astype(np.uint8), "P")
    image.putpalette(_colours().tobytes())
    file = BytesIO()
    image.save(file, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


@cache
def _colours() -> NDArray[np.uint8]:
    """Colours of the levels, uint8 [LEVELS, 3], from black over red to a light yellow."""
    from matplotlib import colormaps

    levels = np.asarray(colormaps["magma"](np.linspace(0, 1, LEVELS)))[:, :3]
    colours: NDArray[np.uint8] = (255 * levels).astype(np.uint8)
    return colours

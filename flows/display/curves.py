"""Loss curves as one SVG within a Markdown artifact: the dashboard shows images by URL, and a data URI is one.

Each term has a plot of its own, so that a large term does not flatten the others. Long curves are reduced to 160
points, each the mean of its neighbours.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from html import escape

POINTS = 160
"""Points of a curve, at most."""
COLUMNS, WIDTH, HEIGHT = 3, 300, 130
"""Plots in a row; size of a plot in pixels."""
VALIDATION = "validation/"
"""Prefix of the terms that are measured on the validation set."""
_LEVELS = "▁▂▃▄▅▆▇█"

Points = Sequence[tuple[int, float]]
"""(step, loss), in ascending order of steps."""


def image(series: Mapping[str, Points]) -> str:
    """Markdown image of the curves. `series`: term -> points; validation losses are dots in the plot of their term."""
    terms = [name for name in series if not name.startswith(VALIDATION)]
    terms += [name for name in series if name.startswith(VALIDATION) and name.removeprefix(VALIDATION) not in terms]
    terms.sort(key=lambda name: name != "loss")
    cells = [
        f'<g transform="translate({place % COLUMNS * WIDTH},{place // COLUMNS * HEIGHT})">'
        f"{_cell(name, series[name], series.get(VALIDATION + name, ()))}</g>"
        for place, name in enumerate(terms)
    ]
    rows = -(-len(cells) // COLUMNS)
    width, height = min(len(cells), COLUMNS) * WIDTH, rows * HEIGHT
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="#fff"/>{"".join(cells)}</svg>'
    )
    return f"![losses by step](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def sparkline(points: Points, width: int = 24) -> str:
    """The course of a loss as a line of block characters, for places without pictures."""
    values = [value for _, value in thinned(points, width)]
    if not values:
        return ""
    low, high = min(values), max(values)
    scale = (len(_LEVELS) - 1) / (high - low) if high > low else 0.0
    return "".join(_LEVELS[round((value - low) * scale)] for value in values)


def thinned(points: Points, most: int = POINTS) -> list[tuple[int, float]]:
    """Reduce points to `most` at most, each the mean of its neighbours; values that are not finite are left out."""
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    size = -(-len(finite) // most) or 1
    groups = (finite[at : at + size] for at in range(0, len(finite), size))
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


def _cell(name: str, training: Points, validation: Points) -> str:
    line, dots = thinned(training), thinned(validation)
    values = [value for _, value in (*line, *dots)]
    title = f'<text x="8" y="16" fill="#111" font-weight="bold">{escape(name)}</text>'
    if not values:
        return title
    low, high = min(values), max(values)
    end = max(step for step, _ in (*line, *dots)) or 1

    def place(step: int, value: float) -> str:
        share = (value - low) / (high - low) if high > low else 0.5
        return f"{52 + step / end * (WIDTH - 64):.1f},{HEIGHT - 22 - share * (HEIGHT - 48):.1f}"

    path = " ".join(place(*point) for point in line)
    marks = "".join(
        '<circle cx="{}" cy="{}" r="2.5" fill="#e69f00"/>'.format(*place(*point).split(",")) for point in dots
    )
    grid = "".join(
        f'<line x1="52" x2="{WIDTH - 12}" y1="{y}" y2="{y}" stroke="#ddd"/>'
        f'<text x="48" y="{y + 4}" text-anchor="end" fill="#666">{value:.3g}</text>'
        for y, value in ((26, high), (HEIGHT - 22, low))
    )
    steps = f'<text x="{WIDTH - 12}" y="{HEIGHT - 8}" text-anchor="end" fill="#666">step {end}</text>'
    return f'{title}{grid}{steps}<polyline points="{path}" fill="none" stroke="#2f7fc1" stroke-width="1.5"/>{marks}'

"""The report of a corpus version: one HTML file with pictures and tables, which opens anywhere and loads nothing.

Reads only the store. Cost: some 3 s for 10,000 utterances, most of it for importing and drawing with matplotlib.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicemill.flows.report import plots
from voicemill.flows.report.collect import gather
from voicemill.flows.report.content import Facts, Values
from voicemill.flows.report.examples import FONT, HEIGHT, ROW, WIDTH, examples
from voicemill.flows.report.growth import growth
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.files import write_text
from voicemill.storage.outcomes import UploadState
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds

TEMPLATES = Path(__file__).parent / "templates"

LISTED = 200
"""Uploads of one state that are named; the ledger on the command line names all."""

SPEAKERS = 1000
"""Speakers in the table, those with most kept audio."""

ADVICE: Mapping[UploadState, str] = {
    UploadState.FAILED: "Our code, a model or the machine failed on them: the next refresh tries them again.",
    UploadState.CORRUPT: "The files themselves are bad and are not tried again: put whole copies in their place.",
    UploadState.REFUSED: "They stay out: a link or name that leaves the inbox, or an owner who was forgotten.",
    UploadState.DUPLICATE: "Already in the corpus by the same bytes or the same samples: nothing is missing.",
}
"""What an engineer can do about uploads of a state; held ones have a command each."""


def write(store: Store, number: int | None = None) -> Path:
    """Write the report of a version, the latest one by default, and return its path.

    Raises:
        StoreError: there is no such version.
    """
    corpus = CorpusVersion.open(store, number)
    path = path_of(store, corpus.version.number)
    write_text(path, render(corpus))
    return path


def path_of(store: Store, number: int) -> Path:
    """Where the report of a version is."""
    return store.reports / f"version-{number}.html"


def latest(store: Store) -> str:
    """Path of the report of the highest version that has one; "" where there is none."""
    names = (re.fullmatch(r"version-(\d+)\.html", path.name) for path in store.reports.glob("version-*.html"))
    numbers = [int(name[1]) for name in names if name]
    return str(path_of(store, max(numbers))) if numbers else ""


def render(corpus: CorpusVersion) -> str:
    """The HTML of the report."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    facts = gather(corpus)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"time": duration, "share": share, "value": setting, "spread": spread}
    return environment.get_template("report.html").render(
        facts=facts,
        version=facts.version,
        pictures=pictures(facts),
        colours=plots.part_colours(facts),
        examples=examples(corpus),
        frame={"width": WIDTH, "height": HEIGHT, "row": ROW, "font": FONT},
        advice=ADVICE,
        listed=LISTED,
        most_speakers=SPEAKERS,
        shown_voices=plots.MOST_SPEAKERS,
        boxed=plots.BOXED,
        unit=table_unit(facts.seconds),
        growth=growth(facts.history),
    )


def pictures(facts: Facts) -> dict[str, Any]:
    """Name -> SVG, marked as safe: `plots` escapes the names inside; "" where there is nothing to draw."""
    from markupsafe import Markup

    draw = (plots.outcomes, plots.durations, plots.loudness, plots.entropy, plots.snr, plots.pitch)
    return {picture.__name__: Markup(picture(facts)) for picture in (*draw, plots.languages, plots.growth)}


def spread(values: Values) -> tuple[float, float, float]:
    """5th percentile, median and 95th percentile; zeros where there are no values."""
    import numpy as np

    low, middle, high = np.percentile(values, [5, 50, 95]).tolist() if len(values) else (0.0, 0.0, 0.0)
    return low, middle, high


def duration(seconds: Seconds) -> str:
    """Seconds for people: 12.3 s, 4 min 05 s, 3 h 12 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole // 60 % 60:02d} min"


def table_unit(total: Seconds) -> tuple[float, str]:
    """The unit of the tables of a report: minutes, or seconds in a small store."""
    return (60.0, "minutes") if total >= 600 else (1.0, "seconds")


def share(part: float, whole: float) -> str:
    """A part of a whole as a percentage."""
    ratio = part / whole if whole else 0.0
    if 0 < ratio < 0.001:
        return "< 0.1 %"
    return f"{ratio * 100:.0f} %" if ratio in (0.0, 1.0) else f"{ratio * 100:.1f} %"


def setting(value: Any) -> str:
    """A setting as a TOML file would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)

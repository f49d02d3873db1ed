"""The report of a corpus version: one self-contained HTML file with plots and tables.

Reads only the store. Cost: some 3 s for 10,000 utterances, most of it for importing and drawing with matplotlib.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicemill.flows.report import html, plots
from voicemill.flows.report.collect import collect_content
from voicemill.flows.report.content import ReportContent, Values
from voicemill.flows.report.examples import FONT, HEIGHT, ROW, WIDTH, examples
from voicemill.flows.report.growth import growth
from voicemill.flows.report.voices import voices_across
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.files import write_text
from voicemill.storage.outcomes import UploadState
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds

TEMPLATE = Path(__file__).parent / "templates" / "report.html"

LISTED = 200
"""Listed uploads of one state, at most; `voicemill ledger --by path` lists all."""

SPEAKERS = 1000
"""Listed speakers, at most: those with most kept audio."""

ADVICE: Mapping[UploadState, str] = {
    UploadState.FAILED: "Our code, a model or the machine failed on these uploads. The next refresh retries them.",
    UploadState.CORRUPT: "These files are damaged and are not retried. Replace them with intact copies.",
    UploadState.REFUSED: "Never processed: a link or name that leads out of the inbox, or a forgotten speaker.",
    UploadState.DUPLICATE: "The corpus has the same bytes, samples or recording from another upload: nothing is lost.",
}
"""Action for uploads of a state; held uploads have a section with commands."""


def write(store: Store, number: int | None = None) -> Path:
    """Write the report of a version, the latest one by default, and return its path.

    Raises:
        StoreError: the version does not exist.
    """
    corpus = CorpusVersion.open(store, number)
    path = path_of(store, corpus.version.number)
    write_text(path, render(corpus))
    return path


def path_of(store: Store, number: int) -> Path:
    """Path of the report of a version."""
    return store.reports / f"version-{number}.html"


def latest(store: Store) -> str:
    """Path of the report with the highest version; "" = there is no report."""
    names = (re.fullmatch(r"version-(\d+)\.html", path.name) for path in store.reports.glob("version-*.html"))
    numbers = [int(name[1]) for name in names if name]
    return str(path_of(store, max(numbers))) if numbers else ""


def render(corpus: CorpusVersion) -> str:
    """Return the HTML of the report."""
    content = collect_content(corpus)
    return html.render(
        TEMPLATE,
        {"time": duration, "share": share, "value": setting, "spread": spread},
        content=content,
        version=content.version,
        pictures=pictures(content),
        colours=plots.part_colours(content),
        examples=examples(corpus),
        frame={"width": WIDTH, "height": HEIGHT, "row": ROW, "font": FONT},
        advice=ADVICE,
        listed=LISTED,
        most_speakers=SPEAKERS,
        shown_voices=plots.MOST_SPEAKERS,
        boxed=plots.BOXED,
        unit=table_unit(content.seconds),
        growth=growth(content.history),
        across=voices_across(corpus, corpus.ledger(["speaker", "start", "stop", "outcome", "reason"])),
    )


def pictures(content: ReportContent) -> dict[str, Any]:
    """Name -> SVG, marked as safe since `plots` escapes names; "" where there is nothing to draw."""
    from markupsafe import Markup

    draw = (plots.outcomes, plots.durations, plots.loudness, plots.entropy, plots.snr, plots.pitch)
    return {picture.__name__: Markup(picture(content)) for picture in (*draw, plots.languages, plots.growth)}


def spread(values: Values) -> tuple[float, float, float]:
    """5th percentile, median and 95th percentile; zeros without values."""
    import numpy as np

    low, middle, high = np.percentile(values, [5, 50, 95]).tolist() if len(values) else (0.0, 0.0, 0.0)
    return low, middle, high


def duration(seconds: Seconds) -> str:
    """Format a duration: 12.3 s, 4 min 05 s, 3 h 12 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole // 60 % 60:02d} min"


def table_unit(total: Seconds) -> tuple[float, str]:
    """Seconds in the unit of the report's tables, and its name: minutes, or seconds in a small store."""
    return (60.0, "minutes") if total >= 600 else (1.0, "seconds")


def share(part: float, whole: float) -> str:
    """Format a part of a whole as a percentage."""
    ratio = part / whole if whole else 0.0
    if 0 < ratio < 0.001:
        return "< 0.1 %"
    return f"{ratio * 100:.0f} %" if ratio in (0.0, 1.0) else f"{ratio * 100:.1f} %"


def setting(value: Any) -> str:
    """Format a setting as in a TOML file."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)

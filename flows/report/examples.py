"""Examples in the report: log-mel spectrograms of a few utterances, overlaid with words and F0.

The spectrogram is a PNG of 48 colours; the page draws words and contour as SVG, so that the reader's fonts show every
script. Only the shards of the chosen utterances are read.
"""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from voicemill.flows.report.drawing import clipped
from voicemill.storage.corpus import tables
from voicemill.storage.corpus.tensors import decode
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.records import Word
from voicemill.storage.units import RATE, Hertz, Samples, Seconds

Matrix = NDArray[np.float32]

MANY = 4
"""Examples in a report, at most."""
LENGTH: Seconds = 4.5
"""Preferred duration of an example: long enough for several words, short enough for their labels."""
LONGEST: Seconds = 8.0
"""Longest shown duration; longer utterances are cut at their end."""

WIDTH, HEIGHT = 1080.0, 210.0
"""Size of a spectrogram, in units of its SVG."""
FONT = 13.0
"""Size of the words' font."""
ROW = 19.0
"""Height of a row of words."""
F0_RANGE: tuple[Hertz, Hertz] = (50.0, 600.0)
"""Range of the F0 axis on the right, Hz; logarithmic."""


@dataclass(frozen=True)
class Label:
    """One word: its time as a span of the picture, and its text in one of the rows below."""

    text: str
    x: float
    """Left end of the text; before the word's start if it would not fit otherwise."""
    left: float
    right: float
    """Start and end of the word."""
    row: int
    score: float


@dataclass(frozen=True)
class Example:
    """One utterance, laid out in units of the picture."""

    id: str
    speaker: str
    language: str
    text: str
    alignment: str
    seconds: Seconds
    """Shown duration."""
    whole: Seconds
    """Duration of the utterance."""
    image: str
    """data: URL of the spectrogram."""
    words: Sequence[Label]
    rows: int
    """Rows of words."""
    contour: Sequence[str]
    """Points of an SVG polyline for each voiced stretch."""
    ticks: Sequence[tuple[float, str]]
    """Ticks of time: x, seconds."""
    bands: Sequence[tuple[float, str]]
    """Ticks of the left axis: y, kHz."""
    pitches: Sequence[tuple[float, str]]
    """Ticks of the right axis: y, Hz."""


def examples(corpus: CorpusVersion, many: int = MANY) -> list[Example]:
    """Examples of a version, always the same ones; none if it has no mel features."""
    if "mel" not in corpus.version.features:
        return []
    laid_out = []
    for row in choose(corpus, many):
        place = _shard_of(corpus, row["id"], row["speaker"])
        utterance = _row(corpus, "utterances", row, place, ("id", "text", "words", "start"))
        mel = _matrix(_row(corpus, corpus.version.features["mel"], row, place))
        f0 = None
        if "f0" in corpus.version.features:
            f0 = _matrix(_row(corpus, corpus.version.features["f0"], row, place))[:, 0]
        laid_out.append(draw(row, utterance, mel, f0))
    return laid_out


def choose(corpus: CorpusVersion, many: int) -> list[dict[str, Any]]:
    """Choose one utterance of each language in turn, the language with most utterances first, each by another speaker
    while there are any. Within a language: aligned ones first, then those with text, then those near `LENGTH`."""
    columns = ("id", "speaker", "language", "alignment", "engine", "start", "stop")
    table = corpus.utterances(columns).combine_chunks()
    lengths = (table["stop"].to_numpy() - table["start"].to_numpy()) / RATE
    aligned = np.array(table["alignment"].to_pylist(), dtype=str) == "aligned"
    texts = np.array(table["engine"].to_pylist(), dtype=str) != ""
    order = np.lexsort((np.array(table["id"].to_pylist(), dtype=str), np.abs(lengths - LENGTH), ~texts, ~aligned))
    by_language: dict[str, list[int]] = {}
    for place, language in zip(order.tolist(), table["language"].take(pa.array(order)).to_pylist(), strict=True):
        by_language.setdefault(language, []).append(place)
    names = sorted(by_language, key=lambda name: (-len(by_language[name]), name))
    speakers, taken = table["speaker"].to_pylist(), list[int]()
    for fresh in (True, False):
        waiting = [iter(by_language[name]) for name in names]
        while waiting and len(taken) < many:
            queue = waiting.pop(0)
            used = {speakers[place] for place in taken}
            place = next((p for p in queue if p not in taken and not (fresh and speakers[p] in used)), None)
            if place is not None:
                taken.append(place)
                waiting.append(queue)
    return [row for place in taken for row in table.slice(place, 1).to_pylist()]


def draw(row: dict[str, Any], utterance: dict[str, Any], mel: Matrix, f0: Matrix | None) -> Example:
    """Lay out one utterance.

    Args:
        mel: log-mel, float32 [frames, bands], over the whole utterance.
        f0: float32 [frames], Hz, 0 = unvoiced, over the whole utterance.
    """
    whole = (row["stop"] - row["start"]) / RATE
    shown = min(whole, LONGEST)
    words = [Word(**word) for word in utterance["words"]]
    labels, rows = place_words(words, utterance["start"], shown)
    step = 0.5 if shown <= 4 else 1.0
    return Example(
        id=row["id"],
        speaker=row["speaker"],
        language=row["language"],
        text=utterance["text"],
        alignment=row["alignment"],
        seconds=shown,
        whole=whole,
        image=picture(mel[: math.ceil(len(mel) * shown / whole)]),
        words=labels,
        rows=rows,
        contour=[] if f0 is None else contour(f0[: math.ceil(len(f0) * shown / whole)]),
        ticks=[(WIDTH * n * step / shown, f"{n * step:g}") for n in range(int(shown / step) + 1)],
        bands=[(HEIGHT * (1 - _slaney(khz * 1000) / _slaney(RATE / 2)), f"{khz:g}") for khz in (0.5, 1, 2, 4, 8)],
        pitches=[(_height(hertz), f"{hertz:g}") for hertz in (50, 100, 200, 400)],
    )


def picture(mel: Matrix) -> str:
    """Render a log-mel [frames, bands] as a data: URL of a PNG: loud is bright, the lowest band at the bottom."""
    from matplotlib import colormaps
    from PIL import Image

    low, high = np.percentile(mel, [2, 99.7]) if mel.size else (0.0, 1.0)
    levels = 48
    scaled = np.clip((mel - low) / max(high - low, 1e-6), 0, 1) * (levels - 1)
    image = Image.fromarray(np.ascontiguousarray(np.rint(scaled).astype(np.uint8).T[::-1]))
    colours = colormaps["magma"](np.linspace(0, 1, levels))[:, :3]
    image.putpalette(np.rint(colours * 255).astype(np.uint8).tobytes())
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def place_words(words: Sequence[Word], start: Samples, shown: Seconds) -> tuple[list[Label], int]:
    """Place the words that start within `shown`, each in the first row with room. Returns labels and number of rows."""
    ends: list[float] = []
    labels = []
    for word in words:
        left = WIDTH * (word.start - start) / RATE / shown
        right = min(WIDTH * (word.stop - start) / RATE / shown, WIDTH)
        if not 0 <= left < WIDTH:
            continue
        text = clipped(word.text, 24)
        room = sum(FONT * (1.05 if ord(c) > 0x2E80 else 0.62) for c in text)
        at = min(left + 4, WIDTH + 40 - room)
        row = next((row for row, end in enumerate(ends) if end <= at), len(ends))
        ends[row : row + 1] = [at + room + 4]
        labels.append(Label(text=text, x=at, left=left, right=right, row=row, score=word.score))
    return labels, len(ends)


def contour(f0: Matrix) -> list[str]:
    """Points of SVG polylines, one for each voiced stretch of two frames or more. f0: [frames], Hz, 0 = unvoiced."""
    voiced = np.flatnonzero(np.diff(np.concatenate([[False], f0 > 0, [False]]).astype(int)))
    step = WIDTH / max(len(f0), 1)
    lines = []
    for begin, end in pairwise(voiced.tolist()):
        if f0[begin] > 0 and end - begin > 1:
            lines.append(" ".join(f"{(i + 0.5) * step:.1f},{_height(float(f0[i])):.1f}" for i in range(begin, end)))
    return lines


def _height(hertz: Hertz) -> float:
    low, high = F0_RANGE
    share = math.log(min(max(hertz, low), high) / low) / math.log(high / low)
    return HEIGHT * (1 - 0.96 * share) - 4


def _slaney(hertz: Hertz) -> float:
    """Map hertz to Slaney's mel scale, as the log-mel does: linear to 1 kHz, logarithmic above."""
    return hertz / (200 / 3) if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def _shard_of(corpus: CorpusVersion, name: str, speaker: str) -> int:
    """Index of the speaker's shard that holds an utterance; the same in every table."""
    for number, rows in enumerate(corpus.scan("utterances", ["id"], speaker)):
        if name in rows["id"].to_pylist():
            return number
    raise KeyError(f"utterance {name} is in no shard of {speaker}")


def _row(
    corpus: CorpusVersion,
    table: str,
    row: dict[str, Any],
    place: int,
    columns: tuple[str, ...] = ("id", "frames", "dims", "data"),
) -> dict[str, Any]:
    file = corpus.shards(table, row["speaker"])[place]
    rows = tables.read_all(corpus.store, table, [file], columns)
    at = rows["id"].to_pylist().index(row["id"])
    values: dict[str, Any] = rows.slice(at, 1).to_pylist()[0]
    return values


def _matrix(row: dict[str, Any]) -> Matrix:
    return decode(row["data"], row["frames"], row["dims"])

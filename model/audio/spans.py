"""Spans of speech, in samples, from the probability of speech of each frame.

Method: a run of frames at or over a lower threshold counts when it reaches an upper one somewhere (hysteresis). Runs
are padded, and joined over short gaps. A span that is too long is cut in the middle of its longest pause, or, without a
pause, of the stretch of 100 ms least likely to be speech.
Cost: one pass of numpy over the frames; cutting n seconds of speech without a pause is O(n log n).
Source: the double threshold of Canny's edge detector (1986), over time instead of an image.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.records import Turn
from voicemill.storage.units import Samples, Seconds, to_samples

Probability = NDArray[np.float32]
VALLEY: Seconds = 0.1
"""Width of the stretch around a cut in speech without a pause."""


class Span(NamedTuple):
    """Half-open range of samples at 32 kHz."""

    start: Samples
    stop: Samples


def outside(spans: Sequence[Span], holes: Sequence[Span]) -> list[Span]:
    """Parts of spans that lie in no hole; both are disjoint and in order."""
    parts = []
    for start, stop in spans:
        for hole in holes:
            if hole.stop > start and hole.start < stop:
                if hole.start > start:
                    parts.append(Span(start, hole.start))
                start = hole.stop
        if start < stop:
            parts.append(Span(start, stop))
    return parts


def speech_runs(
    probability: Probability, step: Samples, samples: Samples, up: float, down: float, least: Samples
) -> list[Span]:
    """Runs at or over `down` that reach `up` and last at least `least`: in order, disjoint, inside [0, samples).

    Args:
        probability: float32 [frames], 0..1.
        step: samples per frame; frames * step >= samples.
    """
    edges = np.flatnonzero(np.diff(probability >= down, prepend=False, append=False))
    if not len(edges):
        return []
    starts, stops = edges[::2], edges[1::2]
    peaks = np.maximum.reduceat(probability, starts)  # frames between runs are under the lower threshold
    keep = (peaks >= up) & ((stops - starts) * step >= least)
    pairs = zip(starts[keep].tolist(), stops[keep].tolist(), strict=True)
    return [Span(start * step, min(stop * step, samples)) for start, stop in pairs]


def padded_runs(runs: Iterable[Span], samples: Samples, pad: Samples, gap: Samples) -> list[Span]:
    """Runs extended by `pad` on both sides, joined where less than `gap` remains between them, inside [0, samples)."""
    spans: list[Span] = []
    for run in runs:
        start, stop = max(run.start - pad, 0), min(run.stop + pad, samples)
        if spans and start - spans[-1].stop < max(gap, 1):
            spans[-1] = Span(spans[-1].start, stop)
        else:
            spans.append(Span(start, stop))
    return spans


def cut(
    span: Span, runs: list[Span], probability: Probability, step: Samples, longest: Samples, shortest: Samples
) -> list[Span]:
    """Cut a span into pieces that tile it: none over `longest` and, if anything was cut, none under `shortest`.

    Args:
        runs: speech inside the span, in order; the gaps between them are pauses.
        longest: at least 1 s, and twice `shortest` and 100 ms.
    """
    ends = np.array([run.stop for run in runs[:-1]], np.int64)
    lengths = np.array([run.start for run in runs[1:]], np.int64) - ends
    middles = ends + lengths // 2
    pieces: list[Span] = []
    waiting = [span]
    while waiting:
        start, stop = waiting.pop()
        if stop - start <= longest:
            pieces.append(Span(start, stop))
            continue
        inside = slice(*np.searchsorted(middles, [max(start + shortest, start + 1), stop - shortest]).tolist())
        if len(lengths[inside]):
            at = int(middles[inside][np.argmax(lengths[inside])])
        else:
            at = _valley(start, stop, shortest, probability, step)
        waiting += [Span(at, stop), Span(start, at)]
    return pieces


def _valley(start: Samples, stop: Samples, margin: Samples, probability: Probability, step: Samples) -> Samples:
    """Middle of the 100 ms of least probability, the most central of equals, `margin` and a quarter from both ends.

    The quarter keeps pieces of speech without pauses similar in length, and few.
    """
    margin = max(margin, (stop - start) // 4)
    width = max(to_samples(VALLEY) // step, 1)
    first = (start + margin) // step
    last = max((stop - margin) // step, first + width)
    sums = np.cumsum(np.concatenate([[0.0], probability[first:last].astype(np.float64)]))
    means = sums[width:] - sums[:-width]
    lowest = np.flatnonzero(means <= means.min() + 1e-6)
    best = int(lowest[np.argmin(np.abs(lowest - len(means) // 2))])
    return min(max((first + best) * step + width * step // 2, start + margin), stop - margin)


def split_spans(spans: Iterable[Span], turns: Sequence[Turn]) -> list[tuple[Span, str | None]]:
    """Spans cut where a turn begins or ends, each piece with the voice of its turn; None = it is in no turn.

    Args:
        turns: by time, disjoint. Two of one voice that touch are one.
    """
    pieces: list[tuple[Span, str | None]] = []
    stops = [turn.stop for turn in turns]
    for span in spans:
        at = span.start
        for turn in turns[bisect_right(stops, span.start) :]:
            if turn.start >= span.stop:
                break
            if turn.start > at:
                pieces.append((Span(at, turn.start), None))
            start, at = max(turn.start, at), min(turn.stop, span.stop)
            if pieces and pieces[-1] == (Span(pieces[-1][0].start, start), turn.voice):
                start = pieces.pop()[0].start
            pieces.append((Span(start, at), turn.voice))
        if at < span.stop:
            pieces.append((Span(at, span.stop), None))
    return pieces

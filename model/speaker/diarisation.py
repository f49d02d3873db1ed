"""Diarisation: who speaks when in a recording, by clustering windows of the speaker encoder.

Method: windows of 1.6 s over the speech are clustered (average linkage on the cosine, up to a threshold), then clusters
whose means are alike are joined: a mean of many windows is far less noisy than a window. Small clusters are dropped,
since most of them are windows that hold two voices. Then the most likely sequence of voices over windows every 0.2 s
follows from their similarities to the means (Viterbi, a cost for every change, half of it across a pause); means and
sequence are computed in turns. A window that lies half in one voice and half in another is as similar to both, so the
change falls on the boundary. Whether there is a second voice at all is searched with windows side by side.
Two people who speak at once are not found: the stretch goes to one of them.
Cost and errors: `tests/bench/diarise.py`.
Source: clustering and resegmentation as in Sell et al., "Diarization is hard" (Interspeech 2018), with GE2E vectors.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicemill.model.audio.spans import Span
from voicemill.model.speaker.comparison import unit
from voicemill.model.speaker.encoder import HOP, WINDOW, Encoder, Vectors
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.records import Turn
from voicemill.storage.units import Samples, Seconds

Labels = NDArray[np.int64]
Reader = Callable[[Span], Wave]
"""Function that reads a span of the recording, float32 [samples], 16 kHz."""

FRAME: Samples = 2 * HOP
"""10 ms on the grid of 32 kHz."""
SIDE_BY_SIDE, COARSE, FINE = 160, 80, 20
"""Frames from one window to the next: to search for a second voice, to cluster, to place the changes."""
PIECE = 3000
"""Frames of a span that are embedded at a time."""
MOST = 3000
"""Windows that are clustered: of more, evenly spread ones."""
CLUSTER = 0.3
"""Mean cosine distance up to which clusters of windows are joined."""
SEARCH = 0.35
"""The same for the few windows of the search."""
ALIKE = 0.85
"""Cosine of the means of two clusters from which they are one voice."""
LEAST: Seconds = 3.0
"""Speech of a voice: with less, its windows go to the others."""
SHARPNESS = 20.0
"""Weight of a cosine in the log probability of a voice."""
CHANGE = 3.0
"""Cost of a change of voice in the same unit, half of it across a pause."""
ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows over the spans of speech of one recording, in order of time."""

    vectors: Vectors
    """float32 [windows, 256], length 1."""
    spans: NDArray[np.int64]
    """[windows, 2]: the stretch of samples that is nearest to the centre of each; they tile the spans of speech."""
    step: int
    """Frames from one window to the next."""

    @property
    def after_pause(self) -> NDArray[np.bool_]:
        """Whether each window begins a span."""
        return np.concatenate([[True], self.spans[1:, 0] != self.spans[:-1, 1]])


def has_several_voices(encoder: Encoder, spans: Sequence[Span], read: Reader) -> bool:
    """Whether windows side by side hold more than one voice: an eighth of the cost of `diarise`."""
    return bool(spans) and len(find_voices(embed(encoder, spans, read, SIDE_BY_SIDE), SEARCH)) > 1


def diarise(encoder: Encoder, spans: Sequence[Span], read: Reader) -> list[Turn]:
    """Turns that tile the spans of speech, with voices "1", "2", ... by their first turn."""
    if not spans:
        return []
    windows = embed(encoder, spans, read, FINE)
    path = most_likely_path(windows, find_voices(windows, CLUSTER, every=COARSE // FINE))
    for _ in range(ROUNDS):
        path = most_likely_path(windows, means_of(windows.vectors, path, LEAST * 100 / FINE))
    return _turns(windows, path)


def embed(encoder: Encoder, spans: Sequence[Span], read: Reader, step: int) -> Windows:
    """Windows every `step` frames over the spans. Spans shorter than a window are repeated to fill one."""
    vectors: list[Vectors] = []
    counts = np.zeros(len(spans), np.int64)
    for group in _groups(spans, step):
        waves = [read(piece) for _, piece, _ in group]
        filled = [wave if len(wave) >= WINDOW * HOP else np.resize(wave, WINDOW * HOP) for wave in waves]
        for (number, _, most), rows in zip(group, encoder.embed_windows(filled, step), strict=True):
            vectors.append(rows[:most])
            counts[number] += len(vectors[-1])
    places = []
    for span, count in zip(spans, counts.tolist(), strict=True):
        inner = span.start + (np.arange(1, count) * step + (WINDOW - step) // 2) * FRAME
        edges = np.minimum(np.concatenate([[span.start], inner, [span.stop]]), span.stop)
        places.append(np.stack([edges[:-1], edges[1:]], axis=1))
    return Windows(np.concatenate(vectors), np.concatenate(places), step)


def _groups(spans: Sequence[Span], step: int) -> Iterator[list[tuple[int, Span, int]]]:
    """Number of the span, a piece of it, and the most windows that are taken of it, in groups of a minute or more.

    The windows of the pieces of a span are those of the whole span. A group is one batch of the encoder, or several.
    """
    stride = PIECE // step * step
    group: list[tuple[int, Span, int]] = []
    samples = 0
    for number, span in enumerate(spans):
        at = span.start
        while span.stop - at > (stride + WINDOW) * FRAME:
            group.append((number, Span(at, at + (stride - step + WINDOW) * FRAME), stride // step))
            at += stride * FRAME
        group.append((number, Span(at, span.stop), 1 if span.stop - at < WINDOW * FRAME else 2 * stride))
        samples += span.stop - span.start
        if samples >= 2 * PIECE * FRAME or number == len(spans) - 1:
            yield group
            group, samples = [], 0


def find_voices(windows: Windows, distance: float, every: int = 1) -> Vectors:
    """Means float32 [voices, 256] of the clusters of every so-many-th window; one at least."""
    from scipy.cluster.hierarchy import fcluster, linkage

    vectors = windows.vectors[::every]
    least = LEAST * 100 / (windows.step * every)
    if len(vectors) > MOST:
        least *= MOST / len(vectors)
        vectors = vectors[np.linspace(0, len(vectors) - 1, MOST).astype(np.int64)]
    if len(vectors) < 2:
        return vectors
    labels = fcluster(linkage(vectors, "average", metric="cosine"), distance, "distance")
    return means_of(vectors, labels, least)


def means_of(vectors: Vectors, labels: Labels, least: float) -> Vectors:
    """Means float32 [voices, 256], length 1, of labelled windows: alike ones joined, then those of few windows dropped.

    `least`: windows of a voice; the largest stays in any case.
    """
    names = np.unique(labels)
    sums = np.stack([vectors[labels == name].sum(0) for name in names])
    sizes = np.array([np.count_nonzero(labels == name) for name in names])
    while len(sums) > 1:
        similar = unit(sums) @ unit(sums).T
        np.fill_diagonal(similar, -1.0)
        a, b = np.unravel_index(int(np.argmax(similar)), similar.shape)
        if similar[a, b] < ALIKE:
            break
        sums[a] += sums[b]
        sizes[a] += sizes[b]
        sums, sizes = np.delete(sums, b, 0), np.delete(sizes, b)
    return unit(sums[sizes >= min(least, sizes.max())])


def most_likely_path(windows: Windows, voices: Vectors) -> Labels:
    """Voice of every window, int [windows], by the Viterbi algorithm."""
    gains = SHARPNESS * (windows.vectors @ voices.T).astype(np.float64)
    costs = np.where(windows.after_pause, CHANGE / 2, CHANGE)
    stay, score = np.arange(len(voices)), gains[0]
    before = np.empty(gains.shape, np.int64)
    for at in range(1, len(gains)):
        best = int(score.argmax())
        changed = score[best] - costs[at]
        before[at] = np.where(score >= changed, stay, best)
        score = np.maximum(score, changed) + gains[at]
    path = np.empty(len(gains), np.int64)
    path[-1] = int(score.argmax())
    for at in range(len(gains) - 1, 0, -1):
        path[at - 1] = before[at, path[at]]
    return path


def _turns(windows: Windows, path: Labels) -> list[Turn]:
    """Runs of one voice within a span of speech, voices numbered from 1 by their first turn."""
    numbers: dict[int, str] = {}
    turns: list[Turn] = []
    for (start, stop), voice, pause in zip(windows.spans.tolist(), path.tolist(), windows.after_pause, strict=True):
        name = numbers.setdefault(voice, str(len(numbers) + 1))
        if turns and not pause and turns[-1].voice == name:
            turns[-1] = Turn(turns[-1].start, stop, name)
        elif stop > start:
            turns.append(Turn(start, stop, name))
    return turns

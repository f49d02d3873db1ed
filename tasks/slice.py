"""Cut each upload into segments of speech; what lies between them is silence.

Method: a probability of speech for each frame (`model.vad`); a run of frames at or over `threshold_down` is speech
when it reaches `threshold_up` somewhere (hysteresis) and lasts `min_speech_s`. Runs are padded, joined over gaps
shorter than `merge_gap_s`, and cut where they are longer than `max_segment_s`: in the middle of the longest pause
inside, or, where there is none, of the stretch of 100 ms least likely to be speech. What is then shorter than
`min_segment_s` is dropped with a reason. Every sample of an upload belongs to exactly one row.
Cost: some 550 times real time on one core for continuous speech, more for the rest; 0.5 MB per hour of audio.
Source: the double threshold is that of Canny's edge detector (1986), used for voice activity since Silero VAD 3.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from model.vad import Engine, hop, silero_digest, speech_probability
from storage.records import Batch, Decoded, Failure, Outcome, Reason, Segment
from storage.units import Samples, Seconds, to_samples
from tasks.stage import Inputs, Stage, StageSettings, guarded

VERSION = 1

Probability = NDArray[np.float32]
VALLEY: Seconds = 0.1
"""Width of the stretch that is searched for where speech without a pause must be cut."""


class Settings(StageSettings):
    """How speech is found and cut. Defaults without a source were chosen by `tests/bench/vad.py --half tune`."""

    engine: Engine = "cascade"
    """`cascade`: WebRTC proposes, Silero confirms; `silero` or `webrtc` alone."""
    webrtc_mode: int = Field(1, ge=0, le=3)
    """How strict WebRTC is; 0 lets most through. Mode 2 and 3 lose speech that nothing brings back."""
    reach_s: Seconds = Field(0.3, ge=0, le=10)
    """Seconds. In the cascade, Silero listens this far around what WebRTC proposed: it hears onsets in context."""
    threshold_up: float = Field(0.6, gt=0, le=1)
    """Probability that a run must reach to be speech."""
    threshold_down: float = Field(0.5, gt=0, le=1)
    """Probability under which a run ends. Lower ones follow the tails of words, and the noise behind them."""
    min_speech_s: Seconds = Field(0.2, ge=0)
    """Seconds. A shorter run is a click or a knock: no speech."""
    pad_s: Seconds = Field(0.15, ge=0)
    """Seconds added before and behind each run."""
    merge_gap_s: Seconds = Field(0.3, ge=0)
    """Seconds. Gaps between padded runs shorter than this are joined."""
    min_segment_s: Seconds = Field(1.0, ge=0)
    """Seconds. Shorter segments are filtered as `too_short`; few-shot cloning has no use for them."""
    max_segment_s: Seconds = Field(15.0, ge=1)
    """Seconds. Longer ones are cut; what s1 of GPT-SoVITS trains on is of this length or shorter."""
    whole_when_transcribed: bool = True
    """An upload that came with its transcript stays one segment, first to last speech, if `max_segment_s` allows."""

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.threshold_down > self.threshold_up:
            raise ValueError(
                f"slice.threshold_down ({self.threshold_down}) must not exceed slice.threshold_up ({self.threshold_up})"
            )
        if self.max_segment_s < 2 * self.min_segment_s + VALLEY:
            raise ValueError(
                f"slice.max_segment_s ({self.max_segment_s}) must be at least twice slice.min_segment_s "
                f"({self.min_segment_s}) and {VALLEY} s: else what is cut may be too short to keep"
            )
        return self


class Span(NamedTuple):
    """Half open, in samples at 32 kHz."""

    start: Samples
    stop: Samples


def speech_runs(probability: Probability, step: Samples, samples: Samples, settings: Settings) -> list[Span]:
    """Speech before padding, by the double threshold.

    Args:
        probability: float32 [frames], 0..1.
        step: samples per frame; frames * step >= samples.
    """
    edges = np.flatnonzero(np.diff(probability >= settings.threshold_down, prepend=False, append=False))
    if not len(edges):
        return []
    starts, stops = edges[::2], edges[1::2]
    peaks = np.maximum.reduceat(probability, starts)  # what lies behind a run is under the lower threshold
    long = (stops - starts) * step >= to_samples(settings.min_speech_s)
    keep = (peaks >= settings.threshold_up) & long
    return [
        Span(start * step, min(stop * step, samples))
        for start, stop in zip(starts[keep].tolist(), stops[keep].tolist(), strict=True)
    ]


def padded(runs: Iterable[Span], samples: Samples, settings: Settings) -> list[Span]:
    """Runs with their padding, joined over short gaps: gaps between the results are `merge_gap_s` or longer."""
    pad, gap = to_samples(settings.pad_s), to_samples(settings.merge_gap_s)
    spans: list[Span] = []
    for run in runs:
        start, stop = max(run.start - pad, 0), min(run.stop + pad, samples)
        if spans and start - spans[-1].stop < max(gap, 1):
            spans[-1] = Span(spans[-1].start, stop)
        else:
            spans.append(Span(start, stop))
    return spans


def cut(span: Span, runs: list[Span], probability: Probability, step: Samples, settings: Settings) -> list[Span]:
    """Pieces that tile the span, none longer than `max_segment_s` and, if anything was cut, none under `min_segment_s`.

    Args:
        runs: the speech inside the span, in order; between two of them is a pause.
    """
    longest, shortest = to_samples(settings.max_segment_s), to_samples(settings.min_segment_s)
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
    """The middle of the 100 ms of least probability, `margin` and a quarter from both ends; of equals the most central.

    The quarter keeps the pieces of speech without pauses alike, and their number small.
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


def tiled(
    upload: str, probability: Probability, step: Samples, samples: Samples, transcribed: bool, settings: Settings
) -> list[Segment]:
    """The rows of one upload: they tile [0, samples)."""
    runs = speech_runs(probability, step, samples, settings)
    spans = padded(runs, samples, settings)
    longest = to_samples(settings.max_segment_s)
    if spans and transcribed and settings.whole_when_transcribed and spans[-1].stop - spans[0].start <= longest:
        pieces = [Span(spans[0].start, spans[-1].stop)]
    else:
        starts = [run.start for run in runs]
        pieces = []
        for span in spans:
            own = runs[np.searchsorted(starts, span.start) : np.searchsorted(starts, span.stop)]
            pieces += cut(span, own, probability, step, settings)
    rows: list[Segment] = []
    at = kept = 0
    for piece in [*pieces, Span(samples, samples)]:
        if at < piece.start:
            rows.append(Segment(upload, -1, at, piece.start, Outcome.SILENCE, Reason.NO_SPEECH))
        if piece.stop - piece.start >= max(to_samples(settings.min_segment_s), 1):
            rows.append(Segment(upload, kept, *piece, Outcome.KEPT))
            kept += 1
        elif piece.stop > piece.start:
            rows.append(Segment(upload, -1, *piece, Outcome.FILTERED, Reason.TOO_SHORT))
        at = piece.stop
    return rows


def run(inputs: Inputs, settings: Settings) -> Iterator[Segment | Failure]:
    """Yield the rows of each upload, in order."""
    rows = inputs.rows("decode", Decoded)
    texts = {upload.sha256: bool(upload.text) for upload in inputs.batch.uploads}
    waves = inputs.waves("decode") if any(row.outcome is Outcome.KEPT for row in rows) else None
    step = hop(settings.engine)

    def work(row: Decoded) -> Iterable[Segment]:
        if row.outcome is not Outcome.KEPT or waves is None:
            return [Segment(row.upload, -1, 0, row.samples, row.outcome, row.reason)]
        if row.upload in inputs.duplicates:
            return [Segment(row.upload, -1, 0, row.samples, Outcome.FILTERED, Reason.DUPLICATE)]
        blocks = waves.stream(row.upload)
        found = speech_probability(blocks, settings.engine, settings.webrtc_mode, settings.reach_s)
        return tiled(row.upload, found, step, row.samples, texts[row.upload], settings)

    for row in rows:
        yield from guarded(row.upload, partial(work, row))


def _facts(batch: Batch) -> Any:
    """Whether each upload came with a transcript, in order."""
    return [bool(upload.text) for upload in batch.uploads]


def _models(settings: Settings) -> dict[str, str]:
    return {} if settings.engine == "webrtc" else {"slice.engine": silero_digest()}


STAGE = Stage(
    name="slice",
    version=VERSION,
    settings=Settings,
    needs=("decode",),
    row=Segment,
    run=run,
    facts=_facts,
    models=_models,
)

"""slice: cut each upload into segments of speech, with silence between them.

Method: a probability of speech for each frame (`model.audio.vad`) becomes spans of speech (`model.audio.spans`): two
thresholds, padding, short gaps joined, long spans cut at their longest pause. Segments shorter than `min_segment_s` are
dropped with a reason. Where several people speak (`diarise`), a span is cut at every change of voice. Every sample of
an upload belongs to exactly one row, and an upload's rows depend only on its samples, these settings, its turns, and
whether it came with a transcript.
Cost: on one core some 800 times real time for clean speech, less in noise, more where there are long pauses; 0.5 MB per
hour of audio. Measured, with its errors, by `tests/bench/vad.py`.
Source: WebRTC and Silero as `model.audio.vad` says; the figures for padding, gaps and lengths are this project's own.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from voicemill.model.audio.spans import VALLEY, Probability, Span, cut, outside, padded_runs, speech_runs, split_spans
from voicemill.model.audio.vad import Engine, hop, silero_digest, speech_probability
from voicemill.storage.outcomes import Failure, LostStretch, Outcome, Reason, Repeat
from voicemill.storage.records import Batch, Decoded, Diarised, Segment, Turn
from voicemill.storage.units import Samples, Seconds, to_samples
from voicemill.tasks.contract.segments import between, segment_row
from voicemill.tasks.contract.stage import NONE, Inputs, KeyContext, Repeats, Stage, StageSettings, guarded

VERSION = 4

REFUSED: dict[str | None, str] = {
    None: Reason.UNKNOWN_VOICE.value,
    "": Reason.OVERLAPPED_SPEECH.value,
    "other": Reason.OTHER_SPEAKER.value,
}
"""Voice in an upload with several -> reason why none of its speech is a segment."""


class Settings(StageSettings):
    """Detection and cutting of speech. Defaults without a source were chosen by `tests/bench/vad.py --half tune`."""

    engine: Engine = "cascade"
    """`cascade`: WebRTC proposes, Silero confirms; `silero` or `webrtc` alone."""
    webrtc_mode: int = Field(1, ge=0, le=3)
    """Strictness of WebRTC, 0 (lets most through) to 3. Speech that WebRTC rejects is lost."""
    reach_s: Seconds = Field(0.3, ge=0, le=10)
    """Seconds around the proposals of WebRTC in which Silero runs, so that it sees onsets in context."""
    doubt: float = Field(0.08, ge=0, le=1)
    """Share of undecided frames (0.1 to 0.9) in 16 s from which Silero also runs backward over them, and the mean
    counts. 0: always; 1: never. Clean speech stays under it; in noise it avoids most false alarms."""
    threshold_up: float = Field(0.8, gt=0, le=1)
    """Probability that a run of speech must reach; results change little from 0.7 to 0.9."""
    threshold_down: float = Field(0.45, gt=0, le=1)
    """Probability below which a run ends. Below a half, so that one direction of Silero alone can decide a frame."""
    min_speech_s: Seconds = Field(0.1, ge=0)
    """Seconds. Shorter runs are clicks or knocks, not speech."""
    pad_s: Seconds = Field(0.15, ge=0)
    """Seconds added before and after each run."""
    merge_gap_s: Seconds = Field(0.3, ge=0)
    """Seconds. Gaps between padded runs shorter than this are joined."""
    min_segment_s: Seconds = Field(1.0, ge=0)
    """Seconds. Shorter segments are filtered as `too_short`: few-shot cloning cannot use them."""
    max_segment_s: Seconds = Field(15.0, ge=1)
    """Seconds. Longer ones are cut; at least twice `min_segment_s` and 0.1 s."""
    whole_when_transcribed: bool = True
    """An upload with a transcript is one segment, from first to last speech, if `max_segment_s` allows."""
    drop_repeats: bool = True
    """Filter stretches that earlier uploads have in another encoding, level or cut, as `near_duplicate`."""

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.threshold_down > self.threshold_up:
            raise ValueError(
                f"slice.threshold_down ({self.threshold_down}) must not exceed slice.threshold_up ({self.threshold_up})"
            )
        if self.max_segment_s < 2 * self.min_segment_s + VALLEY:
            raise ValueError(
                f"slice.max_segment_s ({self.max_segment_s}) must be at least twice slice.min_segment_s "
                f"({self.min_segment_s}) and {VALLEY} s, or cut segments may be too short to keep"
            )
        return self


def speech_spans(
    probability: Probability, step: Samples, samples: Samples, settings: Settings
) -> tuple[list[Span], list[Span]]:
    """Runs of speech, and the same padded and joined, before any limit on their length."""
    least = to_samples(settings.min_speech_s)
    runs = speech_runs(probability, step, samples, settings.threshold_up, settings.threshold_down, least)
    return runs, padded_runs(runs, samples, to_samples(settings.pad_s), to_samples(settings.merge_gap_s))


def tile_segments(
    upload: str,
    probability: Probability,
    step: Samples,
    samples: Samples,
    transcribed: bool,
    settings: Settings,
    turns: Sequence[Turn] | None = None,
    lost: Sequence[LostStretch] = (),
    repeats: Sequence[Repeat] = (),
) -> list[Segment]:
    """Rows of one upload, which tile [0, samples).

    Args:
        probability: float32 [frames], 0..1, one for every `step` samples.
        transcribed: the upload came with its text.
        turns: by time, disjoint, where several people speak: no segment crosses a change, and speech outside every
            turn is of an unknown voice. None = one person speaks.
        lost: stretches that could not be decoded, in order: rows of their own, which no segment crosses.
        repeats: stretches that earlier uploads have, disjoint and in order: rows of their own, too.
    """
    runs, spans = speech_spans(probability, step, samples, settings)
    gaps = dict.fromkeys((Span(part.start, part.stop) for part in lost), (Outcome.CORRUPT, Reason.DAMAGED))
    again = outside([Span(part.start, part.stop) for part in repeats], list(gaps))
    gaps |= dict.fromkeys(again, (Outcome.FILTERED, Reason.NEAR_DUPLICATE))
    holes = sorted(gaps)
    runs, spans = outside(runs, holes), outside(spans, holes)
    longest, shortest = to_samples(settings.max_segment_s), to_samples(settings.min_segment_s)
    whole = transcribed and settings.whole_when_transcribed and turns is None
    pieces: list[tuple[Span, str | None]] = []
    if spans and whole and not gaps and spans[-1].stop - spans[0].start <= longest:
        pieces = [(Span(spans[0].start, spans[-1].stop), "")]
    else:
        starts = [run.start for run in runs]
        for span, voice in [(s, "") for s in spans] if turns is None else split_spans(spans, turns):
            own = runs[np.searchsorted(starts, span.start) : np.searchsorted(starts, span.stop)]
            pieces += [(piece, voice) for piece in cut(span, own, probability, step, longest, shortest)]
    rows: list[Segment] = []
    at = kept = 0
    for piece, voice in [*pieces, (Span(samples, samples), "")]:
        rows += between(upload, at, piece.start, gaps)
        reason = _refusal(voice, piece.stop - piece.start < max(shortest, 1), diarised=turns is not None)
        if piece.stop > piece.start:
            outcome, index = (Outcome.FILTERED, -1) if reason else (Outcome.KEPT, kept)
            rows.append(segment_row(upload, piece.start, piece.stop, outcome, reason, index, voice or ""))
            kept += not reason
        at = piece.stop
    return rows


def _refusal(voice: str | None, short: bool, *, diarised: bool) -> str:
    """Reason why a piece of speech is no segment; "" = it is one."""
    if diarised and voice in REFUSED:
        return REFUSED[voice]
    return Reason.TOO_SHORT.value if short else ""


def run(
    inputs: Inputs, settings: Settings, duplicates: frozenset[str] = frozenset(), repeats: Repeats = NONE
) -> Iterator[Segment | Failure]:
    """Yield the rows of each upload, in order; `duplicates` are filtered whole, `repeats` in part."""
    rows = inputs.rows("decode", Decoded)
    turns = {row.upload: row.turns for row in inputs.rows("diarise", Diarised)}
    texts = {upload.sha256: bool(upload.text) for upload in inputs.batch.uploads}
    waves = inputs.waves("decode") if any(row.outcome is Outcome.KEPT for row in rows) else None
    step = hop(settings.engine)

    def work(row: Decoded) -> Iterable[Segment]:
        if row.outcome is not Outcome.KEPT or waves is None:
            return [segment_row(row.upload, 0, row.samples, row.outcome, row.reason)]
        if row.upload in duplicates:
            return [segment_row(row.upload, 0, row.samples, Outcome.FILTERED, Reason.DUPLICATE)]
        blocks = waves.stream(row.upload)
        probability = speech_probability(
            blocks, settings.engine, settings.webrtc_mode, settings.reach_s, settings.doubt
        )
        own, again = turns.get(row.upload), repeats.get(row.upload, ()) if settings.drop_repeats else ()
        return tile_segments(
            row.upload, probability, step, row.samples, texts[row.upload], settings, own, row.lost, again
        )

    for row in rows:
        yield from guarded(row.upload, partial(work, row))


def _metadata(batch: Batch) -> Any:
    """Whether each upload came with a transcript, in order."""
    return [bool(upload.text) for upload in batch.uploads]


def _models(settings: Settings) -> dict[str, str]:
    return {} if settings.engine == "webrtc" else {"slice.engine": silero_digest()}


STAGE = Stage(
    name="slice",
    version=VERSION,
    settings=Settings,
    needs=("decode", "diarise"),
    row=Segment,
    run_in=lambda inputs, settings, context: run(inputs, settings, context.duplicates, context.repeats),
    metadata=_metadata,
    key_part=KeyContext.repetition,
    models=_models,
)

"""Outputs of all stages for a batch, side by side, and the verdict on each segment that follows from them."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import pyarrow as pa

from voicemill.storage.corpus.ledger import KEPT, SegmentVerdict
from voicemill.storage.outcomes import Failure, Outcome, Reason
from voicemill.storage.records import (
    Aligned,
    Decoded,
    Denoised,
    Levelled,
    Quality,
    Screened,
    Segment,
    Transcript,
    Voice,
    Word,
)
from voicemill.tasks.contract.stage import Inputs
from voicemill.tasks.contract.voices import OWN, Similarity

R = TypeVar("R")
Name = tuple[str, int]
"""Name of a segment: its upload and its index."""


@dataclass(frozen=True, kw_only=True)
class SegmentText:
    """Text of a segment as it enters the corpus, or the reason why it has none."""

    text: str
    words: tuple[Word, ...]
    status: str
    """`Aligned.status`."""
    engine: str = ""
    score: float | None = None
    """Mean log probability of a recognised text."""
    reason: str = ""
    """`Reason` why there is no text; "" where there is one."""
    stage: str = ""
    """Stage that refused or lacks it."""
    measure: float | None = None
    limit: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class Results:
    """Outputs of all stages for the uploads to work on."""

    inputs: Inputs
    """Outputs of every stage, in the order in which the verdict looks for failures."""
    features: tuple[str, ...]
    """Feature stages: their rows are matrices, one per utterance."""
    similarities: Mapping[Name, Similarity] = field(default_factory=dict)
    """Segments that were compared with their speaker."""

    def _by_name(self, stage: str, record: type[R]) -> dict[Name, R]:
        rows: list[Any] = self.inputs.rows(stage, record)
        return {(row.upload, row.index): row for row in rows}

    @cached_property
    def decoded(self) -> dict[str, Decoded]:
        """Upload -> its row of `decode`."""
        return {row.upload: row for row in self.inputs.rows("decode", Decoded)}

    @cached_property
    def cut(self) -> dict[str, list[Segment]]:
        """Upload -> its rows of `slice`, the dropped ones included."""
        rows: dict[str, list[Segment]] = defaultdict(list)
        for row in self.inputs.rows("slice", Segment):
            rows[row.upload].append(row)
        return rows

    @cached_property
    def segments(self) -> dict[Name, Segment]:
        """Kept segments of `slice`."""
        return {(row.upload, row.index): row for row in self.inputs.segments()}

    @cached_property
    def denoised(self) -> dict[Name, Denoised]:
        """Rows of `denoise`."""
        return self._by_name("denoise", Denoised)

    @cached_property
    def levelled(self) -> dict[Name, Levelled]:
        """Rows of `loudness`."""
        return self._by_name("loudness", Levelled)

    @cached_property
    def quality(self) -> dict[Name, Quality]:
        """Rows of `quality`."""
        return self._by_name("quality", Quality)

    @cached_property
    def screened(self) -> dict[Name, Screened]:
        """Rows of `screen`."""
        return self._by_name("screen", Screened)

    @cached_property
    def voices(self) -> dict[Name, Voice]:
        """Rows of `speaker`."""
        return self._by_name("speaker", Voice)

    @cached_property
    def transcripts(self) -> dict[Name, Transcript]:
        """Rows of `transcribe`; index -1 = a whole upload."""
        return self._by_name("transcribe", Transcript)

    @cached_property
    def aligned(self) -> dict[Name, Aligned]:
        """Rows of `align`."""
        return self._by_name("align", Aligned)

    def text(self, name: Name) -> SegmentText:
        """Text of a segment with rows of `transcribe` and `align`. A recognised text that does not align is dropped."""
        aligned, own = self.aligned[name], self.transcripts.get(name)
        source = own or self.transcripts.get((name[0], -1))
        engine, score = (source.engine, source.score) if source else ("", None)
        unfit = aligned.status == "failed" and engine not in ("", "given")
        if aligned.text and not unfit:
            return SegmentText(
                text=aligned.text, words=aligned.words, status=aligned.status, engine=engine, score=score
            )
        if unfit:
            reason, stage = Reason.UNFIT_TEXT.value, "align"
        elif own is not None:
            lacking = Reason.NO_WORDS if own.text else Reason.NO_TRANSCRIPT
            reason, stage = own.reason or lacking.value, "transcribe"
        elif source is not None:
            reason, stage = (Reason.UNPLACED_TEXT if aligned.status == "unplaced" else Reason.NO_WORDS).value, "align"
        else:
            reason, stage = Reason.NO_TRANSCRIPT.value, "transcribe"
        return SegmentText(
            text="",
            words=(),
            status="no_text" if unfit else aligned.status,
            score=score,
            reason=reason,
            stage=stage,
            measure=aligned.measure if unfit else own.measure if own else None,
            limit=aligned.limit if unfit else own.limit if own else None,
            detail=aligned.detail,
        )

    @cached_property
    def failures(self) -> dict[Name, dict[str, Failure]]:
        """(upload, index; -1 = the whole upload) -> stage -> failure."""
        failures: dict[Name, dict[str, Failure]] = defaultdict(dict)
        for stage, artifact in self.inputs.artifacts.items():
            for failure in artifact.meta.failures:
                failures[failure.upload, failure.index].setdefault(stage, failure)
        return failures

    @cached_property
    def matrices(self) -> dict[str, pa.Table]:
        """Feature stage -> its rows as a table: they are copied unread (except for F0)."""
        return {stage: self.inputs.artifacts[stage].table() for stage in self.features}

    @cached_property
    def places(self) -> dict[str, dict[Name, int]]:
        """Feature stage -> (upload, index) -> row number of the matrix."""
        return {
            stage: {name: at for at, name in enumerate(zip(*_lists(table, "upload", "index"), strict=True))}
            for stage, table in self.matrices.items()
        }


def verdict(results: Results, segment: Segment, *, require_text: bool, keep_unaligned: bool) -> SegmentVerdict:
    """Outcome of one segment that `slice` kept.

    A rule that dropped it comes first (`loudness`, `screen`, `speaker`), then the first stage that failed on it, then
    the rules on its text. A stage that gave neither a row nor an error counts as failed.
    """
    name = (segment.upload, segment.index)
    levelled, screened = results.levelled.get(name), results.screened.get(name)
    if levelled and levelled.outcome is not Outcome.KEPT:
        return SegmentVerdict(levelled.outcome, levelled.reason, "loudness", levelled.before)
    if screened and screened.outcome is not Outcome.KEPT:
        return SegmentVerdict(
            outcome=screened.outcome,
            reason=screened.reason,
            stage="screen",
            score=screened.score,
            threshold=screened.threshold,
        )
    if voiced := _voice_verdict(results, segment):
        return voiced
    whole, own = results.failures.get((segment.upload, -1), {}), results.failures.get(name, {})
    for stage in results.inputs.artifacts:
        if failure := own.get(stage) or whole.get(stage):
            return SegmentVerdict(Outcome.FAILED, failure.reason.value, stage, detail=failure.error)
    rows_of: Mapping[str, Mapping[Name, Any]] = {
        "denoise": results.denoised,
        "loudness": results.levelled,
        "quality": results.quality,
        "screen": results.screened,
        "align": results.aligned,
        **results.places,
    }
    for stage, rows in rows_of.items():
        if name not in rows:
            return SegmentVerdict(
                Outcome.FAILED, Reason.STAGE_ERROR.value, stage, detail=f"{stage} gave no row and no error"
            )
    text = results.text(name)
    if text.status == "failed" and not keep_unaligned:
        row = results.aligned[name]
        return SegmentVerdict(
            outcome=Outcome.FILTERED,
            reason=row.reason or Reason.UNALIGNED.value,
            stage="align",
            score=row.measure,
            threshold=row.limit,
            detail=row.detail,
        )
    if text.text or text.status == "failed":
        return KEPT
    if require_text:
        return SegmentVerdict(Outcome.FILTERED, Reason.NO_TEXT.value, "shards", detail=text.reason)
    return SegmentVerdict(
        outcome=Outcome.KEPT,
        reason=text.reason,
        stage=text.stage,
        score=text.measure,
        threshold=text.limit,
        detail=text.detail,
    )


def _voice_verdict(results: Results, segment: Segment) -> SegmentVerdict | None:
    """Outcome of a segment with two voices, or that of another or an unknown speaker; None for all others."""
    name = (segment.upload, segment.index)
    voice, similarity = results.voices.get(name), results.similarities.get(name)
    if voice and voice.outcome is not Outcome.KEPT:
        return SegmentVerdict(
            outcome=voice.outcome,
            reason=voice.reason,
            stage="speaker",
            score=voice.score,
            threshold=voice.threshold,
        )
    if similarity and similarity.is_other:
        return SegmentVerdict(
            outcome=Outcome.FILTERED,
            reason=Reason.OTHER_SPEAKER.value,
            stage="speaker",
            score=similarity.value,
            threshold=similarity.threshold,
        )
    if similarity is None and segment.voice not in OWN and not _failed(results, name):
        return SegmentVerdict(Outcome.FILTERED, Reason.UNKNOWN_VOICE.value, "speaker", detail=f"voice {segment.voice}")
    return None


def _failed(results: Results, name: Name) -> bool:
    """Whether `speaker` failed on a segment or its upload."""
    return any("speaker" in results.failures.get(key, {}) for key in (name, (name[0], -1)))


def _lists(table: pa.Table, *columns: str) -> list[list[Any]]:
    return [table[column].to_pylist() for column in columns]

"""The ledger: the account of every second of every upload.

An upload's rows are half-open intervals of samples that tile [0, samples) without gap or overlap, so that the outcomes
add up to its duration, to the sample. `build_ledger` builds them from the rows of the stages, `check_tiling` proves the
tiling before they are written, `summarise` adds them up for people.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from voicemill.storage.errors import StoreError
from voicemill.storage.outcomes import Failure, LedgerInterval, Outcome, Reason, UploadState
from voicemill.storage.records import Decoded, Segment, Upload
from voicemill.storage.units import RATE, Samples, Seconds, to_samples, to_seconds


@dataclass(frozen=True)
class SegmentVerdict:
    """Outcome of one segment that `slice` kept, and the stage that decided it."""

    outcome: Outcome
    reason: str = ""
    stage: str = ""
    score: float | None = None
    threshold: float | None = None
    detail: str = ""


KEPT = SegmentVerdict(Outcome.KEPT)


def interval_of(upload: str, start: Samples, stop: Samples, verdict: SegmentVerdict) -> LedgerInterval:
    """The ledger row of [start, stop) of an upload (sha256)."""
    return LedgerInterval(
        upload=upload,
        start=start,
        stop=stop,
        outcome=verdict.outcome,
        reason=verdict.reason,
        stage=verdict.stage,
        score=verdict.score,
        threshold=verdict.threshold,
        detail=verdict.detail,
    )


def build_ledger(
    upload: Upload,
    decoded: Decoded | None,
    segments: Sequence[Segment],
    verdicts: Mapping[int, SegmentVerdict],
    failures: Mapping[str, Failure],
) -> list[LedgerInterval]:
    """The ledger rows of one upload, in order.

    Args:
        decoded: row of `decode`; None where that failed.
        segments: rows of `slice`, in any order; empty where that failed.
        verdicts: index -> verdict, for every segment that `slice` kept.
        failures: stage -> failure on the whole upload.

    An upload that failed before it was cut is one row: over what was decoded, or over what its header states. One that
    cannot be used is one row over the samples that came out before the damage; it may be empty: [0, 0).

    Raises:
        StoreError: the rows do not tile the upload.
    """
    if decoded is None:
        return [_failed(upload, to_samples(upload.seconds), "decode", failures)]
    if decoded.outcome is not Outcome.KEPT:
        verdict = SegmentVerdict(decoded.outcome, decoded.reason, "decode", detail=decoded.detail)
        return [interval_of(upload.sha256, 0, decoded.samples, verdict)]
    if not segments:
        return [_failed(upload, decoded.samples, "diarise" if "diarise" in failures else "slice", failures)]
    rows, details = [], {part.start: part.detail for part in decoded.lost}
    for segment in sorted(segments, key=lambda s: (s.start, s.stop)):
        cut = SegmentVerdict(segment.outcome, segment.reason, "slice")
        verdict = verdicts[segment.index] if segment.outcome is Outcome.KEPT else cut
        if segment.outcome is Outcome.CORRUPT:
            verdict = replace(cut, stage="decode", detail=details.get(segment.start, ""))
        rows.append(interval_of(upload.sha256, segment.start, segment.stop, verdict))
    check_tiling(rows, decoded.samples)
    return rows


def _failed(upload: Upload, samples: Samples, stage: str, failures: Mapping[str, Failure]) -> LedgerInterval:
    failure = failures.get(stage, Failure(upload.sha256, f"{stage} gave no row and no error"))
    verdict = SegmentVerdict(Outcome.FAILED, failure.reason.value, stage, detail=failure.error)
    return interval_of(upload.sha256, 0, samples, verdict)


def check_tiling(rows: Sequence[LedgerInterval], samples: Samples) -> None:
    """Prove that `rows` tile [0, samples): sorted, no gap, no overlap, nothing empty but the one row of no samples.

    Raises:
        StoreError: they do not; the message names the upload and the place.
    """
    at, empty = 0, samples == 0 and len(rows) == 1
    for row in rows:
        if row.start != at or row.stop < row.start or (row.stop == row.start and not empty):
            raise StoreError(
                f"the ledger of upload {row.upload} is broken at sample {at}: the next row is [{row.start}, {row.stop})"
            )
        at = row.stop
    if at != samples or not rows:
        name = rows[0].upload if rows else "without rows"
        raise StoreError(f"the ledger of upload {name} accounts for {at} of {samples} samples")


_BETWEEN = (Reason.NO_SPEECH, Reason.TOO_SHORT)
"""Reasons of the rows around the stretches that earlier uploads have."""


def upload_state(rows: Sequence[LedgerInterval]) -> tuple[UploadState, str, str]:
    """State, reason and detail of an upload, by its rows: failed if any failed, corrupt if all are, else prepared."""
    failed = [row for row in rows if row.outcome is Outcome.FAILED]
    if failed:
        return UploadState.FAILED, failed[0].reason, failed[0].detail
    first = rows[0]
    if all(row.outcome is Outcome.CORRUPT for row in rows):
        return UploadState.CORRUPT, first.reason, first.detail
    if first.reason == Reason.DUPLICATE:
        return UploadState.DUPLICATE, first.reason, first.detail
    reasons = {row.reason for row in rows}
    if Reason.NEAR_DUPLICATE in reasons and reasons <= {Reason.NEAR_DUPLICATE, *_BETWEEN}:
        return UploadState.DUPLICATE, Reason.NEAR_DUPLICATE, ""
    whole = first.reason if len(rows) == 1 else ""
    return UploadState.PREPARED, whole, first.detail if whole else ""


@dataclass(frozen=True)
class SummaryLine:
    """One line of a summary: seconds by outcome."""

    name: str
    uploads: int
    kept: Seconds = 0.0
    silence: Seconds = 0.0
    filtered: Seconds = 0.0
    failed: Seconds = 0.0
    corrupt: Seconds = 0.0

    @property
    def seconds(self) -> Seconds:
        """Sum over all outcomes."""
        return to_seconds(sum(round(part * RATE) for part in self._parts))

    @property
    def _parts(self) -> tuple[Seconds, ...]:
        return self.kept, self.silence, self.filtered, self.failed, self.corrupt


By = Literal["upload", "path", "speaker", "reason", "stage", "outcome"]


def summarise(table: pa.Table, by: By = "outcome") -> list[SummaryLine]:
    """Add up ledger rows (columns `upload`, `start`, `stop`, `outcome` and the one of `by`) by one column.

    Lines are sorted by their seconds, longest first, then by name. Kept audio has the reason and the stage "", but
    where it has no text.
    """
    length = pc.subtract(table["stop"], table["start"])
    keys = [by] if by == "outcome" else [by, "outcome"]
    sums = table.append_column("length", length).group_by(keys, use_threads=False).aggregate([("length", "sum")])
    by_name: dict[str, dict[str, Seconds]] = {}
    for row in sums.to_pylist():
        by_name.setdefault(row[by], {})[row["outcome"]] = to_seconds(row["length_sum"])
    pairs = table.select(list(dict.fromkeys([by, "upload"])))
    uploads = pairs.group_by(pairs.column_names, use_threads=False).aggregate([])[by].value_counts()
    counts = {str(row["values"]): int(row["counts"]) for row in uploads.to_pylist()}
    lines = [SummaryLine(name, counts[name], **seconds) for name, seconds in by_name.items()]
    return sorted(lines, key=lambda line: (-line.seconds, line.name))

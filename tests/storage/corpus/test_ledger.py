"""The ledger adds up to the sample, whatever the stages report."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import factories as f

from voicemill.storage.corpus.ledger import (
    KEPT,
    SegmentVerdict,
    SummaryLine,
    build_ledger,
    check_tiling,
    summarise,
    upload_state,
)
from voicemill.storage.corpus.rows import to_table
from voicemill.storage.corpus.table_rows import LedgerRow
from voicemill.storage.errors import StoreError
from voicemill.storage.outcomes import Failure, LedgerInterval, Outcome, Reason, UploadState
from voicemill.storage.records import Decoded, Segment

UPLOAD = f.upload("ann", seconds=10.0)
ME = UPLOAD.sha256


def decoded(samples: int, outcome: Outcome = Outcome.KEPT, reason: str = "") -> Decoded:
    return Decoded(
        upload=ME,
        samples=samples,
        pcm="",
        codec="flac",
        rate=32_000,
        channels=1,
        outcome=outcome,
        reason=reason,
        detail="words of the decoder" if reason else "",
    )


verdicts = st.builds(
    SegmentVerdict,
    st.sampled_from(list(Outcome)),
    st.sampled_from([reason.value for reason in Reason]),
    st.sampled_from(["loudness", "screen", "align"]),
)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[int, list[Segment], dict[int, SegmentVerdict]]:
    """Any tiling of any upload, in any order, with any verdicts on the kept segments."""
    joints = draw(st.lists(st.integers(1, 10**7), min_size=1, max_size=12, unique=True).map(sorted))
    segments, index = [], 0
    for start, stop in zip([0, *joints], joints, strict=False):
        outcome = draw(st.sampled_from([Outcome.KEPT, Outcome.SILENCE, Outcome.FILTERED]))
        kept = outcome is Outcome.KEPT
        segments.append(
            Segment(
                upload=ME,
                index=index if kept else -1,
                start=start,
                stop=stop,
                outcome=outcome,
                reason="" if kept else "no_speech",
            )
        )
        index += kept
    by_index = {n: draw(verdicts) for n in range(index)}
    return joints[-1], draw(st.permutations(segments)), by_index


@given(cuts())
def test_outcomes_add_up_to_the_sample(cut: tuple[int, list[Segment], dict[int, SegmentVerdict]]) -> None:
    samples, segments, by_index = cut
    rows = build_ledger(UPLOAD, decoded(samples), segments, by_index, {})
    assert sum(row.stop - row.start for row in rows) == samples
    assert [row.start for row in rows] == [0, *(row.stop for row in rows)][:-1]
    by_start = {segment.start: segment for segment in segments}
    for row in rows:
        segment = by_start[row.start]
        want = by_index[segment.index].outcome if segment.outcome is Outcome.KEPT else segment.outcome
        assert (row.outcome, row.stop) == (want, segment.stop)


@given(cuts(), st.data())
def test_a_broken_tiling_is_refused(
    cut: tuple[int, list[Segment], dict[int, SegmentVerdict]], data: st.DataObject
) -> None:
    samples, segments, by_index = cut
    at = data.draw(st.integers(0, len(segments) - 1))
    how = data.draw(st.sampled_from(["drop", "double", "shift"]))
    old = segments[at]
    moved = Segment(
        upload=ME, index=old.index, start=old.start, stop=old.stop + 1, outcome=old.outcome, reason=old.reason
    )
    put = {"drop": [], "double": [old, old], "shift": [moved]}[how]
    broken = [*segments[:at], *put, *segments[at + 1 :]]
    if broken:
        with pytest.raises(StoreError, match=ME):
            build_ledger(UPLOAD, decoded(samples), broken, by_index, {})


def test_no_rows_are_refused() -> None:
    with pytest.raises(StoreError, match="0 of 5 samples"):
        check_tiling([], 5)
    with pytest.raises(StoreError, match="0 of 0 samples"):
        check_tiling([], 0)


def test_an_upload_that_cannot_be_cut_is_one_row() -> None:
    failure = Failure(ME, "OSError: medium", reason=Reason.UNREADABLE)
    cases = {
        "decode failed": build_ledger(UPLOAD, None, [], {}, {"decode": failure}),
        "decode said nothing": build_ledger(UPLOAD, None, [], {}, {}),
        "corrupt": build_ledger(UPLOAD, decoded(7, Outcome.CORRUPT, "truncated"), [], {}, {}),
        "nothing in it": build_ledger(
            UPLOAD,
            decoded(0, Outcome.CORRUPT, "empty"),
            [Segment(upload=ME, index=-1, start=0, stop=0, outcome=Outcome.CORRUPT)],
            {},
            {},
        ),
        "slice failed": build_ledger(UPLOAD, decoded(9), [], {}, {"slice": Failure(ME, "E: x")}),
    }
    assert {name: (r.start, r.stop, r.outcome, r.reason, r.stage, r.detail) for name, (r,) in cases.items()} == {
        "decode failed": (0, 320_000, "failed", "unreadable", "decode", "OSError: medium"),
        "decode said nothing": (0, 320_000, "failed", "stage_error", "decode", "decode gave no row and no error"),
        "corrupt": (0, 7, "corrupt", "truncated", "decode", "words of the decoder"),
        "nothing in it": (0, 0, "corrupt", "empty", "decode", "words of the decoder"),
        "slice failed": (0, 9, "failed", "stage_error", "slice", "E: x"),
    }


def interval(outcome: Outcome, reason: str = "", start: int = 0, detail: str = "") -> LedgerInterval:
    return LedgerInterval(upload=ME, start=start, stop=start + 10, outcome=outcome, reason=reason, detail=detail)


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ([interval(Outcome.KEPT), interval(Outcome.SILENCE, "no_speech", 10)], (UploadState.PREPARED, "", "")),
        ([interval(Outcome.SILENCE, "no_speech")], (UploadState.PREPARED, "no_speech", "")),
        ([interval(Outcome.FILTERED, "duplicate")], (UploadState.DUPLICATE, "duplicate", "")),
        (
            [interval(Outcome.FILTERED, "near_duplicate"), interval(Outcome.SILENCE, "no_speech", 10)],
            (UploadState.DUPLICATE, "near_duplicate", ""),
        ),
        (
            [interval(Outcome.FILTERED, "near_duplicate"), interval(Outcome.KEPT, "", 10)],
            (UploadState.PREPARED, "", ""),
        ),
        ([interval(Outcome.CORRUPT, "damaged", detail="d")], (UploadState.CORRUPT, "damaged", "d")),
        (
            [interval(Outcome.KEPT), interval(Outcome.FAILED, "worker_died", 10, "d")],
            (UploadState.FAILED, "worker_died", "d"),
        ),
    ],
)
def test_state_follows_from_the_rows(rows: list[LedgerInterval], state: tuple[UploadState, str, str]) -> None:
    assert upload_state(rows) == state


def test_summary_adds_up_in_every_direction() -> None:
    def row(upload: str, speaker: str, start: int, stop: int, outcome: str, reason: str, stage: str) -> LedgerRow:
        return LedgerRow(
            upload=upload,
            speaker=speaker,
            path=f"{upload}.wav",
            start=start,
            stop=stop,
            outcome=Outcome(outcome),
            reason=reason,
            stage=stage,
            score=None,
            threshold=None,
            detail="",
        )

    table = to_table(
        [
            row("u1", "ann", 0, 32_000, "kept", "", ""),
            row("u1", "ann", 32_000, 48_000, "silence", "no_speech", "slice"),
            row("u2", "ann", 0, 64_000, "filtered", "noisy", "screen"),
            row("u3", "bob", 0, 16_000, "failed", "stage_error", "mel"),
            row("u4", "bob", 0, 0, "corrupt", "empty", "decode"),
        ],
        LedgerRow,
    )
    assert summarise(table, "speaker") == [
        SummaryLine("ann", 2, kept=1.0, silence=0.5, filtered=2.0),
        SummaryLine("bob", 2, failed=0.5),
    ]
    assert summarise(table, "upload")[0] == SummaryLine("u2", 1, filtered=2.0)
    assert [line.name for line in summarise(table, "outcome")] == ["filtered", "kept", "failed", "silence", "corrupt"]
    assert [line.name for line in summarise(table, "reason")] == ["noisy", "", "no_speech", "stage_error", "empty"]
    assert {by: sum(line.seconds for line in summarise(table, by)) for by in ("upload", "path", "stage")} == {
        "upload": 4.0,
        "path": 4.0,
        "stage": 4.0,
    }
    assert summarise(pa.table(table.slice(0, 0))) == []


def test_kept_needs_no_reason() -> None:
    assert (KEPT.reason, KEPT.stage) == ("", "")

"""shards: every way in which a segment can end, and files that say so."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support import factories as f

from voicemill.storage.corpus import tables
from voicemill.storage.corpus.artifacts import Artifact
from voicemill.storage.corpus.flac import flac
from voicemill.storage.corpus.ledger import SegmentVerdict, check_tiling
from voicemill.storage.corpus.rows import from_table
from voicemill.storage.corpus.table_rows import LedgerRow, Utterance
from voicemill.storage.outcomes import Failure, LedgerInterval, Outcome, Reason
from voicemill.storage.records import ShardFile
from voicemill.storage.store import Store
from voicemill.tasks.publishing import shards as stage
from voicemill.tasks.registry import SINK

ANN, BOB = f.upload("ann", text="one two"), f.upload("bob")
BATCH = f.make_batch(1, ANN, BOB)
ME = ANN.sha256


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def rows_of(store: Store, files: list[ShardFile], table: str, record: type) -> list:  # type: ignore[type-arg]
    mine = [tables.File(x.path, x.speaker, x.size, x.rows) for x in files if x.table == table]
    return from_table(tables.read_all(store, table, mine), record)


def ledger_of(
    store: Store, change: Callable[[f.Made], None] | None, settings: stage.Settings | None = None
) -> list[LedgerRow]:
    """Ann's ledger, after the stages said something else; every upload's rows tile it."""
    _, files = f.shards(store, BATCH, change, settings=settings)
    rows: list[LedgerRow] = rows_of(store, files, "ledger", LedgerRow)
    for upload in BATCH.uploads:
        mine = [row for row in rows if row.upload == upload.sha256]
        check_tiling(
            [LedgerInterval(upload=r.upload, start=r.start, stop=r.stop, outcome=r.outcome) for r in mine],
            mine[-1].stop,
        )
    kept = [(row.upload, row.start) for row in rows if row.outcome is Outcome.KEPT]
    utterances: list[Utterance] = rows_of(store, files, "utterances", Utterance)
    assert [(u.upload, u.start) for u in utterances] == kept
    assert len(kept) >= 2  # bob's
    return [row for row in rows if row.upload == ME]


def fail(name: str, index: int = -1, reason: Reason = Reason.STAGE_ERROR) -> Callable[[f.Made], None]:
    def change(made: f.Made) -> None:
        made.failures[name].append(Failure(ME, f"boom in {name}", index, reason))
        for later in SINK.needs[SINK.needs.index(name) :]:
            made.drop(later, ME, None if index < 0 else index)

    return change


def put(name: str, **values: object) -> Callable[[f.Made], None]:
    return lambda made: made.change(name, ME, 0, **values)


CASES = {
    "loudness": (
        put("loudness", outcome=Outcome.FILTERED, reason="too_quiet", before=-120.0),
        "filtered too_quiet loudness",
    ),
    "screen": (put("screen", outcome=Outcome.FILTERED, reason="noisy", score=3.0), "filtered noisy screen"),
    "unaligned": (put("align", status="failed", detail="d"), "filtered unaligned align"),
    "words missing": (
        put("align", status="failed", reason="text_incomplete", measure=0.5, limit=0.1),
        "filtered text_incomplete align",
    ),
    "words too many": (
        put("align", status="failed", reason="text_surplus", measure=0.2, limit=0.4),
        "filtered text_surplus align",
    ),
    "one segment": (fail("mel", 0), "failed stage_error mel"),
    "first of two": (lambda made: (fail("f0", 0)(made), fail("content", 0)(made)), "failed stage_error content"),
    "whole upload": (fail("denoise"), "failed stage_error denoise"),
    "worker": (fail("content", -1, Reason.WORKER_DIED), "failed worker_died content"),
    "silent stage": (lambda made: made.drop("f0", ME, 0), "failed stage_error f0"),
    "no align row": (lambda made: made.drop("align", ME, 0), "failed stage_error align"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_end_of_a_segment(store: Store, name: str) -> None:
    change, want = CASES[name]
    row = ledger_of(store, change)[1]
    assert f"{row.outcome} {row.reason} {row.stage}" == want
    assert (row.start, row.stop) == (16_000, 16_000 + 84_800)


def test_the_measure_that_refuses_a_text_is_in_the_ledger(store: Store) -> None:
    row = ledger_of(store, put("align", status="failed", reason="text_surplus", measure=0.2, limit=0.4, detail="d"))[1]
    assert (row.score, row.threshold, row.detail) == (0.2, 0.4, "d")
    older = ledger_of(store, put("align", status="failed"))[1]
    assert (older.reason, older.score) == ("unaligned", None)


def test_a_rule_speaks_before_a_failure(store: Store) -> None:
    def change(made: f.Made) -> None:
        put("screen", outcome=Outcome.FILTERED, reason="clipped")(made)
        made.failures["transcribe"].append(Failure(ME, "no model"))

    rows = ledger_of(store, change)
    assert [row.reason for row in rows] == ["no_speech", "clipped", "no_speech", "stage_error", "no_speech"]


def test_uploads_that_never_were_cut(store: Store) -> None:
    (row,) = ledger_of(store, fail("decode", -1, Reason.UNREADABLE))
    assert (row.start, row.stop, row.outcome, row.reason) == (0, 192_000, "failed", "unreadable")
    (row,) = ledger_of(store, fail("slice"))
    assert (row.stop, row.outcome, row.stage) == (192_000, "failed", "slice")


def test_text_rules_are_settings(store: Store) -> None:
    def mute(made: f.Made) -> None:
        made.change("align", ME, 0, text="", words=(), status="no_text")

    assert ledger_of(store, mute)[1].outcome is Outcome.KEPT
    strict = ledger_of(store, mute, stage.Settings(require_text=True))[1]
    assert (strict.outcome, strict.reason) == ("filtered", "no_text")
    loose = ledger_of(store, put("align", status="failed"), stage.Settings(keep_unaligned=True))[1]
    assert loose.outcome is Outcome.KEPT


def no_text(made: f.Made, **transcript: object) -> None:
    made.change("transcribe", ME, 0, text="", engine="", **transcript)
    made.change("align", ME, 0, text="", words=(), status="no_text")


UNTRANSCRIBED: dict[str, tuple[Callable[[f.Made], None], str, str]] = {
    "nothing came": (no_text, "no_transcript", "transcribe"),
    "no recogniser": (lambda made: no_text(made, reason="no_recogniser"), "no_recogniser", "transcribe"),
    "a guard": (
        lambda made: no_text(made, reason="doubtful_text", measure=-1.5, limit=-1.0),
        "doubtful_text",
        "transcribe",
    ),
    "recognised, but not what is spoken": (
        lambda made: (put("transcribe", engine="faster-whisper")(made), put("align", status="failed")(made)),  # type: ignore[dict-item,return-value]
        "unfit_text",
        "align",
    ),
    "no word of it": (put("align", text="", words=(), status="no_text"), "no_words", "transcribe"),
}


@pytest.mark.parametrize("name", UNTRANSCRIBED)
def test_a_missing_text_has_a_reason_and_costs_no_audio(store: Store, name: str) -> None:
    change, reason, by = UNTRANSCRIBED[name]
    row = ledger_of(store, change)[1]
    assert (row.outcome, row.reason, row.stage) == ("kept", reason, by)
    assert (row.score, row.threshold) == ((-1.5, -1.0) if name == "a guard" else (None, None))
    _, files = f.shards(store, BATCH, change)
    utterance: Utterance = rows_of(store, files, "utterances", Utterance)[0]
    assert (utterance.text, utterance.words, utterance.engine) == ("", (), "")
    assert (utterance.alignment, utterance.text_reason) == ("no_text", reason)


def test_an_utterance_holds_what_the_stages_said(store: Store) -> None:
    _, files = f.shards(store, BATCH)
    row: Utterance = rows_of(store, files, "utterances", Utterance)[0]
    assert (row.id, row.text, row.engine, row.alignment) == (f"{ME[:16]}-0000", "one two", "given", "aligned")
    assert (row.text_reason, row.text_score) == ("", None)
    assert (row.text_fit, row.text_missing, row.text_worst_run, row.phone_rate) == (None, None, None, None)
    measures = {"fit": 0.9, "missing": 0.01, "worst_run": 0.7, "phone_rate": 12.0}
    _, files = f.shards(store, BATCH, put("align", **measures))
    measured: Utterance = rows_of(store, files, "utterances", Utterance)[0]
    assert (measured.text_fit, measured.text_missing, measured.text_worst_run, measured.phone_rate) == (
        *measures.values(),
    )
    assert [word.start for word in row.words] == [16_000, 16_000 + 42_400]
    wave, rate = soundfile.read(BytesIO(row.audio), dtype="float32")
    want = f.noise(ME, 0, 84_800) * np.float32(10 ** (7 / 20))
    assert rate == 32_000
    assert np.max(np.abs(wave - np.clip(want, -1, 1))) <= 1.01 / 32767
    pitch = np.frombuffer(f.matrix("f0", ME, 0, 84_800).data, "<f2").astype(np.float32)
    assert row.f0_median == pytest.approx(float(np.median(pitch)))
    assert row.voiced == 1.0
    assert row.recipe == f.RECIPE


def test_features_stand_in_the_order_of_the_utterances(store: Store) -> None:
    mixed = f.make_batch(2, f.upload("ann", 1), f.upload("bob", 1), f.upload("ann", 2))
    _, files = f.shards(store, mixed)
    for speaker in ("ann", "bob"):
        mine = [x for x in files if x.speaker == speaker]
        ids = [u.id for u in rows_of(store, mine, "utterances", Utterance)]
        want = [f"{u.sha256[:16]}-{i:04}" for u in mixed.uploads if u.speaker == speaker for i in (0, 1)]
        assert ids == want
        for name, table in f.FEATURE_TABLES.items():
            (shard,) = [tables.File(x.path, x.speaker, x.size, x.rows) for x in mine if x.table == table]
            rows = tables.read_all(store, table, [shard]).to_pylist()
            assert [row["id"] for row in rows] == ids
            first = f.matrix(name, next(u.sha256 for u in mixed.uploads if u.speaker == speaker), 0, 84_800)
            assert (rows[0]["frames"], rows[0]["dims"], rows[0]["data"]) == (first.frames, first.dims, first.data)


def test_same_bytes_again(store: Store) -> None:
    key, files = f.shards(store, BATCH)
    again = f.shards(store, BATCH)
    assert (key, files) == again
    assert tables.missing_shards(store, files) == []
    assert Artifact(store.stages / "shards" / f"{key}.arrow").rows(ShardFile) == files


def test_flac_clips_and_rounds() -> None:
    wave = np.array([0.0, 1.0, -1.0, 2.0, -2.0, 0.5 / 32767, 0.6 / 32767], np.float32)
    stored, _ = soundfile.read(BytesIO(flac(wave)), dtype="int16")
    assert stored.tolist() == [0, 32767, -32767, 32767, -32767, 0, 1]


def test_a_broken_batch_is_accounted_for(store: Store) -> None:
    why = SegmentVerdict(Outcome.FAILED, Reason.STAGE_ERROR.value, "mel", detail="disk full")
    files = stage.write_broken(store, BATCH, "k", why)
    rows: list[LedgerRow] = rows_of(store, files, "ledger", LedgerRow)
    assert [(r.speaker, r.stop, r.outcome, r.detail) for r in rows] == [
        ("ann", 192_000, "failed", "disk full"),
        ("bob", 192_000, "failed", "disk full"),
    ]


def test_the_key_follows_speaker_and_path() -> None:
    assert stage.STAGE.metadata is not None
    assert stage.STAGE.metadata(BATCH) == [[ME, "ann", "ann/0.wav"], [BOB.sha256, "bob", "bob/0.wav"]]

"""One stage of one batch: skipped, run, repaired, sealed; whatever it does to itself becomes an outcome."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.power_cuts import CUTS, cut

from voicemill.storage.corpus.artifacts import Artifact, audio_path
from voicemill.storage.outcomes import Failure, Reason
from voicemill.storage.records import Batch, Decoded, Denoised, Upload
from voicemill.storage.store import Store
from voicemill.tasks import execute as execute_
from voicemill.tasks.config import Config
from voicemill.tasks.contract.stage import Audio, Inputs, RunContext, Stage, StageSettings, guarded
from voicemill.tasks.culprits import find_culprits
from voicemill.tasks.execute import Work, artifact_path, execute

BATCH = Batch("b" * 16, 1, tuple(Upload(name * 64, "ann", f"{name}.wav", 9, seconds=2.0) for name in "abc"))
A, B, C = (upload.sha256 for upload in BATCH.uploads)


class NoSettings(StageSettings):
    pass


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Bench":
    return Bench(Store.open(tmp_path / "store", create=True), monkeypatch)


class Bench:
    """Two stages, first and second; `broken` says which uploads the first cannot do."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.broken: set[str] = set()
        self.seen: list[tuple[str, list[str]]] = []
        first = Stage(name="decode", version=1, settings=NoSettings, needs=(), row=Decoded, run=self._first)
        second = Stage(
            name="denoise", version=1, settings=NoSettings, needs=("decode",), row=Denoised, run=self._second
        )
        last = Stage(
            name="shards",
            version=1,
            settings=NoSettings,
            needs=("denoise",),
            row=Denoised,
            run=self._second,
            sealed=True,
        )
        for stage in (first, second, last):
            monkeypatch.setitem(execute_.BY_NAME, stage.name, stage)

    def _first(self, inputs: Inputs, _: NoSettings) -> Iterator[Any]:
        self.seen.append(("decode", [u.sha256 for u in inputs.batch.uploads]))
        for upload in inputs.batch.uploads:
            yield from guarded(upload.sha256, self._work(upload))

    def _work(self, upload: Upload) -> Callable[[], Iterator[Any]]:
        def work() -> Iterator[Any]:
            if upload.sha256 in self.broken:
                raise ValueError("too hard")
            yield Decoded(upload=upload.sha256, samples=4, pcm="", codec="pcm", rate=32000, channels=1)
            yield Audio(upload.sha256, -1, np.full(4, ord(upload.sha256[0]), np.float32))

        return work

    def _second(self, inputs: Inputs, _: NoSettings) -> Iterator[Any]:
        self.seen.append(("denoise", [u.sha256 for u in inputs.batch.uploads]))
        for upload in inputs.batch.uploads:
            yield Denoised(upload.sha256, 0, 20.0, False)

    def run(self, stage: str, **changes: Any) -> execute_.StageResult:
        inputs = {"decode": {}, "denoise": {"decode": "key-decode"}, "shards": {"denoise": "key-denoise"}}[stage]
        work = Work(
            stage=stage,
            key=f"key-{stage}",
            batch=BATCH,
            inputs=inputs,
            config=Config(),
            store=str(self.store.root),
            inbox="inbox",
            **changes,
        )
        return execute(work)

    def rows(self, done: execute_.StageResult) -> list[str]:
        return [row.upload for row in Artifact(Path(done.uri)).rows(execute_.BY_NAME[done.stage].row)]


def test_runs_once(bench: Bench) -> None:
    first, again = bench.run("decode"), bench.run("decode")
    assert (first.ran, first.rows, first.seconds, first.pending) == (True, 3, 6.0, ())
    assert (again.ran, again.seconds, again.uri) == (False, 0.0, first.uri)
    assert len(bench.seen) == 1
    assert first.peak_mb > 10


@pytest.mark.parametrize("damage", CUTS)
@pytest.mark.parametrize("which", ["rows", "audio"])
def test_a_damaged_output_is_made_again(bench: Bench, which: str, damage: str) -> None:
    first = bench.run("decode")
    bench.run("denoise")
    path = Path(first.uri)
    rows, audio = bench.rows(first), audio_path(path).read_bytes()
    cut(path if which == "rows" else audio_path(path), damage)
    bench.seen = []
    again = bench.run("decode")
    assert (again.ran, again.uri, bench.rows(again)) == (True, first.uri, rows)
    assert audio_path(path).read_bytes() == audio
    assert not bench.run("denoise").ran
    assert bench.seen == [("decode", [A, B, C])]


def test_failed_uploads_alone_are_tried_again(bench: Bench) -> None:
    bench.broken = {B}
    first = bench.run("decode")
    assert (first.pending, bench.rows(first)) == ((B,), [A, C])
    failure = Failure(B, "ValueError: too hard")
    assert Artifact(Path(first.uri)).meta.failures == (failure,)
    second = bench.run("denoise")
    assert (second.pending, bench.rows(second)) == ((B,), [A, C])

    bench.broken, bench.seen = set(), []
    first, second = bench.run("decode"), bench.run("denoise")
    assert bench.seen == [("decode", [B]), ("denoise", [B])]
    assert (first.seconds, second.seconds) == (2.0, 2.0)
    assert bench.rows(first) == bench.rows(second) == [A, B, C]
    assert first.pending == second.pending == ()
    with Artifact(Path(first.uri)).waves() as waves:
        for upload in (A, B, C):
            np.testing.assert_array_equal(waves.read(upload), np.full(4, ord(upload[0])))


def test_what_fails_again_costs_no_later_stage(bench: Bench) -> None:
    bench.broken = {B}
    bench.run("decode")
    bench.run("denoise")
    bench.seen = []
    assert bench.run("decode").pending == (B,)
    assert not bench.run("denoise").ran
    assert bench.seen == [("decode", [B])]


def test_a_sealed_stage_has_another_key_while_uploads_are_missing(bench: Bench) -> None:
    bench.broken = {B}
    bench.run("decode")
    bench.run("denoise")
    partial = bench.run("shards")
    assert partial.key != "key-shards"
    assert not bench.run("shards").ran
    bench.broken = set()
    bench.run("decode")
    bench.run("denoise")
    whole = bench.run("shards")
    assert (whole.key, whole.ran) == ("key-shards", True)


def test_an_error_outside_every_guard_fails_the_uploads_at_work(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(_: Inputs, __: NoSettings) -> Iterator[Any]:
        raise RuntimeError("the model is broken")
        yield

    monkeypatch.setitem(
        execute_.BY_NAME,
        "decode",
        Stage(name="decode", version=1, settings=NoSettings, needs=(), row=Decoded, run=explode),
    )
    done = bench.run("decode")
    assert done.pending == (A, B, C)
    assert {f.error for f in Artifact(Path(done.uri)).meta.failures} == {"RuntimeError: the model is broken"}


def test_an_error_outside_every_guard_is_blamed_on_its_upload(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def trip(inputs: Inputs, _: NoSettings) -> Iterator[Any]:
        for upload in inputs.batch.uploads:
            yield Decoded(upload=upload.sha256, samples=4, pcm="", codec="pcm", rate=32000, channels=1)
            if upload.sha256 == B:
                raise OSError("no weights in this file")  # as libraries do: of the data, not of the machine

    monkeypatch.setitem(
        execute_.BY_NAME,
        "decode",
        Stage(name="decode", version=1, settings=NoSettings, needs=(), row=Decoded, run=trip),
    )
    done = bench.run("decode")
    assert (done.pending, bench.rows(done)) == ((B,), [A, C])
    assert Artifact(Path(done.uri)).meta.failures == (Failure(B, "OSError: no weights in this file"),)


def test_blame_finds_each_culprit_and_nobody_for_a_crowd() -> None:
    crowd = tuple(Upload(f"{n:064}", "ann", f"{n}.wav", 9) for n in range(40))
    guilty, tried = {crowd[3].sha256, crowd[4].sha256, crowd[39].sha256}, []

    def attempt(uploads: tuple[Upload, ...]) -> str:
        tried.append(len(uploads))
        return "boom" if guilty & {upload.sha256 for upload in uploads} else ""

    assert find_culprits(crowd, attempt) == dict.fromkeys(sorted(guilty), "boom")
    assert len(tried) < 40
    assert find_culprits((), attempt) == {}
    assert find_culprits(crowd, lambda uploads: "too many" if len(uploads) > 9 else "") == {}
    assert find_culprits(crowd, lambda _: "no model") == {upload.sha256: "no model" for upload in crowd}


def test_a_sealed_stage_accounts_for_what_it_failed_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[str]] = []

    def seal(inputs: Inputs, _: NoSettings, context: RunContext) -> Iterator[Any]:
        told.append(sorted(context.failed))
        for upload in inputs.batch.uploads:
            if upload.sha256 in bench.broken - context.failed.keys():
                raise ValueError("too hard")
            yield Denoised(upload.sha256, 0, 20.0, False)

    monkeypatch.setitem(
        execute_.BY_NAME,
        "shards",
        Stage(
            name="shards", version=1, settings=NoSettings, needs=("denoise",), row=Denoised, run_in=seal, sealed=True
        ),
    )
    bench.run("decode")
    bench.run("denoise")
    bench.broken = {B}
    first, again = bench.run("shards"), bench.run("shards")
    assert first.key == again.key != "key-shards"
    assert (first.pending, bench.rows(first), again.ran) == ((B,), [A, B, C], True)
    assert told[-1] == [B]
    bench.broken = set()
    assert (bench.run("shards").key, told[-1]) == ("key-shards", [])


def test_a_store_that_cannot_be_written_is_an_error_of_the_task(bench: Bench) -> None:
    (bench.store.stages).mkdir()
    (bench.store.stages / "decode").write_text("a file where a folder must be")
    with pytest.raises(OSError, match="decode"):
        bench.run("decode")


def test_a_buried_upload_is_not_run(bench: Bench) -> None:
    done = bench.run("decode", killers=(C,))
    assert bench.seen == [("decode", [A, B])]
    (failure,) = Artifact(artifact_path(bench.store, "decode", done.key)).meta.failures
    assert (failure.upload, failure.reason) == (C, Reason.WORKER_DIED)

"""Running one stage of one batch: from its inputs' artifacts to its own, in whatever process this happens to be.

- The artifact is there, and complete: nothing runs.
- It is there, but some uploads failed when it was made (they are `pending`): the stage runs for those alone, and the
  artifact is replaced by the repaired one. A `sealed` stage (shards: its files are named by its key) never repairs;
  what is missing becomes part of its key instead.
- It is not there: the stage runs.

A stage guards its work on each upload. What gets past that (an error outside every guard, a worker process that dies)
is blamed by trying the uploads in halves: those that break the stage alone are recorded as failed, the rest is run.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from voicemill.storage.corpus.artifacts import Artifact, ArtifactMeta, ArtifactWriter
from voicemill.storage.keys import digest
from voicemill.storage.outcomes import Failure, Reason
from voicemill.storage.records import Batch, Upload
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds
from voicemill.tasks.config import Config
from voicemill.tasks.contract.models import MODELS
from voicemill.tasks.contract.stage import Audio, Inputs, RunContext, Stage
from voicemill.tasks.intake.scan import fetch
from voicemill.tasks.registry import BY_NAME


@dataclass(frozen=True)
class Work:
    """One stage of one batch, described small enough to send anywhere."""

    stage: str
    key: str
    batch: Batch
    inputs: dict[str, str]
    """Stage -> key of what it reads."""
    config: Config
    store: str
    inbox: str
    duplicates: tuple[str, ...] = ()
    recipe: str = ""
    feature_tables: dict[str, str] = field(default_factory=dict)
    killers: tuple[str, ...] = ()
    """Uploads that killed a worker process: recorded as failed instead of run."""


@dataclass(frozen=True)
class StageResult:
    """What became of a `Work`: a reference to the artifact, and what it cost."""

    stage: str
    batch: str
    key: str
    uri: str
    rows: int
    seconds: Seconds
    """Audio of the uploads it ran on; 0 when skipped."""
    ran: bool
    pending: tuple[str, ...]
    wall_s: Seconds
    cpu_s: Seconds
    """Processor time of this process, which is the stage's own where each worker is a process."""
    peak_mb: float


def artifact_path(store: Store, stage: str, key: str) -> Path:
    """Where the output of a stage lies."""
    return store.stages / stage / f"{key}.arrow"


@dataclass(frozen=True)
class _Place:
    """Where the output of a `Work` is, or will be, and what is left to do for it."""

    inputs: dict[str, Artifact]
    missing: set[str]
    """Uploads that an earlier stage failed on, whole or in part."""
    key: str
    path: Path
    old: Artifact | None
    todo: tuple[Upload, ...]


def _look(work: Work) -> _Place:
    stage, store = BY_NAME[work.stage], Store(Path(work.store))
    inputs = {name: Artifact(artifact_path(store, name, key)) for name, key in work.inputs.items()}
    missing = {upload for artifact in inputs.values() for upload in artifact.meta.pending}
    key = digest([work.key, sorted(missing)]) if stage.sealed and missing else work.key
    path = artifact_path(store, work.stage, key)
    old = Artifact(path) if path.exists() else None
    return _Place(
        inputs=inputs, missing=missing, key=key, path=path, old=old, todo=_todo(work, inputs, old, sealed=stage.sealed)
    )


def existing_output(work: Work) -> StageResult | None:
    """The output of `work` where there is nothing to do for it; opens no model, and reads no audio."""
    place = _look(work)
    if place.old is None or place.todo:
        return None
    pending = place.old.meta.pending
    return StageResult(
        stage=work.stage,
        batch=work.batch.id,
        key=place.key,
        uri=str(place.path),
        rows=0,
        seconds=0.0,
        ran=False,
        pending=pending,
        wall_s=0.0,
        cpu_s=0.0,
        peak_mb=0.0,
    )


def execute(work: Work) -> StageResult:
    """Bring the output of `work` into being, or find it there."""
    began, cpu = time.perf_counter(), time.process_time()
    if done := existing_output(work):
        return done
    stage, place = BY_NAME[work.stage], _look(work)
    inputs, missing, old, todo = place.inputs, place.missing, place.old, place.todo
    _reset_peak()
    died = [upload.sha256 for upload in todo if upload.sha256 in work.killers]
    failures = {u: Failure(u, f"a worker died in {work.stage}", reason=Reason.WORKER_DIED) for u in died}
    work = replace(work, key=place.key)
    try:
        artifact = _run(stage, work, inputs, missing, old, todo, failures)
    except Exception as error:
        if _of_machine(error):
            raise  # the store cannot be written, or read: the task fails, the flow decides
        alive = tuple(upload for upload in todo if upload.sha256 not in failures)
        blamed = find_culprits(alive, lambda uploads: dry_run(work, uploads))
        failures |= {upload: Failure(upload, words) for upload, words in blamed.items()}
        artifact = _run(stage, work, inputs, missing, old, todo, failures)
    return StageResult(
        stage=work.stage,
        batch=work.batch.id,
        key=artifact.meta.key,
        uri=str(artifact.path),
        rows=artifact.table().num_rows,
        seconds=sum(upload.seconds for upload in todo),
        ran=True,
        pending=artifact.meta.pending,
        wall_s=round(time.perf_counter() - began, 3),
        cpu_s=round(time.process_time() - cpu, 3),
        peak_mb=_peak_mb(),
    )


def remaining_uploads(work: Work) -> tuple[Upload, ...]:
    """The uploads that `execute` would run the stage on."""
    return _look(work).todo


def _todo(work: Work, inputs: dict[str, Artifact], old: Artifact | None, *, sealed: bool) -> tuple[Upload, ...]:
    """The uploads to run on: all, or those the artifact lacks; never one that an earlier stage failed on whole."""
    if sealed:
        return work.batch.uploads if old is None else ()
    lost = {upload for artifact in inputs.values() for upload in artifact.meta.lost}
    wanted = {upload.sha256 for upload in work.batch.uploads} if old is None else set(old.meta.pending)
    return tuple(upload for upload in work.batch.uploads if upload.sha256 in wanted - lost)


def _run(
    stage: Stage[Any],
    work: Work,
    artifacts: dict[str, Artifact],
    missing: set[str],
    old: Artifact | None,
    todo: tuple[Upload, ...],
    known: dict[str, Failure],
) -> Artifact:
    """Run the stage and write its artifact; uploads in `known` have failed already.

    A sealed stage runs on those too, and says in its output that they failed; its key says so as well, so that the next
    refresh finds nothing under the key it looks for, and tries again.
    """
    began = time.perf_counter()
    if stage.sealed and known:
        work = replace(work, key=digest([work.key, sorted(known)]))
    failures = list(known.values())
    redone = {upload.sha256 for upload in todo}
    rows: list[Any] = []
    with ArtifactWriter(artifact_path(Store(Path(work.store)), work.stage, work.key)) as writer:
        if old is not None:
            kept: list[Any] = old.rows(stage.row)
            rows = [row for row in kept if row.upload not in redone]
            _copy_audio(old, writer, redone)
        healthy = todo if stage.sealed else tuple(upload for upload in todo if upload.sha256 not in known)
        for record in produce(stage, work, artifacts, healthy, known) if healthy else ():
            if isinstance(record, Audio):
                writer.audio(record.upload, record.index, record.wave)
            elif isinstance(record, Failure):
                failures.append(record)
            else:
                rows.append(record)
        order = {upload.sha256: place for place, upload in enumerate(work.batch.uploads)}
        rows.sort(key=lambda made: order.get(made.upload, -1))
        pending = tuple(sorted({failure.upload for failure in failures} | missing))
        lost = {failure.upload for failure in failures if failure.index < 0}
        lost |= {upload for artifact in artifacts.values() for upload in artifact.meta.lost}
        wall_s = round(time.perf_counter() - began, 3)
        meta = ArtifactMeta(
            stage=work.stage,
            key=work.key,
            failures=tuple(failures),
            pending=pending,
            lost=tuple(sorted(lost)),
            wall_s=wall_s,
        )
        return writer.finish(rows, stage.row, meta)


def produce(
    stage: Stage[Any],
    work: Work,
    artifacts: dict[str, Artifact],
    todo: tuple[Upload, ...],
    failed: Mapping[str, Failure],
) -> Iterator[Any]:
    """The stage's records for some uploads."""
    store = Store(Path(work.store))
    inputs = Inputs(replace(work.batch, uploads=todo), artifacts)
    context = RunContext(
        recipe=work.recipe,
        duplicates=frozenset(work.duplicates),
        key=work.key,
        store=store,
        feature_tables=work.feature_tables,
        failed=failed,
        fetch=lambda upload: fetch(work.inbox, upload, store),
    )
    MODELS.trim()
    try:
        with inputs:
            yield from stage.records(inputs, work.config.of(stage.name), context)
    except MemoryError:
        MODELS.clear()
        raise


def dry_run(work: Work, uploads: tuple[Upload, ...]) -> str:
    """Run the stage on some uploads and keep nothing: the error that no guard of the stage catches, "" = none."""
    stage, died = BY_NAME[work.stage], dict.fromkeys(work.killers, Failure("", "", reason=Reason.WORKER_DIED))
    try:
        for _ in produce(stage, work, _look(work).inputs, uploads, died if stage.sealed else {}):
            pass
    except Exception as error:  # whatever a model or a library does to us must end as an outcome of these uploads
        if _of_machine(error):
            raise
        return f"{type(error).__name__}: {error}"[:500]
    return ""


PROBES = 5


def find_culprits(uploads: tuple[Upload, ...], attempt: Callable[[tuple[Upload, ...]], str]) -> dict[str, str]:
    """Upload -> error, of those that alone make an attempt fail; found by halves.

    Where several of many fail alike it is nobody's own fault (a model that cannot be loaded): all of them have failed.
    """
    if len(uploads) > 2 * PROBES:
        alone = {attempt((upload,)) for upload in uploads[:: len(uploads) // PROBES]}
        if len(alone) == 1 and (words := alone.pop()):
            return {upload.sha256: words for upload in uploads}
    return _by_halves(uploads, attempt)


def _by_halves(uploads: tuple[Upload, ...], attempt: Callable[[tuple[Upload, ...]], str]) -> dict[str, str]:
    words = attempt(uploads) if uploads else ""
    if not words or len(uploads) == 1:
        return {upload.sha256: words for upload in uploads} if words else {}
    half = len(uploads) // 2
    return _by_halves(uploads[:half], attempt) | _by_halves(uploads[half:], attempt)


def _of_machine(error: Exception) -> bool:
    """Whether the operating system refused something, as a full disk does; libraries also raise OSError for data."""
    return isinstance(error, OSError) and error.errno is not None


def _copy_audio(old: Artifact, writer: ArtifactWriter, redone: set[str]) -> None:
    if not old.meta.blocks:
        return
    with old.waves() as waves:
        for upload, index in dict.fromkeys((block.upload, block.index) for block in old.meta.blocks):
            if upload not in redone:
                for wave in waves.stream(upload, index):
                    writer.audio(upload, index, wave)


def _reset_peak() -> None:
    """Forget the peak memory so far (Linux keeps it in VmHWM)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_mb() -> float:
    """Peak resident memory since the last reset, MB."""
    try:
        status = Path(f"/proc/{os.getpid()}/status").read_text()
    except OSError:
        return 0.0
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

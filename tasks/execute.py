"""Run one stage of one batch, in whatever process this is: from the artifacts of its inputs to its own.

- The artifact exists and is complete: nothing runs.
- It exists, but some uploads failed when it was made (they are `pending`): the stage runs for those alone, and the
  repaired artifact replaces the old one. A `sealed` stage (shards: its files are named by its key) never repairs;
  the missing uploads become part of its key instead.
- It does not exist: the stage runs.

A stage guards its work on each upload. What gets past that (an error outside every guard, a worker process that dies)
is traced to uploads by halving the batch: those that break the stage alone are recorded as failed, the rest is run.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from voicemill.storage.corpus.artifacts import Artifact, ArtifactMeta, ArtifactWriter, complete_artifact
from voicemill.storage.corpus.tables import missing_shards
from voicemill.storage.errors import MachineError
from voicemill.storage.keys import digest
from voicemill.storage.outcomes import Failure, Reason, Repeat
from voicemill.storage.records import Batch, ShardFile, Upload
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds
from voicemill.tasks.config import Config
from voicemill.tasks.contract.models import MODELS
from voicemill.tasks.contract.stage import Audio, Discard, Enrolment, Inputs, RunContext, Stage
from voicemill.tasks.culprits import find_culprits
from voicemill.tasks.enrolment import gaps_of
from voicemill.tasks.intake.scan import fetch
from voicemill.tasks.peak_memory import peak_mb, reset_peak
from voicemill.tasks.registry import BY_NAME, VOICES


@dataclass(frozen=True)
class Work:
    """One stage of one batch, described small enough to send to any process."""

    stage: str
    key: str
    """Content key of the output, where no upload is missing."""
    batch: Batch
    inputs: dict[str, str]
    """Stage -> key of its output, for the stages that this one reads."""
    config: Config
    store: str
    inbox: str
    duplicates: tuple[str, ...] = ()
    """Uploads of the batch whose decoded samples an earlier upload already has."""
    repeats: dict[str, tuple[Repeat, ...]] = field(default_factory=dict)
    recipe: str = ""
    feature_tables: dict[str, str] = field(default_factory=dict)
    """Feature stage -> table."""
    enrolments: tuple[Enrolment, ...] = ()
    """References of the batch's speakers."""
    killers: tuple[str, ...] = ()
    """Uploads that killed a worker process: recorded as failed instead of run."""


@dataclass(frozen=True)
class StageResult:
    """Result of a `Work`: a reference to the artifact, and its cost."""

    stage: str
    batch: str
    key: str
    uri: str
    """Path of the artifact."""
    rows: int
    """Rows of the artifact; 0 when nothing ran."""
    seconds: Seconds
    """Audio of the uploads that the stage ran on; 0 when nothing ran."""
    ran: bool
    pending: tuple[str, ...]
    """Uploads whose rows are missing or incomplete."""
    wall_s: Seconds
    cpu_s: Seconds
    """Processor time of this process, which is the stage's own where each worker is a process."""
    peak_mb: float
    """Peak resident memory of this process during the run."""


def artifact_path(store: Store, stage: str, key: str) -> Path:
    """Path of the output of a stage."""
    return store.stages / stage / f"{key}.arrow"


@dataclass(frozen=True)
class _State:
    """Existing outputs of a `Work`, and the uploads that remain to be done."""

    inputs: dict[str, Artifact]
    missing: set[str]
    """Uploads that an earlier stage failed on, whole or in part."""
    key: str
    path: Path
    artifact: Artifact | None
    """The output, if it exists."""
    remaining: tuple[Upload, ...]
    """Uploads to run on."""


def _inspect(work: Work) -> _State:
    stage, store = BY_NAME[work.stage], Store(Path(work.store))
    inputs = {name: Artifact(artifact_path(store, name, key)) for name, key in work.inputs.items()}
    missing = {upload for artifact in inputs.values() for upload in artifact.meta.pending}
    gaps = gaps_of(work.enrolments, _voices(work))
    key = digest([work.key, sorted(missing), *gaps]) if stage.sealed and (missing or gaps) else work.key
    artifact = complete_artifact(path := artifact_path(store, work.stage, key))
    if artifact and stage.row is ShardFile and missing_shards(store, artifact.rows(ShardFile)):
        artifact = None  # the power failed before `publish` flushed its files
    remaining = _remaining(work, inputs, artifact, sealed=stage.sealed)
    return _State(inputs=inputs, missing=missing, key=key, path=path, artifact=artifact, remaining=remaining)


def _voices(work: Work) -> dict[str, Artifact]:
    """Content key -> output of the stage `speaker`, for the enrolments that exist."""
    paths = {e.key: artifact_path(Store(Path(work.store)), VOICES.name, e.key) for e in work.enrolments}
    return {key: artifact for key, path in paths.items() if (artifact := complete_artifact(path))}


def _remaining(work: Work, inputs: dict[str, Artifact], old: Artifact | None, *, sealed: bool) -> tuple[Upload, ...]:
    """The uploads to run on: all, or those the artifact lacks; never one that an earlier stage failed on whole."""
    if sealed:
        return work.batch.uploads if old is None else ()
    lost = {upload for artifact in inputs.values() for upload in artifact.meta.lost}
    lacking = {upload.sha256 for upload in work.batch.uploads} if old is None else set(old.meta.pending)
    return tuple(upload for upload in work.batch.uploads if upload.sha256 in lacking - lost)


def remaining_uploads(work: Work) -> tuple[Upload, ...]:
    """The uploads that `execute` would run the stage on."""
    return _inspect(work).remaining


def existing_output(work: Work) -> StageResult | None:
    """The output of `work` where nothing remains to do; loads no model and reads no audio."""
    state = _inspect(work)
    if state.artifact is None or state.remaining:
        return None
    return StageResult(
        stage=work.stage,
        batch=work.batch.id,
        key=state.key,
        uri=str(state.path),
        rows=0,
        seconds=0.0,
        ran=False,
        pending=state.artifact.meta.pending,
        wall_s=0.0,
        cpu_s=0.0,
        peak_mb=0.0,
    )


def execute(work: Work) -> StageResult:
    """Make the output of `work`, or find that it exists.

    Raises:
        OSError: the operating system refused to read or write the store; the flow decides what follows.
        MachineError: a library that the stage needs does not load.
    """
    began, cpu = time.perf_counter(), time.process_time()
    if result := existing_output(work):
        return result
    stage, state = BY_NAME[work.stage], _inspect(work)
    reset_peak()
    killers = [upload.sha256 for upload in state.remaining if upload.sha256 in work.killers]
    failures = {u: Failure(u, f"a worker died in {work.stage}", reason=Reason.WORKER_DIED) for u in killers}
    work = replace(work, key=state.key)
    try:
        artifact = _run(stage, work, state, failures)
    except ImportError as error:
        raise MachineError(
            f"the stage {work.stage} needs a library that does not load here: {error}. Install it (`voicemill doctor` "
            "names what is missing), or lift the limit on memory, and run the command again"
        ) from error
    except Exception as error:
        if _refused_by_system(error):
            raise
        suspects = tuple(upload for upload in state.remaining if upload.sha256 not in failures)
        culprits = find_culprits(suspects, lambda uploads: dry_run(work, uploads))
        failures |= {upload: Failure(upload, message) for upload, message in culprits.items()}
        artifact = _run(stage, work, state, failures)
    return StageResult(
        stage=work.stage,
        batch=work.batch.id,
        key=artifact.meta.key,
        uri=str(artifact.path),
        rows=artifact.table().num_rows,
        seconds=sum(upload.seconds for upload in state.remaining),
        ran=True,
        pending=artifact.meta.pending,
        wall_s=round(time.perf_counter() - began, 3),
        cpu_s=round(time.process_time() - cpu, 3),
        peak_mb=peak_mb(),
    )


def _run(stage: Stage[Any], work: Work, state: _State, known: dict[str, Failure]) -> Artifact:
    """Run the stage and write its artifact; uploads in `known` have failed already.

    A sealed stage runs on those too, and its output says that they failed; so does its key, so that the next refresh
    finds nothing under the key it looks for, and tries again.
    """
    began = time.perf_counter()
    if stage.sealed and known:
        work = replace(work, key=digest([work.key, sorted(known)]))
    failures = list(known.values())
    repaired = {upload.sha256 for upload in state.remaining}
    rows: list[Any] = []
    with ArtifactWriter(artifact_path(Store(Path(work.store)), work.stage, work.key)) as writer:
        if state.artifact is not None:
            old_rows: list[Any] = state.artifact.rows(stage.row)
            rows = [row for row in old_rows if row.upload not in repaired]
            _copy_audio(state.artifact, writer, repaired)
        uploads = tuple(u for u in state.remaining if stage.sealed or u.sha256 not in known)
        for record in produce(stage, work, state.inputs, uploads, known) if uploads else ():
            if isinstance(record, Audio):
                writer.audio(record.upload, record.index, record.wave)
            elif isinstance(record, Discard):
                writer.discard(record.upload)
            elif isinstance(record, Failure):
                failures.append(record)
            else:
                rows.append(record)
        order = {upload.sha256: place for place, upload in enumerate(work.batch.uploads)}
        rows.sort(key=lambda row: order.get(row.upload, -1))
        lost = {failure.upload for failure in failures if failure.index < 0}
        lost |= {upload for artifact in state.inputs.values() for upload in artifact.meta.lost}
        meta = ArtifactMeta(
            stage=work.stage,
            key=work.key,
            failures=tuple(failures),
            pending=tuple(sorted({failure.upload for failure in failures} | state.missing)),
            lost=tuple(sorted(lost)),
            wall_s=round(time.perf_counter() - began, 3),
        )
        return writer.finish(rows, stage.row, meta)


def produce(
    stage: Stage[Any],
    work: Work,
    artifacts: dict[str, Artifact],
    uploads: tuple[Upload, ...],
    failed: Mapping[str, Failure],
) -> Iterator[Any]:
    """Records of the stage for some uploads."""
    store = Store(Path(work.store))
    inputs = Inputs(replace(work.batch, uploads=uploads), artifacts)
    context = RunContext(
        recipe=work.recipe,
        duplicates=frozenset(work.duplicates),
        repeats=work.repeats,
        key=work.key,
        store=store,
        feature_tables=work.feature_tables,
        failed=failed,
        enrolments=work.enrolments,
        voices=_voices(work),
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
        deque(produce(stage, work, _inspect(work).inputs, uploads, died if stage.sealed else {}), maxlen=0)
    except Exception as error:  # whatever a model or a library raises must end as an outcome of these uploads
        if _refused_by_system(error):
            raise
        return f"{type(error).__name__}: {error}"[:500]
    return ""


def _refused_by_system(error: Exception) -> bool:
    """Whether the operating system refused an operation (a full disk); libraries also raise OSError for data."""
    return isinstance(error, OSError) and error.errno is not None


def _copy_audio(old: Artifact, writer: ArtifactWriter, repaired: set[str]) -> None:
    if not old.meta.blocks:
        return
    with old.waves() as waves:
        for upload, index in dict.fromkeys((block.upload, block.index) for block in old.meta.blocks):
            if upload not in repaired:
                for wave in waves.stream(upload, index):
                    writer.audio(upload, index, wave)

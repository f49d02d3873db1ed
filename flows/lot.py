"""The subflow `prepare-lot`: up to `run.lot_batches` batches through all stages."""

import errno
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from voicemill.flows.display.progress import active
from voicemill.flows.plans.refresh import RefreshPlan, find_duplicates, read_plan
from voicemill.flows.plans.repeats import searched
from voicemill.storage.corpus.artifacts import Artifact, complete_artifact
from voicemill.storage.errors import MachineError
from voicemill.storage.forgetting import tombstones
from voicemill.storage.outcomes import Repeat
from voicemill.storage.records import Batch, Decoded
from voicemill.storage.store import Store
from voicemill.tasks import workers
from voicemill.tasks.config import Config
from voicemill.tasks.engine import as_task
from voicemill.tasks.enrolment import speakers_of
from voicemill.tasks.execute import StageResult, Work, artifact_path
from voicemill.tasks.recipe import Recipe
from voicemill.tasks.registry import BY_NAME, SINK, SOURCE, VOICES


@dataclass
class LotResult:
    """Result of a lot: references to stage outputs, and the errors of batches with a broken task run."""

    shards: dict[str, StageResult] = field(default_factory=dict)
    """Batch id -> reference to its shards."""
    decoded: dict[str, str] = field(default_factory=dict)
    """Batch id -> key of its `decode` output."""
    samples_of: dict[str, str] = field(default_factory=dict)
    """Upload -> sha256 of its decoded samples, those of earlier lots included."""
    repeats: dict[str, tuple[Repeat, ...]] = field(default_factory=dict)
    """Upload -> its stretches that earlier uploads have, those of earlier lots included."""
    known: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Upload -> sample rate of its file, and decoded length, those of earlier lots included."""
    duplicates: set[str] = field(default_factory=set)
    """Uploads that later stages skip: an earlier or a forgotten upload has the same samples."""
    forgotten: set[str] = field(default_factory=set)
    """Duplicates of forgotten uploads, under other bytes."""
    broken: dict[str, str] = field(default_factory=dict)
    """Batch id -> error of the first task run that broke."""


@flow(name="prepare-lot", flow_run_name="lot {number} of {lots}", persist_result=False, validate_parameters=False)
def prepare_lot(plan_file: str, number: int, lots: int) -> LotResult:
    """Decode a lot, find duplicate uploads by their samples, then run the other stages batch by batch."""
    with workers.ended_with_the_flow():
        return _prepare(read_plan(plan_file), number)


def _prepare(plan: RefreshPlan, number: int) -> LotResult:
    batches, recipe = plan.lots[number - 1], Recipe(plan.settings)
    result = LotResult(samples_of=dict(plan.samples_of), repeats=dict(plan.repeats))
    sources = _enrolling_elsewhere(plan, recipe, batches)
    decoding = {batch.id: _submit(plan, recipe, batch, SOURCE.name, LotResult(), {}) for batch in (*sources, *batches)}
    for source in sources:
        decoding[source.id].wait()
        if decoding[source.id].state.is_completed():
            result.samples_of |= _samples(plan, decoding[source.id].result())
    for batch in batches:
        if done := _collect(decoding[batch.id], SOURCE.name, batch, result):
            result.decoded[batch.id] = done.key
            result.samples_of |= _samples(plan, done)
    graves = tombstones.read(Store.open(plan.store)).pcm
    result.forgotten = {upload for upload, pcm in result.samples_of.items() if pcm in graves}
    result.duplicates = find_duplicates(result.samples_of, plan.order) | result.forgotten
    _find_repeats(plan, result)
    futures: dict[tuple[str, str], PrefectFuture[StageResult]] = {
        (SOURCE.name, id_): future for id_, future in decoding.items()
    }
    later = [stage for stage in recipe.stages if stage is not SOURCE]
    for stage in later if sources else ():
        if stage.name in recipe.before(VOICES):
            for batch in sources:
                future = _submit(plan, recipe, batch, stage.name, result, futures)
                futures[stage.name, batch.id] = future
    for stage in later:
        for batch in batches:
            futures[stage.name, batch.id] = _submit(plan, recipe, batch, stage.name, result, futures)
    for stage in later:
        for batch in batches:
            if (done := _collect(futures[stage.name, batch.id], stage.name, batch, result)) and stage is SINK:
                result.shards[batch.id] = done
    return result


def after_lot(plan: RefreshPlan, result: LotResult) -> RefreshPlan:
    """The plan with what a lot found, which the next one builds on."""
    decoded = plan.decoded | result.decoded
    return replace(plan, samples_of=result.samples_of, known=result.known, repeats=result.repeats, decoded=decoded)


def _find_repeats(plan: RefreshPlan, result: LotResult) -> None:
    """Find the stretches of the lot's uploads that earlier uploads have."""
    store = Store.open(plan.store)

    def read(key: str) -> list[Decoded]:
        return Artifact(artifact_path(store, SOURCE.name, key)).rows(Decoded)

    own = [row for key in result.decoded.values() for row in read(key)]
    result.known = plan.known | {row.upload: (row.rate, row.samples) for row in own}
    kept = plan.order.keys() - {upload.sha256 for batch in plan.batches for upload in batch.uploads}
    prints = searched(store, plan.version, kept, [*plan.decoded.values(), *result.decoded.values()], read)
    for row in own:
        result.repeats.pop(row.upload, None)
        alone = row.fingerprint and row.upload not in result.duplicates
        if alone and (parts := prints.find(row, plan.order, result.known)):
            result.repeats[row.upload] = parts


def _samples(plan: RefreshPlan, done: StageResult) -> dict[str, str]:
    """Upload -> sha256 of its decoded samples, of one output of `decode`."""
    rows = Artifact(artifact_path(Store.open(plan.store), SOURCE.name, done.key)).rows(Decoded)
    return {row.upload: row.pcm for row in rows}


def _enrolling_elsewhere(plan: RefreshPlan, recipe: Recipe, batches: Sequence[Batch]) -> list[Batch]:
    """Batches outside a lot that enrol its speakers, and whose voices are not in the stage cache.

    They run as far as their voices. A batch that breaks here leaves a gap in the key of the shards that compare with
    it, so the next refresh tries again; here it breaks nothing.
    """
    store, own = Store.open(plan.store), {batch.id for batch in batches}
    duplicates = find_duplicates(plan.samples_of, plan.order)
    sources = {
        source.id: source
        for batch in batches
        for speaker in speakers_of(batch)
        for source in plan.enrolling_batches.get(speaker, ())
        if source.id not in own
    }

    def voices(source: Batch) -> Path:
        return artifact_path(store, VOICES.name, recipe.keys(source, duplicates, repeats=plan.repeats)[VOICES.name])

    return [source for source in sources.values() if not complete_artifact(voices(source))]


def _submit(
    plan: RefreshPlan,
    recipe: Recipe,
    batch: Batch,
    stage: str,
    known: LotResult,
    futures: dict[tuple[str, str], PrefectFuture[StageResult]],
) -> PrefectFuture[StageResult]:
    duplicates, repeats = known.duplicates, known.repeats
    keys = recipe.keys(batch, duplicates, plan.enrolling_batches if stage == SINK.name else {}, repeats)
    inputs = BY_NAME[stage].inputs_of(recipe.config.of(stage))
    uploads = {upload.sha256 for upload in batch.uploads}
    enrolments = recipe.enrolments(batch, duplicates, plan.enrolling_batches, repeats) if stage == SINK.name else ()
    work = Work(
        stage=stage,
        key=keys[stage],
        batch=batch,
        inputs={name: keys[name] for name in inputs},
        config=recipe.config,
        store=plan.store,
        inbox=plan.inbox,
        duplicates=tuple(sorted(uploads & duplicates)),
        repeats={upload: repeats[upload] for upload in sorted(uploads & repeats.keys())},
        recipe=recipe.id,
        feature_tables=recipe.feature_tables,
        enrolments=enrolments,
    )
    waits = [futures[name, batch.id] for name in inputs]
    if enrolments:
        names = ((VOICES.name, source.id) for who in speakers_of(batch) for source in plan.enrolling_batches[who])
        waits += [futures[name] for name in dict.fromkeys(names) if name in futures]
    return as_task(stage).submit(work, return_state=False, wait_for=waits)


def _collect(future: PrefectFuture[StageResult], stage: str, batch: Batch, result: LotResult) -> StageResult | None:
    """Wait for a task run. Returns its result, or None if it broke: the batch's first error is recorded.

    Raises:
        OSError: the disk is full, which no batch is to blame for: the refresh ends, and resumes when there is room.
        MachineError: the same of a library that does not load.
    """
    future.wait()
    if future.state.is_completed():
        done: StageResult = future.result()
        active().ended(done)
        return done
    # a task run stays pending where one that it waits for broke
    error = future.state.result(raise_on_failure=False) if future.state.is_final() else None
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if error is not None and (full or isinstance(error, MachineError)):
        raise error
    active().broke(stage)
    result.broken.setdefault(batch.id, f"{stage}: {future.state.message}")
    return None


def task_runner(config: Config) -> TaskRunner[Any]:
    """Prefect task runner that the config names.

    With `processes`, task runs are threads that wait for a worker process: two threads for each process, so that one
    that waits for an earlier stage leaves no process idle.
    """
    count = config.run.count
    if config.run.runner == "dask":
        return _dask_runner(count)
    if config.run.runner == "ray":
        return _ray_runner(count)
    return ThreadPoolTaskRunner(max_workers=2 * count if config.run.runner == "processes" else count)


def _dask_runner(count: int) -> TaskRunner[Any]:
    """Workers of Dask on loopback. Scheduler and workers run what they are sent: only TLS with the certificate of this
    run, which stays in memory, sends them anything, and their pages of HTTP are off."""
    import dask
    from prefect_dask import DaskTaskRunner

    dask.config.set({f"distributed.{part}.http.routes": [] for part in ("scheduler", "worker")})
    cluster = {"n_workers": count, "threads_per_worker": 1, "host": "127.0.0.1", "security": True}
    return cast(TaskRunner[Any], DaskTaskRunner(cluster_kwargs=cluster | {"dashboard_address": None}))


def _ray_runner(count: int) -> TaskRunner[Any]:
    """Workers of Ray behind a token of this run, unless the environment states the token of a cluster. Ray listens on
    all interfaces whatever its address is."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    if not any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    from prefect_ray import RayTaskRunner

    settings = {"num_cpus": count, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    return cast(TaskRunner[Any], RayTaskRunner(init_kwargs=settings))

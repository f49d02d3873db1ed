"""The flow `refresh`: an inbox of recordings becomes the next corpus version."""

import os
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from pydantic import BaseModel, Field

from voicemill.flows import events
from voicemill.flows.display import dashboard
from voicemill.flows.display.progress import active
from voicemill.flows.display.summary import Summary, stage_counts
from voicemill.flows.lot import LotResult, prepare_lot, task_runner
from voicemill.flows.plans.refresh import RefreshPlan, drop_plans, plan_refresh, write_plan
from voicemill.flows.report import page as report
from voicemill.flows.upload_rows import shards_of, upload_rows
from voicemill.storage.corpus import ledger, versions
from voicemill.storage.corpus.artifacts import audio_path
from voicemill.storage.corpus.rows import from_table
from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.corpus.versions import CorpusVersion, Version
from voicemill.storage.errors import BreakerOpen
from voicemill.storage.forgetting import evaluations as judged
from voicemill.storage.forgetting import tombstones
from voicemill.storage.outcomes import UploadState
from voicemill.storage.store import Store
from voicemill.tasks import config as config_
from voicemill.tasks import workers
from voicemill.tasks.execute import artifact_path
from voicemill.tasks.intake import batches as batches_
from voicemill.tasks.intake import scan as scan_
from voicemill.tasks.publishing import publish as publish_
from voicemill.tasks.recipe import Recipe
from voicemill.tasks.registry import SOURCE

_LEDGER_COLUMNS = ["upload", "start", "stop", "outcome", "speaker"]
_LOCAL: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


class RefreshOptions(BaseModel):
    """Parameters of a refresh; the dashboard makes a form of them."""

    inbox: str = Field(description="Folder or fsspec url of the recordings")
    store: str = Field(description="Folder of the store")
    config: str = Field("default", description="A TOML file, or a shipped config: default, production")
    assume_consent: str = Field("", description="A reason, recorded, that stands for the consent of all speakers")
    wait: bool = Field(False, description="Queue behind another refresh of the store instead of refusing")
    force_publish: bool = Field(False, description="Publish although the circuit breaker says no")


@flow(name="refresh", persist_result=False)
def refresh(options: RefreshOptions) -> Summary:
    """Scan the inbox, run what is new or changed, publish the next corpus version, and report."""
    began = time.perf_counter()
    recipe = Recipe(config_.load(options.config))
    store = Store.open(options.store, create=True)
    with store.locked(f"refresh {flow_run.name} (process {os.getpid()})", wait=options.wait):
        store.drop_temporaries()
        judged.sweep(store)
        last, before = latest_rows(store)
        again = True
        while again:
            found = scan_inbox(options, store, recipe, before)
            batches = batches_.form(store, found.uploads, before, recipe.config.batches)
            plan = plan_refresh(options.inbox, store, recipe, batches, last, before)
            announce(plan, found, last)
            lots = run_lots(plan, recipe, store)
            again = bury_forgotten(store, lots)
        shards = shards_of(store, plan, lots)
        rows = upload_rows(store, plan, batches, lots, shards, before, found.others)
        published = publish_version(options, recipe, store, shards, rows)
        if published is not None:
            events.corpus_published(store, published, last)
        summary = summarise(store, plan, lots, rows, found, published=published is not None)
        if summary.version and not report.path_of(store, summary.version).exists():  # also what a killed one left out
            summary.report = write_report(store)
        drop_plans(store)  # until here they are what links the audio of the stage cache with its speakers
    summary.wall_s = round(time.perf_counter() - began, 2)
    show(summary, store)
    return summary


def latest_rows(store: Store) -> tuple[Version | None, list[UploadRow]]:
    """The last corpus version and its uploads."""
    last = versions.latest(store)
    return last, from_table(CorpusVersion(store, last).uploads(), UploadRow) if last else []


@task(name="scan", task_run_name="scan", **_LOCAL)
def scan_inbox(options: RefreshOptions, store: Store, recipe: Recipe, before: list[UploadRow]) -> scan_.ScanResult:
    """List the inbox, hash what is new or touched, read transcripts and consents."""
    return scan_.scan(
        options.inbox, store, recipe.config.scan, known=before, assume_consent=options.assume_consent or None
    )


def announce(plan: RefreshPlan, found: scan_.ScanResult, last: Version | None) -> None:
    """Name the run by what it works on, and say how much there is to do."""
    speakers = {upload.speaker for upload in found.uploads}
    number = (last.number if last else 0) + bool(plan.lots)
    name = f"refresh · {len(speakers)} speakers · v{number}" if plan.lots else f"refresh · nothing new · v{number}"
    dashboard.name_run(name, [f"version:{number}", f"recipe:{Recipe(plan.settings).id[:8]}"])
    aside = "".join(f", {count} {state}" for state, count in found.counts.items() if state != "uploads")
    todo = f"{len(plan.batches)} batches to run in {len(plan.lots)} lots, {len(plan.unchanged)} unchanged"
    dashboard.say(f"{len(found.uploads)} uploads of {len(speakers)} speakers{aside}: {todo}")
    active().expect((stage.name for stage in Recipe(plan.settings).stages), len(plan.batches))


def run_lots(plan: RefreshPlan, recipe: Recipe, store: Store) -> list[LotResult]:
    """Run the lots one after another: of equal uploads the one in the earlier lot stays."""
    if not plan.lots:
        return []
    active().watchers.append(dashboard.ProgressArtifact())
    run = prepare_lot.with_options(task_runner=task_runner(recipe.config))
    results: list[LotResult] = []
    with workers.pool(recipe.config.run.count) if recipe.config.run.runner == "processes" else nullcontext():
        for number in range(1, len(plan.lots) + 1):
            path = write_plan(store, plan, str(flow_run.id))
            results.append(run(str(path), number, len(plan.lots)))
            plan = replace(plan, samples_of=results[-1].samples_of)
    return results


def bury_forgotten(store: Store, lots: list[LotResult]) -> bool:
    """Remember the bytes of what came back as other bytes with the samples of a forgotten upload, and drop the rest.

    The rest is the decoded audio of its lot, and the memory of the scan with its transcripts, which costs one hash.
    Returns whether there was any: the next scan refuses it, and its batch is without it then.
    """
    found = [lot for lot in lots if lot.forgotten]
    for lot in found:
        tombstones.bury(store, lot.forgotten, ())
        for key in lot.decoded.values():
            path = artifact_path(store, SOURCE.name, key)
            audio_path(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        for path in (store.stages / "scan").glob("*.parquet"):
            path.unlink()
    return bool(found)


@task(name="publish", task_run_name="publish", **_LOCAL)
def publish_version(
    options: RefreshOptions, recipe: Recipe, store: Store, shards: publish_.Shards, rows: list[UploadRow]
) -> Version | None:
    """Commit the tables and write the row of the corpus version, unless nothing differs or the breaker says no."""
    try:
        return publish_.publish(
            store,
            uploads=rows,
            shards=shards,
            recipe=recipe.id,
            config=recipe.config.model_dump(mode="json"),
            feature_tables=recipe.feature_tables,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            settings=recipe.config.publish,
            force=options.force_publish,
        )
    except BreakerOpen as error:  # the ledger that would say what failed is not published either
        failed = [row for row in rows if row.state is UploadState.FAILED]
        words = [f"one of {len(failed)} failed uploads: {row.path}: {row.detail}" for row in failed[:1]]
        raise BreakerOpen("\n".join([str(error), *words])) from None


def summarise(
    store: Store,
    plan: RefreshPlan,
    lots: list[LotResult],
    rows: list[UploadRow],
    found: scan_.ScanResult,
    *,
    published: bool,
) -> Summary:
    """Counts of the version that now stands, and of what this refresh did."""
    version = versions.latest(store)
    counts = version.counts if version else None
    failed = {row.path: f"{row.reason}: {row.detail}" for row in rows if row.state is UploadState.FAILED}
    return Summary(
        store=str(store.root),
        version=version.number if version else 0,
        published=published,
        uploads=dict(sorted(Counter(row.state.value for row in rows).items())),
        seconds=dict(counts.seconds) if counts else {},
        reasons=dict(counts.reasons) if counts else {},
        stages=stage_counts(active(), (stage.name for stage in Recipe(plan.settings).stages), len(plan.unchanged)),
        speakers=counts.speakers if counts else 0,
        utterances=counts.utterances if counts else 0,
        batches_run=len(plan.batches),
        batches_unchanged=len(plan.unchanged),
        held=dict(Counter(row.speaker for row in rows if row.state is UploadState.HELD)),
        problems=[str(problem) for problem in found.problems],
        broken={id_: error for lot in lots for id_, error in lot.broken.items()},
        failures=failed,
        report=report.latest(store),
        run=dashboard.run_address(),
    )


@task(name="report", task_run_name="report", **_LOCAL)
def write_report(store: Store) -> str:
    """Write the HTML report of the latest version."""
    return str(report.write(store))


def show(summary: Summary, store: Store) -> None:
    """The artifacts of the run."""
    last = versions.latest(store)
    lines = ledger.summary(CorpusVersion(store, last).ledger(_LEDGER_COLUMNS), "speaker") if last else []
    dashboard.show_summary(summary, last.counts.causes if last else (), [speaker_line(line) for line in lines])
    dashboard.say(f"corpus version {summary.version} {'published' if summary.published else 'stands: nothing new'}")


def speaker_line(line: ledger.Line) -> dict[str, object]:
    """One row of the table by speaker."""
    share = line.kept / line.seconds if line.seconds else 0.0
    parts = {name: round(getattr(line, name), 1) for name in ("silence", "filtered", "failed", "corrupt")}
    kept = {"kept s": round(line.kept, 1), "share kept": f"{share:.0%}"}
    return {"speaker": line.name, "uploads": line.uploads, "seconds": round(line.seconds, 1)} | kept | parts

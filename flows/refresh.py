"""The flow `refresh`: an inbox of recordings becomes the next corpus version."""

import os
import time
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from pydantic import Field

from voicemill.flows import events
from voicemill.flows.display import dashboard
from voicemill.flows.display import refresh as refresh_page
from voicemill.flows.display.progress import active
from voicemill.flows.display.summary import HELD, Summary, stage_counts
from voicemill.flows.held_voices import hold_voices
from voicemill.flows.lot import LotResult, after_lot, prepare_lot, task_runner
from voicemill.flows.plans import help_texts
from voicemill.flows.plans.options import StoreOptions
from voicemill.flows.plans.refresh import RefreshPlan, drop_plans, plan_refresh, write_plan
from voicemill.flows.plans.room import check_room
from voicemill.flows.report import page as report
from voicemill.flows.service.notices.questions import repeat_subflows, withdraw
from voicemill.flows.service.notices.refresh import confirm_breaker, tell_held, tell_unkept
from voicemill.flows.service.recovery.attempts import is_resumed
from voicemill.flows.upload_rows import shards_of, upload_rows
from voicemill.storage.checking.check import require_whole
from voicemill.storage.checking.sizes import damaged_files
from voicemill.storage.corpus import ledger, tables, versions
from voicemill.storage.corpus.artifacts import audio_path
from voicemill.storage.corpus.rows import from_table
from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.corpus.text_coverage import TextShare, text_gaps, text_shares
from voicemill.storage.corpus.versions import CorpusVersion, Version
from voicemill.storage.errors import BreakerOpen
from voicemill.storage.forgetting import tombstones
from voicemill.storage.forgetting.forget import erase_leftover_evaluations
from voicemill.storage.outcomes import UploadState
from voicemill.storage.store import Store
from voicemill.tasks import config, workers
from voicemill.tasks.execute import artifact_path
from voicemill.tasks.intake.batches import form_batches
from voicemill.tasks.intake.scan import ScanResult, scan
from voicemill.tasks.publishing.publish import Shards, publish
from voicemill.tasks.recipe import Recipe
from voicemill.tasks.registry import SOURCE

_LEDGER_COLUMNS = ["upload", "start", "stop", "outcome", "speaker"]
_LOCAL: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


class RefreshOptions(StoreOptions):
    """Parameters of a refresh; the dashboard makes a form of them."""

    inbox: str = Field(description=help_texts.INBOX)
    config: str = Field("default", description=help_texts.CONFIG)
    assume_consent: str = Field("", description=help_texts.CONSENT)
    language: str = Field("", description=help_texts.LANGUAGE)
    wait: bool = Field(False, description=help_texts.WAIT)
    force_publish: bool = Field(False, description=help_texts.FORCE_PUBLISH)
    check: bool = Field(False, description=help_texts.CHECK)


@flow(name="refresh", persist_result=False)
def refresh(options: RefreshOptions) -> Summary:
    """Scan the inbox, run the new and changed batches, publish the next corpus version, and report."""
    began = time.perf_counter()
    repeat_subflows()
    recipe = Recipe(config.load(options.config))
    store = Store.open(options.store, create=True)
    with store.locked(f"refresh {flow_run.name} (process {os.getpid()})", wait=options.wait):
        store.drop_temporaries()
        if options.check:
            require_whole(store)
        erase_leftover_evaluations(store)
        last, before, damaged = latest_rows(store)
        repeat = True
        while repeat:
            listing = scan_inbox(options, store, recipe, before)
            if last is None and listing.held and not listing.uploads:
                return without_consent(options, store, listing, began)
            batches = form_batches(store, listing.uploads, before, recipe.config.batches)
            plan = plan_refresh(options.inbox, store, recipe, batches, last, before, damaged)
            check_room(store, plan, recipe)
            announce(plan, listing, last)
            lots = run_lots(plan, recipe, store)
            repeat = bury_forgotten(store, lots) or hold_voices(store, recipe, plan, lots, last, listing)
        shards = shards_of(store, plan, lots)
        rows = upload_rows(store, plan, batches, lots, shards, before, listing.others)
        published = publish_or_ask(options, recipe, store, shards, rows)
        current = versions.latest(store)
        if current is not None and (published is not None or is_resumed()):
            before_it = versions.get(store, current.number - 1) if current.number > 1 else None
            events.corpus_published(store, current, before_it)
        texts = text_shares(CorpusVersion(store, current)) if current else []
        summary = summarise(store, plan, lots, rows, listing, texts, published=published is not None)
        if summary.version and not report.path_of(store, summary.version).exists():  # missing, too, after a kill
            summary.report = write_report(store)
        tell_unkept(store, published, rows, before)
        tell_held(store, summary.held)
        drop_plans(store)  # not earlier: until now only they link the audio of the stage cache to its speakers
    dashboard.complete(summary, began)
    show(summary, store, texts)
    return summary


def without_consent(options: RefreshOptions, store: Store, listing: ScanResult, began: float) -> Summary:
    """End a first refresh whose uploads are all held: there is nothing to prepare or to publish."""
    states = Counter(row.state.value for row in listing.others)
    summary = Summary(
        store=str(store.root),
        version=0,
        published=False,
        uploads=dict(sorted(states.items())),
        seconds={},
        reasons={},
        stages={},
        speakers=0,
        utterances=0,
        batches_run=0,
        batches_unchanged=0,
        held=listing.held,
        problems=[str(problem) for problem in listing.problems],
        inbox=options.inbox,
    )
    tell_held(store, listing.held)
    dashboard.name_run(f"refresh · no consent of {len(listing.held)} speakers", ["version:0"])
    dashboard.log(HELD)
    dashboard.complete(summary, began)
    refresh_page.show_summary(summary, (), [])
    return summary


def latest_rows(store: Store) -> tuple[Version | None, list[UploadRow], set[str]]:
    """The last corpus version, the rows of its uploads, and the keys of its shards that are missing or cut short.

    Rows of damaged files are left out: the scan and the outputs of `decode` have them again.

    Raises:
        StoreDamaged: a log, or a file of uploads that has its size, cannot be read.
    """
    if (last := versions.latest(store)) is None:
        return None, [], set()
    corpus = CorpusVersion(store, last)
    damaged = damaged_files(corpus)
    if damaged:
        dashboard.log(f"{len(damaged)} files of version {last.number} are missing or cut short: they are made again")
    paths = {file.path for file in damaged if file.table == "uploads"}
    whole = [file for file in corpus.shards("uploads") if file.path not in paths]
    rows = from_table(tables.read_all(store, "uploads", whole), UploadRow)
    return last, rows, {tables.key_of(file.path) for file in damaged if file.table != "uploads"}


@task(name="scan", task_run_name="scan", **_LOCAL)
def scan_inbox(options: RefreshOptions, store: Store, recipe: Recipe, before: list[UploadRow]) -> ScanResult:
    """List the inbox, hash new and modified files, read transcripts and consents."""
    return scan(
        options.inbox,
        store,
        recipe.config.scan,
        known=before,
        assume_consent=options.assume_consent or None,
        language=options.language,
    )


def announce(plan: RefreshPlan, listing: ScanResult, last: Version | None) -> None:
    """Name and tag the run, log how much there is to do, and set the end of the progress bars."""
    speakers = {upload.speaker for upload in listing.uploads}
    number = (last.number if last else 0) + bool(plan.lots)
    name = f"refresh · {len(speakers)} speakers · v{number}" if plan.lots else f"refresh · nothing new · v{number}"
    dashboard.name_run(name, [f"version:{number}", f"recipe:{Recipe(plan.settings).id[:8]}"])
    others = "".join(f", {count} {state}" for state, count in listing.counts.items() if state != "uploads")
    work = f"{len(plan.batches)} batches to run in {len(plan.lots)} lots, {len(plan.unchanged)} unchanged"
    dashboard.log(f"{len(listing.uploads)} uploads of {len(speakers)} speakers{others}: {work}")
    active().expect((stage.name for stage in Recipe(plan.settings).stages), len(plan.batches))


def run_lots(plan: RefreshPlan, recipe: Recipe, store: Store) -> list[LotResult]:
    """Run the lots one after another: of uploads with equal samples the one in the earlier lot is kept."""
    if not plan.lots:
        return []
    active().watchers.append(refresh_page.ProgressArtifact())
    run = prepare_lot.with_options(task_runner=task_runner(recipe.config))
    results: list[LotResult] = []
    with workers.pool(recipe.config):
        for number in range(1, len(plan.lots) + 1):
            path = write_plan(store, plan, str(flow_run.id))
            results.append(run(str(path), number, len(plan.lots)))
            plan = after_lot(plan, results[-1])
    return results


def bury_forgotten(store: Store, lots: list[LotResult]) -> bool:
    """Remove uploads that came back with other bytes but the samples of a forgotten one; return whether there were any.

    Their bytes get tombstones, so that the next scan refuses them and their batches form without them. The decoded
    audio of their lot is deleted, and so is the cache of the scan, which has their transcripts and costs a hash each.
    """
    affected = [lot for lot in lots if lot.forgotten]
    for lot in affected:
        tombstones.add(store, lot.forgotten, ())
        for key in lot.decoded.values():
            path = artifact_path(store, SOURCE.name, key)
            audio_path(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        for path in (store.stages / "scan").glob("*.parquet"):
            path.unlink()
    return bool(affected)


def publish_or_ask(
    options: RefreshOptions, recipe: Recipe, store: Store, shards: Shards, rows: list[UploadRow]
) -> Version | None:
    """Publish; where the circuit breaker is open, only after a person has answered that it is right."""
    try:
        version = publish_version(options, recipe, store, shards, rows)
    except BreakerOpen as refusal:
        confirm_breaker(store, versions.latest(store), refusal)
        version = publish_version(options.model_copy(update={"force_publish": True}), recipe, store, shards, rows)
    withdraw(store, "refresh")
    return version


@task(name="publish", task_run_name="publish", **_LOCAL)
def publish_version(
    options: RefreshOptions, recipe: Recipe, store: Store, shards: Shards, rows: list[UploadRow]
) -> Version | None:
    """Commit the tables and the row of the corpus version, unless nothing changed or the circuit breaker refuses."""
    try:
        return publish(
            store,
            uploads=rows,
            shards=shards,
            recipe=recipe.id,
            config=recipe.config.recorded(),
            feature_tables=recipe.feature_tables,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            settings=recipe.config.publish,
            force=options.force_publish,
        )
    except BreakerOpen as error:  # the ledger with the reasons is not published either
        failed = [row for row in rows if row.state is UploadState.FAILED]
        example = [f"one of {len(failed)} failed uploads: {row.path}: {row.detail}" for row in failed[:1]]
        raise BreakerOpen("\n".join([str(error), *example])) from None


def summarise(
    store: Store,
    plan: RefreshPlan,
    lots: list[LotResult],
    rows: list[UploadRow],
    listing: ScanResult,
    texts: list[TextShare],
    *,
    published: bool,
) -> Summary:
    """Counts of the current corpus version, and of the work of this refresh."""
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
        held=dict(Counter(row.speaker for row in rows if row.state is UploadState.HELD and not row.reason)),
        problems=[str(problem) for problem in listing.problems],
        broken={id_: error for lot in lots for id_, error in lot.broken.items()},
        failures=failed,
        without_text=[asdict(gap) | {"line": gap.line} for gap in text_gaps(texts)],
        report=report.latest(store),
        inbox=plan.inbox,
    )


@task(name="report", task_run_name="report", **_LOCAL)
def write_report(store: Store) -> str:
    """Write the HTML report of the latest version."""
    return str(report.write(store))


def show(summary: Summary, store: Store, texts: list[TextShare]) -> None:
    """Add the artifacts to the run's page."""
    last = versions.latest(store)
    lines = ledger.summarise(CorpusVersion(store, last).ledger(_LEDGER_COLUMNS), "speaker") if last else []
    refresh_page.show_summary(summary, last.counts.causes if last else (), lines, texts)
    state = "published" if summary.published else "is current: nothing new"
    dashboard.log(f"corpus version {summary.version} {state}")

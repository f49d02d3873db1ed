"""Status of a store on one screen: what waits for a person, what went wrong, its runs, its corpus and its voices."""

import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from voicemill.flows.service.access import private_settings
from voicemill.flows.service.notices.log import Notice, read_notices
from voicemill.flows.service.up import POOLS, read_state, supervisor_pid
from voicemill.storage.corpus import versions
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.outcomes import UploadState
from voicemill.storage.store import Store
from voicemill.storage.voices import registry
from voicemill.storage.voices import status as voice_status

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, StateType
    from prefect.client.schemas.sorting import FlowRunSort

RECENT = timedelta(days=7)
"""Age of the notices that are shown."""
SHOWN = 8
"""Notices and held speakers shown, at most."""


@dataclass(frozen=True)
class DeploymentStatus:
    """When a deployment ran last and runs next."""

    name: str
    starts: str
    """Its cron or event."""
    last: str
    """State and time of its last run; "" = it has none."""
    next: str
    """Time of its next run; "" = none is scheduled."""


@dataclass(frozen=True)
class VoiceSummary:
    """Entries of a voice."""

    name: str
    entries: int
    champions: str
    """Lane and number of each."""
    candidates: int


@dataclass(frozen=True, kw_only=True)
class StoreStatus:
    """All that `voicemill status` shows; `--json` prints the fields under these names."""

    store: str
    url: str = ""
    """Address of the server; "" = the store is not up, and PREFECT_API_URL names none."""
    processes: tuple[str, ...] = ()
    restarts: Mapping[str, int] = field(default_factory=dict)
    version: int = 0
    """Latest corpus version; 0 = none."""
    created: str = ""
    speakers: int = 0
    utterances: int = 0
    hours: float = 0.0
    deployments: tuple[DeploymentStatus, ...] = ()
    voices: tuple[VoiceSummary, ...] = ()
    waiting: tuple[str, ...] = ()
    """Tasks of a person, each with the command or page that ends it."""
    notices: tuple[Notice, ...] = ()
    """Newest first."""


def read_status(store: Store) -> StoreStatus:
    """Read the status of a store; the server of PREFECT_API_URL is asked for runs, or that of `voicemill up`."""
    state = read_state(store) if supervisor_pid(store) else None
    deployments: tuple[DeploymentStatus, ...] = ()
    waiting = _held(store)
    url = os.environ.get("PREFECT_API_URL", "").removesuffix("/api") or (state.url if state else "")
    if url:
        if "PREFECT_API_URL" not in os.environ:
            os.environ.update(private_settings(store, int(url.rpartition(":")[2])))
        deployments, runs = _ask_server(state.deployments if state else (), url, str(store.root))
        waiting += runs
    latest = versions.latest(store)
    counts: dict[str, Any] = {}
    if latest is not None:
        totals = latest.counts
        counts = {"version": latest.number, "created": latest.created, "speakers": totals.speakers}
        counts |= {"utterances": totals.utterances, "hours": totals.hours}
    return StoreStatus(
        store=str(store.root),
        url=url,
        processes=tuple(sorted(state.children)) if state else (),
        restarts=state.restarts if state else {},
        deployments=deployments,
        voices=tuple(_voice(store, name) for name in registry.voice_names(store)),
        waiting=tuple(waiting),
        notices=_recent_notices(store),
        **counts,
    )


def _recent_notices(store: Store) -> tuple[Notice, ...]:
    since = (datetime.now(UTC) - RECENT).isoformat()
    recent = [notice for notice in read_notices(store) if notice.when >= since]
    return tuple(reversed(recent[-SHOWN:]))


def _held(store: Store) -> list[str]:
    """Speakers of the latest version whose uploads are held for want of a consent."""
    latest = versions.latest(store)
    if latest is None:
        return []
    rows = CorpusVersion(store, latest).uploads(["speaker", "state", "reason"]).to_pylist()
    held = Counter(row["speaker"] for row in rows if row["state"] == UploadState.HELD.value and not row["reason"])
    command = shlex.join(["voicemill", "consent", "grant", "--store", str(store.root), "--speaker"])
    lines = [
        f"consent of {speaker}, {count} uploads are held: {command} {shlex.quote(speaker)}"
        for speaker, count in sorted(held.items())[:SHOWN]
    ]
    more = len(held) - len(lines)
    return [*lines, f"consent of {more} more speakers: voicemill consent list --store {store.root}"] if more else lines


def _voice(store: Store, name: str) -> VoiceSummary:
    entries = registry.entries(store, name)
    status = voice_status.read_status(store.models / name)
    champions = ", ".join(f"{lane} {number}" for lane, number in sorted(status.champions.items()))
    candidates = sum(status.of(entry.number) == "candidate" for entry in entries)
    return VoiceSummary(name, len(entries), champions, candidates)


def _ask_server(
    known: tuple[Mapping[str, str], ...], url: str, store: str
) -> tuple[tuple[DeploymentStatus, ...], list[str]]:
    """Runs of each deployment of a server, and what waits for a person, who may work on `store`."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    from voicemill.flows.service.notices.questions import open_questions
    from voicemill.flows.service.recovery.attempts import GIVEN_UP
    from voicemill.flows.service.recovery.runs import pool_filter

    starts = {row["name"]: row["starts"] for row in known}
    rows: list[DeploymentStatus] = []
    waiting: list[str] = []
    began = [state for state in StateType if state is not StateType.SCHEDULED]
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments(work_pool_filter=pool_filter(POOLS)):
            name = f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"
            last = _first_run(client, deployment.id, began, FlowRunSort.EXPECTED_START_TIME_DESC)
            coming = _first_run(client, deployment.id, [StateType.SCHEDULED], FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC)
            when = _time(last.end_time or last.start_time) if last else ""
            rows.append(
                DeploymentStatus(
                    name=name,
                    starts=starts.get(name, ""),
                    last=f"{last.state_name} {when}" if last else "",
                    next=_time(coming.next_scheduled_start_time) if coming else "",
                )
            )
            if last is not None and (last.state_type is StateType.FAILED or GIVEN_UP in last.tags):
                waiting.append(f"{name}, whose last run failed: {url}/v2/runs/flow-run/{last.id}")
        for question in open_questions(client):
            page = f"{url}/v2/runs/flow-run/{question.run}"
            if question.text:
                command = f"voicemill answer yes --store {shlex.quote(store)} --why REASON --run {question.run}"
                waiting.append(f"{question.deployment} asks: {question.text} {command} (or no), or Resume on {page}")
            else:
                waiting.append(f"{question.deployment} was paused: Resume on {page}")
    return tuple(sorted(rows, key=lambda row: row.name)), waiting


def _first_run(
    client: "SyncPrefectClient", deployment: UUID, states: "Sequence[StateType]", sort: "FlowRunSort"
) -> "FlowRun | None":
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter

    from voicemill.flows.service.recovery.runs import state_filter

    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=state_filter(*states)),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
        sort=sort,
        limit=1,
    )
    return runs[0] if runs else None


def _time(value: datetime | None) -> str:
    return value.astimezone().isoformat(" ", "minutes") if value else ""

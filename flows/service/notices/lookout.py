"""Notices of a look at server and disk of a store: runs that failed or crashed, a refresh that is late, a full disk."""

import shutil
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from voicemill.flows.service.notices.log import Kind, key_of, tell, told_keys
from voicemill.flows.service.recovery.runs import PAGE, pool_filter, state_filter
from voicemill.storage.store import Store
from voicemill.tasks.config import NotifySettings

LOOK_BACK = timedelta(days=7)
"""Age of the runs that are looked at."""


def look_out(
    client: SyncPrefectClient, store: Store, settings: NotifySettings, pools: Collection[str]
) -> Iterator[str]:
    """Tell what is the case and was not told before; yields a line for each new notice."""
    notices = [
        *_bad_runs(client, pools, told_keys(store)),
        *_late_refresh(client, settings),
        *_full_disk(store, settings),
    ]
    for kind, text, key in notices:
        if tell(store, kind, text, key):
            yield f"{kind.label}: {text}"


def _bad_runs(
    client: SyncPrefectClient, pools: Collection[str], told: Collection[str]
) -> Iterator[tuple[Kind, str, str]]:
    """Runs of the pools that failed or crashed, those told left out: each costs two requests, at every look.

    Their names and messages may name speakers, and are left out too.
    """
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=state_filter(StateType.FAILED, StateType.CRASHED),
            end_time=FlowRunFilterEndTime(after_=datetime.now(UTC) - LOOK_BACK),
        ),
        work_pool_filter=pool_filter(pools),
        sort=FlowRunSort.END_TIME_DESC,
        limit=PAGE,
    )
    for run in reversed(runs):
        given_up = run.state is not None and run.state.name == "Given up"
        kind = Kind.FAILED if given_up or run.state_type == StateType.FAILED else Kind.CRASHED
        if key_of(kind, str(run.id)) in told:
            continue
        how = "was given up" if given_up else "failed" if kind is Kind.FAILED else "crashed"
        yield kind, f"{_deployment(client, run)} {how}: {_address(client, run)}", str(run.id)


def _deployment(client: SyncPrefectClient, run: FlowRun) -> str:
    flow = client.read_flow(run.flow_id).name
    return f"{flow}/{client.read_deployment(run.deployment_id).name}" if run.deployment_id else flow


def _address(client: SyncPrefectClient, run: FlowRun) -> str:
    return f"{str(client.api_url).rstrip('/').removesuffix('/api')}/v2/runs/flow-run/{run.id}"


def _late_refresh(client: SyncPrefectClient, settings: NotifySettings) -> Iterator[tuple[Kind, str, str]]:
    """The refresh that should have completed by now, whether or not it found anything new."""
    done = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=["refresh"])),
        flow_run_filter=FlowRunFilter(state=state_filter(StateType.COMPLETED)),
        sort=FlowRunSort.END_TIME_DESC,
        limit=1,
    )
    since = done[0].end_time if done else _deployed(client)
    if since is None or datetime.now(UTC) - since <= timedelta(days=settings.late_days):
        return
    last = f"the last one completed on {since:%Y-%m-%d}" if done else f"none has since {since:%Y-%m-%d}"
    yield Kind.LATE, f"no refresh within {settings.late_days:g} days: {last}", str(done[0].id if done else "none yet")


def _deployed(client: SyncPrefectClient) -> datetime | None:
    """Time at which the monthly refresh was deployed; None = it is not."""
    name = DeploymentFilter(name=DeploymentFilterName(any_=["monthly"]))
    deployments = client.read_deployments(deployment_filter=name, limit=1)
    return deployments[0].created if deployments else None


def _full_disk(store: Store, settings: NotifySettings) -> Iterator[tuple[Kind, str, str]]:
    """The disk of the store, once a day."""
    free = shutil.disk_usage(store.root).free / 1e9
    if free < settings.free_gb:
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        yield Kind.DISK, f"{free:.1f} GB are free; told below {settings.free_gb:g} GB", day

"""Flow runs that died are closed, and a new run takes up each of them.

Prefect marks a run as crashed when its worker sees the process end, or 90 s after its last heartbeat (the rule of
`automations.json`). Neither sees a run that died before its first heartbeat, as PENDING: it would hold the only slot of
its deployment. And neither starts anything: an automation that sets a crashed run back to SCHEDULED loses a race with
the worker, and counts no attempts. So each look of this module

1. closes runs of our pools in progress that have no process left. On the machine of a private server that is known of
   every run, since each process of a run names it in its environment; elsewhere a run that is PENDING for long counts;
2. starts a new run of the same deployment with the same parameters for each crashed one, which resumes by content keys
   from what the crashed one had done. Up to a number of attempts: then the run ends in the state `Given up`.

Tags say what became of a run, and the new run is created under a key that the crashed one gives it, so a look may be
cut off anywhere and repeated, and several machines may look at one server.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterId,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed, Scheduled

from voicemill.flows.service.recovery.attempts import (
    ATTEMPT,
    COVERED,
    GIVEN_UP,
    KILLED,
    RESUMED,
    SERVER_NOTE,
    TAKEN_UP,
    attempt_of,
)
from voicemill.flows.service.recovery.processes import find_processes, flow_run
from voicemill.flows.service.recovery.runs import (
    IN_PROGRESS,
    PAGE,
    close_contents,
    close_runs,
    pool_filter,
    state_filter,
)
from voicemill.storage.files import write_text
from voicemill.storage.locks import lock_holder
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds

SOON = timedelta(minutes=1)
"""Time within which a scheduled run starts that makes another one unnecessary."""


@dataclass(frozen=True)
class Policy:
    """When a run counts as dead, and how often its work is tried."""

    attempts: int = 4
    """Most runs of the same work, the first included."""
    pause: Seconds = 10.0
    """Time between a crash and the second run; each further attempt doubles it."""
    pending: Seconds = 600.0
    """Age at which a PENDING run without a process is dead: its worker prepares the process meanwhile. Where processes
    are not known, a slow start must not be taken for a death."""
    running: Seconds | None = None
    """The same for a RUNNING run: 15 s leave the first word, with the exit status, to its worker. None: processes of
    other machines are not known, and heartbeats decide."""
    look_back: timedelta = timedelta(days=7)
    """Age of the crashed runs that are taken up: older ones, which an earlier release left, are history."""


def policy_for(store: Store | None, attempts: int, pending: Seconds = 0.0) -> Policy:
    """Policy for the private server of a store, whose runs all are processes of this machine; None = another server.

    Args:
        pending: 0 = what suits the server.
    """
    if store is None:
        return Policy(attempts=attempts, pending=pending or Policy.pending)
    return Policy(attempts=attempts, pending=pending or 60.0, running=15.0)


def living_runs(store: Store) -> set[str]:
    """Ids of the flow runs that have a process on this machine."""
    return {run for process in find_processes(store) if (run := flow_run(process))}


def reconcile(
    client: SyncPrefectClient, policy: Policy, pools: Collection[str], store: Store | None = None
) -> Iterator[str]:
    """Close dead runs of the pools and take up crashed ones; yields a line for each change.

    Args:
        store: of a private server, whose runs all have their processes on this machine; None = another server.
    """
    yield from _close_dead(client, policy, pools, store)
    ended_badly = FlowRunFilter(
        state=state_filter(StateType.CRASHED, StateType.FAILED),
        end_time=FlowRunFilterEndTime(after_=_now() - policy.look_back),
    )
    for run in client.read_flow_runs(
        flow_run_filter=ended_badly, work_pool_filter=pool_filter(pools), sort=FlowRunSort.END_TIME_DESC, limit=PAGE
    ):
        crashed = run.state_type == StateType.CRASHED or KILLED in run.tags
        if crashed and run.deployment_id is not None and not {TAKEN_UP, COVERED, GIVEN_UP} & set(run.tags):
            close_contents(client, [run], _message(run))
            yield _take_up(client, policy, run)


def _now() -> datetime:
    return datetime.now(UTC)


def _message(run: FlowRun) -> str:
    return (run.state and run.state.message) or "no reason is known"


def _close_dead(
    client: SyncPrefectClient, policy: Policy, pools: Collection[str], store: Store | None
) -> Iterator[str]:
    running = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=state_filter(*IN_PROGRESS)),
        work_pool_filter=pool_filter(pools),
        limit=PAGE,
    )
    living = living_runs(store) if running and store is not None else set()
    for run in running:
        if run.state is None or str(run.id) in living:
            continue
        limit = policy.pending if run.state.is_pending() else policy.running
        age = (_now() - run.state.timestamp).total_seconds()
        if limit is not None and age > limit:
            where = "no process of it is left" if store is not None else "no process of it has started"
            message = f"{where}, {age:.0f} s after it became {run.state.type.value}"
            close_runs(client, [run], message)
            yield f"{run.name}: {message}"


def _take_up(client: SyncPrefectClient, policy: Policy, run: FlowRun) -> str:
    """Start the run that follows a crashed one, or record why none follows; returns a line about it."""
    assert run.deployment_id is not None
    attempt = attempt_of(run.tags)
    if run.job_variables:
        return _give_up(client, run, "it was started with job variables, which are not used again")
    if (later := _later_run(client, run)) is not None:
        _tag(client, run, COVERED)
        return f"{run.name} crashed ({_message(run)}): {later.name}, which started later, does its work"
    if attempt >= policy.attempts:
        return _give_up(client, run, f"this was attempt {attempt} of {policy.attempts}")
    name = run.name.partition(" · attempt ")[0]
    follows = f"attempt {attempt + 1} of {policy.attempts}: {run.name} crashed: {_message(run)}"
    start = _now() + timedelta(seconds=policy.pause * 2 ** (attempt - 1))
    state: State[None] = Scheduled(scheduled_time=start, message=follows)
    try:
        client.create_flow_run_from_deployment(
            run.deployment_id,
            parameters=run.parameters,
            name=f"{name} · attempt {attempt + 1}",
            tags=[RESUMED, f"{ATTEMPT}{attempt + 1}", f"after:{run.id}"],
            state=state,
            idempotency_key=f"after {run.id}",
        )
    except ObjectNotFound:
        return _give_up(client, run, "its deployment is gone")
    _tag(client, run, TAKEN_UP)
    return follows


def _later_run(client: SyncPrefectClient, run: FlowRun) -> FlowRun | None:
    """A later run of the same flow with the same parameters: ended well, in progress, waiting, or about to start."""
    times = FlowRunFilterExpectedStartTime(after_=run.expected_start_time, before_=_now() + SOON)
    well = [StateType.COMPLETED, StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED]
    runs = client.read_flow_runs(
        flow_filter=FlowFilter(id=FlowFilterId(any_=[run.flow_id])),
        flow_run_filter=FlowRunFilter(expected_start_time=times, state=state_filter(*well)),
        limit=PAGE,
    )
    return next((other for other in runs if other.id != run.id and other.parameters == run.parameters), None)


def _give_up(client: SyncPrefectClient, run: FlowRun, why: str) -> str:
    """End the work of a crashed run in a state that says so."""
    message = (
        f"{_message(run)}. No further run starts by itself, since {why}. Read its log, remove the cause, and "
        "start the deployment: Run in the dashboard, or `prefect deployment run`"
    )
    client.set_flow_run_state(run.id, Crashed(name="Given up", message=message), force=True)
    _tag(client, run, GIVEN_UP)
    return f"{run.name} is given up: {message}"


def _tag(client: SyncPrefectClient, run: FlowRun, tag: str) -> None:
    client.update_flow_run(run.id, tags=sorted({*run.tags, tag}))


def watch(
    look: Callable[[SyncPrefectClient], Iterable[str]], report: Callable[[str], None], every: Seconds | None
) -> None:
    """Look every `every` seconds until interrupted, and report each line and each kind of trouble once; None = once."""
    trouble = ""
    while True:
        try:
            with get_client(sync_client=True) as client:
                for line in look(client):
                    report(line)
            trouble = ""
        except Exception as error:  # any error of the client: a server that is started again, or one that is busy
            if every is None:
                raise
            if str(error) != trouble:
                report(f"{error}; trying again")
            trouble = str(error)
        if every is None:
            return
        time.sleep(every)


def look_at_server(client: SyncPrefectClient, store: Store) -> Iterator[str]:
    """Start a refresh if the private server of a store has died since the last look; yields a line about it."""
    if _server_died(store):
        yield _start_refresh(client)
        _note_server(store)


def _server_died(store: Store) -> bool:
    """Whether the server at the last look has been killed since; makes the note where there is none."""
    note = store.prefect / SERVER_NOTE
    if not note.exists():
        _note_server(store)
    server = lock_holder(store.prefect / ".serving")
    return bool(server) and note.read_text(encoding="ascii") != server


def _note_server(store: Store) -> None:
    write_text(store.prefect / SERVER_NOTE, lock_holder(store.prefect / ".serving") or "")


def _start_refresh(client: SyncPrefectClient) -> str:
    """Start a refresh after the death of a server: events that it had accepted and not yet handled died with it."""
    why = "the server was killed: an upload that it was told of just before may wait"
    deployment = client.read_deployment_by_name("refresh/on-upload")
    client.create_flow_run_from_deployment(deployment.id, tags=[RESUMED], state=Scheduled(message=why))
    return f"a refresh starts: {why}"

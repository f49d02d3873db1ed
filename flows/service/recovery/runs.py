"""Flow runs in progress whose processes are gone: closed, with their subflow runs and task runs."""

from collections.abc import Collection, Sequence
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelled, Crashed

IN_PROGRESS = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
PAGE = 200


def state_filter(*types: StateType) -> FlowRunFilterState:
    """Filter for the flow runs in states of these types."""
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))


def pool_filter(pools: Collection[str]) -> WorkPoolFilter:
    """Filter for the work pools of these names."""
    return WorkPoolFilter(name=WorkPoolFilterName(any_=list(pools)))


def crash_runs(client: SyncPrefectClient, message: str, pools: Collection[str] = ()) -> int:
    """Close the flow runs in progress, once no process of theirs is left; return their number.

    Args:
        pools: work pools whose runs are meant; none named = all runs.
    """
    running: dict[str, Any] = {
        "flow_run_filter": FlowRunFilter(state=state_filter(*IN_PROGRESS)),
        "work_pool_filter": pool_filter(pools) if pools else None,
    }
    count = 0
    while runs := client.read_flow_runs(**running, limit=PAGE):
        close_runs(client, runs, message)
        count += len(runs)
        if len(runs) < PAGE:
            break
    return count


def close_runs(client: SyncPrefectClient, runs: Sequence[FlowRun], message: str) -> None:
    """Mark flow runs as crashed, or as cancelled where that was asked, after all that ran within them.

    A run that ends by itself meanwhile keeps its state.
    """
    close_contents(client, runs, message)
    for run in runs:
        cancelling = run.state is not None and run.state.is_cancelling()
        client.set_flow_run_state(run.id, (Cancelled if cancelling else Crashed)(message=message))


def close_contents(client: SyncPrefectClient, runs: Sequence[FlowRun], message: str) -> None:
    """Mark the subflow runs and task runs in progress of flow runs as crashed: their process was that of the run."""
    if not runs:
        return
    ids = [run.id for run in runs]
    inner = FlowRunFilter(state=state_filter(*IN_PROGRESS), parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=ids))
    while subflows := client.read_flow_runs(flow_run_filter=inner, limit=PAGE):
        close_runs(client, subflows, message)
        if len(subflows) < PAGE:
            break
    unfinished: dict[str, Any] = {
        "flow_run_filter": FlowRunFilter(id=FlowRunFilterId(any_=ids)),
        "task_run_filter": TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=IN_PROGRESS))),
    }
    while tasks := client.read_task_runs(**unfinished, limit=PAGE):
        for task in tasks:
            client.set_task_run_state(task.id, Crashed(message=message), True)
        if len(tasks) < PAGE:
            break

"""Flow runs in progress whose processes are gone: marked as crashed, with their task runs."""

from collections.abc import Collection
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.states import Crashed

IN_PROGRESS = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
PAGE = 200


def crash_runs(client: SyncPrefectClient, message: str, pools: Collection[str] = ()) -> int:
    """Mark the flow runs in progress as crashed, once no process of theirs is left; return their number.

    Args:
        pools: work pools whose runs are meant; none named = all runs.
    """
    running: dict[str, Any] = {
        "flow_run_filter": FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=IN_PROGRESS))),
        "work_pool_filter": WorkPoolFilter(name=WorkPoolFilterName(any_=list(pools))) if pools else None,
    }
    count = 0
    while runs := client.read_flow_runs(**running, limit=PAGE):
        unfinished: dict[str, Any] = {
            "flow_run_filter": FlowRunFilter(id=FlowRunFilterId(any_=[run.id for run in runs])),
            "task_run_filter": TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=IN_PROGRESS))),
        }
        while tasks := client.read_task_runs(**unfinished, limit=PAGE):
            for task in tasks:
                client.set_task_run_state(task.id, Crashed(message=message), True)
            if len(tasks) < PAGE:
                break
        for run in runs:
            client.set_flow_run_state(run.id, Crashed(message=message), True)
        count += len(runs)
        if len(runs) < PAGE:
            break
    return count

"""The worker of `voicemill up` lives on when a run is scheduled again while its process still ends."""

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import anyio
import pytest
from prefect.workers.process import ProcessWorker

from voicemill.flows.service.worker import Worker


def resubmit(kind: type[ProcessWorker]) -> list[Any]:
    """Runs that a worker submits of those the server lists: one, whose process has not ended."""

    async def submit() -> list[Any]:
        worker, run = kind(work_pool_name="pool", limit=2), SimpleNamespace(id=uuid4())
        worker._limiter = anyio.CapacityLimiter(2)
        worker._limiter.acquire_on_behalf_of_nowait(run.id)
        response: Any = [SimpleNamespace(flow_run=run)]
        return await worker._submit_scheduled_flow_runs(response)

    return asyncio.run(submit())


def test_a_run_whose_process_has_not_ended_waits_for_a_later_look() -> None:
    assert resubmit(Worker) == []


def test_the_worker_of_prefect_ends_of_it() -> None:
    """Else `Worker` is not needed any more."""
    with pytest.raises(RuntimeError, match="already holding"):
        resubmit(ProcessWorker)

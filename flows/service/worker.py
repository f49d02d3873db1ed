"""Worker of `voicemill up`: a process worker of Prefect that runs the flows of deployments, and no other command.

`python -m voicemill.flows.service.worker POOL LIMIT`. A flow run may come with job variables, and so may a deployment
or the pool's template: `command` names the command that the worker runs, `env` what it finds on its path, `working_dir`
what Python imports first. A run with any of them is refused: it crashes with the reason. `flows/service/deploy.py`
leaves them out of the pool's template besides, so that the server does not take such a run at all.
"""

import asyncio
import os
import sys
from abc import ABC
from typing import Any

from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.settings import get_current_settings
from prefect.utilities.processutils import setup_signal_handlers_worker
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from voicemill.storage.errors import ServerError

REFUSED = ("command", "env", "working_dir")
"""Job variables that change what is run."""


class FixedCommand(ProcessJobConfiguration):
    """Configuration of a flow run, whose command is Prefect's own."""

    def prepare_for_flow_run(self, *arguments: Any, **named: Any) -> None:
        """Prepare the configuration.

        Raises:
            ServerError: job variables change the command.
        """
        given = [name for name in REFUSED if getattr(self, name)]
        if given:
            raise ServerError(
                f"job variables of the run set {', '.join(given)}: workers of `voicemill up` run the flows of their "
                "deployments and no other command. Start the run without them"
            )
        super().prepare_for_flow_run(*arguments, **named)


class Worker(ProcessWorker, ABC):  # Prefect registers no abstract class, and so keeps its own under "process"
    """Process worker that lives on when a run is scheduled again before its process has ended.

    A suspended run is scheduled as soon as its answer comes. Prefect's worker takes a second token of its limit for it
    while the first is still held, which anyio refuses, and that ends the worker with all its runs. Such a run is left
    for a later look instead.
    """

    async def _submit_scheduled_flow_runs(self, flow_run_response: list[WorkerFlowRunResponse]) -> list[FlowRun]:
        held = self.limiter.statistics().borrowers
        ready = [entry for entry in flow_run_response if entry.flow_run.id not in held]
        return await super()._submit_scheduled_flow_runs(ready)


def pool_template() -> dict[str, Any]:
    """Template of a pool in which `REFUSED` are no variables: the server refuses a run that sets them."""
    template = ProcessWorker.get_default_base_job_template()
    properties = {k: v for k, v in template["variables"]["properties"].items() if k not in REFUSED}
    return {
        "variables": {"type": "object", "properties": properties, "additionalProperties": False},
        "job_configuration": {k: v for k, v in template["job_configuration"].items() if k not in REFUSED},
    }


def main() -> None:
    """Work until stopped."""
    pool, limit = sys.argv[1], int(sys.argv[2])
    setup_signal_handlers_worker(os.getpid(), f"the worker of {pool}", print)
    ProcessWorker.job_configuration = FixedCommand
    worker = Worker(
        work_pool_name=pool,
        name=f"up-{os.uname().nodename}",
        limit=limit,
        heartbeat_interval_seconds=int(get_current_settings().worker.heartbeat_seconds),
        prefetch_seconds=get_current_settings().worker.prefetch_seconds,
        create_pool_if_not_found=False,
    )
    try:
        asyncio.run(worker.start(printer=print))
    except asyncio.CancelledError:
        print(f"the worker of {pool} has ended")


if __name__ == "__main__":
    main()

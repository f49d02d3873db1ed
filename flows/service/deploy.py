"""Deploy flows/prefect.yaml and flows/automations.json to a Prefect server, and manage its runs for `voicemill up`.

`python -m voicemill.flows.service.deploy VERB`, with the settings of `voicemill up` as JSON on stdin. A process of its
own, because a Prefect client takes 150 MB and the supervisor lives for months. Verbs:
- `crash`   mark runs of our pools as crashed that the server takes for running although no process of them is left, and
            with `alone` those of commands too;
- `deploy`  create or update pools, variables, deployments with their triggers, and automations; repeated, it changes
            nothing. Prints the deployments with their next runs;
- `cancel`  cancel runs, and wait until they have ended.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.states import Cancelling
from prefect.types import SecretDict
from prefect.variables import Variable
from pydantic import SecretStr

from voicemill.flows.service.access import is_private
from voicemill.flows.service.notices.log import EVENT
from voicemill.flows.service.recovery.runs import crash_runs, pool_filter, state_filter
from voicemill.flows.service.up import POOLS, UpSettings
from voicemill.flows.service.worker import pool_template
from voicemill.storage.errors import ConfigError, ServerError, VoicemillError
from voicemill.storage.units import Seconds
from voicemill.tasks.config import NotifySettings, load

FILE = Path(__file__).parents[1] / "prefect.yaml"
AUTOMATIONS = Path(__file__).parents[1] / "automations.json"
TELLER = "somebody is told"
"""Name of the automation that sends notices."""
CANCEL_LIMIT: Seconds = 45.0
"""Time limit for runs to end; Prefect kills their processes after 30 s."""
SCHEDULE_LIMIT: Seconds = 60.0
"""Time limit for the scheduler to create the runs of a new cron, which it does every 5 s."""


def deploy(client: SyncPrefectClient, settings: UpSettings) -> None:
    """Bring pools, variables, deployments and automations of the server up to the files.

    Raises:
        ServerError: the server keeps another store, or `prefect deploy` failed; with its output.
    """
    if not is_private(settings.store):
        claim(settings.store)
    for pool in POOLS:
        template = pool_template()
        try:
            client.read_work_pool(pool)
            client.update_work_pool(pool, WorkPoolUpdate(base_job_template=template))
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))
    for name, value in settings.variables().items():
        Variable.set(name, value, overwrite=True)
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(FILE)]
    done = subprocess.run(command, cwd=FILE.parents[1], capture_output=True, text=True)
    if done.returncode:
        raise ServerError(f"`prefect deploy` ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr}")
    for raw in json.loads(AUTOMATIONS.read_text(encoding="utf-8")):
        put_automation(client, AutomationCore.model_validate(raw))
    deploy_notices(client, settings.store, load(settings.config).notify)


def claim(store: str) -> None:
    """Make a server of all users that of a store, whose deployments have the only names that there are.

    Raises:
        ServerError: it keeps another store.
    """
    with suppress(ValueError, ObjectAlreadyExists):
        Variable.set("voicemill_store", store)
    if (kept := Variable.get("voicemill_store")) != store:
        raise ServerError(
            f"the Prefect server {os.environ['PREFECT_API_URL']} keeps the store {kept}; given was {store}, and a "
            "server keeps one store. Start another server, or `unset PREFECT_API_URL` to use a private one; if "
            "the other store is no more or has moved: prefect variable unset voicemill_store"
        )


def deploy_notices(client: SyncPrefectClient, store: str, settings: NotifySettings) -> None:
    """Create, update or remove the automation that sends the notices of a store to webhook and notification block.

    Raises:
        ConfigError: the server has no such block.
    """
    fields = ("kind", "text", "when", "key")
    body = "{" + ", ".join(f'"{name}": {{{{ event.payload.{name} | tojson }}}}' for name in fields) + "}"
    actions: list[dict[str, Any]] = []
    if settings.webhook:
        headers = SecretDict({"Content-Type": "application/json"})
        block = Webhook(method="POST", url=SecretStr(settings.webhook), headers=headers)
        document = block.save("voicemill-notices", overwrite=True)
        actions.append({"type": "call-webhook", "block_document_id": document, "payload": body})
    if settings.block:
        kind, _, name = settings.block.partition("/")
        try:
            document = client.read_block_document_by_name(name, kind).id
        except ObjectNotFound as error:
            raise ConfigError(
                f"notify.block is {settings.block!r}; expected type and name of a notification block of the server, "
                "such as slack-webhook/voices: make it on the page Blocks of the dashboard"
            ) from error
        text = {"subject": "voicemill: {{ event.payload.kind }}", "body": "{{ event.payload.text }}"}
        actions.append({"type": "send-notification", "block_document_id": document, **text})
    present = client.read_automations_by_name(TELLER)
    if not actions:
        for automation in present:
            client.delete_automation(automation.id)
        return
    trigger = {"type": "event", "posture": "Reactive", "expect": [EVENT], "threshold": 1}
    trigger |= {"match": {"prefect.resource.id": f"voicemill.store:{store}"}}
    description = "Sends each notice of the store to the webhook and the block of [notify]"
    raw = {"name": TELLER, "description": description, "enabled": True, "trigger": trigger, "actions": actions}
    put_automation(client, AutomationCore.model_validate(raw))


def put_automation(client: SyncPrefectClient, automation: AutomationCore) -> None:
    """Create an automation, or update the one of its name."""
    present = client.read_automations_by_name(automation.name)
    if present:
        client.update_automation(present[0].id, automation)
    else:
        client.create_automation(automation)


def list_deployments(client: SyncPrefectClient) -> list[dict[str, str]]:
    """Deployments of our pools, each with what starts it and its next run."""
    pools = pool_filter(POOLS)
    rows = []
    for deployment in client.read_deployments(work_pool_filter=pools):
        name = f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"
        crons = [
            f"{s.schedule.cron} {s.schedule.timezone}"
            for s in deployment.schedules
            if isinstance(s.schedule, CronSchedule)
        ]
        triggers = client.read_resource_related_automations(f"prefect.deployment.{deployment.id}")
        events = sorted(event for t in triggers for event in getattr(t.trigger, "expect", ()))
        end = time.monotonic() + SCHEDULE_LIMIT
        while not (runs := _runs(client, [StateType.SCHEDULED], deployment.id)) and crons and time.monotonic() < end:
            time.sleep(0.5)
        times = sorted(run.next_scheduled_start_time for run in runs if run.next_scheduled_start_time)
        starts = ", ".join([*crons, *events])
        next_ = times[0].astimezone().isoformat(" ", "minutes") if times else ""
        rows.append({"name": name, "pool": deployment.work_pool_name or "", "starts": starts, "next": next_})
    return sorted(rows, key=lambda row: row["name"])


def _runs(client: SyncPrefectClient, states: list[StateType], deployment: Any = None) -> list[FlowRun]:
    filter_ = FlowRunFilter(state=state_filter(*states))
    one = DeploymentFilter(id=DeploymentFilterId(any_=[deployment])) if deployment else None
    pools = pool_filter(POOLS)
    sort = FlowRunSort.EXPECTED_START_TIME_ASC
    return client.read_flow_runs(
        flow_run_filter=filter_, deployment_filter=one, work_pool_filter=pools, sort=sort, limit=200
    )


def cancel(client: SyncPrefectClient, runs: Iterable[UUID]) -> list[UUID]:
    """Cancel flow runs and wait for their end; returns those that did not end within CANCEL_LIMIT."""
    remaining = set(runs)
    for run in remaining:
        client.set_flow_run_state(run, Cancelling(message="voicemill down"))
    end = time.monotonic() + CANCEL_LIMIT
    while remaining and time.monotonic() < end:
        remaining = {run for run in remaining if not _final(client.read_flow_run(run))}
        time.sleep(0.2)
    return sorted(remaining)


def _final(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()


def main() -> None:
    """Run one verb; an expected error is one message and exit status 1."""
    verb, raw = sys.argv[1], json.load(sys.stdin)
    runs, alone = [UUID(run) for run in raw.pop("runs", [])], raw.pop("alone", False)
    try:
        with get_client(sync_client=True) as client:
            if verb == "deploy":
                deploy(client, UpSettings.of(raw))
                print(json.dumps(list_deployments(client)))
            elif verb == "crash":
                # where nobody used the server before, runs of killed commands are left too
                crash_runs(client, "no process of it was left when `voicemill up` started", () if alone else POOLS)
            else:
                remaining = cancel(client, runs)
                print(f"cancelled {len(runs) - len(remaining)} of {len(runs)}")
    except VoicemillError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

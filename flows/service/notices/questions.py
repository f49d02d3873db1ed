"""Questions of a flow run to a person: the run is suspended until a form is answered, then runs again from its start.

A suspended run has left its process, the lock of its store and the slot of its deployment. The answer, given on the
page of the run or by `voicemill answer`, schedules it again: a new process executes the flow from the start, finds what
it had done by content keys, comes to the same question and reads the answer. A question is known by a digest of what it
is about, so that an answer is never taken for one to another question. A run without a deployment, such as one of the
command line, has nothing that starts it again: it asks nothing, and its caller refuses.

Two traps of Prefect: the rule that crashes runs without heartbeats (`automations.json`) has to know the state
Suspended; and a resumed run takes over its subflow runs, whose results are not persisted, unless it counts as a
repetition.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled
from pydantic import Field

from voicemill.flows.display import dashboard
from voicemill.flows.report import markdown
from voicemill.flows.service.recovery.runs import PAGE, state_filter
from voicemill.storage.errors import ConfigError
from voicemill.storage.keys import digest
from voicemill.storage.store import Store


class Answer(RunInput):
    """Form of an answer; the dashboard shows it."""

    answer: Literal["yes", "no"] = Field(description="yes: go on all the same. no: end the run")
    who: str = Field(min_length=1, max_length=80, description="Name of the person who answers, which is recorded")
    why: str = Field(min_length=1, max_length=500, description="Reason, which is recorded")

    @property
    def yes(self) -> bool:
        """Whether the run goes on."""
        return self.answer == "yes"

    def __str__(self) -> str:
        return f"{self.who} answered {self.answer}: {self.why}"


@dataclass(frozen=True)
class Question:
    """A question that waits for an answer."""

    run: str
    """Id of the flow run."""
    name: str
    """Name of the flow run."""
    deployment: str
    """Flow and deployment, such as refresh/monthly."""
    text: str
    """The question; "" = the run was paused by a person, and asks nothing."""


def can_ask() -> bool:
    """Whether the current run has a deployment, whose worker starts it again after the answer; a subflow cannot ask."""
    return bool(deployment.id) and not flow_run.parent_flow_run_id


def ask(question: str, about: object) -> Answer | None:
    """Answer of a person to a question; None where the run cannot ask.

    Without an answer yet the run ends here, suspended: Prefect's `Pause` leaves the flow and its process.

    Args:
        about: JSON values; with others the question is another, and an answer to this one is none to it.
    """
    if not can_ask():
        return None
    form = Answer.with_initial_data(description=markdown.text(question))
    dashboard.log(f"waits for an answer: {question}")
    answer = suspend_flow_run(wait_for_input=form, key=digest(about)[:16])
    dashboard.log(str(answer))
    return answer


def repeat_subflows() -> None:
    """Let a run that has been resumed execute its subflows anew; to be called at the start of a flow that asks.

    Prefect does not count the execution after a suspension as a repetition: it would take over the subflow runs of the
    first one with their results, which are nowhere.
    """
    context = FlowRunContext.get()
    if context is not None and context.flow_run is not None and context.flow_run.empirical_policy.pause_keys:
        context.flow_run.run_count += 1


def withdraw(store: Store, flow: str) -> None:
    """End the runs of a flow on this store that wait for an answer: the current run asks anew, or has done the work."""
    context = FlowRunContext.get()
    own = context.flow_run if context is not None else None
    with get_client(sync_client=True) as client:
        for run in _suspended(client, flow):
            if (own is None or run.id != own.id) and _store_of(run.parameters) == store.root:
                message = f"{own.name if own else flow} started later and does its work"
                client.set_flow_run_state(run.id, Cancelled(name="Superseded", message=message))


def _store_of(parameters: Mapping[str, object]) -> Path | None:
    options = parameters.get("options")
    raw = options.get("store") if isinstance(options, dict) else None
    return Path(raw).expanduser().resolve() if isinstance(raw, str) else None


def _suspended(client: SyncPrefectClient, flow: str = "") -> list[FlowRun]:
    """Suspended runs, the oldest first."""
    return client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])) if flow else None,
        flow_run_filter=FlowRunFilter(state=state_filter(StateType.PAUSED)),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=PAGE,
    )


def open_questions(client: SyncPrefectClient) -> Iterator[Question]:
    """Questions of the server's runs that wait for an answer, the oldest first."""
    for run in _suspended(client):
        keys = run.state.state_details.run_input_keyset if run.state else None
        text = ""
        if keys:  # the form may be missing all the same: of a run that was killed just after it changed its state
            for value in client.filter_flow_run_input(run.id, keys["description"], 1, set()):
                text = markdown.plain(str(value.decoded_value))
        name = client.read_flow(run.flow_id).name
        if run.deployment_id is not None:
            name += f"/{client.read_deployment(run.deployment_id).name}"
        yield Question(run=str(run.id), name=run.name, deployment=name, text=text)


def give(client: SyncPrefectClient, run: str, answer: Answer) -> None:
    """Answer the question of a flow run, which then goes on.

    Raises:
        ConfigError: the run waits for no answer, or the server does not take this one.
    """
    result = client.resume_flow_run(UUID(run), run_input=answer.model_dump())
    if result.status is not SetStateStatus.ACCEPT:
        raise ConfigError(f"the server did not take the answer to run {run}: {getattr(result.details, 'reason', '')}")

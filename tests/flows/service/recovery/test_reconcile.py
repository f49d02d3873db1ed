"""The reconciler on a real server, without workers: which runs it closes, which it takes up, and where it stops."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from support.flow_runs import Runs
from support.prefect_server import ask

from voicemill.flows.service.recovery.attempts import attempt_of
from voicemill.flows.service.recovery.reconcile import Policy, reconcile

pytestmark = pytest.mark.slow

NOW = Policy(attempts=3, pause=0.0, pending=-1.0)
"""A PENDING run is dead at once."""


class LookedAt(Runs):
    """Flow runs that the reconciler looks at."""

    def look(self, policy: Policy = NOW) -> list[str]:
        """One look of the reconciler."""
        return list(reconcile(self.client, policy, [self.pool]))


@pytest.fixture
def runs(cli: Any, request: pytest.FixtureRequest) -> Iterator[LookedAt]:
    api = cli.environment["PREFECT_API_URL"]
    secret = cli.environment["PREFECT_API_AUTH_STRING"]
    here = temporary_settings({PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: secret})
    with here, get_client(sync_client=True) as client:
        yield LookedAt(api, client, re.sub(r"\W+", "-", request.node.name))


def test_a_crashed_run_is_followed_by_one_of_the_same_work(runs: LookedAt) -> None:
    first = runs.start(upload="a")
    runs.move(first, "PENDING", "RUNNING")
    runs.move(first, "CRASHED", message="status code -9")
    (line,) = runs.look()
    assert runs.look() == []
    old, new = runs.all()
    assert line == f"attempt 2 of 3: {old['name']} crashed: status code -9" == new["state"]["message"]
    assert (old["state_type"], old["tags"]) == ("CRASHED", ["taken-up"])
    assert (new["state_type"], new["parameters"]) == ("SCHEDULED", {"upload": "a"})
    assert sorted(new["tags"]) == [f"after:{first}", "attempt:2", "resumed"]
    assert new["name"] == f"{old['name']} · attempt 2"


def test_a_look_that_was_cut_off_starts_nothing_twice(runs: LookedAt) -> None:
    first = runs.start()
    runs.move(first, "PENDING", "RUNNING", "CRASHED")
    runs.look()
    ask(runs.api, f"flow_runs/{first}", "PATCH", tags=[])  # the state before the last step of the look
    (_, second) = runs.all()
    runs.move(second["id"], "PENDING", "RUNNING", "CRASHED")  # the second run does not stand for the first
    runs.look()
    assert [attempt_of(run["tags"]) for run in runs.all()] == [1, 2, 3]


def test_the_last_attempt_ends_in_a_state_that_says_so(runs: LookedAt) -> None:
    run = runs.start()
    for _ in range(3):
        runs.move(run, "PENDING", "RUNNING")
        runs.move(run, "CRASHED", message="out of memory")
        lines = runs.look()
        run = runs.all()[-1]["id"]
    assert len(runs.all()) == 3
    assert runs.look() == []
    assert "is given up: out of memory" in lines[0]
    last = runs.all()[-1]
    assert (last["state_type"], last["state_name"]) == ("CRASHED", "Given up")
    assert "since this was attempt 3 of 3" in last["state"]["message"]
    assert "given-up" in last["tags"]
    assert runs.move(runs.start(), "PENDING") == "Pending"  # a person's run has the slot


def test_a_pending_run_that_died_frees_its_slot(runs: LookedAt) -> None:
    dead, waiting = runs.start(number=1), runs.start(number=2)
    assert runs.move(dead, "PENDING") == "Pending"
    assert runs.move(waiting, "PENDING") == "AwaitingConcurrencySlot"
    assert runs.look(Policy()) == []  # it may be about to start
    closed, taken_up = runs.look()
    assert "no process of it has started" in closed
    assert "attempt 2 of 3" in taken_up
    assert runs.move(waiting, "PENDING") == "Pending"
    assert [run["state_type"] for run in runs.all()] == ["CRASHED", "PENDING", "SCHEDULED"]


def test_a_running_run_of_another_machine_is_left_to_its_heartbeats(runs: LookedAt) -> None:
    run = runs.start()
    runs.move(run, "PENDING", "RUNNING")
    assert runs.look() == []
    assert runs.all()[0]["state_type"] == "RUNNING"


def test_a_run_that_is_being_cancelled_is_not_taken_up(runs: LookedAt) -> None:
    run = runs.start()
    runs.move(run, "PENDING", "RUNNING", "CANCELLING")
    runs.look(Policy(running=-1.0))
    assert [run["state_type"] for run in runs.all()] == ["CANCELLED"]


@pytest.mark.parametrize("state", ["", "RUNNING", "RUNNING COMPLETED", "RUNNING PAUSED"])
def test_a_later_run_of_the_same_work_makes_another_one_unnecessary(runs: LookedAt, state: str) -> None:
    first, other = runs.start(upload="a"), runs.start(upload="b")
    runs.move(first, "PENDING", "RUNNING", "CRASHED")
    runs.move(other, "PENDING", "RUNNING", "COMPLETED")  # other work
    later = runs.start(upload="a")
    if state:
        runs.move(later, "PENDING", *state.split())
    (line,) = runs.look()
    assert "does its work" in line
    old, *_ = runs.all()
    assert (len(runs.all()), old["tags"]) == (3, ["covered"])


def test_what_ran_within_a_crashed_run_is_closed_with_it(runs: LookedAt) -> None:
    run = runs.start()
    runs.move(run, "PENDING", "RUNNING")
    inside = [start_task(runs.api, run, number) for number in range(2)]
    flow = ask(runs.api, "flows/", name="recovery inner")["id"]
    inner = ask(runs.api, "flow_runs/", flow_id=flow, parent_task_run_id=inside[0], state={"type": "RUNNING"})["id"]
    task = start_task(runs.api, inner, 0)
    runs.move(run, "CRASHED")
    runs.look()
    assert ask(runs.api, f"flow_runs/{inner}", "GET")["state_type"] == "CRASHED"
    states = {ask(runs.api, f"task_runs/{id_}", "GET")["state_type"] for id_ in (*inside, task)}
    assert states == {"CRASHED"}


def start_task(api: str, run: str, number: int) -> str:
    """Id of a task run of a flow run, which runs."""
    key = {"task_key": "t", "dynamic_key": str(number), "flow_run_id": run, "state": {"type": "RUNNING"}}
    task: str = ask(api, "task_runs/", **key)["id"]
    return task


def test_a_run_with_job_variables_is_not_repeated(runs: LookedAt) -> None:
    start = f"deployments/{runs.deployment}/create_flow_run"
    run = ask(runs.api, start, job_variables={"command": "true"})["id"]
    runs.move(run, "PENDING", "CRASHED")
    runs.look()
    assert [run["state_name"] for run in runs.all()] == ["Given up"]


def test_a_failed_run_is_taken_up_only_where_a_process_of_it_was_killed(runs: LookedAt) -> None:
    failed, killed = runs.start(), runs.start(number=2)
    ask(runs.api, f"flow_runs/{killed}", "PATCH", tags=["killed"])
    for run in (failed, killed):
        runs.move(run, "PENDING", "RUNNING", "FAILED")
    (line,) = runs.look()
    assert "attempt 2" in line
    assert [run["parameters"] for run in runs.all()] == [{}, {"number": 2}, {"number": 2}]


def test_old_crashes_are_history(runs: LookedAt) -> None:
    runs.move(runs.start(), "PENDING", "RUNNING", "CRASHED")
    assert runs.look(Policy(look_back=timedelta(0))) == []
    assert len(runs.look()) == 1


def test_the_command_looks_once_at_the_server_of_the_environment(cli: Any) -> None:
    assert cli("reconcile", "--every", "0").err == ""
    environment = {name: value for name, value in cli.environment.items() if name != "PREFECT_API_URL"}
    refused = type(cli)(environment)("reconcile", "--every", "0", status=2)
    assert "PREFECT_API_URL" in refused.err

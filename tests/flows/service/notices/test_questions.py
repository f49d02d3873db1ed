"""Questions: a run of a real worker is suspended, answered, and goes on or ends; and what leaves it alone meanwhile."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from support.configs import plain
from support.flow_runs import Runs
from support.prefect_server import ask
from support.refreshed_store import RefreshedStore
from support.standing import until
from support.voice_entries import add_entry

from voicemill.flows.service.deploy import AUTOMATIONS
from voicemill.flows.service.notices.log import read_notices
from voicemill.flows.service.notices.posting import post_event
from voicemill.flows.service.notices.questions import withdraw
from voicemill.flows.service.recovery.reconcile import Policy, reconcile
from voicemill.flows.service.worker import pool_template
from voicemill.storage.store import Store
from voicemill.storage.voices.status import read_status

pytestmark = pytest.mark.slow

POOL = "questions"
ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def worker(cli: Any) -> Iterator[None]:
    """A worker of the pool, as `up` starts it."""
    ask(cli.environment["PREFECT_API_URL"], "work_pools/", name=POOL, type="process", base_job_template=pool_template())
    command = [sys.executable, "-m", "voicemill.flows.service.worker", POOL, "2"]
    environment = cli.environment | {"PREFECT_WORKER_QUERY_SECONDS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield
    process.terminate()
    process.wait(60)


@pytest.fixture
def connected(cli: Any) -> Iterator[Any]:
    """Client of the server."""
    api, secret = cli.environment["PREFECT_API_URL"], cli.environment["PREFECT_API_AUTH_STRING"]
    here = temporary_settings({PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: secret})
    with here, get_client(sync_client=True) as client:
        yield client


class Deployed(Runs):
    """Runs of a deployment of one of our flows, which a worker executes."""

    def __init__(self, api: str, client: Any, flow: str, options: dict[str, Any]) -> None:
        self.api, self.client, self.pool = api, client, POOL
        self.deployment = ask(
            api,
            "deployments/",
            name=Path(options["store"]).parent.name,
            flow_id=ask(api, "flows/", name=flow)["id"],
            work_pool_name=POOL,
            entrypoint=f"voicemill.flows.{flow}.{flow}",
            pull_steps=[],
            parameters={"options": options},
            concurrency_limit=1,
            concurrency_options={"collision_strategy": "ENQUEUE"},
            enforce_parameter_schema=False,
        )["id"]

    def state(self, run: str) -> dict[str, Any]:
        """State of a run."""
        found: dict[str, Any] = ask(self.api, f"flow_runs/{run}", "GET")["state"]
        return found

    def wait(self, run: str, *names: str) -> dict[str, Any]:
        """State of a run once it has one of these names, or another end."""
        ends = {*names, "Completed", "Failed", "Crashed", "Cancelled"}
        return dict(until(lambda: (state := self.state(run))["name"] in ends and state, 300))

    def resume(self, run: str, **answer: str) -> dict[str, Any]:
        """Answer of the server to the answer of a person."""
        reply: dict[str, Any] = ask(self.api, f"flow_runs/{run}/resume", run_input=answer)
        return reply


@pytest.fixture
def broken(refreshed: RefreshedStore, synthesised: Path, tmp_path: Path) -> RefreshedStore:
    """A refreshed store from whose inbox a third of the audio has vanished, and to which one upload came."""
    copied = refreshed.copy_to(tmp_path)
    shutil.rmtree(copied.inbox / "bob")
    shutil.copy(synthesised.parent / "spare.wav", copied.inbox / "ann")
    copied.config.write_text(plain("[batches]\nminutes = 0.2\n[publish]\nmin_minutes = 0\n"))
    return copied


def refreshes(cli: Any, client: Any, of: RefreshedStore) -> Deployed:
    options = {"inbox": str(of.inbox), "store": str(of.store), "config": str(of.config), "wait": True}
    return Deployed(cli.environment["PREFECT_API_URL"], client, "refresh", options)


def waits(cli: Any, store: Store, run: str) -> list[str]:
    """Lines of the status that say that a run waits for a person; tests of the same server leave others."""
    return [line for line in cli("status", "--store", store.root, "--json").json["waiting"] if run in line]


def test_yes_publishes_in_a_process_that_runs_the_flow_anew(
    cli: Any, worker: None, connected: Any, broken: RefreshedStore
) -> None:
    runs, store = refreshes(cli, connected, broken), Store.open(broken.store)
    run = runs.start()
    assert runs.wait(run, "Suspended")["name"] == "Suspended"
    with store.locked("the test", wait=True):
        pass
    assert list(reconcile(connected, Policy(pending=-1.0, running=-1.0), [POOL])) == []
    (waiting,) = waits(cli, store, run)
    for words in ("refresh/", "are no longer in the inbox", "voicemill answer yes", f"--run {run}", "/v2/runs/"):
        assert words in waiting
    (notice,) = read_notices(store)
    assert notice.kind == "breaker open"
    assert "the run waits for your answer: voicemill status" in notice.text
    assert runs.resume(run, answer="yes", who="Eve")["status"] == "REJECT"
    assert runs.resume(run, answer="perhaps", who="Eve", why="so")["status"] == "REJECT"
    refused = cli("answer", "yes", "--store", broken.store, "--why", "so", "--run", "another", status=2)
    assert "run another asks nothing" in refused.err
    assert "goes on" in cli("answer", "yes", "--store", broken.store, "--why", "bob moved away").out
    assert runs.wait(run)["name"] == "Completed"
    assert broken.version().version.number == 2
    assert broken.paths() == {"ann/0.wav", "ann/1.wav", "ann/both.wav", "ann/spare.wav", "cem/0.wav"}
    logs = ask(runs.api, "logs/filter", logs={"flow_run_id": {"any_": [run]}}, limit=200)
    assert any(log["message"].endswith("answered yes: bob moved away") for log in logs)
    lots = ask(runs.api, "flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [run]}})
    assert [lot["state_name"] for lot in lots] == ["Completed", "Completed"]  # a lot of each process
    assert waits(cli, store, run) == []


# nightly: three processes of a flow. On a push test_up.py answers no to a promotion, and a test below withdraws
@pytest.mark.nightly
def test_a_later_refresh_asks_in_place_of_an_earlier_one_and_no_ends_it(
    cli: Any, worker: None, connected: Any, broken: RefreshedStore
) -> None:
    runs, store = refreshes(cli, connected, broken), Store.open(broken.store)
    first = runs.start()
    assert runs.wait(first, "Suspended")["name"] == "Suspended"
    second = runs.start()  # there is one slot
    assert runs.wait(second, "Suspended")["name"] == "Suspended"
    assert runs.state(first)["name"] == "Superseded"
    assert runs.resume(second, answer="no", who="Eve", why="bob is to stay")["status"] == "ACCEPT"
    state = runs.wait(second)
    assert state["name"] == "Failed"
    for words in ("nothing was published: 2 uploads", "Eve answered no: bob is to stay"):
        assert words in state["message"]
    assert broken.version().version.number == 1
    assert [notice.kind for notice in read_notices(store)] == ["breaker open"]
    nobody = cli("answer", "yes", "--store", broken.store, "--why", "so", status=2)
    assert "no run asks anything" in nobody.err


# nightly: a flow of two processes. On a push test_up.py asks the same question, and answers no
@pytest.mark.nightly
def test_a_promotion_with_too_few_sentences_is_a_persons_decision(
    cli: Any, worker: None, connected: Any, refreshed: RefreshedStore, tmp_path: Path
) -> None:
    store = Store.open(refreshed.copy_to(tmp_path).store)
    add_entry(store, tmp_path, "ann", "tiny.model.")
    gate = tmp_path / "gate.toml"
    gate.write_text("[gate]\nsamples = 50\nbounds = { rtf = 1000 }\nmargins = { rtf = 1000 }\n")
    judges = {"speaker_encoder": "none", "recogniser": "none", "opinion": "none"}
    options = {"store": str(store.root), "voice": "ann", "number": 1, "config": str(gate), "threads": 1}
    runs = Deployed(cli.environment["PREFECT_API_URL"], connected, "promote", options | {"judges": judges})
    run = runs.start()
    assert runs.wait(run, "Suspended")["name"] == "Suspended"
    assert read_status(store.models / "ann").champions == {}
    (waiting,) = waits(cli, store, run)
    assert re.search(
        r"rtf rests on . sentences?, fewer than 50\. Figures: rtf [\d.]+, bound 1000\. Promote it", waiting
    )
    (notice,) = read_notices(store)
    assert (notice.kind, "ann" in notice.text) == ("answer needed", False)
    assert runs.resume(run, answer="yes", who="Eve", why="heard it")["status"] == "ACCEPT"
    assert runs.wait(run, "Forced")["name"] == "Forced"
    (change,) = read_status(store.models / "ann").history
    assert (change.number, change.forced, change.who, change.why) == (1, True, "Eve", "heard it")


def pause(runs: Runs, run: str) -> None:
    """Suspend a run, as `suspend_flow_run` does."""
    runs.move(run, "PENDING", "RUNNING")
    details = {"pause_reschedule": True, "pause_key": "k"}
    ask(runs.api, f"flow_runs/{run}/set_state", state={"type": "PAUSED", "name": "Suspended", "state_details": details})


def test_a_question_is_withdrawn_in_one_store_alone(cli: Any, connected: Any, tmp_path: Path) -> None:
    runs = Runs(cli.environment["PREFECT_API_URL"], connected, "withdrawn")
    store = Store.open(tmp_path / "store", create=True)
    for folder in (store.root, tmp_path / "other"):
        pause(runs, runs.start(options={"store": str(folder)}))
    withdraw(store, "recovery withdrawn")
    assert [run["state_name"] for run in runs.all()] == ["Superseded", "Suspended"]


def test_a_suspended_run_is_not_missed_by_the_rule_for_heartbeats(cli: Any, connected: Any) -> None:
    """The rule of `up`, with a shorter wait, for two runs whose heartbeats end."""
    runs = Runs(cli.environment["PREFECT_API_URL"], connected, "heartbeats")
    asking, dead = runs.start(), runs.start()
    (rule,) = json.loads(AUTOMATIONS.read_text(encoding="utf-8"))
    resources = [f"prefect.flow-run.{run}" for run in (asking, dead)]
    trigger = rule["trigger"] | {"within": 10, "match": {"prefect.resource.id": resources}}
    made = ask(runs.api, "automations/", **rule | {"name": "short rule", "trigger": trigger})
    time.sleep(2)  # the server reads its automations
    for resource in resources:
        post_event("prefect.flow-run.heartbeat", resource, {})
    pause(runs, asking)
    runs.move(dead, "PENDING", "RUNNING")
    until(lambda: ask(runs.api, f"flow_runs/{dead}", "GET")["state_type"] == "CRASHED", 60)
    time.sleep(3)  # the rule looks at both runs at a time
    assert ask(runs.api, f"flow_runs/{asking}", "GET")["state_name"] == "Suspended"
    ask(runs.api, f"automations/{made['id']}", "DELETE")

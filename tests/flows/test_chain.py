"""Events of a voice start the next deployment with their entry: on a real server, without a worker."""

import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from support.prefect_server import ask

from voicemill.flows.service.up import UpSettings
from voicemill.storage.store import Store
from voicemill.storage.voices import status

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TELL = """
import sys
from pathlib import Path
from voicemill.flows import events
from voicemill.storage.voices.cards import Card, Entry
from voicemill.storage.store import Store
store, name, kind, number = Store.open(sys.argv[1]), *sys.argv[2:]
card = Card(
    voice="anna b", corpus_version=3, recipe="", speakers=(), trainings=(), config="", base={}, content="mfcc", code="",
    created="", kind=kind,
)
getattr(events, name)(store, Entry(store.models / card.voice / f"{int(number):04d}", card))
"""


@pytest.fixture(scope="module")
def store(cli: Any, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with its deployments on the server."""
    store = Store.open(tmp_path_factory.mktemp("chain") / "store", create=True)
    assert deploy(cli, store).returncode == 0
    return store


def deploy(cli: Any, store: Store) -> subprocess.CompletedProcess[str]:
    settings = UpSettings(
        store=str(store.root),
        inbox=f"{store.root}/inbox",
        config="default",
        consent="",
        training="tiny",
        phases=(),
        speakers=("anna b",),
        schedule="30 5 * * 1",
        timezone="Asia/Kolkata",
    )
    return subprocess.run(
        [sys.executable, "-m", "voicemill.flows.service.deploy", "deploy"],
        input=json.dumps(asdict(settings)),
        env=cli.environment,
        cwd=ROOT,
        text=True,
        capture_output=True,
    )


def runs(cli: Any, deployment: str, least: int = 0) -> list[dict[str, Any]]:
    """Runs of a deployment, as soon as there are `least`."""
    flow, _, name = deployment.partition("/")
    body = {"flows": {"name": {"any_": [flow]}}, "deployments": {"name": {"any_": [name]}}}
    end = time.monotonic() + 90
    while True:
        found: list[dict[str, Any]] = ask(cli.environment["PREFECT_API_URL"], "flow_runs/filter", **body)
        if len(found) >= least or time.monotonic() > end:
            return found
        time.sleep(0.5)


def test_schedules_are_in_the_stated_time_zone(cli: Any, store: Store) -> None:
    found = ask(cli.environment["PREFECT_API_URL"], "deployments/filter")
    schedules = {d["name"]: [s["schedule"] for s in d["schedules"]] for d in found if d["schedules"]}
    assert {name: [(s["cron"], s["timezone"]) for s in own] for name, own in schedules.items()} == {
        "monthly": [("30 5 * * 1", "Asia/Kolkata")],
        "quarterly": [("0 4 2 */3 *", "Asia/Kolkata")],
    }


def test_a_server_that_keeps_a_store_is_refused_to_another(cli: Any, store: Store, tmp_path: Path) -> None:
    api = cli.environment["PREFECT_API_URL"]
    before = {d["id"]: d["parameters"] for d in ask(api, "deployments/filter")}
    refused = deploy(cli, Store.open(tmp_path / "second", create=True))
    assert refused.returncode == 1
    assert f"keeps the store {store.root}; given was {tmp_path}/second" in refused.stderr
    assert "prefect variable unset voicemill_store" in refused.stderr
    assert {d["id"]: d["parameters"] for d in ask(api, "deployments/filter")} == before


def tell(cli: Any, store: Store, name: str, kind: str, number: int) -> None:
    ran = cli(store.root, name, kind, number, command=[sys.executable, "-c", TELL])
    assert ran.err == ""


def test_each_event_starts_its_deployment_with_its_entry(cli: Any, store: Store) -> None:
    common = {"store": str(store.root), "voice": "anna b"}
    tell(cli, store, "voice_promoted", "compressed", 4)  # the end of the chain
    tell(cli, store, "voice_promoted", "student", 5)
    tell(cli, store, "voice_promoted", "light", 6)
    compressed = runs(cli, "compress/on-promotion", 2)
    assert sorted(run["parameters"]["options"]["number"] for run in compressed) == [5, 6]
    assert {**compressed[0]["parameters"]["options"], "number": 0} == {**common, "number": 0}
    tell(cli, store, "voice_promoted", "trained", 7)
    (run,) = runs(cli, "distill/on-promotion", 1)
    assert run["parameters"]["options"] == {**common, "config": "tiny", "number": 7, "which": "both"}
    assert runs(cli, "promote/on-model") == []
    status.retire(store.models / "anna b", 9, "light", who="ann", when="2026", why="too dull")
    tell(cli, store, "voice_trained", "light", 9)  # retired: sends no event
    tell(cli, store, "voice_trained", "light", 8)
    (run,) = runs(cli, "promote/on-model", 1)
    assert run["parameters"]["options"] == {**common, "config": "tiny", "number": 8}
    assert (len(runs(cli, "distill/on-promotion")), len(runs(cli, "compress/on-promotion"))) == (1, 2)

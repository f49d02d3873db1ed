"""The flow promote on a real server: the gate accepts or rejects an entry, and the run completes with the reason."""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.prefect_server import ask
from support.refreshed_store import RefreshedStore
from support.voice_entries import WITHOUT_JUDGES, add_entry

from voicemill.storage.store import Store
from voicemill.storage.voices import registry, status
from voicemill.storage.voices.status import read_status

pytestmark = pytest.mark.slow

GATE = """
[gate]
samples = 3
bounds = { rtf = 1000 }
margins = { rtf = 1000 }
[gate.lanes]
student = { similarity = 0.5 }
"""
TEXTS = ("--text", "One sentence more.", "--text", "And another one.")


@pytest.fixture
def store(refreshed: RefreshedStore, tmp_path: Path) -> Store:
    """A refreshed store with two entries of a voice, and a student of the first."""
    (tmp_path / "gate.toml").write_text(GATE)
    store = Store.open(refreshed.copy_to(tmp_path).store)
    for prefix in ("tiny.model.", "other.model."):
        add_entry(store, tmp_path, "ann", prefix)
    add_entry(store, tmp_path, "ann", "student.model.", "student", "ann/0001")
    return store


def words(store: Store, *more: object) -> tuple[object, ...]:
    config = store.root.parent / "gate.toml"
    own = ("--store", store.root, "--config", config, "--threads", 1, "--json")
    return ("voices", "promote", *own, *WITHOUT_JUDGES, *more)


def champions(store: Store) -> dict[str, int]:
    return dict(read_status(store.models / "ann").champions)


def run_of(cli: Any, address: str) -> dict[str, Any]:
    api = cli.environment["PREFECT_API_URL"]
    (run,) = ask(api, "flow_runs/filter", flow_runs={"id": {"any_": [address.rpartition("/")[2]]}})
    found = ask(api, "artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}})
    return dict(run) | {"artifacts": {artifact["key"]: artifact["data"] for artifact in found}}


def test_through_the_gate_and_back(cli: Any, store: Store) -> None:
    done = cli(*words(store, "--number", 1, *TEXTS)).json
    assert (done["promoted"], done["verdict"], done["champion"]) == (True, "Promoted", "ann/0001")
    assert done["reason"] == "ann/0001 keeps every bound (rtf), and there is no champion to compare with"
    run = run_of(cli, done["run"])
    assert (run["name"], run["state_name"], run["state_type"]) == (
        "promote · ann/0001 · promoted",
        "Promoted",
        "COMPLETED",
    )
    page = run["artifacts"]["promote-verdict"]
    assert done["report"] in page
    assert Path(done["report"]).is_file()
    assert "| rtf | seconds per second |" in page
    children = ask(cli.environment["PREFECT_API_URL"], "task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
    assert any(child["name"].startswith("evaluate") for child in children)
    assert champions(store) == {"trained": 1}
    assert registry.find(store, "ann").number == 1

    again = cli(*words(store, "--number", 1)).json
    assert (again["promoted"], again["verdict"]) == (False, "Champion already")

    kept = cli(*words(store, "--number", 2), status=1).json  # without the texts: the sentences of one of two recordings
    assert (kept["promoted"], kept["verdict"], kept["champion"]) == (False, "Champion stays", "ann/0001")
    assert re.search("rtf rests on (1 sentence|2 sentences), fewer than 3", kept["reason"])
    run = run_of(cli, kept["run"])
    assert (run["state_name"], run["state_type"]) == ("Champion stays", "COMPLETED")
    assert run["state"]["message"] == kept["reason"]
    assert kept["reason"] in run["artifacts"]["promote-verdict"]

    student = cli(*words(store, "--number", 3, *TEXTS), status=1).json
    assert (student["verdict"], student["kind"], student["champion"]) == ("Not promoted", "student", "")
    assert "similarity, which has a bound, is missing (" in student["reason"]

    forced = cli(*words(store, "--number", 3, "--force", "heard it myself")).json
    assert (forced["verdict"], forced["rows"]) == ("Forced", [])
    assert champions(store) == {"trained": 1, "student": 3}
    last = read_status(store.models / "ann").history[-1]
    assert (last.forced, last.why, last.number) == (True, "heard it myself", 3)


def test_a_promotion_overtaken_by_another_one_evaluates_again(cli: Any, store: Store) -> None:
    """The other promotion happens during the evaluation."""
    with cli.start(*words(store, "--number", 2, *TEXTS)) as process:
        end = time.monotonic() + 300
        while not list(store.root.glob("reports/*/speech/*/*")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        status.promote(
            store.models / "ann", 1, "trained", instead_of=0, who="eve", when="2026", why="during the evaluation"
        )
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    done = json.loads(out)
    assert (done["verdict"], done["champion"]) == ("Promoted", "ann/0002")
    assert "is not worse than ann/0001 in rtf" in done["reason"]
    history = read_status(store.models / "ann").history
    assert [(change.number, change.instead_of) for change in history] == [(1, 0), (2, 1)]


CALL = """
import sys
from voicemill.flows.promote import PromoteOptions, promote
print(promote(PromoteOptions.model_validate_json(sys.argv[1])).run)
"""


def test_an_entry_retired_meanwhile_ends_the_run_well_and_fails_the_command(cli: Any, store: Store) -> None:
    retired = cli("voices", "retire", "--store", store.root, "--voice", "ann", "--number", 2, "--reason", "too dull")
    assert "ann/0002 is retired" in retired.out
    refused = cli(*words(store, "--number", 2), status=2)
    assert "(too dull)" in refused.err
    options = json.dumps({"store": str(store.root), "voice": "ann", "number": 2})
    ran = cli(options, command=[sys.executable, "-c", CALL])
    run = run_of(cli, ran.out.strip())
    assert (run["name"], run["state_name"]) == ("promote · ann/0002 · retired", "Retired")
    assert champions(store) == {}


def test_the_registry_is_listed_shown_and_rolled_back(alone: Any, store: Store) -> None:
    """These commands need no server."""
    for number, before in ((1, 0), (2, 1)):
        status.promote(
            store.models / "ann",
            number,
            "trained",
            instead_of=before,
            who="eve",
            when="2026-01-01",
            why=f"why {number}",
        )
    at = ("--store", store.root)
    rows = alone("voices", "list", *at, "--json").json
    assert [(row["voice"], row["number"], row["kind"], row["stage"]) for row in rows] == [
        ("ann", 1, "trained", "candidate"),
        ("ann", 2, "trained", "champion"),
        ("ann", 3, "student", "candidate"),
    ]
    shown = alone("voices", "show", *at, "--json").json
    assert (shown["number"], shown["stage"], shown["card"]["voice"]) == (2, "champion", "ann")
    assert [change["why"] for change in shown["history"]] == ["why 2"]
    page = alone("voices", "show", *at, "--number", 3).out
    for part in ("# ann/0003", "| made from | ann/0001 (trained) |", "consent of", "watermark", "`voicemill evaluate`"):
        assert part in page
    assert "| succeeded by 2 | eve | why 2 |" in alone("voices", "show", *at, "--number", 1).out
    back = alone("voices", "rollback", *at, "--voice", "ann", "--reason", "2 mumbles", "--json").json
    assert (back["number"], back["instead_of"], back["why"], back["forced"]) == (1, 2, "2 mumbles", True)
    assert back["made_of_it"] == []
    status.promote(store.models / "ann", 3, "student", instead_of=0, who="eve", when="2026-01-02", why="3")
    forth = alone("voices", "rollback", *at, "--reason", "2 does not").out.splitlines()
    assert forth[0] == "entry 2 of ann is champion (trained) again instead of 1"
    command = f"voicemill voices retire --store {store.root} --voice ann --number 3 --reason ..."
    assert forth[1:] == [f"ann/0003 (student) was made of ann/0001 and still speaks; `{command}` takes it back"]
    named = alone("voices", "rollback", *at, "--reason", "it does", "--json").json
    assert (named["number"], named["made_of_it"]) == (1, [])  # the student is not of 2, which was taken back now
    gone = alone("voices", "retire", *at, "--voice", "ann", "--number", 1, "--reason", "enough", "--json").json
    student = {"entry": "ann/0003", "kind": "student", "command": command}
    assert gone == {"entry": "ann/0001", "changed": True, "champion": 0, "made_of_it": [student]}
    last = alone("voices", "retire", *at, "--voice", "ann", "--number", 3, "--reason", "enough").out
    assert "no champion (student) is left" in last
    assert "still speaks" not in last
    assert "no voice 'bob'; it has ann" in alone("voices", "show", *at, "--voice", "bob", status=2).err
    assert "--kind heavy" in alone("voices", "rollback", *at, "--kind", "heavy", "--reason", "x", status=2).err

"""The flow retrain on a real server: a corpus version becomes a voice that speaks; killed runs leave no processes."""

import base64
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import prefect_server
from support.refreshed_store import RefreshedStore
from support.tiny_voice import VOICE_TOML

from voicemill.storage.store import Store
from voicemill.storage.voices import registry, status
from voicemill.tasks.training.launch import training_processes

pytestmark = pytest.mark.slow

CONFIG = f"""{VOICE_TOML}
[phases.long]
steps = 24
rate = 1e-3
networks = ["s2"]
[phases.steep]
steps = 40
rate = 1e30
networks = ["s2"]
"""


@pytest.fixture
def copied(refreshed: RefreshedStore, tmp_path: Path) -> RefreshedStore:
    """A refreshed store to train on."""
    (tmp_path / "training.toml").write_text(CONFIG)
    return refreshed.copy_to(tmp_path)


@pytest.fixture
def trained(voiced: tuple[RefreshedStore, dict[str, Any]], tmp_path: Path) -> RefreshedStore:
    """A store with the first entry of ann's voice."""
    (tmp_path / "training.toml").write_text(CONFIG)
    return voiced[0].copy_to(tmp_path)


def words(copied: RefreshedStore, *more: object) -> tuple[object, ...]:
    config = copied.store.parent / "training.toml"
    return ("train", "--store", copied.store, "--config", config, "--speaker", "ann", *more)


def ask(cli: Any, path: str, **body: Any) -> Any:
    return prefect_server.ask(cli.environment["PREFECT_API_URL"], path, **body)


def flow_run(cli: Any, address: str) -> dict[str, Any]:
    (found,) = ask(cli, "flow_runs/filter", flow_runs={"id": {"any_": [address.rpartition("/")[2]]}})
    return dict(found)


def artifacts(cli: Any, run: dict[str, Any]) -> dict[str, Any]:
    found = ask(cli, "artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}})
    return {artifact["key"]: artifact["data"] for artifact in found}


def test_a_corpus_becomes_a_voice_that_speaks(cli: Any, copied: RefreshedStore, tmp_path: Path) -> None:
    config = tmp_path / "training.toml"
    config.write_text(CONFIG.replace("steps = 4", "steps = 8"))
    ran = cli(*words(copied, "--if-new", "--json"))
    assert ran.err == ""
    done = ran.json
    assert (done["voice"], done["version"], done["trained"], done["verdict"]) == ("ann", 1, True, "First training")
    assert [(t["network"], t["phase"], t["outcome"], t["steps"]) for t in done["trainings"]] == [
        ("s2", "finetune", "finished", 8),
        ("s1", "finetune", "finished", 8),
    ]
    entry = registry.latest(Store.open(copied.store), "ann")
    assert entry is not None
    assert str(entry.folder) == done["entry"]
    assert (entry.number, entry.card.corpus_version, entry.card.content) == (1, 1, "mfcc-cmvn")

    run = flow_run(cli, done["run"])
    assert (run["name"], run["state_name"]) == ("retrain · ann · finetune · v1", "Completed")
    assert {"voice:ann", "version:1"} <= set(run["tags"])
    tasks = ask(cli, "task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
    assert sorted(task["name"] for task in tasks) == ["s1 · finetune", "s2 · finetune"]
    found = artifacts(cli, run)
    kinds = ("progress", "losses", "curves")
    of_training = {f"training-{network}-finetune-{kind}" for network in ("s1", "s2") for kind in kinds}
    assert set(found) == of_training | {"retrain-decision", "retrain-summary"}
    assert found["training-s2-finetune-progress"] == 100
    assert {row["loss"] for row in json.loads(found["training-s2-finetune-losses"])} >= {"loss", "mel", "kl"}
    picture = base64.b64decode(found["training-s2-finetune-curves"].partition("base64,")[2].partition(")")[0])
    assert b">mel</text>" in picture
    assert b">step 8</text>" in picture
    assert done["speak"] in found["retrain-summary"]
    assert done["reason"] in found["retrain-decision"]
    logs = ask(cli, "logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}}, limit=200)
    log = "\n".join(line["message"] for line in logs)
    assert f"training: {done['reason']}" in log
    # the run's log has a few lines a second, the last one always
    assert "finished: " in log
    outputs = [path.read_text("utf-8") for path in copied.store.glob("training/*/log.txt")]
    assert ["step 8/8" in text for text in outputs] == [True, True]

    before = {path: path.stat().st_mtime_ns for path in (copied.store / "training").rglob("*") if path.is_file()}
    again = cli(*words(copied, "--json")).json
    assert (again["verdict"], again["reason"].partition(",")[0]) == ("Forced", "asked for")
    assert (again["entry"], again["trainings"]) == (done["entry"], done["trainings"])
    after = {path: path.stat().st_mtime_ns for path in (copied.store / "training").rglob("*") if path.is_file()}
    assert {path.name for path in before if before[path] != after[path]} <= {".lock"}

    values = {"RECORDING": str(copied.inbox / "ann" / "both.wav"), "TEXT": "A small garden.", "speech.wav": "x.wav"}
    command = [values.get(word, word) for word in shlex.split(done["speak"])[1:]]
    command[-1] = str(tmp_path / "x.wav")
    assert cli(*command, "--json").json["seconds"] > 0.1


def test_enough_new_speech_starts_another_training(cli: Any, trained: RefreshedStore, synthesised: Path) -> None:
    """Nothing new, too little, enough: the run completes each time and is named after the decision."""
    config = trained.store.parent / "training.toml"

    def verdict() -> tuple[str, bool, str]:
        done = cli(*words(trained, "--if-new", "--json")).json
        run = flow_run(cli, done["run"])
        assert run["state_type"] == "COMPLETED"
        assert done["trained"] or run["state_name"] == done["verdict"]
        assert done["reason"] in artifacts(cli, run)["retrain-decision"]
        return done["verdict"], done["trained"], Path(done["entry"]).name

    assert verdict() == ("Nothing new", False, "0001")
    (trained.inbox / "ann" / "spare.wav").write_bytes((synthesised.parent / "spare.wav").read_bytes())
    assert cli.refresh(trained.inbox, trained.store, "--config", trained.config)["version"] == 2
    assert verdict() == ("Too little new", False, "0001")
    config.write_text(config.read_text() + "[retrain]\nnew_minutes = 0.01\n")
    assert verdict() == ("New speech", True, "0002")
    cards = [entry.card for entry in registry.entries(Store.open(trained.store), "ann")]
    assert [card.corpus_version for card in cards] == [1, 2]


def test_trainings_of_a_retired_entry_end_in_the_state_retired(cli: Any, trained: RefreshedStore) -> None:
    """The entry stays retired: no event is sent, and the reason names what makes another entry."""
    config = trained.store.parent / "training.toml"
    store, folder = Store.open(trained.store), trained.store / "models" / "ann"

    def announced() -> list[int]:
        found = ask(cli, "events/filter", filter={"event": {"name": ["voice.trained"]}}, limit=50)["events"]
        return [event["payload"]["number"] for event in found if event["payload"]["store"] == str(store.root)]

    status.retire(folder, 1, "trained", who="eve", when="2025-01-01", why="it mumbles")
    again = cli(*words(trained, "--json"), status=1).json
    assert (again["trained"], again["verdict"], again["entry"], again["speak"]) == (False, "Retired", "", "")
    for part in ("ann/0001", "it mumbles", "2025-01-01", "seed", "voicemill train"):
        assert part in again["reason"]
    run = flow_run(cli, again["run"])
    assert (run["name"], run["state_name"], run["state_type"]) == (
        "retrain · ann · retired · v1",
        "Retired",
        "COMPLETED",
    )
    assert "it mumbles" in " ".join(cli(*words(trained), status=1).out.split())
    config.write_text(config.read_text().replace("[loop]", "[loop]\nseed = 7"))
    other = cli(*words(trained, "--json")).json
    assert (other["trained"], Path(other["entry"]).name) == (True, "0002")
    end = time.monotonic() + 30
    while 2 not in announced():  # the server stores events with a delay
        assert time.monotonic() < end
        time.sleep(0.1)
    assert announced() == [2]
    assert registry.find(store, "ann").number == 2


def test_a_failed_training_fails_the_run_and_names_the_cause(cli: Any, copied: RefreshedStore, tmp_path: Path) -> None:
    ran = cli(*words(copied, "--phase", "steep", "--json"), status=2)
    assert "s2 · steep on corpus version 1 stopped: not_finite: " in ran.err
    (tmp_path / "broken.pth").write_bytes(b"no weights")
    ran = cli(*words(copied, "--start-s2", tmp_path / "broken.pth"), status=2)
    assert "s2 · finetune on corpus version 1 stopped: crashed: exit status 1" in ran.err
    assert "broken.pth" in ran.err.partition("Its folder")[2]  # the last lines of its output
    states = {run["name"]: run["state_type"] for run in ask(cli, "flow_runs/filter")}
    assert states["retrain · ann · steep · v1"] == "FAILED"
    assert registry.latest(Store.open(copied.store), "ann") is None


def folder_in_training(copied: RefreshedStore, process: subprocess.Popen[str]) -> Path:
    """Folder of the training that a command runs, once it has a checkpoint."""
    end = time.monotonic() + 300
    while not (started := list(copied.store.glob("training/*/checkpoints/step-*"))):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    assert training_processes(started[0].parent.parent)
    return started[0].parent.parent


def test_a_forgetting_ends_a_training_on_its_version(cli: Any, copied: RefreshedStore, tmp_path: Path) -> None:
    (tmp_path / "training.toml").write_text(CONFIG.replace("steps = 24", "steps = 10000"))
    with cli.start(*words(copied, "--phase", "long")) as process:
        folder = folder_in_training(copied, process)
        cli("forget", "--speaker", "cem", "--store", copied.store, "--yes")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a speaker of that version was forgotten meanwhile" in err
    assert "Traceback" not in err
    assert list(folder.parent.iterdir()) == []
    assert training_processes(folder) == []


# nightly: the signals that a process may handle. A push covers SIGTERM of a training's own processes in
# tests/model/training/test_train_real.py and Ctrl-C of a refresh in test_faults.py
@pytest.mark.parametrize(
    "how",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.nightly),
        pytest.param(signal.SIGINT, marks=pytest.mark.nightly),
    ],
)
def test_a_killed_training_leaves_no_process_and_is_resumed(
    cli: Any, copied: RefreshedStore, how: signal.Signals
) -> None:
    options = words(copied, "--phase", "long", "--json")
    with cli.start(*options) as process:
        folder = folder_in_training(copied, process)
        os.kill(process.pid, how)
        process.communicate(timeout=120)
        assert process.returncode != 0
    end = time.monotonic() + 60
    while training_processes(folder):
        assert time.monotonic() < end
        time.sleep(0.05)
    done = json.loads((folder / "progress.jsonl").read_text().splitlines()[-1])["step"]
    assert 2 <= done < 24
    assert cli(*options).json["trainings"][0]["folder"] == folder.name
    steps = [json.loads(line)["step"] for line in (folder / "progress.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 25))
    log = (folder / "log.txt").read_text()
    assert log.count("step 1/24") == 1  # the second attempt resumed
    assert log.count("step 24/24") == 1


CALL = """
import sys
from voicemill.flows.retrain import RetrainOptions, retrain
done = retrain(RetrainOptions.model_validate_json(sys.argv[1]))
print(done.verdict, done.trained, done.entry, done.run, sep="|")
"""


@pytest.mark.parametrize(
    ("store", "more", "verdict"),
    [
        ("store", {"speakers": ["zoe"]}, "Nothing of zoe yet"),
        ("new", {"speakers": ["ann"], "new_minutes": 0}, "No corpus version yet"),
    ],
)
def test_a_deployment_without_data_completes_and_waits(
    cli: Any, copied: RefreshedStore, store: str, more: dict[str, Any], verdict: str
) -> None:
    """A run started by a schedule or an event completes without data; the command reports an error."""
    folder = copied.store.parent / store
    Store.open(folder, create=True)
    config = copied.store.parent / "training.toml"
    options = json.dumps({"store": str(folder), "config": str(config), **more})
    ran = cli(options, command=[sys.executable, "-c", CALL])
    *fields, address = ran.out.strip().split("|")
    assert fields == [verdict, "False", ""]
    run = flow_run(cli, address)
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", verdict)
    assert run["name"] == f"retrain · {more['speakers'][0]} · {verdict.lower()}"
    assert not (folder / "training").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--speaker", "zoe"), "no utterance of speaker 'zoe'; it has ann, bob, cem"),
        (("--version", 9), "has no corpus version 9"),
        (("--store", "nowhere"), "not a voicemill store"),
    ],
)
def test_missing_inputs_are_reported_before_a_server_starts(
    alone: Any, copied: RefreshedStore, options: tuple[object, ...], message: str
) -> None:
    ran = alone(*words(copied, *options), status=2)
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert not (copied.store / "training").exists()

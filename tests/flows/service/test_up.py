"""`voicemill up` on a real server: from recordings to a voice that speaks, with no hand touching it; and what dies."""

import itertools
import json
import os
import select
import shutil
import signal
import time
import urllib.error
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.workers.process import ProcessWorker
from support import intruder
from support.prefect_server import CHROMIUM, ask, page
from support.standing import Standing, until

from voicemill.flows.service import up
from voicemill.flows.service.recovery import processes
from voicemill.flows.service.server import running_server
from voicemill.flows.service.worker import pool_template

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

TRAINING = """
[data]
batch = 4
loaders = 0
lanes = 2
shortest_s = 0.3

[s1.sizes]
dim = 64
heads = 4
layers = 2

[s2.sizes]
hidden = 32
filter = 64
layers = 2
style = 32
mrte_dim = 32
reference_dim = 16
codebook = 64
posterior_layers = 2
flow_layers = 2
couplings = 2
upsample_channels = 64
resblock_kernels = [3]
resblock_dilations = [1, 3]
periods = [2, 3]

[loop]
evaluate_every = 4
checkpoint_every = 4
log_every = 1
sample_every = 1000

[phases.finetune]
steps = {steps}
rate = 1e-3
mix = {{ target = 1.0 }}
"""
CHILDREN = ["cpu", "gpu", "reconciler", "standby", "watcher"]
DEPLOYMENTS = [
    "compress/on-promotion",
    "distill/on-promotion",
    "promote/on-model",
    "refresh/monthly",
    "refresh/on-upload",
    "retrain/on-corpus",
    "retrain/quarterly",
]


@pytest.fixture(scope="module")
def standing(alone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """An inbox with ann's consent and no recording, and an empty store that is up."""
    folder = tmp_path_factory.mktemp("up")
    (folder / "inbox").mkdir()
    (folder / "inbox" / "consents.csv").write_text("speaker,consent,note\nann,yes,signed\n")
    (folder / "training.toml").write_text(TRAINING.format(steps=8))
    # the lock of the processor is the machine's: other trainings on it are none of this test's business
    standing = Standing(replace(alone, environment=alone.environment | {"VOICEMILL_LOCKS": str(folder)}), folder)
    try:
        standing.start()
        yield standing
    finally:
        alone("down", "--store", standing.store.root)
        assert standing.processes() == []


def test_up_starts_everything_once(standing: Standing) -> None:
    state = standing.state
    assert state.ready
    assert sorted(state.children) == CHILDREN
    assert [row["name"] for row in state.deployments] == DEPLOYMENTS
    assert state.url.startswith("http://127.0.0.1:")
    shown = standing.cli("up", *standing.options).out
    assert standing.state == state  # it was found, not started
    for words in (*DEPLOYMENTS, f"{state.url}/v2/runs", "up-cpu.log", "voicemill upload", "voicemill down"):
        assert words in shown
    refused = standing.cli("up", *standing.options[:-1], "bob", status=2)
    assert "voicemill down" in refused.err
    assert "'bob'" in refused.err


def test_the_crons_have_scheduled_runs(standing: Standing) -> None:
    for name, months in (("refresh/monthly", range(1, 13)), ("retrain/quarterly", (1, 4, 7, 10))):
        runs = until(lambda name=name: standing.runs(name, "SCHEDULED"))
        times = [datetime.fromisoformat(run["next_scheduled_start_time"]) for run in runs]
        assert all(time > datetime.now(time.tzinfo) for time in times)
        assert {time.month for time in times if time.day < 3} <= set(months)
    automations = ask(standing.api, "automations/filter")
    names = sorted(automation["name"] for automation in automations)
    assert names == [
        "corpus published",
        "crash zombie flows",
        "student promoted",
        "uploads arrived",
        "voice promoted",
        "voice trained",
    ]


@pytest.fixture(scope="module")
def chained(standing: Standing, synthesised: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The retrain run that follows the first upload, and its dashboard page during the run."""
    files = sorted((synthesised / "ann").glob("*.wav"))
    noise = tmp_path_factory.mktemp("no") / "noise.wav"
    noise.write_bytes(b"no sound at all")
    told = standing.upload(*files, noise, status=1)
    assert [file["outcome"] for file in told["files"]] == ["new"] * len(files) + ["refused"]
    assert told["told"] == standing.state.url
    run = until(lambda: standing.runs("retrain/on-corpus", "RUNNING", "COMPLETED", "FAILED", "CRASHED"))[0]
    of_it = {"flow_run_id": {"any_": [run["id"]]}}
    shown = ""

    def training() -> bool:
        keys = {artifact["key"] for artifact in ask(standing.api, "artifacts/filter", artifacts=of_it)}
        return any("progress" in str(key) for key in keys) or not standing.runs("retrain/on-corpus", "RUNNING")

    until(training)
    if CHROMIUM:
        address = f"{standing.state.url}/v2/runs/flow-run/{run['id']}?tab=Artifacts"
        shown = page(address, ("progress", "losses"), tmp_path_factory.mktemp("browser"), 8)
    until(lambda: standing.runs("retrain/on-corpus", "COMPLETED", "FAILED", "CRASHED"))
    return {"run": standing.runs("retrain/on-corpus")[0], "page": shown}


def test_an_upload_becomes_a_version_and_a_voice_that_speaks(
    standing: Standing, chained: dict[str, Any], synthesised: Path, tmp_path: Path
) -> None:
    assert len(standing.versions()) == 1
    assert standing.versions()[0]["counts"]["speakers"] == 1
    logs = ask(standing.api, "logs/filter", logs={"flow_run_id": {"any_": [chained["run"]["id"]]}}, limit=200)
    assert chained["run"]["state_type"] == "COMPLETED", "\n".join(line["message"] for line in logs)
    assert "first training of this voice" in "\n".join(line["message"] for line in logs)
    assert chained["run"]["work_pool_name"] == "gpu"
    (card,) = (standing.store.models / "ann").glob("*/card.json")
    entry = json.loads(card.read_text())
    weights, content = entry["weights"], entry["content"]
    out, reference = tmp_path / "said.wav", synthesised / "ann" / "0.wav"
    standing.cli(
        *("speak", "--s1", card.parent / weights["s1"], "--s2", card.parent / weights["s2"], "--content", content),
        *("--reference", reference, "--language", "en", "--text", "Good morning.", "--out", out),
    )
    assert out.stat().st_size > 10_000


def test_the_new_voice_is_judged_and_kept_out(standing: Standing, chained: dict[str, Any]) -> None:
    """The shipped gate asks: three recordings give too few held-out sentences."""
    (run, *_) = until(lambda: standing.runs("promote/on-model", "PAUSED", "COMPLETED", "FAILED", "CRASHED"))
    assert run["state_name"] == "Suspended"
    standing.cli("answer", "no", "--store", standing.store.root, "--why", "train on more first")
    (run, *_) = until(lambda: standing.runs("promote/on-model", "COMPLETED", "FAILED", "CRASHED"))
    assert (run["name"], run["state_name"]) == ("promote · ann/0001 · not promoted", "Not promoted")
    assert "fewer than 10" in run["state"]["message"]
    assert run["state"]["message"].endswith("answered no: train on more first")
    assert standing.runs("distill/on-promotion") == []


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_page_of_the_run_shows_progress_and_loss(chained: dict[str, Any]) -> None:
    for words in ("retrain · ann", "progress", "loss", "finetune"):
        assert words in chained["page"]


# nightly: half a minute of waiting. On a push tests/flows/service/test_watch.py counts what the watcher reports
@pytest.mark.nightly
def test_two_hundred_files_that_others_drop_make_one_refresh(standing: Standing, chained: dict[str, Any]) -> None:
    """The files are of bob, who has not consented: they are held, and nothing else follows."""
    before = len(standing.runs("refresh/on-upload"))
    recording = next((standing.inbox / "ann").glob("*.wav")).read_bytes()
    (standing.inbox / "bob").mkdir()
    for number in range(200):
        (standing.inbox / "bob" / f"{number}.wav").write_bytes(recording + bytes(number))
        time.sleep(0.04)
    until(lambda: len(standing.runs("refresh/on-upload", "COMPLETED")) == before + 1)
    time.sleep(25)  # two polls of the watcher, and twice the time in which the trigger looks
    assert len(standing.runs("refresh/on-upload")) == before + 1
    held = standing.cli("ledger", "--store", standing.store.root, "--json").json
    assert isinstance(held, list)


# nightly: two refreshes. On a push test_deployments.py reads the limit of one run at a time
@pytest.mark.nightly
def test_uploads_close_together_are_refreshed_one_after_another(
    standing: Standing, chained: dict[str, Any], synthesised: Path
) -> None:
    before, versions = len(standing.runs("refresh/on-upload")), len(standing.versions())
    spare = synthesised.parent / "spare.wav"
    standing.upload(spare)
    until(lambda: standing.runs("refresh/on-upload", "RUNNING"))
    standing.upload(next((synthesised / "bob").glob("0.wav")), speaker="ann")
    until(lambda: len(standing.runs("refresh/on-upload", "COMPLETED")) >= before + 2)
    until(lambda: not standing.runs("refresh/on-upload", "RUNNING", "PENDING", "SCHEDULED"))
    spans = sorted((run["start_time"], run["end_time"]) for run in standing.runs("refresh/on-upload"))
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))
    assert len(standing.versions()) > versions
    rows = standing.cli("ledger", "--store", standing.store.root, "--by", "path", "--json").json
    assert {"ann/spare.wav", "ann/0-2.wav"} <= {row["name"] for row in rows}


@pytest.mark.nightly
def test_what_is_killed_in_a_refresh_comes_back(standing: Standing, chained: dict[str, Any]) -> None:
    """Worker, run and server: no hand starts the refresh again."""
    url, server = standing.state.url, running_server(standing.store)
    assert server is not None
    known = {run["id"] for run in standing.runs("refresh/on-upload")}
    copy = Path(shutil.copy(standing.inbox / "ann" / "0.wav", standing.folder / "after.wav"))
    with copy.open("ab") as file:
        file.write(bytes(2))
    assert standing.upload(copy)["files"][0]["outcome"] == "new"
    (run,) = until(lambda: standing.runs("refresh/on-upload", "RUNNING"))
    worker = standing.state.children["cpu"]
    for pid in (worker, server[0], *of_run(standing, run)):
        os.kill(pid, signal.SIGKILL)
    until(lambda: standing.state.children.get("cpu", worker) != worker)
    until(lambda: (now := running_server(standing.store)) and now[0] != server[0] and now[1] == server[1])
    assert standing.state.restarts["cpu"] == 1
    assert standing.state.url == url

    def new_runs(state: str) -> list[dict[str, Any]]:
        return [new for new in standing.runs("refresh/on-upload", state) if new["id"] not in known]

    follower = until(lambda: new_runs("COMPLETED"), 300)[0]
    assert "resumed" in follower["tags"]
    (crashed,) = new_runs("CRASHED")
    assert crashed["id"] == run["id"]
    assert {"taken-up", "covered"} & set(crashed["tags"])  # the death of the server starts a refresh, too
    rows = standing.cli("ledger", "--store", standing.store.root, "--by", "path", "--json").json
    assert "ann/after.wav" in {row["name"] for row in rows}


def test_nobody_gets_in(standing: Standing, chained: dict[str, Any]) -> None:
    """After runs of all kinds: no port but that of the server and those on which Prefect's workers wait for their own
    flow runs, each with a token; and the secret is in no database, log or command line."""
    url = standing.state.url
    assert intruder.breaches(url, standing.store.root) == []
    server = running_server(standing.store)
    assert server is not None
    assert intruder.listening([server[0], up.supervisor_pid(standing.store)]) == {server[1]}
    workers = {standing.state.children[pool] for pool in up.POOLS}
    assert intruder.listening([pid for pid in standing.processes() if pid not in {*workers, server[0]}]) == set()


def crashed(standing: Standing, ids: list[str]) -> list[dict[str, Any]]:
    """These runs, once all of them have crashed."""
    runs = [run for run in standing.runs("refresh/monthly", "CRASHED") if run["id"] in ids]
    return runs if len(runs) == len(ids) else []


def test_workers_run_no_command_of_a_job_variable(standing: Standing, chained: dict[str, Any]) -> None:
    """Not even of somebody with the secret: the server takes no such run, and a worker refuses one that it took."""
    marker = standing.folder / "owned"
    api = standing.api
    (deployment,) = ask(api, "deployments/filter", deployments={"name": {"any_": ["monthly"]}})
    start = f"deployments/{deployment['id']}/create_flow_run"
    hostile: list[dict[str, Any]] = [
        {"command": f"touch {marker}"},
        {"env": {"PATH": str(standing.folder)}},
        {"env.PYTHONPATH": str(standing.folder)},
        {"working_dir": str(standing.folder)},
    ]
    for variables in hostile:
        with pytest.raises(urllib.error.HTTPError, match="422"):
            ask(api, start, job_variables=variables)
    template = ProcessWorker.get_default_base_job_template()
    ask(api, "work_pools/cpu", "PATCH", base_job_template=template)
    try:
        ids = [ask(api, start, job_variables=variables)["id"] for variables in hostile]
        done = until(lambda: crashed(standing, ids))
    finally:
        ask(api, "work_pools/cpu", "PATCH", base_job_template=pool_template())
    for run in done:
        assert "run the flows of their deployments and no other command" in run["state"]["message"]
    assert not marker.exists()


def test_the_status_shows_runs_voices_and_what_went_wrong(standing: Standing, chained: dict[str, Any]) -> None:
    def told() -> dict[str, Any] | None:
        """The status, once it tells of the runs that workers refused, and of the promotion."""
        found: dict[str, Any] = standing.cli("status", "--store", standing.store.root, "--json").json
        kinds = {notice["kind"] for notice in found["notices"]}
        failed = any("refresh/monthly, whose last run failed" in line for line in found["waiting"])
        return found if failed and {"run failed", "answer needed"} <= kinds else None

    found = until(told, 120)
    assert found["url"] == standing.state.url
    runs = {row["name"]: row for row in found["deployments"]}
    assert sorted(runs) == DEPLOYMENTS
    assert runs["refresh/monthly"]["next"]
    assert runs["retrain/on-corpus"]["last"].startswith(("Completed", "Too little new"))
    assert found["voices"] == [{"name": "ann", "entries": 1, "champions": "", "candidates": 1}]
    assert any("refresh/monthly was given up" in notice["text"] for notice in found["notices"])
    shown = standing.cli("status", "--store", standing.store.root).out
    for words in ("refresh/on-upload", "RUN FAILED", "retrain/quarterly", "ann", standing.state.url):
        assert words in shown


def long_training(standing: Standing) -> dict[str, Any]:
    """Start a retrain run on the gpu pool that would take an hour; returns it once its ranks run."""
    (standing.folder / "training.toml").write_text(TRAINING.format(steps=100_000))
    deployment = ask(standing.api, "deployments/filter", deployments={"name": {"any_": ["on-corpus"]}})[0]
    options = deployment["parameters"]["options"] | {"force": True}
    run: dict[str, Any] = ask(
        standing.api, f"deployments/{deployment['id']}/create_flow_run", parameters={"options": options}
    )
    until(lambda: any("voicemill.model.training.main" in command(pid) for pid in standing.processes()))
    return run


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def of_run(standing: Standing, run: dict[str, Any]) -> list[int]:
    """Processes of a flow run."""
    return [p.pid for p in processes.find_processes(standing.store) if processes.flow_run(p) == run["id"]]


def test_a_cancelled_training_leaves_no_process(standing: Standing, chained: dict[str, Any]) -> None:
    run = long_training(standing)
    assert len(of_run(standing, run)) >= 2
    ask(standing.api, f"flow_runs/{run['id']}/set_state", state={"type": "CANCELLING"})
    until(lambda: not of_run(standing, run), 300)
    until(lambda: [r for r in standing.runs("retrain/on-corpus", "CANCELLED") if r["id"] == run["id"]], 300)
    assert sorted(standing.state.children) == CHILDREN
    assert standing.state.children["gpu"] in standing.processes()


def test_down_ends_a_training_in_progress_and_everything_else(standing: Standing, chained: dict[str, Any]) -> None:
    run = long_training(standing)
    descriptor = os.pidfd_open(up.supervisor_pid(standing.store))  # to be read from when the process has ended
    assert "stopped" in standing.cli("down", "--store", standing.store.root).out
    assert standing.processes() == []
    assert select.select([descriptor], [], [], 0)[0]
    os.close(descriptor)
    assert running_server(standing.store) is None
    assert "nothing" in standing.cli("down", "--store", standing.store.root).out
    url = standing.state.last
    standing.start()
    assert standing.state.url == url
    assert [r["state_type"] for r in standing.runs("retrain/on-corpus") if r["id"] == run["id"]] == ["CANCELLED"]


# nightly. On a push `test_what_is_killed_comes_back` kills a worker and the server, `down` ends a training
@pytest.mark.nightly
def test_the_standby_of_a_killed_supervisor_starts_everything_again(standing: Standing) -> None:
    run = long_training(standing)
    before, url = standing.processes(), standing.state.url
    standby = standing.state.children["standby"]
    os.kill(up.supervisor_pid(standing.store), signal.SIGKILL)
    until(lambda: standing.state.ready and standing.state.children.get("standby", standby) != standby, 120)
    assert up.supervisor_pid(standing.store) == standby
    assert standing.state.url == url
    after = standing.processes()
    assert set(before) & set(after) == {standby}
    states = [r["state_type"] for r in standing.runs("retrain/on-corpus") if r["id"] == run["id"]]
    assert states in (["CRASHED"], ["CANCELLED"])
    os.kill(up.supervisor_pid(standing.store), signal.SIGKILL)
    standing.cli("down", "--store", standing.store.root)
    assert standing.processes() == []
    until(lambda: running_server(standing.store) is None, 30)

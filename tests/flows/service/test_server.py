"""The Prefect server behind a refresh: its history, its dashboard, and its scheduler."""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.prefect_server import CHROMIUM, ask, dump, enter, page
from support.refreshed_store import STAGE_NAMES, RefreshedStore

from voicemill.flows.service.server import PrivateServer
from voicemill.storage.store import Store

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def served(refreshed: RefreshedStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RefreshedStore, str]]:
    """The store after its first refresh, and the address of a second server on it."""
    copied = refreshed.copy_to(tmp_path_factory.mktemp("served"))
    server = PrivateServer(Store.open(copied.store))
    try:
        server.wait()
        yield copied, server.url
    finally:
        server.stop()


def flow_runs(api: str) -> dict[str, dict[str, Any]]:
    """Name of a flow -> its only run."""
    names = {flow["id"]: flow["name"] for flow in ask(api, "flows/filter")}
    runs = ask(api, "flow_runs/filter")
    assert Counter(names[run["flow_id"]] for run in runs) == {"refresh": 1, "prepare-lot": 1}
    return {names[run["flow_id"]]: run for run in runs}


def test_every_task_run_is_in_the_history(served: tuple[RefreshedStore, str]) -> None:
    """The server that the refresh started has ended; its record of the run is complete."""
    copied, url = served
    runs = flow_runs(f"{url}/api")
    assert {run["state_type"] for run in runs.values()} == {"COMPLETED"}
    found: dict[str, list[dict[str, Any]]] = {}
    for flow, run in runs.items():
        of = {"flow_runs": {"id": {"any_": [run["id"]]}}}
        found[flow] = ask(f"{url}/api", "task_runs/filter", limit=200, **of)
        assert ask(f"{url}/api", "task_runs/count", **of) == len(found[flow])
        assert {task["state_type"] for task in found[flow]} == {"COMPLETED"}
        assert all(task["start_time"] and task["end_time"] for task in found[flow])
    counts = {name: count["run"] + count["skipped"] for name, count in copied.summary["stages"].items()}
    worked = found["prepare-lot"]
    assert Counter(task["task_key"].partition("-")[0] for task in worked) == counts
    assert {task["name"] for task in worked} == {f"{stage} · batch {n}" for stage in STAGE_NAMES for n in range(1, 5)}
    of_refresh = [task["name"] for task in found["refresh"]]
    assert sorted(name for name in of_refresh if "lot" not in name) == ["publish", "report", "scan"]
    assert len(of_refresh) == 4  # the last one stands for the subflow


def test_the_run_says_what_it_was(served: tuple[RefreshedStore, str]) -> None:
    _, url = served
    run = flow_runs(f"{url}/api")["refresh"]
    assert run["name"] == "refresh · 3 speakers · v1"
    assert {"version:1"} < set(run["tags"])
    assert [tag for tag in run["tags"] if tag.startswith("recipe:")]
    assert run["parameters"]["options"]["inbox"].endswith("inbox")
    logs = ask(f"{url}/api", "logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}})
    said = "\n".join(line["message"] for line in logs)
    assert "6 uploads of 3 speakers" in said
    assert "corpus version 1" in said


def test_the_artifacts_of_the_run(served: tuple[RefreshedStore, str]) -> None:
    copied, url = served
    run = flow_runs(f"{url}/api")["refresh"]
    artifacts = ask(f"{url}/api", "artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}})
    by_key = {artifact["key"]: artifact for artifact in artifacts}
    assert set(by_key) == {f"refresh-{name}" for name in ("progress", "outcomes", "speakers", "text", "summary")}
    assert by_key["refresh-progress"]["data"] == 100
    outcomes = json.loads(by_key["refresh-outcomes"]["data"])
    assert {(row["outcome"], row["reason"]) for row in outcomes} == {("kept", ""), ("silence", "no_speech")}
    assert sum(row["seconds"] for row in outcomes) == pytest.approx(sum(copied.summary["seconds"].values()), abs=0.2)
    assert all(row["meaning"] for row in outcomes if row["reason"])
    speakers = json.loads(by_key["refresh-speakers"]["data"])
    assert {row["speaker"] for row in speakers} == {"ann", "bob", "cem"}
    assert sum(row["kept s"] for row in speakers) == pytest.approx(copied.summary["seconds"]["kept"], abs=0.3)
    text = by_key["refresh-summary"]["data"]
    assert "# Corpus version 1" in text
    assert f"/v2/runs/flow-run/{run['id']}" in text
    assert copied.summary["report"] in text


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_dashboard_shows_the_run(served: tuple[RefreshedStore, str], tmp_path: Path) -> None:
    """A browser without a network renders the page of the run with its artifacts."""
    _, url = served
    run = flow_runs(f"{url}/api")["refresh"]
    wanted = ("refresh · 3 speakers · v1", "version:1", "refresh-outcomes", "refresh-speakers")
    shown = page(f"{url}/v2/runs/flow-run/{run['id']}?tab=Artifacts", wanted, tmp_path)
    assert [words for words in wanted if words not in shown] == []


HOSTILE = (
    "[x](http://evil.example/a) ![i](http://evil.example/b.png) <img src=http://evil.example/c> http://evil.example"
)
SHOW = """
import sys
from prefect import flow
from prefect.artifacts import create_markdown_artifact
from voicemill.flows.display import dashboard, refresh
from voicemill.flows.display.summary import Summary
from voicemill.storage.corpus.ledger import SummaryLine
text = sys.argv[1]
summary = Summary(
    store="/s", version=1, published=True, uploads={}, seconds={}, reasons={}, stages={}, speakers=1, utterances=0,
    batches_run=0, batches_unchanged=0, held={text: 1}, problems=[text], broken={"b": text}, failures={text: text},
    without_text=[{"untrainable": True, "line": text}], report=text,
)
@flow(name="hostile")
def show():
    dashboard.name_run(text, [text])
    refresh.show_summary(summary, [], [SummaryLine(text, 1)])
    dashboard.show_markdown("hostile-description", "text", text)
    create_markdown_artifact(markdown=text, key="unescaped")  # what the page makes of it
show()
"""


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_text_from_outside_is_no_link_and_no_image(cli, tmp_path: Path) -> None:
    """On the pages of both user interfaces of Prefect."""
    api = cli.environment["PREFECT_API_URL"]
    cli(HOSTILE, command=[sys.executable, "-c", SHOW])
    artifacts = {row["key"]: row["id"] for row in ask(api, "artifacts/filter")}
    profile = tmp_path / "profile"
    enter(api, tmp_path, profile)
    links = {}
    for key in ("refresh-summary", "refresh-speakers", "hostile-description", "unescaped"):
        for ui in ("v2/artifacts/artifact", "artifacts/artifact"):
            address = f"{api.removesuffix('/api')}/{ui}/{artifacts[key]}"
            pages = (dump(address, profile, 20) for _ in range(3))  # a busy machine may not have drawn the first one
            html = next((html for html in pages if "evil.example" in html), "")
            assert html, (key, ui)
            links[key, ui] = sorted(set(re.findall(r"""(?:href|src)=["'][^"']*evil[^"']*""", html)))
    assert {key for (key, _), found in links.items() if found} == {"unescaped"}, links


DEPLOYMENT = """
name: schedules
pull: []
deployments:
  - name: monthly
    entrypoint: flows/refresh.py:refresh
    work_pool: {name: schedules}
    parameters: {options: {inbox: in, store: st}}
    schedules: [{cron: "0 3 1 * *", timezone: Europe/Berlin}]
    concurrency_limit: {limit: 1, collision_strategy: ENQUEUE}
"""


def test_a_cron_schedules_runs(cli, tmp_path: Path) -> None:
    """Guards the pins: with a wrong version the scheduler raises, or filters answer 422; the server looks healthy."""
    api = cli.environment["PREFECT_API_URL"]
    ask(api, "work_pools/", name="schedules", type="process")
    file = tmp_path / "prefect.yaml"
    file.write_text(DEPLOYMENT)
    for words in (["--no-prompt", "deploy", "--all", "--prefect-file", str(file)], ["deployment", "ls"]):
        command = [sys.executable, "-m", "prefect", *words]
        done = subprocess.run(command, cwd=ROOT, env=cli.environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "refresh/monthly" in done.stdout
    end = time.monotonic() + 180
    while not (runs := scheduled(api)) and time.monotonic() < end:
        time.sleep(1)
    assert runs
    times = sorted(run["next_scheduled_start_time"] for run in runs)
    assert all(time[8:10] in ("01", "31", "30", "29", "28") for time in times)  # 3 o'clock in Berlin, in UTC


def scheduled(api: str) -> list[dict[str, Any]]:
    """Scheduled runs of the deployment."""
    wanted = {"name": {"any_": ["monthly"]}}
    runs: list[dict[str, Any]] = ask(
        api, "flow_runs/filter", deployments=wanted, flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}}}
    )
    return runs

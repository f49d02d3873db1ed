"""SIGKILL at 20 random moments of a refresh, from its first import to its report: the next refresh repairs the store.

The moments are shares of the processor time that a whole refresh takes, its worker included: unlike seconds on the
clock they fall at the same places of the run on a busy machine.
"""

import json
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.configs import plain
from support.prefect_server import ask
from support.server_database import with_database
from support.store_contents import Rows, contents, differences, numbers, processes, strays

from voicemill.flows.service.server import PrivateServer, running_server
from voicemill.storage.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

KILLS = 20
CONFIG = '[slice]\nengine = "webrtc"\n[run]\nworkers = 1\n'
TICK = os.sysconf("SC_CLK_TCK")
rng = random.Random(6)
MOMENTS = [(number + rng.random()) / KILLS for number in range(KILLS)]


@dataclass(frozen=True)
class Course:
    """Two undisturbed refreshes, the second with one more upload."""

    root: Path
    config: Path
    before: dict[str, Rows]
    after: dict[str, Rows]
    cost: float
    """Processor time of the second refresh, seconds."""

    def start(self, folder: Path) -> tuple[Path, Path]:
        """Copy the store between the two refreshes, and the inbox with the new upload."""
        shutil.copytree(self.root / "first", folder / "store")
        shutil.copytree(self.root / "inbox", folder / "inbox")
        return folder / "inbox", folder / "store"


@pytest.fixture(scope="module")
def course(cli: Any, synthesised: Path, database: Path, tmp_path_factory: pytest.TempPathFactory) -> Course:
    root = tmp_path_factory.mktemp("course")
    config, inbox, store = root / "config.toml", root / "inbox", root / "store"
    config.write_text(plain(CONFIG))
    shutil.copytree(synthesised, inbox)
    cli.refresh(inbox, store, "--config", config)
    before = contents(store)
    with_database(Path(shutil.copytree(store, root / "first")), database)
    shutil.copy(synthesised.parent / "spare.wav", inbox / "ann" / "spare.wav")
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert cli.refresh(inbox, store, "--config", config)["published"]
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
    return Course(root=root, config=config, before=before, after=contents(store), cost=cost)


def spent(pid: int) -> float:
    """Processor time of a process and of its children, seconds."""
    total = 0
    for each in [pid, *children(pid)]:
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / TICK


def children(pid: int) -> list[int]:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return []


def kill_at(start: Callable[[], Any], moment: float) -> bool:
    """Start a refresh and kill it after some processor time; return False if it ended before."""
    with start() as process:
        while process.poll() is None and spent(process.pid) < moment:
            time.sleep(0.01)
        process.kill()
        _, err = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL), err
    return bool(process.returncode)


def gone(store: Path, within: float = 20.0) -> list[str]:
    """Processes of a store that are still running after a while."""
    end = time.monotonic() + within
    while (left := processes(store)) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def runs_of(folder: Path) -> dict[str, list[str]]:
    """Name of a flow -> states of its runs, and "tasks" -> those of all task runs, from the store's own history."""
    server = PrivateServer(Store.open(folder))
    try:
        server.wait()
        names = {flow["id"]: flow["name"] for flow in ask(f"{server.url}/api", "flows/filter")}
        states: dict[str, list[str]] = {}
        for run in ask(f"{server.url}/api", "flow_runs/filter"):
            states.setdefault(names[run["flow_id"]], []).append(run["state_type"])
        states["tasks"] = [run["state_type"] for run in ask(f"{server.url}/api", "task_runs/filter")]
        return states
    finally:
        server.stop()


# on a push: 2 moments, half a run apart; nightly: all 20
@pytest.mark.parametrize("part", [pytest.param(n, marks=[] if n == 6 else pytest.mark.nightly) for n in range(10)])
def test_the_refresh_after_a_kill_repairs_the_store(cli: Any, course: Course, tmp_path: Path, part: int) -> None:
    def survive(share: float) -> list[str]:
        folder = tmp_path / f"{share:.4f}"
        inbox, store = course.start(folder)
        options = ("refresh", "--inbox", inbox, "--store", store, "--config", course.config, "--json")
        told = {"VOICEMILL_TEST": str(store)}
        while not kill_at(lambda: cli.start(*options, **told), share * course.cost):
            share *= 0.9  # it ended sooner than the measured one: try again
            shutil.rmtree(folder)
            course.start(folder)
        found = [f"still there: {line}" for line in gone(store)]
        known = numbers(store)
        if known not in ([1], [1, 2]):
            found.append(f"versions {known} after the kill")
        found += differences(contents(store), course.after if 2 in known else course.before)
        summary = cli.refresh(inbox, store, "--config", course.config)
        if (summary["version"], summary["published"]) != (2, 2 not in known):
            found.append(f"version {summary['version']}, published: {summary['published']}")
        if Path(summary["report"]).name != "version-2.html":
            found.append(f"report {summary['report']!r}")
        found += differences(contents(store), course.after)
        found += [f"stray: {path}" for path in strays(store)]
        shutil.rmtree(folder)
        return [f"killed at {share:.3f}: {line}" for line in found]

    with ThreadPoolExecutor(2) as pool:
        assert [line for found in pool.map(survive, MOMENTS[part::10]) for line in found] == []


def outputs(store: Path) -> int:
    """Number of outputs of the stages of batches in a store."""
    return sum(path.parent.name != "scan" for path in (store / "stages").glob("*/*"))


def test_the_private_server_of_a_killed_refresh_ends(alone: Any, course: Course, tmp_path: Path) -> None:
    inbox, store = course.start(tmp_path)
    options = ("refresh", "--inbox", inbox, "--store", store, "--config", course.config, "--json")
    told = {"VOICEMILL_TEST": str(store)}
    assert kill_at(lambda: alone.start(*options, **told), 0.05 * course.cost)
    assert gone(store) == []
    before = outputs(store)
    with alone.start(*options, **told) as process:
        while process.poll() is None and outputs(store) <= before:
            time.sleep(0.01)
        process.kill()
        process.communicate()
    # at once, while the orphaned server is about to end: the refresh must not rely on it
    alone.refresh(inbox, store, "--config", course.config, **told)
    assert differences(contents(store), course.after) == []
    assert numbers(store) == [1, 2]
    assert gone(store) == []
    states = runs_of(store)  # the refresh closed what the killed one left, with its subflow and task runs
    assert sorted(states["refresh"]) == ["COMPLETED", "CRASHED"]
    assert set(states["prepare-lot"]) <= {"COMPLETED", "CRASHED"}
    assert set(states["tasks"]) <= {"COMPLETED", "CRASHED"}


def test_a_refresh_survives_its_private_server(alone: Any, course: Course, tmp_path: Path) -> None:
    inbox, store = course.start(tmp_path)
    before = outputs(store)
    with alone.start("refresh", "--inbox", inbox, "--store", store, "--config", course.config, "--json") as process:
        while process.poll() is None and outputs(store) <= before:
            time.sleep(0.01)
        server = running_server(Store.open(store))
        assert server is not None
        os.kill(server[0], signal.SIGKILL)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert json.loads(out)["published"]
    assert differences(contents(store), course.after) == []
    assert numbers(store) == [1, 2]
    assert set(runs_of(store)["refresh"]) == {"COMPLETED"}


def test_a_refresh_without_a_server_ends_at_once_with_one_line(alone: Any, course: Course, tmp_path: Path) -> None:
    """Each new server is killed too: after the last one the command does not wait for minutes."""
    inbox, store = course.start(tmp_path)
    before = outputs(store)
    options = ("refresh", "--inbox", inbox, "--store", store, "--config", course.config, "--json")
    with alone.start(*options) as process:
        killed = 0
        while process.poll() is None:
            server = running_server(Store.open(store))
            if server is not None and outputs(store) > before:
                os.kill(server[0], signal.SIGKILL)
                killed += 1
            time.sleep(0.05)
        _, err = process.communicate()
    assert process.returncode == 1
    assert killed >= 1
    assert "the private Prefect server is lost" in err
    assert "Traceback" not in err

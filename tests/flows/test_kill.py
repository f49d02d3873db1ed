"""SIGKILL at 20 random moments of a refresh, from its first import to its report: the next refresh repairs the store.

The moments are shares of the processor time that a whole refresh takes, its worker included: unlike seconds on the
clock they fall at the same places of the run on a busy machine.
"""

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
from support.store_contents import Rows, contents, differences, numbers, processes, strays

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
def course(cli: Any, synthesised: Path, tmp_path_factory: pytest.TempPathFactory) -> Course:
    root = tmp_path_factory.mktemp("course")
    config, inbox, store = root / "config.toml", root / "inbox", root / "store"
    config.write_text(plain(CONFIG))
    shutil.copytree(synthesised, inbox)
    cli.refresh(inbox, store, "--config", config)
    before = contents(store)
    shutil.copytree(store, root / "first")
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


# on a push: 8 moments, spread evenly over the run; nightly: all 20
@pytest.mark.parametrize("part", [pytest.param(n, marks=[] if n in (1, 3) else pytest.mark.nightly) for n in range(5)])
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
        assert [line for found in pool.map(survive, MOMENTS[part::5]) for line in found] == []


def test_the_private_server_of_a_killed_refresh_ends(alone: Any, course: Course, tmp_path: Path) -> None:
    inbox, store = course.start(tmp_path)
    options = ("refresh", "--inbox", inbox, "--store", store, "--config", course.config, "--json")
    told = {"VOICEMILL_TEST": str(store)}
    assert kill_at(lambda: alone.start(*options, **told), 0.05 * course.cost)
    assert gone(store) == []
    assert kill_at(lambda: alone.start(*options, **told), 0.6 * course.cost)
    # at once, while the orphaned server is about to end: the refresh must not rely on it
    alone.refresh(inbox, store, "--config", course.config, **told)
    assert differences(contents(store), course.after) == []
    assert numbers(store) == [1, 2]
    assert gone(store) == []

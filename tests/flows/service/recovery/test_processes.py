"""Processes of a store: found by their mark in any session and after any crash, ended, and no others touched."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from voicemill.flows.service import up
from voicemill.flows.service.recovery import processes
from voicemill.flows.service.supervise import FIRST_WAIT, Child
from voicemill.storage.errors import ServerError
from voicemill.storage.store import Store

SLEEP = "import time; time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); {SLEEP}"
FAMILY = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], start_new_session=True)
print(child.pid, flush=True)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def run(store: Store) -> Iterator["Runner"]:
    with ExitStack() as stack:
        yield Runner(store, stack)


class Runner:
    """Starts processes that end with the test."""

    def __init__(self, store: Store, stack: ExitStack) -> None:
        self.store, self.stack = store, stack

    def __call__(self, code: str, *, marked: bool = True, **more: str) -> subprocess.Popen[str]:
        environment = os.environ | (processes.mark(self.store) if marked else {}) | more
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        self.stack.enter_context(process.stdout)  # type: ignore[arg-type]
        return process


def pids(store: Store) -> set[int]:
    return {process.pid for process in processes.find_processes(store)}


def wait(store: Store, number: int) -> set[int]:
    """Wait until `number` processes are found: the environment of a new process is its own only after exec."""
    end = time.monotonic() + 20
    while len(found := pids(store)) != number and time.monotonic() < end:
        time.sleep(0.01)
    return found


def test_marked_processes_are_found_and_ended_and_no_others(store: Store, run: Runner, tmp_path: Path) -> None:
    other = Store.open(tmp_path / "store2", create=True)  # its path begins with that of the first
    mine, bare = run(SLEEP), run(SLEEP, marked=False)
    others = run(SLEEP, marked=False, **processes.mark(other))
    assert wait(store, 1) == {mine.pid}
    assert processes.end_processes(store, 5.0) == 1
    assert mine.wait(5) == -15
    assert (bare.poll(), others.poll()) == (None, None)
    assert pids(store) == set()
    assert processes.end_processes(store, 5.0) == 0


def test_an_orphan_in_a_session_of_its_own_is_found(store: Store, run: Runner) -> None:
    parent = run(FAMILY)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.wait(20)
    assert wait(store, 1) == {child}
    assert processes.end_processes(store, 5.0) == 1
    assert pids(store) == set()


def test_what_ignores_the_first_signal_gets_the_second(store: Store, run: Runner) -> None:
    stubborn = run(STUBBORN)
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    assert processes.end_processes(store, 0.6) == 1
    assert stubborn.wait(5) == -9


def test_the_flow_run_of_a_process_is_known(store: Store, run: Runner) -> None:
    run(SLEEP, **{processes.RUN: "a-run"})
    run(SLEEP)
    wait(store, 2)
    assert sorted(map(processes.flow_run, processes.find_processes(store))) == ["", "a-run"]


def test_what_dies_is_started_again_after_a_wait_that_doubles(store: Store) -> None:
    store.prefect.mkdir()
    child, environment = Child("short", [sys.executable, "-c", "raise SystemExit(3)"]), dict(os.environ)
    assert child.keep_running(store, environment)
    waits = []
    for _ in range(3):
        assert child.process is not None
        child.process.wait(20)
        assert child.keep_running(store, environment)
        waits.append(child.due - time.monotonic())
        assert not child.keep_running(store, environment)  # not yet
        child.due = 0.0
        assert child.keep_running(store, environment)
    assert child.process is not None
    child.process.wait(20)
    assert child.restarts == 3
    assert waits == pytest.approx([FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT], abs=0.5)


def test_all_killed_is_told_from_stopped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """`up --foreground` fails, so that what started it starts it again, also where a takeover was killed too."""
    monkeypatch.setattr(up, "TAKEOVER_LIMIT", 0.2)
    store.prefect.mkdir(exist_ok=True)
    state = up.State(up.UpSettings(str(store.root), "inbox"), ready=True)
    for killed in (state, replace(state, ready=False)):
        killed.write(store)
        with pytest.raises(ServerError, match="its standby were killed"):
            up.hold(store)
    replace(state, ready=False, stopped=True).write(store)
    up.hold(store)

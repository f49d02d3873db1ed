"""SIGKILL for processes of `voicemill up`: alone and all together, at random moments. It ends in the rows of an
undisturbed refresh, without a hand."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
from support.configs import plain
from support.standing import Standing, until
from support.store_contents import contents, differences, strays

from voicemill.flows.service import up
from voicemill.flows.service.recovery import processes
from voicemill.flows.service.server import running_server
from voicemill.storage.errors import StoreError
from voicemill.storage.processes import pid_alive

# on a push test_up.py kills worker, run and server in a refresh, and test_reconcile.py closes PENDING runs of a server
# without workers
pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(3600)]

LIMIT = 300.0
"""Time within which the rows must be right after a kill, seconds."""
LONGEST_WAIT = 25.0
"""A refresh starts 10 to 20 s after the upload and takes some seconds: kills fall before, within and after it."""
SHORT = {"VOICEMILL_RECONCILE_EVERY": "2", "VOICEMILL_RECONCILE_PENDING": "10"}
CHILDREN = ["cpu", "gpu", "reconciler", "standby", "watcher"]


@dataclass
class Kills:
    """A store that is up, beside a store that is refreshed undisturbed with the same uploads in the same order."""

    standing: Standing
    sample: Path
    """Recording of which the uploads are variants."""
    rng: random.Random = field(default_factory=lambda: random.Random(13))
    uploads: int = 0

    @property
    def other(self) -> Path:
        """Folder of the undisturbed store."""
        return self.standing.folder / "undisturbed"

    def upload(self) -> None:
        """Add a recording to the inbox of both stores; the undisturbed one is refreshed."""
        wave, rate = soundfile.read(self.sample, dtype="float32")
        noise = np.random.default_rng(self.uploads).normal(0, 0.001, len(wave)).astype("float32")
        path = self.standing.folder / f"{self.uploads}.wav"
        soundfile.write(path, wave + noise, rate)
        self.uploads += 1
        assert self.standing.upload(path)["files"][0]["outcome"] == "new"

    def refresh_undisturbed(self) -> None:
        """Refresh the other store with the inbox as it is."""
        config = ("--config", self.standing.folder / "config.toml")
        self.standing.cli.refresh(self.standing.inbox, self.other, *config)

    def is_right(self) -> bool:
        """Whether both stores have the same rows, every child runs, and no refresh is in progress."""
        state = up.read_state(self.standing.store)
        if state is None or not state.ready or not up.supervisor_pid(self.standing.store):
            return False
        if sorted(state.children) != CHILDREN or not all(map(pid_alive, state.children.values())):
            return False
        with suppress(StoreError, OSError):
            if differences(contents(self.standing.store.root), contents(self.other)) == []:
                return not self.standing.runs("refresh/on-upload", "PENDING", "RUNNING")
        return False

    def run_processes(self) -> list[int]:
        """Processes of flow runs; the oldest is the one that runs the flow."""
        found = [p for p in processes.find_processes(self.standing.store) if processes.flow_run(p)]
        return [p.pid for p in sorted(found, key=psutil.Process.create_time)]

    def victims(self, name: str) -> list[int]:
        """Processes of a name: a child of the supervisor, itself, the server, those of a flow run, or all of these."""
        store, state = self.standing.store, self.standing.state
        server = running_server(store)
        alone = {"supervisor": up.supervisor_pid(store), "server": server[0] if server else 0, **state.children}
        if name == "all":
            return [*alone.values(), *self.standing.processes()]
        if name in ("run", "stage"):
            pids: list[int] = until(self.run_processes, 60)
            return pids[:1] if name == "run" else pids[-1:]
        return [alone[name]] if name in alone else []

    def is_running(self) -> bool:
        """Whether a refresh is RUNNING."""
        return bool(self.standing.runs("refresh/on-upload", "RUNNING"))


def kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def kills(alone: Any, synthesised: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kills]:
    folder = tmp_path_factory.mktemp("kills")
    (folder / "inbox").mkdir()
    (folder / "inbox" / "consents.csv").write_text("speaker,consent,note\nann,yes,signed\n")
    (folder / "config.toml").write_text(plain("[run]\nworkers = 1\n"))
    (folder / "training.toml").write_text("")
    cli = replace(alone, environment=alone.environment | SHORT | {"VOICEMILL_LOCKS": str(folder)})
    standing = Upstanding(cli, folder, speaker="nobody")
    try:
        standing.start()
        yield Kills(standing, synthesised / "ann" / "0.wav")
    finally:
        alone("down", "--store", standing.store.root)
        assert standing.processes() == []


class Upstanding(Standing):
    """A store that is up, with a config of its own."""

    @property
    def options(self) -> list[str]:
        return [*super().options, "--config", str(self.folder / "config.toml")]


def kill_and_wait(kills: Kills, victims: Callable[[], list[int]]) -> float:
    """Kill processes, and wait until the rows are right; returns how long that took, seconds."""
    pids = [pid for pid in victims() if pid]
    assert pids
    kill(pids)
    began = time.monotonic()
    kills.refresh_undisturbed()
    until(kills.is_right, LIMIT)
    assert strays(kills.standing.store.root) == []
    return time.monotonic() - began


def test_a_run_killed_with_its_worker_is_taken_up(kills: Kills) -> None:
    kills.upload()
    until(kills.is_running, 60)
    kill_and_wait(kills, lambda: [*kills.victims("cpu"), *kills.run_processes()])
    first, second = kills.standing.runs("refresh/on-upload", "CRASHED", "COMPLETED")[-2:]
    assert (first["state_type"], second["state_type"]) == ("CRASHED", "COMPLETED")
    assert {"resumed", "attempt:2", f"after:{first['id']}"} <= set(second["tags"])
    assert "taken-up" in first["tags"]


def test_a_pending_run_killed_with_its_worker_is_taken_up(kills: Kills) -> None:
    kills.upload()
    until(lambda: kills.standing.runs("refresh/on-upload", "PENDING"), 60)
    kill_and_wait(kills, lambda: [*kills.victims("cpu"), *kills.run_processes()])


NAMES = ("supervisor", "standby", "cpu", "gpu", "watcher", "reconciler", "server", "run", "stage")


@pytest.mark.parametrize("name", NAMES)
def test_each_process_alone(kills: Kills, name: str) -> None:
    kills.upload()
    time.sleep(kills.rng.uniform(0, LONGEST_WAIT))
    took = kill_and_wait(kills, lambda: kills.victims(name))
    print(f"{name}: right after {took:.0f} s")


def test_all_together(kills: Kills) -> None:
    """What starts services, which the test stands in for, sees that `up --foreground` ended, and starts it again."""

    def start() -> subprocess.Popen[str]:
        process: subprocess.Popen[str] = kills.standing.cli.start("up", *kills.standing.options, "--foreground")
        return process

    with start() as service:
        kills.upload()
        time.sleep(kills.rng.uniform(0, LONGEST_WAIT))
        kill(kills.victims("all"))
        _, err = service.communicate(timeout=60)
    assert service.returncode == 2
    assert "its standby were killed" in err
    with start() as service:
        kill_and_wait(kills, lambda: kills.victims("watcher"))
        service.terminate()
        service.communicate(timeout=120)
    assert service.returncode == 0
    assert kills.standing.processes() == []
    kills.standing.start()


@dataclass
class ServiceManager:
    """What starts services, as systemd does with Restart=on-failure: starts `up --foreground` again when it fails."""

    standing: Standing
    starts: int = 0
    _process: subprocess.Popen[str] | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "ServiceManager":
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._process = self.standing.cli.start("up", *self.standing.options, "--foreground")
            self.starts += 1
            self._process.communicate()
            if self._process.returncode == 0:
                return
            self._stopping.wait(0.1)  # RestartSec of systemd

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0


@pytest.fixture(scope="module")
def managed(kills: Kills) -> Iterator[ServiceManager]:
    with ServiceManager(kills.standing) as manager:
        until(lambda: manager.pid)
        yield manager
    kills.standing.start()


@pytest.mark.parametrize("seed", range(10))
def test_any_process_or_all_at_a_random_moment(kills: Kills, managed: ServiceManager, seed: int) -> None:
    """One service throughout: a recording arrives, and up to 15 s later a process is killed, or every one."""
    rng = random.Random(seed)
    kills.upload()
    time.sleep(rng.uniform(0, 15))
    victims = sorted({managed.pid, *kills.victims("all")} - {0})
    if seed % 3:
        victims = [rng.choice(victims)]
    words = ""
    with suppress(psutil.Error):
        words = " ".join(psutil.Process(victims[0]).cmdline()[-4:])
    took = kill_and_wait(kills, lambda: victims)
    print(f"seed {seed}: {len(victims)} killed ({words[:60]}), right after {took:.0f} s, start {managed.starts}")


def test_the_last_attempt_is_stated(kills: Kills) -> None:
    kills.upload()
    end = time.monotonic() + LIMIT
    while not (given_up := [r for r in kills.standing.runs("refresh/on-upload") if r["state_name"] == "Given up"]):
        kill(kills.run_processes()[:1])
        assert time.monotonic() < end
        time.sleep(0.5)
    assert "since this was attempt 4 of 4" in given_up[0]["state"]["message"]
    kills.upload()  # which the next refresh brings in with the one before
    kills.refresh_undisturbed()
    assert until(lambda: len(kills.standing.runs("refresh/on-upload", "COMPLETED")) > 0, 60)
    until(lambda: len(contents(kills.standing.store.root)["uploads"]) == kills.uploads, LIMIT)


@pytest.mark.parametrize("with_run", [False, True], ids=["worker", "worker and its run"])
def test_a_worker_that_stands_still_longer_than_a_heartbeat(kills: Kills, with_run: bool) -> None:
    """SIGSTOP for 100 s; a run without a heartbeat for 90 s is called crashed, and continues when it wakes."""
    kills.upload()
    if with_run:
        until(kills.run_processes, 60)
    else:
        time.sleep(kills.rng.uniform(0, 15))
    stopped = [*kills.victims("cpu"), *(kills.run_processes() if with_run else [])]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        kills.refresh_undisturbed()
        time.sleep(100)
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):  # what took its place may have ended it
                os.kill(pid, signal.SIGCONT)
    until(kills.is_right, LIMIT)
    assert strays(kills.standing.store.root) == []

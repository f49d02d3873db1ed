"""The supervisor behind `voicemill up`: holds the server, starts workers and watcher, and restarts what dies.

`python -m voicemill.flows.service.supervise STORE`, with the settings in `<store>/prefect/up.json`. It imports no
Prefect, so it stays small; what needs a client runs in a process of its own that ends (flows/service/deploy.py).
SIGTERM ends it with all that it started. When it is killed, the kernel sends SIGTERM to workers and watcher, the
private server ends because no client is left, and its standby takes its place: a second process of this module, which
waits for the lock `.up`. The new supervisor starts a standby of its own.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from types import FrameType
from typing import Any

from voicemill.flows.service.access import HEARTBEAT
from voicemill.flows.service.client import check_server
from voicemill.flows.service.environment import check_limits
from voicemill.flows.service.recovery.attempts import SERVER_NOTE
from voicemill.flows.service.recovery.processes import end_processes, find_processes, flow_run, mark
from voicemill.flows.service.server import PrivateServer
from voicemill.flows.service.up import GRACE, POOLS, State, log_of, read_state
from voicemill.storage.errors import ServerError, VoicemillError
from voicemill.storage.locks import FileLock
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds

POLL: Seconds = 0.5
"""Interval of the checks on server and children."""
FIRST_WAIT: Seconds = 1.0
"""Wait before a restart; each death doubles it, up to LONGEST_WAIT, and a life longer than STEADY resets it."""
LONGEST_WAIT: Seconds = 60.0
STEADY: Seconds = 120.0
PREFECT = {"PREFECT_WORKER_QUERY_SECONDS": "5", **HEARTBEAT}
"""Prefect settings of the workers and their flow runs."""
PR_SET_PDEATHSIG = 1
STANDBY = "standby"
DEPLOY_ATTEMPTS = 3


class Stopped(Exception):
    """The supervisor was asked to end: SIGTERM, Ctrl-C, or the store was removed."""


@dataclass
class Child:
    """A process that must always run, and when it is due for a restart."""

    name: str
    command: list[str]
    orphan: bool = False
    """Whether it goes on when this process dies, and is no client of the server."""
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    wait: Seconds = FIRST_WAIT
    due: float = 0.0
    restarts: int = -1

    def keep_running(self, store: Store, environment: dict[str, str]) -> bool:
        """Start the process if it does not run and its restart is due; returns whether anything changed."""
        now = time.monotonic()
        if self.process is not None:
            if self.process.poll() is None:
                return False
            if now - self.began > STEADY:
                self.wait = FIRST_WAIT
            print(f"{self.name} ended with status {self.process.returncode}; restart in {self.wait:g} s", flush=True)
            self.process, self.due, self.wait = None, now + self.wait, min(2 * self.wait, LONGEST_WAIT)
            return True
        if now < self.due:
            return False
        environment = os.environ | mark(store) if self.orphan else environment
        self.process = start_process(store, self.name, self.command, environment, orphan=self.orphan)
        self.began = now
        self.restarts += 1
        return True


def start_process(
    store: Store, name: str, command: list[str], environment: dict[str, str], *, orphan: bool = False
) -> subprocess.Popen[bytes]:
    """Start a child that writes to its own log and, unless it may be an orphan, gets SIGTERM when this process dies."""
    with log_of(store, name).open("ab") as log:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=None if orphan else _die_with(os.getpid()),  # safe: this process has one thread
        )


def _die_with(parent: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)

    def request_signal() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the request
            os._exit(1)

    return request_signal


class Supervisor:
    """Supervisor of one store; the caller holds the lock `.up`."""

    def __init__(self, store: Store, before: State) -> None:
        self.store, self.settings = store, before.settings
        self.state = State(self.settings, last=before.url or before.last)
        self.server: PrivateServer | None = None
        commands = {pool: ["voicemill.flows.service.worker", pool, str(limit)] for pool, limit in POOLS.items()}
        cli, where = "voicemill.flows.cli.main", ["--store", before.settings.store]
        commands["watcher"] = [cli, "watch", "--inbox", before.settings.inbox, *where]
        commands["reconciler"] = [cli, "reconcile", *where]
        commands[STANDBY] = ["voicemill.flows.service.supervise", before.settings.store, STANDBY]
        self.children = [
            Child(name, [sys.executable, "-m", *words], orphan=name == STANDBY) for name, words in commands.items()
        ]

    def start(self) -> None:
        """Start the standby, server, deployments and children; then the state says that it is ready."""
        self.children[-1].keep_running(self.store, {})
        self.connect()
        if self.server is not None:
            self.repeat_deploy("crash", alone=self.server.alone)
        self.record(deployments=tuple(json.loads(self.repeat_deploy("deploy"))))
        for child in self.children:
            child.keep_running(self.store, self.environment)
        self.record(ready=True)

    def connect(self) -> None:
        """Use the server of PREFECT_API_URL, or start the store's private one, at its last port if that is free.

        Raises:
            ServerError: it does not answer.
        """
        if url := os.environ.get("PREFECT_API_URL"):
            check_server(url)
            self.environment = os.environ | PREFECT | mark(self.store)
        else:
            check_limits()
            self.server = PrivateServer(self.store, _last_port(self.store), supervised=False)
            self.server.wait()
            url = f"{self.server.url}/api"
            self.environment = os.environ | PREFECT | self.server.settings | mark(self.store)
        self.record(url=url.removesuffix("/api"), last=url.removesuffix("/api"))

    def run_deploy(self, verb: str, **options: Any) -> str:
        """Run a verb of flows/service/deploy.py; returns what it printed.

        Raises:
            ServerError: it failed; with its error output.
        """
        request = json.dumps(asdict(self.settings) | options)
        command = [sys.executable, "-m", "voicemill.flows.service.deploy", verb]
        done = subprocess.run(command, env=self.environment, input=request, capture_output=True, text=True)
        if done.returncode:
            raise ServerError(f"{verb} failed: {done.stderr[-4000:]}")
        return done.stdout

    def repeat_deploy(self, verb: str, **options: Any) -> str:
        """`run_deploy`, repeated where it failed: its process, or the server, may have been killed.

        Raises:
            ServerError: it failed DEPLOY_ATTEMPTS times.
        """
        for _ in range(DEPLOY_ATTEMPTS - 1):
            try:
                return self.run_deploy(verb, **options)
            except ServerError as error:
                print(f"{error}\n{verb} is repeated", flush=True)
                self.keep_server()
        return self.run_deploy(verb, **options)

    def watch(self) -> None:
        """Restart what dies, until stopped."""
        while True:
            time.sleep(POLL)
            if not (self.store.root / "store.json").exists():
                raise Stopped  # the store was removed: nothing must be written there again
            self.keep_server()
            changes = [child.keep_running(self.store, self.environment) for child in self.children]
            if any(changes):
                self.record()

    def keep_server(self) -> None:
        """Start the private server again if it has ended; where that fails, at the next look."""
        try:
            if self.server is not None and self.server.revive():
                print("the server had ended, and was started again", flush=True)
        except ServerError as error:
            print(f"the server ended and does not start again: {error}", flush=True)

    def record(self, **changes: Any) -> None:
        """Write the state, with the children of this moment."""
        children = {child.name: child.process.pid for child in self.children if child.process is not None}
        restarts = {child.name: child.restarts for child in self.children if child.restarts > 0}
        self.state = replace(self.state, children=children, restarts=restarts, **changes)
        self.state.write(self.store)

    def stop(self) -> None:
        """Cancel the runs in progress, then end every process and leave the private server."""
        for child in self.children:
            if child.name in ("watcher", "reconciler") and child.process is not None:
                child.process.terminate()
        runs = sorted({run for process in find_processes(self.store) if (run := flow_run(process))})
        if runs:
            print(f"cancelling {len(runs)} runs", flush=True)
            try:
                print(self.run_deploy("cancel", runs=runs), flush=True)
            except ServerError as error:
                print(error, flush=True)
        end_processes(self.store, GRACE)
        if self.server is not None:
            self.server.stop()
        self.children = []
        (self.store.prefect / SERVER_NOTE).unlink(missing_ok=True)
        if (self.store.root / "store.json").exists():
            self.record(ready=False, stopped=True)


def _last_port(store: Store) -> int:
    """Last port of the private server; 0 = none is known."""
    state = read_state(store)
    port = state.last.rpartition(":")[2] if state is not None else ""
    return int(port) if port.isdigit() else 0


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second signal must not cut the way down short
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Stopped


def main() -> None:
    """Supervise a store until stopped. Where another process does, return at once, or as its standby wait for that."""
    store = Store.open(sys.argv[1])
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    with suppress(Stopped), FileLock(store.prefect / ".up") as lock:
        if not lock.take(str(os.getpid()), wait=sys.argv[2:] == [STANDBY]):
            return
        state = read_state(store)
        assert state is not None
        supervisor = Supervisor(store, state)
        supervisor.record(ready=False)
        try:
            end_processes(store, GRACE)  # what a killed supervisor left behind
            supervisor.start()
            supervisor.watch()
        except Stopped:
            pass
        except VoicemillError as error:
            supervisor.record(error=str(error))
            raise
        finally:
            supervisor.stop()


if __name__ == "__main__":
    main()

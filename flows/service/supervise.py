"""The supervisor behind `voicemill up`: holds the server, starts the workers and the watcher, starts again what dies.

`python -m voicemill.flows.service.supervise STORE`, with the settings in `<store>/prefect/up.json`. It imports no
Prefect, so it is small; what needs a client is done by flows/service/deploy.py, in a process that ends. SIGTERM ends it
and all that it started. When it is killed, the workers and the watcher are told by the kernel, and the private server
has no client left.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from types import FrameType
from typing import Any

from voicemill.flows.service import processes
from voicemill.flows.service.server import PrivateServer, private_settings, reachable, running
from voicemill.flows.service.up import GRACE, POOLS, State, UpSettings, log_of, read
from voicemill.storage.errors import ServerError, VoicemillError
from voicemill.storage.locks import FileLock
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds

LOOK: Seconds = 0.5
FIRST_WAIT: Seconds = 1.0
"""Before what died is started again; each death doubles it, up to LONGEST_WAIT, and a life of STEADY halves nothing but
resets it."""
LONGEST_WAIT: Seconds = 60.0
STEADY: Seconds = 120.0
QUICK = {
    "PREFECT_WORKER_QUERY_SECONDS": "5",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # flows/automations.json misses it after 90 s
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",  # else a queued run looks twice a minute
}
PR_SET_PDEATHSIG = 1


class Stopped(Exception):
    """SIGTERM came: somebody wants the end."""


@dataclass
class Child:
    """A process that shall be there."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    wait: Seconds = FIRST_WAIT
    due: float = 0.0
    restarts: int = -1

    def look(self, store: Store, environment: dict[str, str]) -> bool:
        """Start it if it is not there and its time has come; returns whether anything changed."""
        now = time.monotonic()
        if self.process is not None:
            if self.process.poll() is None:
                return False
            if now - self.began > STEADY:
                self.wait = FIRST_WAIT
            print(f"{self.name} ended with {self.process.returncode}; again in {self.wait:g} s", flush=True)
            self.process, self.due, self.wait = None, now + self.wait, min(2 * self.wait, LONGEST_WAIT)
            return True
        if now < self.due:
            return False
        self.process = run(store, self.name, self.command, environment)
        self.began = now
        self.restarts += 1
        return True


def run(store: Store, name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a process of `up`: it has the mark of the store, writes to its own log, and ends when we do."""
    with log_of(store, name).open("ab") as log:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),  # this process has one thread
        )


def _die_with(parent: int) -> Any:
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before it could be asked for
            os._exit(1)

    return ask


class Supervisor:
    """One for each store; the caller holds `.up`."""

    def __init__(self, store: Store, settings: UpSettings) -> None:
        self.store, self.settings = store, settings
        self.state = State(settings)
        self.server: PrivateServer | None = None
        python = sys.executable
        worker = [
            python,
            "-m",
            "prefect",
            "worker",
            "start",
            "--type",
            "process",
            "--name",
            f"up-{os.uname().nodename}",
        ]
        self.children = [Child(pool, [*worker, "--pool", pool, "--limit", str(limit)]) for pool, limit in POOLS.items()]
        watch = [
            python,
            "-m",
            "voicemill.flows.cli.main",
            "watch",
            "--inbox",
            settings.inbox,
            "--store",
            settings.store,
        ]
        self.children.append(Child("watcher", watch))

    def start(self) -> None:
        """Server, deployments, processes; then the state says that it is ready."""
        self.connect()
        if self.server is not None:
            self.ask("crash")
        listed = self.ask("deploy")
        self.note(deployments=tuple(json.loads(listed)))
        for child in self.children:
            child.look(self.store, self.environment)
        self.note(ready=True)

    def connect(self, port: int = 0) -> None:
        """The server of PREFECT_API_URL, or the private one of the store; at the port it had, so that clients find it.

        Raises:
            ServerError: it does not answer.
        """
        if url := os.environ.get("PREFECT_API_URL"):
            reachable(url)
            self.environment = os.environ | QUICK | processes.marked(self.store)
        else:
            os.environ.update(QUICK)
            self.server = PrivateServer(self.store, port or _last_port(self.store))
            self.server.wait()
            url = f"{self.server.url}/api"
            private = private_settings(self.store, self.server.port)
            self.environment = os.environ | private | processes.marked(self.store)
        self.note(url=url.removesuffix("/api"), last=url.removesuffix("/api"))

    def ask(self, verb: str, **more: Any) -> str:
        """Have flows/service/deploy.py do something; what it printed.

        Raises:
            ServerError: it failed; with what it said.
        """
        question = json.dumps(asdict(self.settings) | more)
        command = [sys.executable, "-m", "voicemill.flows.service.deploy", verb]
        done = subprocess.run(command, env=self.environment, input=question, capture_output=True, text=True)
        if done.returncode:
            raise ServerError(f"{verb} failed: {done.stderr[-4000:]}")
        return done.stdout

    def watch(self) -> None:
        """Look after everything, until stopped."""
        while True:
            time.sleep(LOOK)
            if not (self.store.root / "store.json").exists():
                raise Stopped  # somebody removed the store: nothing is to be made there again
            if self.server is not None and running(self.store) is None:
                print("the server is gone: starting it again", flush=True)
                port = self.server.port
                self.server.stop()
                self.connect(port)
            changed = [child.look(self.store, self.environment) for child in self.children]
            if any(changed):
                self.note()

    def note(self, **changes: Any) -> None:
        """Write what is known now."""
        there = {child.name: child.process.pid for child in self.children if child.process is not None}
        restarts = {child.name: child.restarts for child in self.children if child.restarts > 0}
        self.state = replace(self.state, children=there, restarts=restarts, **changes)
        self.state.write(self.store)

    def stop(self) -> None:
        """Cancel the runs in progress, then end every process; the last one to leave ends the private server."""
        for child in self.children:
            if child.name == "watcher" and child.process is not None:
                child.process.terminate()
        with processes.found(self.store) as there:
            runs = sorted({process.run for process in there if process.run})
        if runs:
            print(f"cancelling {len(runs)} runs", flush=True)
            try:
                print(self.ask("cancel", runs=runs), flush=True)
            except ServerError as error:
                print(error, flush=True)
        processes.end(self.store, GRACE)
        if self.server is not None:
            self.server.stop()
        self.children = []
        if (self.store.root / "store.json").exists():
            self.note(ready=False)


def _last_port(store: Store) -> int:
    """Where the private server was before; 0 = anywhere."""
    state = read(store)
    port = state.last.rpartition(":")[2] if state is not None else ""
    return int(port) if port.isdigit() else 0


def _hold(store: Store, stack: ExitStack) -> FileLock | None:
    """The lock that says that this process supervises the store; None where another one does."""
    lock = stack.enter_context(FileLock(store.prefect / ".up"))
    return lock if lock.take(str(os.getpid())) else None


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough, and the way down must not be cut short
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Stopped


def main() -> None:
    store = Store.open(sys.argv[1])
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    with ExitStack() as stack:
        if _hold(store, stack) is None:
            return
        state = read(store)
        assert state is not None
        processes.end(store, GRACE)  # what a supervisor that was killed has left behind
        supervisor = Supervisor(store, state.settings)
        try:
            supervisor.start()
            supervisor.watch()
        except Stopped:
            pass
        except VoicemillError as error:
            supervisor.note(error=str(error))
            raise
        finally:
            supervisor.stop()


if __name__ == "__main__":
    main()

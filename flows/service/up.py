"""`voicemill up`: the server, the workers and the watcher of a store on this machine, kept alive by one supervisor.

The supervisor (flows/service/supervise.py) is a process of its own. It holds the lock `<store>/prefect/.up` as long as
it lives, which is how a second `up` and `down` find it, and writes what it knows to `up.json` beside it.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from voicemill.flows.service import processes
from voicemill.flows.service.server import running
from voicemill.storage.errors import ServerError
from voicemill.storage.files import read_json, write_json
from voicemill.storage.locks import FileLock, lock_holder
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds

POOLS = {"cpu": 2, "gpu": 1}
"""Pool -> runs that its worker takes at a time. Two on cpu: one that waits for the store must not keep others away."""
START_LIMIT: Seconds = 600.0
"""25 s on two idle cores, most of it `prefect deploy`; minutes where others want the cores."""
STOP_LIMIT: Seconds = 90.0
"""Of the supervisor, which first lets the runs in progress end."""
GRACE: Seconds = 10.0
"""For what a supervisor that is gone has left behind."""


@dataclass(frozen=True)
class UpSettings:
    """What `voicemill up` was asked for."""

    store: str
    inbox: str
    """Absolute path, or fsspec url."""
    config: str = "default"
    """Of a refresh."""
    consent: str = ""
    """A reason that stands for every speaker's consent; empty = there is none."""
    training: str = "default"
    """Config of a training."""
    phases: tuple[str, ...] = ()
    """Of it; empty = finetune where speakers are named, else pretrain."""
    speakers: tuple[str, ...] = ()
    """Whose voice is trained; empty = everybody's."""

    def variables(self) -> dict[str, Any]:
        """The Prefect variables that flows/prefect.yaml names."""
        raw = asdict(self) | {"phases": list(self.phases), "speakers": list(self.speakers)}
        return {f"voicemill_{name}": value for name, value in raw.items()}

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "UpSettings":
        """From JSON."""
        return cls(**dict(raw) | {"phases": tuple(raw["phases"]), "speakers": tuple(raw["speakers"])})


@dataclass(frozen=True)
class State:
    """What a supervisor says of itself; `up.json`."""

    settings: UpSettings
    url: str = ""
    """Of the Prefect server, without /api; empty until it answers."""
    last: str = ""
    """The address before: a private server takes the same port again, so that bookmarks stay good."""
    ready: bool = False
    """Deployed, and every process started."""
    error: str = ""
    """Why it ended."""
    deployments: tuple[Mapping[str, str], ...] = ()
    """name, pool, trigger, next: of each."""
    children: Mapping[str, int] = field(default_factory=dict)
    """Name -> process."""
    restarts: Mapping[str, int] = field(default_factory=dict)
    """Name -> how often it had to be started again."""

    def write(self, store: Store) -> None:
        """To `<store>/prefect/up.json`."""
        write_json(store.prefect / "up.json", asdict(self), indent=1)


def read(store: Store) -> State | None:
    """What the last supervisor said; None where there never was one."""
    raw = read_json(store.prefect / "up.json")
    if raw is None:
        return None
    return State(**raw | {"settings": UpSettings.of(raw["settings"]), "deployments": tuple(raw["deployments"])})


def supervisor(store: Store) -> int:
    """The process that supervises this store; 0 = none."""
    return int(lock_holder(store.prefect / ".up") or 0)


def log_of(store: Store, name: str) -> Path:
    """Where a process writes: supervisor, watcher, a pool, server."""
    return store.prefect / ("server.log" if name == "server" else f"up-{name}.log")


def up(store: Store, settings: UpSettings, told: Callable[[str], None] = lambda _: None) -> State:
    """Start the supervisor, or find it, and wait until everything is there.

    Raises:
        ServerError: it runs with other settings, ended, or took too long; with the end of its log.
    """
    if pid := supervisor(store):
        state = read(store)
        while (state is None or not state.settings.store) and supervisor(store) == pid:
            time.sleep(0.1)
            state = read(store)
        if state is not None and state.settings != settings:
            raise ServerError(_differs(store, state.settings, settings))
    else:
        told("starting: server, deployments, a worker for each pool, the watcher")
        before = read(store)
        State(settings, last=(before.url or before.last) if before else "").write(store)
        pid = _start(store)
    return _wait(store, pid)


def _differs(store: Store, now: UpSettings, asked: UpSettings) -> str:
    old, new = asdict(now), asdict(asked)
    words = ", ".join(f"{name} {old[name]!r}, asked for {new[name]!r}" for name in old if old[name] != new[name])
    return f"{store.root} is up already, with {words}. End it first: voicemill down --store {store.root}"


def _start(store: Store) -> int:
    with log_of(store, "supervisor").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "voicemill.flows.service.supervise", str(store.root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it outlives the terminal
        )
    return process.pid


def _wait(store: Store, pid: int) -> State:
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end:
        state = read(store)
        if state is not None and (state.ready or state.error):
            break
        if not _lives(pid) and not supervisor(store):  # two commands may start one each, and one of them wins
            raise ServerError(f"the supervisor of {store.root} ended at its start:\n{tail(store, 'supervisor')}")
        time.sleep(0.1)
    else:
        raise ServerError(f"{store.root} was not up within {START_LIMIT:.0f} s; see {log_of(store, 'supervisor')}")
    if state.error:
        raise ServerError(state.error)
    return state


def _lives(pid: int) -> bool:
    with suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    return Path(f"/proc/{pid}").exists()


def tail(store: Store, name: str, lines: int = 15) -> str:
    """The end of a log."""
    path = log_of(store, name)
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"


def down(store: Store) -> int:
    """End what `up` started, and wait for it. Returns how many processes that were; 0 = nothing was up.

    Flow runs in progress are cancelled: the next refresh takes up the stages, the next training its last checkpoint.
    The private server ends when no command uses it: a `voicemill dashboard` keeps it.
    """
    count = 0
    if pid := supervisor(store):
        count = 1 + len((read(store) or State(UpSettings("", ""))).children)
        descriptor = os.pidfd_open(pid)
        try:
            if supervisor(store) == pid:
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
                if not select.select([descriptor], [], [], STOP_LIMIT)[0]:
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)
    count += processes.end(store, GRACE)
    end = time.monotonic() + GRACE
    while running(store) and not _used(store) and time.monotonic() < end:
        time.sleep(0.05)
    return count


def _used(store: Store) -> bool:
    """Whether a command is a client of the private server."""
    with FileLock(store.prefect / ".clients") as clients:
        return not clients.take()

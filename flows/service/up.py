"""`voicemill up` and `down`: start and stop what keeps a store fresh on this machine, and tell its state.

One supervisor (flows/service/supervise.py), a process of its own, holds the server and starts workers and watcher. It
holds the lock `<store>/prefect/.up` as long as it lives, by which a second `up` and `down` find it, and writes its
state to `up.json` beside it.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import tzlocal

from voicemill.flows.service.recovery.processes import end_processes
from voicemill.flows.service.server import running_server
from voicemill.storage.errors import ConfigError, ServerError
from voicemill.storage.files import read_json, write_json
from voicemill.storage.locks import FileLock, lock_holder
from voicemill.storage.processes import pid_alive, wait_until_ended
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds

POOLS = {"cpu": 2, "gpu": 1}
"""Pool -> flow runs that its worker takes at a time. Two on cpu: a run that waits for the store must not block
others."""
START_LIMIT: Seconds = 600.0
"""Time limit for `up`: it takes 25 s on two idle cores, most of it `prefect deploy`, and minutes on busy ones."""
STOP_LIMIT: Seconds = 90.0
"""Time limit for the supervisor to end, which first lets the runs in progress end."""
TAKEOVER_LIMIT: Seconds = 20.0
"""Time limit for the standby to take the place of a supervisor that was killed; it does within a second."""
GRACE: Seconds = 10.0
"""Time between SIGTERM and SIGKILL for processes that a dead supervisor left behind."""


MONTHLY = "0 3 1 * *"
"""Default schedule of the refresh: the first of each month, at three."""


@dataclass(frozen=True)
class UpSettings:
    """Settings that `voicemill up` was given."""

    store: str
    inbox: str
    """Absolute path, or fsspec URL."""
    config: str = "default"
    """Config of a refresh."""
    consent: str = ""
    """Reason that stands in for every speaker's consent; empty = none is assumed."""
    training: str = "default"
    """Config of a training."""
    phases: tuple[str, ...] = ()
    """Phases of the training config; empty = finetune if speakers are named, else pretrain."""
    speakers: tuple[str, ...] = ()
    """Speakers whose voice is trained; empty = all."""
    schedule: str = MONTHLY
    """Cron line of the refresh."""
    timezone: str = "UTC"
    """Name in the IANA database; of all schedules."""

    def variables(self) -> dict[str, Any]:
        """Values of the Prefect variables that flows/prefect.yaml refers to."""
        raw = asdict(self) | {"phases": list(self.phases), "speakers": list(self.speakers)}
        return {f"voicemill_{name}": value for name, value in raw.items()}

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "UpSettings":
        """Settings from JSON."""
        return cls(**dict(raw) | {"phases": tuple(raw["phases"]), "speakers": tuple(raw["speakers"])})


def checked_schedule(cron: str, timezone: str) -> tuple[str, str]:
    """Cron line and time zone of the schedules; "" stands for the first of each month, and for this machine's zone.

    Raises:
        ConfigError: one of them is none, or this machine's zone has no name.
    """
    now = datetime.now().astimezone()
    name = timezone or tzlocal.get_localzone_name()
    try:
        zone = ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ConfigError(f"--timezone {name!r}: expected a name of the IANA database, such as Europe/Paris") from error
    if not timezone and now.astimezone(zone).utcoffset() != now.utcoffset():
        raise ConfigError(
            f"the time zone of this machine ({now.tzname()}, TZ={os.environ.get('TZ', '')!r}) has no name in the IANA "
            "database: give one by --timezone, such as Europe/Paris"
        )
    if cron:
        from prefect.client.schemas.schedules import CronSchedule  # only here: the supervisor does not pay for it

        try:
            CronSchedule(cron=cron, timezone=name)
        except ValueError as error:
            raise ConfigError(f"--schedule {cron!r}: expected the five fields of cron, such as {MONTHLY!r}") from error
    return cron or MONTHLY, name


@dataclass(frozen=True)
class State:
    """State of a supervisor, which it writes to `up.json`."""

    settings: UpSettings
    url: str = ""
    """Address of the Prefect server, without /api; empty until it answers."""
    last: str = ""
    """Address before: a private server takes the same port again, so that bookmarks stay valid."""
    ready: bool = False
    """Whether everything is deployed and started."""
    stopped: bool = False
    """Whether the supervisor ended everything and itself, as `down` asks it to; False where it was killed."""
    error: str = ""
    """Why the supervisor ended."""
    deployments: tuple[Mapping[str, str], ...] = ()
    """Deployments, each with name, pool, starts and next."""
    children: Mapping[str, int] = field(default_factory=dict)
    """Name of a child -> its process id."""
    restarts: Mapping[str, int] = field(default_factory=dict)
    """Name of a child -> number of restarts."""

    def write(self, store: Store) -> None:
        """Write the state to `<store>/prefect/up.json`."""
        write_json(store.prefect / "up.json", asdict(self), indent=1)


def read_state(store: Store) -> State | None:
    """State of the last supervisor; None where the store never had one."""
    raw = read_json(store.prefect / "up.json")
    if raw is None:
        return None
    return State(**raw | {"settings": UpSettings.of(raw["settings"]), "deployments": tuple(raw["deployments"])})


def supervisor_pid(store: Store) -> int:
    """Id of the process that supervises this store; 0 = none."""
    return int(lock_holder(store.prefect / ".up") or 0)


def log_of(store: Store, name: str) -> Path:
    """Log file of a process: supervisor, watcher, server or a pool."""
    return store.prefect / ("server.log" if name == "server" else f"up-{name}.log")


def up(store: Store, settings: UpSettings, report: Callable[[str], None] = lambda _: None) -> State:
    """Start the supervisor, or find it, and wait until everything runs.

    Raises:
        ServerError: it runs with other settings, ended, or took too long; with the end of its log.
    """
    if pid := supervisor_pid(store):
        state = read_state(store)
        while (state is None or not state.settings.store) and supervisor_pid(store) == pid:
            time.sleep(0.1)
            state = read_state(store)
        if state is not None and state.settings != settings:
            raise ServerError(_difference(store, state.settings, settings))
    else:
        report("starting: server, deployments, a worker for each pool, the watcher")
        previous = read_state(store)
        State(settings, last=(previous.url or previous.last) if previous else "").write(store)
        pid = _start(store)
    return _wait(store, pid)


def _difference(store: Store, present: UpSettings, requested: UpSettings) -> str:
    old, new = asdict(present), asdict(requested)
    words = ", ".join(f"{name} {old[name]!r} (requested: {new[name]!r})" for name in old if old[name] != new[name])
    return f"{store.root} is up already, with {words}. Stop it first: voicemill down --store {store.root}"


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
        state = read_state(store)
        if state is not None and (state.ready or state.error):
            break
        if not pid_alive(pid) and not supervisor_pid(store):  # of two that start at once, the other one may win
            raise ServerError(f"the supervisor of {store.root} ended at its start:\n{log_tail(store, 'supervisor')}")
        time.sleep(0.1)
    else:
        raise ServerError(f"{store.root} was not up within {START_LIMIT:.0f} s; see {log_of(store, 'supervisor')}")
    if state.error:
        raise ServerError(state.error)
    return state


def log_tail(store: Store, name: str, lines: int = 15) -> str:
    """The last lines of a log."""
    path = log_of(store, name)
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"


def down(store: Store) -> int:
    """Stop what `up` started and wait until it has ended. Returns the number of processes; 0 = nothing was up.

    Flow runs in progress are cancelled: the next refresh resumes from the stage cache, the next training from its last
    checkpoint. The private server ends when no command uses it: a `voicemill dashboard` keeps it.
    """
    count = 0
    if pid := supervisor_pid(store):
        count = 1 + len((read_state(store) or State(UpSettings("", ""))).children)
        with suppress(psutil.Error):
            supervisor = psutil.Process(pid)
            if supervisor_pid(store) == pid:  # else the number may be another process's by now
                supervisor.terminate()
                if not wait_until_ended([supervisor], STOP_LIMIT):
                    supervisor.kill()
    count += end_processes(store, GRACE)
    end = time.monotonic() + GRACE
    while running_server(store) and not _in_use(store) and time.monotonic() < end:
        time.sleep(0.05)
    return count


def hold(store: Store) -> None:
    """Return once the store is down; `down` ends the wait, and so does an error of the supervisor.

    Raises:
        ServerError: all processes were killed: what started this command (systemd, a container) starts it again.
    """
    end = time.monotonic() + TAKEOVER_LIMIT
    while time.monotonic() < end:
        time.sleep(0.5)
        if supervisor_pid(store):
            end = time.monotonic() + TAKEOVER_LIMIT
        elif (state := read_state(store)) is None or state.stopped:
            return
    raise ServerError(f"the supervisor of {store.root} and its standby were killed; see {log_of(store, 'supervisor')}")


def _in_use(store: Store) -> bool:
    """Whether a command is a client of the private server."""
    with FileLock(store.prefect / ".clients") as clients:
        return not clients.take()

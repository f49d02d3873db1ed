"""Processes of this machine: found by a mark in their environment, and ended for good, through psutil.

Every process inherits the environment of the one that started it, and keeps it when it gets a session of its own or its
parent dies. So a mark in the environment finds the whole family after any crash. psutil tells a process from another
that took over its number by the time it started. Processes of other users cannot be read, and so are never found.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import psutil

from voicemill.storage.units import Seconds

_POLL: Seconds = 0.02


def marked_processes(name: str, value: str) -> list[psutil.Process]:
    """Living processes whose environment has `name=value`, except the one that asks. Takes about 1 ms a process."""
    own, matches = psutil.Process().pid, []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it ended meanwhile, is a zombie, or belongs to another user
            if process.pid != own and process.environ().get(name) == value:
                matches.append(process)
    return matches


def is_alive(process: psutil.Process) -> bool:
    """Whether a process has not ended; a zombie has."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def pid_alive(pid: int) -> bool:
    """Whether a process of this number has not ended."""
    try:
        return is_alive(psutil.Process(pid))
    except psutil.Error:
        return False


def wait_until_ended(processes: Sequence[psutil.Process], timeout: Seconds) -> bool:
    """Whether all of these end within `timeout` seconds together.

    Not psutil's wait, which reaps children: their exit status belongs to whoever started them.
    """
    end = time.monotonic() + timeout
    while any(map(is_alive, processes)):
        if time.monotonic() >= end:
            return False
        time.sleep(_POLL)
    return True


def end_processes(find: Callable[[], Sequence[psutil.Process]], grace: Seconds) -> int:
    """End all processes that `find` returns: SIGTERM, after `grace` seconds SIGKILL. Returns how many there were.

    `find` is called until it returns none, so that a process born meanwhile ends too.
    """
    known: set[psutil.Process] = set()
    end = time.monotonic() + grace
    while processes := find():
        late = time.monotonic() >= end
        for process in processes:
            if late or process not in known:
                with suppress(psutil.Error):
                    process.kill() if late else process.terminate()
        known.update(processes)
        wait_until_ended(processes, 0.5)
    return len(known)

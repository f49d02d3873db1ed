"""The processes that `voicemill up` of a store has started, and theirs: found by a mark in their environment.

Every process inherits the environment of the one that started it, a worker's flow runs and the ranks of a training
too, and keeps it when it gets a session of its own or its parent dies. So the mark finds all of them after any crash,
and, read through a file descriptor of the process, never one that has taken over a number. Linux: /proc and pidfd.
"""

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from voicemill.storage.store import Store
from voicemill.storage.units import Seconds

MARK = "VOICEMILL_UP"
RUN = "PREFECT__FLOW_RUN_ID"
"""Prefect gives it to the process of a flow run."""


def marked(store: Store) -> dict[str, str]:
    """What the environment of a process needs to be found."""
    return {MARK: str(store.root)}


@dataclass(frozen=True)
class Found:
    """A process that is there."""

    pid: int
    descriptor: int
    """Of the process itself; numbers are used again, this is not."""
    run: str
    """Id of the flow run that it works on; "" = none."""

    def send(self, number: int) -> None:
        """Send a signal; nothing where it has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)

    def ended(self, wait: Seconds = 0.0) -> bool:
        """Whether it has ended, or does so within `wait`."""
        return bool(select.select([self.descriptor], [], [], max(wait, 0.0))[0])


@contextmanager
def found(store: Store) -> Iterator[list[Found]]:
    """All processes with the mark of this store, but the one that asks."""
    with ExitStack() as stack:
        yield list(_search(store, stack))


def _search(store: Store, stack: ExitStack) -> Iterator[Found]:
    wanted = f"{MARK}={store.root}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with suppress(OSError):  # it ended meanwhile, or is another user's
            descriptor = os.pidfd_open(int(folder.name))
            stack.callback(os.close, descriptor)
            variables = (folder / "environ").read_bytes().split(b"\0")  # after pidfd_open: so it is that process's
            if wanted in variables:
                runs = [v.partition(b"=")[2].decode() for v in variables if v.startswith(f"{RUN}=".encode())]
                yield Found(int(folder.name), descriptor, runs[-1] if runs else "")


def end(store: Store, grace: Seconds) -> int:
    """End every process of the store: SIGTERM, after `grace` seconds SIGKILL. Returns how many there were.

    A process that is born meanwhile is seen by the next look, and there is one until none is left.
    """
    seen: set[int] = set()
    until = time.monotonic() + grace
    while True:
        with found(store) as there:
            if not there:
                return len(seen)
            late = time.monotonic() >= until
            for process in there:
                if late or process.pid not in seen:
                    process.send(signal.SIGKILL if late else signal.SIGTERM)
                seen.add(process.pid)
            gone(there, 0.5)


def gone(processes: Iterable[Found], wait: Seconds) -> bool:
    """Whether all have ended, or do so within `wait` seconds together."""
    until = time.monotonic() + wait
    return all(process.ended(until - time.monotonic()) for process in processes)

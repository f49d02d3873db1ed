"""Runs a function in another process and kills that process (SIGKILL) at its n-th touch of the file system.

Python announces every open, rename, removal and change of times to audit hooks, before it happens: a place to die at
that is the same in every run, and there is one between any two steps of a write.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.utime", "os.link", "shutil.rmtree"}

# forked from a server that has everything imported and nothing started: deltalake survives that
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "deltalake.transaction",
        "pyarrow.parquet",
        "pytest",
        "voicemill.storage.forgetting.forget",
        "voicemill.tasks.publishing.publish",
        "voicemill.tasks.stages.shards",
    ]
)


def _child(work: Callable[..., Any], args: tuple[Any, ...], at: int, root: str, pipe: Connection) -> None:
    seen = 0

    def count(event: str, found: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in EVENTS and any(str(arg).startswith(root) for arg in found[:2]):
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    work(*args)
    pipe.send(seen)


def run(work: Callable[..., Any], *args: Any, root: Any, at: int = 0) -> int:
    """Call `work(*args)` elsewhere and kill it at the `at`-th event on a path under `root`; 0 = let it end.

    Returns how many such events it had, 0 where it was killed.
    """
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_child, args=(work, args, at, str(root), there))
    process.start()
    there.close()
    process.join()
    if at:
        assert process.exitcode == -signal.SIGKILL, f"it ended with {process.exitcode} before event {at}"
        return 0
    return int(here.recv())

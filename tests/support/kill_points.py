"""Run a function in another process and kill it (SIGKILL) at its n-th access to the file system.

Python announces every open, rename, removal and change of times to audit hooks before it happens. These points are the
same in every run, and there is one between any two steps of a write.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.utime", "os.link", "shutil.rmtree"}

# forked from a server that has everything imported and nothing started: deltalake and torch survive that
_CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = (
    "deltalake.transaction",
    "hypothesis",
    "pyarrow.parquet",
    "pytest",
    "voicemill.storage.checking.repair",
    "voicemill.storage.forgetting.forget",
    "voicemill.storage.voices.votes",
    "voicemill.tasks.publishing.publish",
    "voicemill.tasks.publishing.shards",
)
OF_TRAININGS = ("torch", "voicemill.model.training.main")
"""Preloaded where the tests import torch: a child that imports it itself takes 1.5 s instead of 0.05."""


def _child(work: Callable[..., Any], args: tuple[Any, ...], at: int, root: str, pipe: Connection) -> None:
    events = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal events
        if event in EVENTS and any(str(arg).startswith(root) for arg in arguments[:2]):
            events += 1
            if events == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    work(*args)
    pipe.send(events)


def run(work: Callable[..., Any], *args: Any, root: Any, at: int = 0) -> int:
    """Call `work(*args)` in another process and kill that at its `at`-th event on a path under `root`; 0 = do not.

    Returns the number of such events, 0 where the process was killed.
    """
    _CONTEXT.set_forkserver_preload([*PRELOADED, *(OF_TRAININGS if "torch" in sys.modules else ())])
    receiver, sender = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_child, args=(work, args, at, str(root), sender))
    process.start()
    sender.close()
    process.join()
    if at:
        assert process.exitcode == -signal.SIGKILL, f"it exited with {process.exitcode} before event {at}"
        return 0
    return int(receiver.recv())

"""The processes that `voicemill up` of a store started, with all that they started: found by a mark, and ended.

Workers, the watcher, flow runs and the ranks of a training inherit the mark (`voicemill.storage.processes`).
"""

from contextlib import suppress

import psutil

from voicemill.storage import processes
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds

MARK = "VOICEMILL_UP"
"""Environment variable that holds the folder of the store."""
RUN = "PREFECT__FLOW_RUN_ID"
"""Environment variable that Prefect gives to the process of a flow run."""


def mark(store: Store) -> dict[str, str]:
    """Environment by which a process is found."""
    return {MARK: str(store.root)}


def find_processes(store: Store) -> list[psutil.Process]:
    """All processes with the mark of this store, except the one that asks."""
    return processes.marked_processes(MARK, str(store.root))


def flow_run(process: psutil.Process) -> str:
    """Id of the flow run that a process works on; "" = none, or the process has ended."""
    with suppress(psutil.Error, OSError):
        return str(process.environ().get(RUN, ""))
    return ""


def end_processes(store: Store, grace: Seconds) -> int:
    """End every process of the store: SIGTERM, after `grace` seconds SIGKILL. Returns how many there were."""
    return processes.end_processes(lambda: find_processes(store), grace)

"""Locks on the devices of a machine: one training on each GPU and one on the CPU. The lock of a dead process is free.

The limit of a Prefect work pool counts the runs of one worker, but commands typed by hand and other stores use the same
GPUs. So the locks belong to the machine: files in `/tmp/voicemill-<user>` (VOICEMILL_LOCKS names another folder).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from voicemill.storage.errors import ConfigError, StoreError
from voicemill.storage.locks import FileLock
from voicemill.storage.units import Seconds

POLL: Seconds = 0.5
_ASK = (
    "import json, torch; found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()));"
    " print(json.dumps([(str(gpu.uuid), gpu.total_memory // 2**20) for gpu in found]))"
)


@dataclass(frozen=True)
class Gpu:
    """A GPU that this process may use."""

    name: str
    """Name from its UUID: the same in every process of the machine."""
    select: str
    """Its value in CUDA_VISIBLE_DEVICES."""
    memory_mb: int = 0
    """Total memory, MB (2^20 bytes)."""


@dataclass(frozen=True)
class ReservedDevices:
    """Devices reserved for this process until the block ends."""

    gpus: tuple[Gpu, ...]
    """The GPUs; empty: the CPU."""
    files: tuple[int, ...]
    """Descriptors of the locks: a process that inherits them holds the devices as long as it lives."""


def gpus() -> tuple[Gpu, ...]:
    """GPUs that torch sees, queried in another process (this one would keep memory on each); none without a driver."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible in ("", "-1") or not any(Path("/dev").glob("nvidia[0-9]*")):
        return ()
    answer = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=False)
    properties = json.loads(answer.stdout) if answer.returncode == 0 else []
    selects = visible.split(",") if visible else [str(number) for number in range(len(properties))]
    pairs = zip(properties, selects, strict=False)
    return tuple(Gpu(f"gpu-{uuid}", select, memory_mb) for (uuid, memory_mb), select in pairs)


def process_count(devices: int, available: tuple[Gpu, ...]) -> int:
    """Number of training processes: `loop.devices`, where 0 stands for all GPUs, or for one process on the CPU.

    Raises:
        ConfigError: there are fewer GPUs.
    """
    if available and devices > len(available):
        raise ConfigError(f"loop.devices = {devices}, but torch sees {len(available)} GPUs: set 0 to use all of them")
    return devices or len(available) or 1


@contextmanager
def reserved_devices(
    count: int, holder: str, available: tuple[Gpu, ...], waiting: Callable[[str], None]
) -> Iterator[ReservedDevices]:
    """Reserve `count` of the available GPUs, or the CPU where there are none; waits until they are free.

    `holder` names this process to others that wait; `waiting` is called with the present holders whenever they change.
    """
    names = [gpu.name for gpu in available] or ["cpu"]
    needed = count if available else 1
    reported = ""
    while True:
        with ExitStack() as stack:
            locks: dict[str, FileLock] = {}
            busy: list[str] = []
            # always in this order, and released together: two processes that need several never wait for each other
            for name in names:
                lock = stack.enter_context(FileLock(lock_folder() / f"{name}.lock"))
                if len(locks) < needed and lock.take(holder):
                    locks[name] = lock
                elif len(locks) < needed:
                    busy.append(f"{name} is held by {lock.holder()}")
            if len(locks) == needed:
                chosen = tuple(gpu for gpu in available if gpu.name in locks)
                yield ReservedDevices(chosen, tuple(lock.fileno() for lock in locks.values()))
                return
        if (holders := "; ".join(busy)) != reported:
            reported = holders
            waiting(holders)
        time.sleep(POLL)


@contextmanager
def locked(path: Path, holder: str, waiting: Callable[[str], None]) -> Iterator[int]:
    """Wait for a lock file and hold it; yields its descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    reported = False
    with FileLock(path) as lock:
        while not lock.take(holder):
            if not reported:
                reported = True
                waiting(f"{path.parent.name} is held by {lock.holder()}")
            time.sleep(POLL)
        yield lock.fileno()


def lock_folder() -> Path:
    """Folder of the locks of this machine.

    Raises:
        StoreError: another user owns the folder.
    """
    if chosen := os.environ.get("VOICEMILL_LOCKS"):
        Path(chosen).mkdir(parents=True, exist_ok=True)
        return Path(chosen)
    path = Path(tempfile.gettempdir()) / f"voicemill-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink() or path.stat().st_uid != os.getuid():
        raise StoreError(f"{path} belongs to another user: set VOICEMILL_LOCKS to a folder for the locks of the GPUs")
    return path

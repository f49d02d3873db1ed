"""One training on each GPU, and one on the CPU of a machine: locks that the operating system frees when a process dies.

A work pool's limit counts the runs of one worker; commands typed by hand and other stores use the same GPUs, so the
locks belong to the machine: files in `/tmp/voicemill-<user>` (VOICEMILL_LOCKS names another folder).
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
    """The same in every process of the machine: by its UUID."""
    select: str
    """Its value in CUDA_VISIBLE_DEVICES."""
    memory_mb: int = 0


@dataclass(frozen=True)
class ReservedDevices:
    """Devices that are this process's until the block ends."""

    gpus: tuple[Gpu, ...]
    """Empty: the CPU."""
    files: tuple[int, ...]
    """Descriptors of the locks: a process that inherits them holds the devices as long as it lives."""


def gpus() -> tuple[Gpu, ...]:
    """The GPUs that torch sees, asked in a process of its own (it would keep memory of each); none without a driver."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible in ("", "-1") or not any(Path("/dev").glob("nvidia[0-9]*")):
        return ()
    answer = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=False)
    properties = json.loads(answer.stdout) if answer.returncode == 0 else []
    selects = visible.split(",") if visible else [str(number) for number in range(len(properties))]
    pairs = zip(properties, selects, strict=False)
    return tuple(Gpu(f"gpu-{uuid}", select, memory_mb) for (uuid, memory_mb), select in pairs)


def process_count(devices: int, found: tuple[Gpu, ...]) -> int:
    """How many processes train: `loop.devices`, where 0 stands for all GPUs, or one process on the CPU.

    Raises:
        ConfigError: more GPUs than there are.
    """
    if found and devices > len(found):
        raise ConfigError(f"loop.devices = {devices}, and torch sees {len(found)} GPUs here: set 0 to take all of them")
    return devices or len(found) or 1


@contextmanager
def reserved_devices(
    count: int, holder: str, found: tuple[Gpu, ...], waiting: Callable[[str], None]
) -> Iterator[ReservedDevices]:
    """`count` of the GPUs in `found`, or the CPU where there are none; waits until they are free.

    `holder` says who asks, for those who wait; `waiting` is called with who holds them, whenever that changes.
    """
    names = [gpu.name for gpu in found] or ["cpu"]
    many = count if found else 1
    said = ""
    while True:
        with ExitStack() as stack:
            locks: dict[str, FileLock] = {}
            busy: list[str] = []
            # always in this order, and given back together: two that want several never wait for each other
            for name in names:
                lock = stack.enter_context(FileLock(lock_folder() / f"{name}.lock"))
                if len(locks) < many and lock.take(holder):
                    locks[name] = lock
                elif len(locks) < many:
                    busy.append(f"{name} is held by {lock.holder()}")
            if len(locks) == many:
                chosen = tuple(gpu for gpu in found if gpu.name in locks)
                yield ReservedDevices(chosen, tuple(lock.fileno() for lock in locks.values()))
                return
        if (text := "; ".join(busy)) != said:
            said = text
            waiting(text)
        time.sleep(POLL)


@contextmanager
def locked(path: Path, holder: str, waiting: Callable[[str], None]) -> Iterator[int]:
    """Hold one lock file, waiting for it; its descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    said = False
    with FileLock(path) as lock:
        while not lock.take(holder):
            if not said:
                said = True
                waiting(f"{path.parent.name} is held by {lock.holder()}")
            time.sleep(POLL)
        yield lock.fileno()


def lock_folder() -> Path:
    """Where the locks of this machine are.

    Raises:
        StoreError: somebody else made the folder.
    """
    if told := os.environ.get("VOICEMILL_LOCKS"):
        Path(told).mkdir(parents=True, exist_ok=True)
        return Path(told)
    path = Path(tempfile.gettempdir()) / f"voicemill-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink() or path.stat().st_uid != os.getuid():
        raise StoreError(f"{path} belongs to somebody else: name a folder for the locks of the GPUs by VOICEMILL_LOCKS")
    return path

"""Models loaded once per process, not once per batch; dropped, least recently used first, when memory is short.

A stage borrows a model for one run and returns it (`Inputs.model`). A borrowed model has one user: a second thread that
asks for the same one loads its own. A run that ends in an error drops what it borrowed, so the next attempt begins with
fresh models. Main memory is measured, not estimated: what counts is how much the machine, or the memory limit of its
container, still has. GPU memory is what the stages state (`Resources`), because one process cannot see how much the
caching allocator of another one could give back.
"""

import gc
import os
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

M = TypeVar("M")
Megabytes = int

RESERVE_SHARE, RESERVE_MOST = 0.1, 2048
"""Main memory that stays free: a tenth, at most 2 GB, which the arrays of a batch need."""


@dataclass(frozen=True)
class Resources:
    """Resources that one run of a stage needs."""

    cpus: int = 1
    """Shares of the cores, where each worker process has one."""
    gpu_mb: Megabytes = 0
    """GPU memory with its model loaded and at work; 0 = it uses no GPU under its settings."""


@dataclass(frozen=True)
class _Idle:
    key: Hashable
    model: Any
    gpu_mb: Megabytes


class ModelCache:
    """The models of one process."""

    def __init__(self, free_mb: Callable[[], Megabytes] | None = None, reserve_mb: Megabytes | None = None) -> None:
        """`free_mb` and `reserve_mb`: main memory that is free now, and that must stay free; default: the machine's."""
        self._free_mb = free_mb or free_memory
        self._reserve_mb = reserve_mb
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []
        self._borrowed_gpu_mb = 0
        self.gpu_budget_mb: Megabytes | None = None
        """GPU memory that models of this process may take; None = no limit."""
        self.loads = 0
        """Models loaded so far."""

    @contextmanager
    def borrow(self, key: Hashable, load: Callable[[], M], gpu_mb: Megabytes = 0) -> Iterator[M]:
        """The model of this key: an idle one, else what `load` returns.

        `key` must name everything that the model depends on, digest and device included. After the block the model
        stays loaded, unless the block raised or memory is short.
        """
        model = self._take(key, gpu_mb)
        try:
            if model is None:
                model = load()
                self.loads += 1
            yield model
        except BaseException:
            with self._lock:
                self._borrowed_gpu_mb -= gpu_mb
            raise
        with self._lock:
            self._borrowed_gpu_mb -= gpu_mb
            self._idle.append(_Idle(key, model, gpu_mb))
        del model
        self.trim()

    def _take(self, key: Hashable, gpu_mb: Megabytes) -> Any:
        """An idle model of this key, taken out; else None, after room was made for another one."""
        with self._lock:
            match = next((entry for entry in reversed(self._idle) if entry.key == key), None)
            if match:
                self._idle.remove(match)
            self._borrowed_gpu_mb += gpu_mb
        if match is None:
            self.trim()
        return match.model if match else None

    def trim(self) -> None:
        """Drop idle models, the least recently used first, until memory is not short."""
        while True:
            with self._lock:
                if not self._idle:
                    return
                used = self._borrowed_gpu_mb + sum(entry.gpu_mb for entry in self._idle)
                over_budget = self.gpu_budget_mb is not None and used > self.gpu_budget_mb
                oldest_on_gpu = next((entry for entry in self._idle if entry.gpu_mb), None)
                if over_budget and oldest_on_gpu:
                    dropped = oldest_on_gpu
                elif self._free_mb() < self._reserve():
                    dropped = self._idle[0]
                else:
                    return
                self._idle.remove(dropped)
            on_gpu = bool(dropped.gpu_mb)
            del dropped, oldest_on_gpu
            _release(on_gpu)

    def clear(self) -> None:
        """Drop every idle model."""
        with self._lock:
            on_gpu = any(entry.gpu_mb for entry in self._idle)
            held, self._idle = self._idle, []
        if held:
            del held
            _release(on_gpu)

    def _reserve(self) -> Megabytes:
        if self._reserve_mb is None:
            import psutil

            total = psutil.virtual_memory().total // 2**20
            self._reserve_mb = min(int(RESERVE_SHARE * total), RESERVE_MOST)
        return self._reserve_mb


def free_memory() -> Megabytes:
    """Main memory that is free on the machine, or in its container (cgroup v2) where that is less."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        folder = Path("/sys/fs/cgroup") / Path("/proc/self/cgroup").read_text().split("::")[-1].strip().lstrip("/")
        limit = int((folder / "memory.max").read_text())  # "max", no number, where there is no limit
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        free = min(free, limit - int((folder / "memory.current").read_text()) + int(stat["inactive_file"]))
    except (OSError, ValueError, KeyError):
        pass
    return free // 2**20


def weights_mb(path: Path) -> Megabytes:
    """Size of the weights of a model: a file, or those in a folder."""
    from voicemill.model.hub import WEIGHTS

    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.suffix in WEIGHTS]
    return sum(os.stat(file).st_size for file in files) // 2**20


def _release(on_gpu: bool) -> None:
    """Give the memory of dropped models back to the system."""
    gc.collect()
    if on_gpu and (torch := sys.modules.get("torch")):
        torch.cuda.empty_cache()


MODELS = ModelCache()
"""The models of this process."""

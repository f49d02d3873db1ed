"""Worker processes: each runs one stage at a time, holds its models, and may die without taking more than one upload.

Prefect's own process pool breaks as a whole when one process dies, and starts a Prefect client in every child (measured
15 task runs a second against 310 with threads). So the task runs of a flow are threads that wait, and the work goes
to these processes, spawned (deltalake and torch do not survive fork) and kept for the run.
"""

import ctypes
import ctypes.util
import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from storage.artifacts import Artifact
from storage.records import Upload
from storage.store import Store
from tasks.config import BY_NAME
from tasks.execute import Done, Work, artifact_path, execute, produce

T = TypeVar("T")


class WorkerPool:
    """`count` processes of `threads` threads each."""

    def __init__(self, count: int, threads: int) -> None:
        self._threads = threads
        self._free: queue.Queue[ProcessPoolExecutor] = queue.Queue()
        for _ in range(count):
            self._free.put(self._spawn())

    def _spawn(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, context, _settle, (os.getpid(), self._threads))

    def run(self, work: Work) -> Done:
        """Execute in a free process. When it dies: find the uploads that kill it, fail those, do the rest."""
        try:
            return self._call(execute, work)
        except BrokenProcessPool:
            killers = self._killers(work, work.batch.uploads)
            return self._call(execute, replace(work, buried=tuple(upload.sha256 for upload in killers)))

    def _killers(self, work: Work, uploads: tuple[Upload, ...]) -> list[Upload]:
        try:
            self._call(_rehearse, work, uploads)
        except BrokenProcessPool:
            if len(uploads) == 1:
                return list(uploads)
            half = len(uploads) // 2
            return self._killers(work, uploads[:half]) + self._killers(work, uploads[half:])
        return []

    def _call(self, function: Callable[..., T], *arguments: object) -> T:
        executor = self._free.get()
        try:
            return executor.submit(function, *arguments).result()
        except BrokenProcessPool:
            executor.shutdown(wait=False)
            executor = self._spawn()
            raise
        finally:
            self._free.put(executor)

    def close(self) -> None:
        """End the processes."""
        while not self._free.empty():
            self._free.get().shutdown(wait=True, cancel_futures=True)


_active: WorkerPool | None = None

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Read by libraries when they load: a spawned process has to find them in its environment. More threads than cores made
one stage 20 times slower."""


@contextmanager
def pool(count: int) -> Iterator[None]:
    """Within the block, `execute_anywhere` of this process uses `count` worker processes."""
    global _active
    threads = max(1, len(os.sched_getaffinity(0)) // count)
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    _active = WorkerPool(count, threads)
    try:
        yield
    finally:
        _active.close()
        _active = None
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def execute_anywhere(work: Work) -> Done:
    """Execute in a worker process where a pool is open, else here (threads, Dask, Ray)."""
    return _active.run(work) if _active else execute(work)


def _rehearse(work: Work, uploads: tuple[Upload, ...]) -> None:
    """Run a stage on some uploads and keep nothing: does the process survive it?"""
    store = Store(Path(work.store))
    artifacts = {name: Artifact(artifact_path(store, name, key)) for name, key in work.inputs.items()}
    for _ in produce(BY_NAME[work.stage], work, artifacts, uploads):
        pass


def _settle(parent: int, threads: int) -> None:
    """Set a fresh worker process up: its threads, and a watch that ends it when the parent is gone.

    glibc gives each thread its own heap and keeps freed blocks: without the trim threshold a worker grows with every
    batch.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    library = ctypes.util.find_library("c")
    if library and hasattr(libc := ctypes.CDLL(library), "mallopt"):
        libc.mallopt(-1, 64 * 1024 * 1024)  # M_TRIM_THRESHOLD

    import torch

    torch.set_num_threads(threads)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)

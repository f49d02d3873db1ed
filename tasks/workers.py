"""Worker processes: each runs one stage at a time and keeps its models; if one dies, at most one upload fails.

Prefect's own process pool breaks as a whole when one process dies, and starts a Prefect client in every child (measured
15 task runs a second against 310 with threads). So the task runs of a flow are threads that wait for these processes,
which are spawned (deltalake and torch do not survive fork) and kept for the run.
"""

import ctypes
import ctypes.util
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import FrameType
from typing import TypeVar

from voicemill.storage.errors import WorkerDied
from voicemill.storage.records import Upload
from voicemill.tasks.config import Config
from voicemill.tasks.contract.models import MODELS, Megabytes, Resources
from voicemill.tasks.culprits import find_culprits
from voicemill.tasks.execute import (
    StageResult,
    Work,
    dry_run,
    execute,
    existing_output,
    remaining_uploads,
)
from voicemill.tasks.registry import STAGES
from voicemill.tasks.scheduling import Slot, choose, gpu_worker_count
from voicemill.tasks.training import devices

T = TypeVar("T")


@dataclass(eq=False)
class _Worker(Slot):
    """A worker process, started when there is work for it."""

    executor: ProcessPoolExecutor = field(kw_only=True)


class WorkerPool:
    """`count` worker processes, and which of them runs what (`tasks/scheduling.py`)."""

    def __init__(self, count: int, needs: Mapping[str, Resources] | None = None, gpu_mb: Megabytes = 0) -> None:
        """`needs`: stage -> what a run of it takes; `gpu_mb`: memory of the GPU, 0 = there is none."""
        self._ended = False
        self._count, self._needs, self._busy_cpus = count, needs or {}, 0
        self._gpu_workers = gpu_worker_count(count, self._needs.values(), gpu_mb)
        self._gpu_budget_mb = gpu_mb // self._gpu_workers if gpu_mb else None
        self._changed = threading.Condition()
        self._free = [_Worker(number, executor=self._spawn()) for number in range(count)]

    def _spawn(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, context, _set_up, (os.getpid(), self._gpu_budget_mb))

    def run(self, work: Work) -> StageResult:
        """Execute in a free process. If it dies, find the uploads that kill it, record them as failed, run the rest.

        Raises:
            WorkerDied: it died three times, and no single upload is the cause.
        """
        if result := existing_output(work):  # without starting a process
            return result
        for _ in range(3):
            try:
                return self._call(execute, work)
            except BrokenProcessPool:
                uploads = tuple(upload for upload in remaining_uploads(work) if upload.sha256 not in work.killers)
                killers = find_culprits(uploads, partial(self._attempt, work))
                work = replace(work, killers=(*work.killers, *killers))
        raise WorkerDied(f"a worker process died in {work.stage} three times, and no single upload is the cause")

    def _attempt(self, work: Work, uploads: tuple[Upload, ...]) -> str:
        for _ in range(2 if len(uploads) == 1 else 1):  # twice: its first death may be another's fault
            try:
                self._call(dry_run, work, uploads)
                return ""
            except BrokenProcessPool:
                continue
        return "died"

    def _call(self, function: Callable[..., T], work: Work, *arguments: object) -> T:
        need = self._needs.get(work.stage, Resources())
        worker = self._take(work.stage, need)
        try:
            try:
                future = self._submit(worker.executor, function, work, *arguments)
            except BrokenProcessPool:  # it died while it was idle
                self._restart(worker)
                future = self._submit(worker.executor, function, work, *arguments)
            worker.stages.add(work.stage)
            return future.result()
        except BrokenProcessPool:
            self._restart(worker)
            raise
        finally:
            self._return(worker, need)

    def _take(self, stage: str, need: Resources) -> _Worker:
        """Wait for a worker that may run this stage."""
        with self._changed:
            while True:
                slot = choose(
                    self._free,
                    stage,
                    need,
                    workers=self._count,
                    gpu_workers=self._gpu_workers,
                    busy_cpus=self._busy_cpus,
                )
                if slot is not None:
                    self._free.remove(slot)
                    self._busy_cpus += need.cpus
                    return slot
                self._changed.wait()

    def _return(self, worker: _Worker, need: Resources) -> None:
        with self._changed:
            self._busy_cpus -= need.cpus
            self._free.append(worker)
            self._changed.notify_all()

    def _submit(self, executor: ProcessPoolExecutor, function: Callable[..., T], *arguments: object) -> Future[T]:
        if self._ended:
            raise WorkerDied("the worker processes have been ended")
        # a child inherits blocked signals: Ctrl-C is for the parent, which ends its workers
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return executor.submit(function, *arguments)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _restart(self, worker: _Worker) -> None:
        worker.executor.shutdown(wait=False)
        worker.executor = self._spawn()
        worker.stages.clear()

    def close(self) -> None:
        """Kill the processes, which are idle: an orderly end takes each a second, and changes nothing."""
        self.kill()
        for worker in self._free:
            worker.executor.shutdown(wait=True, cancel_futures=True)

    def kill(self) -> None:
        """Kill the processes at once; callers that wait for one get an error."""
        self._ended = True
        for child in multiprocessing.active_children():
            child.kill()


_active: WorkerPool | None = None

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Libraries read these when they load, so a spawned process must find them in its environment. More threads than cores
made one stage 20 times slower."""
_QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
"""Progress bars of several processes overwrite each other and ours."""


@contextmanager
def pool(config: Config) -> Iterator[None]:
    """Within the block, `execute_anywhere` of this process uses the worker processes that the config asks for.

    With another runner than `processes` stages run in threads of this process, or elsewhere; the models that stay
    loaded here are dropped at the end.
    """
    if config.run.runner == "processes":
        with _processes(config):
            yield
        return
    try:
        yield
    finally:
        MODELS.clear()


def needs_of(config: Config) -> dict[str, Resources]:
    """Stage -> what a run of it takes under this config."""
    return {stage.name: stage.resources(config.of(stage.name)) for stage in STAGES}


@contextmanager
def _processes(config: Config) -> Iterator[None]:
    global _active
    count, needs = config.run.count, needs_of(config)
    gpus = devices.gpus() if any(need.gpu_mb for need in needs.values()) else ()
    threads = str(max(1, len(os.sched_getaffinity(0)) // count))
    settings = dict.fromkeys(_THREADS, threads) | _QUIET
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    _active = WorkerPool(count, needs, gpus[0].memory_mb if gpus else 0)
    try:
        with _ended_by(signal.SIGINT, _active.kill):
            yield
    finally:
        _active.close()
        _active = None
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _ended_by(number: signal.Signals, end: Callable[[], None]) -> Iterator[None]:
    """Within the block a signal calls `end` before its handler, which threads that wait for a worker would delay."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(number)

    def handle(caught: int, frame: FrameType | None) -> None:
        end()
        if callable(before):
            before(caught, frame)

    signal.signal(number, handle)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def ended_with_the_flow() -> Iterator[None]:
    """Kill the worker processes when the block ends by a cancellation of the flow run, which is no `Exception`.

    Prefect's handler of SIGTERM must stay; it raises here, then waits for the threads that wait for the workers.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException:
        if _active:
            _active.kill()
        raise


def execute_anywhere(work: Work) -> StageResult:
    """Execute in a worker process if a pool is open, else in this process (threads, Dask, Ray)."""
    return _active.run(work) if _active else execute(work)


def _set_up(parent: int, gpu_budget_mb: Megabytes | None) -> None:
    """Set up a new worker process: its share of the GPU memory, and a watch that ends it when the parent is gone.

    glibc gives each thread its own heap and keeps freed blocks: without the trim threshold the memory of a worker grows
    with every batch. That threshold alone leaves blocks over 128 kB to mmap, and the kernel fills every tensor with
    zeros again: a third of the time of a small network.
    """
    MODELS.gpu_budget_mb = gpu_budget_mb
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    library = ctypes.util.find_library("c")
    if library and hasattr(libc := ctypes.CDLL(library), "mallopt"):
        libc.mallopt(-1, 64 * 1024 * 1024)  # M_TRIM_THRESHOLD
        libc.mallopt(-3, 32 * 1024 * 1024)  # M_MMAP_THRESHOLD


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)

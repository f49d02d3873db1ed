"""Which worker process runs a stage: pure functions over what the stages need and what the machine has.

A worker keeps the models of the stages it has run. So a stage goes to a free worker that has run it before, and GPU
stages go to few workers only: as many as can hold the models of all GPU stages at the same time. Without a GPU, or
without a stage that uses one, every worker may run everything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from voicemill.tasks.contract.models import Megabytes, Resources


def gpu_worker_count(workers: int, needs: Iterable[Resources], gpu_mb: Megabytes) -> int:
    """Number of workers that may hold GPU models: every one of them has room for the models of all GPU stages.

    At least one, whose models take turns where the GPU is too small for all; all workers where nothing needs a GPU.
    """
    together = sum(need.gpu_mb for need in needs)
    if not together or not gpu_mb:
        return workers
    return max(1, min(workers, gpu_mb // together))


@dataclass(eq=False)
class Slot:
    """A place for one worker process."""

    number: int
    """Number of the worker, from 0. GPU stages go to the lowest numbers."""
    stages: set[str] = field(default_factory=set)
    """Stages that its process has run: their models are likely to be loaded."""


SlotT = TypeVar("SlotT", bound=Slot)


def choose(
    free: Sequence[SlotT], stage: str, need: Resources, *, workers: int, gpu_workers: int, busy_cpus: int
) -> SlotT | None:
    """The free slot that a stage runs in; None = it waits.

    Args:
        workers: all slots, which is also how many shares of the cores there are.
        gpu_workers: slots with a lower number may run GPU stages; other stages prefer the rest.
        busy_cpus: shares of the cores that running stages use. A stage that needs more than there are runs alone.
    """
    candidates = [slot for slot in free if slot.number < gpu_workers or not need.gpu_mb]
    if not candidates or (busy_cpus and busy_cpus + need.cpus > workers):
        return None

    def preference(slot: SlotT) -> tuple[bool, bool, int]:
        wasted = not need.gpu_mb and slot.number < gpu_workers
        return wasted, stage not in slot.stages, slot.number

    return min(candidates, key=preference)

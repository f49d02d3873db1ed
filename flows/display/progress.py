"""Progress of a refresh: a counter that the flow advances and that the terminal and the dashboard watch."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Lock

from voicemill.storage.units import Seconds
from voicemill.tasks.execute import StageResult


@dataclass
class StageCount:
    """Work of one stage in a refresh."""

    run: int = 0
    skipped: int = 0
    failed: int = 0
    seconds: Seconds = 0.0
    """Audio of the batches that it ran on."""
    wall_s: Seconds = 0.0
    """Wall time, the sum over task runs."""
    cpu_s: Seconds = 0.0
    """CPU time, the sum over task runs."""
    peak_mb: float = 0.0
    """Highest resident memory of its task runs, MB."""


@dataclass
class Progress:
    """Counts task runs as they end; thread-safe, since they end in several threads."""

    total: int = 0
    done: int = 0
    last: str = ""
    """Stage and batch of the task run that ended last, as the caption of a bar."""
    stages: dict[str, StageCount] = field(default_factory=lambda: defaultdict(StageCount))
    watchers: list[Callable[["Progress"], None]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def expect(self, stages: Iterable[str], batches: int) -> None:
        """Add the work ahead to the total. Each named stage appears in the counts even if nothing runs."""
        for stage in stages:
            _ = self.stages[stage]
            self.total += batches
        self._notify()

    def ended(self, done: StageResult) -> None:
        """Count a task run that returned."""
        with self._lock:
            count = self.stages[done.stage]
            count.run += done.ran
            count.skipped += not done.ran
            count.seconds = round(count.seconds + done.seconds, 3)
            count.wall_s = round(count.wall_s + done.wall_s, 3)
            count.cpu_s = round(count.cpu_s + done.cpu_s, 3)
            count.peak_mb = max(count.peak_mb, round(done.peak_mb, 1))
            self.last = f"{done.stage} of batch {done.batch[:8]}"
            self.done += 1
        self._notify()

    def broke(self, stage: str) -> None:
        """Count a task run that raised, or could not start because an earlier one raised."""
        with self._lock:
            self.stages[stage].failed += 1
            self.done += 1
        self._notify()

    def _notify(self) -> None:
        for watcher in self.watchers:
            watcher(self)


_active = Progress()


def active() -> Progress:
    """Counter of the refresh in this process."""
    return _active


def fresh() -> Progress:
    """Start a new counter and return it, to be watched; call it before the flow."""
    global _active
    _active = Progress()
    return _active

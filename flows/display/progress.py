"""Progress of a refresh: one object that the flow advances, and that the terminal and the dashboard both show."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Lock

from voicemill.storage.units import Seconds
from voicemill.tasks.execute import Done


@dataclass
class StageCount:
    """What one stage did in a refresh."""

    run: int = 0
    skipped: int = 0
    failed: int = 0
    seconds: Seconds = 0.0
    """Audio that it ran on."""
    wall_s: Seconds = 0.0
    cpu_s: Seconds = 0.0
    """Sum over its task runs."""
    peak_mb: float = 0.0


@dataclass
class Progress:
    """Counts task runs as they end. Thread-safe: task runs end in threads."""

    total: int = 0
    done: int = 0
    last: str = ""
    """The task run that ended last, for a bar to show."""
    stages: dict[str, StageCount] = field(default_factory=lambda: defaultdict(StageCount))
    watchers: list[Callable[["Progress"], None]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def expect(self, stages: Iterable[str], batches: int) -> None:
        """Announce work, so that a bar can have an end; each named stage appears in the counts even if nothing runs."""
        for stage in stages:
            _ = self.stages[stage]
            self.total += batches
        self._tell()

    def ended(self, done: Done) -> None:
        """One task run came back."""
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
        self._tell()

    def broke(self, stage: str) -> None:
        """One task run raised, or could not start because one before it had."""
        with self._lock:
            self.stages[stage].failed += 1
            self.done += 1
        self._tell()

    def _tell(self) -> None:
        for watcher in self.watchers:
            watcher(self)


_active = Progress()


def active() -> Progress:
    """The counter of the refresh that runs in this process."""
    return _active


def fresh() -> Progress:
    """Start a new count; to be called before the flow, by whoever wants to watch it."""
    global _active
    _active = Progress()
    return _active

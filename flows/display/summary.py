"""What a refresh did: the object behind its `--json`, the terminal table, the dashboard and the report."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from voicemill.flows.display.progress import Progress, StageCount
from voicemill.storage.units import Seconds


@dataclass
class Summary:
    """Result of `refresh`. `as_json` is the contract of `voicemill refresh --json`."""

    store: str
    version: int
    """The corpus version now current; 0 when there is none yet."""
    published: bool
    """Whether this refresh published it."""
    uploads: dict[str, int]
    """State -> uploads."""
    seconds: dict[str, Seconds]
    """Outcome -> seconds."""
    reasons: dict[str, Seconds]
    """Reason -> seconds."""
    stages: dict[str, StageCount]
    speakers: int
    utterances: int
    batches_run: int
    batches_unchanged: int
    held: dict[str, int] = field(default_factory=dict)
    """Speaker without consent -> uploads."""
    problems: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    """Batch that broke as a whole -> error."""
    failures: dict[str, str] = field(default_factory=dict)
    """Path of an upload that failed -> the first error."""
    report: str = ""
    run: str = ""
    """Address of the flow run in the dashboard."""
    wall_s: Seconds = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return asdict(self)


def stage_counts(progress: Progress, names: Iterable[str], unchanged: int) -> dict[str, StageCount]:
    """The counts of a run with the batches that no stage had to look at counted as skipped."""
    counts = {}
    for name in names:
        seen = progress.stages.get(name, StageCount())
        counts[name] = StageCount(
            seen.run, seen.skipped + unchanged, seen.failed, seen.seconds, seen.wall_s, seen.cpu_s, seen.peak_mb
        )
    return counts

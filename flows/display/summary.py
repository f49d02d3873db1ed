"""Result of a refresh, which `--json` prints and the terminal and the dashboard show."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from voicemill.flows.display.progress import Progress, StageCount
from voicemill.flows.display.result import FlowResult
from voicemill.storage.units import Seconds


@dataclass
class Summary(FlowResult):
    """Result of `refresh`; `as_json` is the contract of `voicemill refresh --json`."""

    store: str
    version: int
    """The current corpus version; 0 = none yet."""
    published: bool
    """Whether this refresh published it."""
    uploads: dict[str, int]
    """State -> number of uploads."""
    seconds: dict[str, Seconds]
    """Outcome -> seconds of audio."""
    reasons: dict[str, Seconds]
    """Reason -> seconds of audio."""
    stages: dict[str, StageCount]
    """Work of this refresh, by stage."""
    speakers: int
    utterances: int
    batches_run: int
    batches_unchanged: int
    held: dict[str, int] = field(default_factory=dict)
    """Speaker without consent -> number of uploads."""
    problems: list[str] = field(default_factory=list)
    """Problems of the inbox."""
    broken: dict[str, str] = field(default_factory=dict)
    """Id of a batch that broke as a whole -> error."""
    failures: dict[str, str] = field(default_factory=dict)
    """Path of a failed upload -> its first error."""
    report: str = ""
    """Path of the newest report; "" = none."""
    run: str = ""
    wall_s: Seconds = 0.0


def stage_counts(progress: Progress, names: Iterable[str], unchanged: int) -> dict[str, StageCount]:
    """Counts of a refresh, in which unchanged batches count as skipped by every stage."""
    counts = {}
    for name in names:
        count = progress.stages.get(name, StageCount())
        counts[name] = replace(count, skipped=count.skipped + unchanged)
    return counts

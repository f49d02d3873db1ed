"""Result of a refresh, which `--json` prints and the terminal and the dashboard show."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from voicemill.flows.display.progress import Progress, StageCount
from voicemill.flows.display.result import FlowResult
from voicemill.storage.units import Seconds

HELD = "no upload has consent: nothing was prepared, and nothing is published"
"""State of a first refresh whose uploads are all held."""


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
    without_text: list[dict[str, object]] = field(default_factory=list)
    """Utterances without a text, as `storage.corpus.text_coverage.TextGap`, with the line that says what gives them
    one."""
    problems: list[str] = field(default_factory=list)
    """Problems of the inbox."""
    broken: dict[str, str] = field(default_factory=dict)
    """Id of a batch that broke as a whole -> error."""
    failures: dict[str, str] = field(default_factory=dict)
    """Path of a failed upload -> its first error."""
    report: str = ""
    """Path of the newest report; "" = none."""
    inbox: str = ""
    run: str = ""
    wall_s: Seconds = 0.0

    @property
    def all_held(self) -> bool:
        """Whether there is no corpus version because no upload has consent."""
        return not self.version and bool(self.held)


def stage_counts(progress: Progress, names: Iterable[str], unchanged: int) -> dict[str, StageCount]:
    """Counts of a refresh, in which unchanged batches count as skipped by every stage."""
    counts = {}
    for name in names:
        count = progress.stages.get(name, StageCount())
        counts[name] = replace(count, skipped=count.skipped + unchanged)
    return counts

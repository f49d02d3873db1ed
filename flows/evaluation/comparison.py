"""Two or more evaluations on one test set: by how much they differ, sentence by sentence, and how sure that is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from voicemill.model.judging.bootstrap import interval
from voicemill.model.judging.scores import Scores
from voicemill.model.settings.promotion import METRICS

FEWEST = 2
"""Sentences that both were judged on; the interval of a single one is without end."""


@dataclass(frozen=True)
class Difference:
    """One metric of two entries, in its unit."""

    metric: str
    challenger: str
    other: str
    mean: float
    """Of challenger - other over the sentences of both."""
    low: float
    """95 % confidence interval by the bootstrap."""
    high: float
    samples: int
    verdict: str
    """better, worse, or no clear difference: as the interval says."""


def versus(names: Iterable[object]) -> str:
    """ "3 against 2 and 1": the first is compared with each other one."""
    challenger, *others = map(str, names)
    return f"{challenger} against {' and '.join(others)}" if others else challenger


def differences(found: Sequence[Scores]) -> list[Difference]:
    """The first against each other one, by metric."""
    challenger, *others = found
    return [
        difference
        for other in others
        for name in METRICS
        if (difference := _difference(name, challenger, other)) is not None
    ]


def _difference(name: str, challenger: Scores, other: Scores) -> Difference | None:
    mine, theirs = challenger.items.get(name, {}), other.items.get(name, {})
    shared = sorted(mine.keys() & theirs.keys())
    if len(shared) < FEWEST:
        return None
    found = interval([mine[key] - theirs[key] for key in shared])
    low, high = found.low, found.high
    sign = 1 if METRICS[name].better == "higher" else -1
    verdict = "no clear difference" if low <= 0 <= high else "better" if sign * found.mean > 0 else "worse"
    return Difference(name, challenger.voice, other.voice, found.mean, low, high, found.samples, verdict)

"""Differences between two or more evaluations on one test set, paired by sentence, with confidence intervals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from voicemill.model.judging.bootstrap import interval
from voicemill.model.judging.scores import Scores
from voicemill.model.settings.promotion import METRICS

FEWEST = 2
"""Smallest number of shared sentences; the interval of a single one is infinite."""


@dataclass(frozen=True)
class Difference:
    """Difference between two entries in one metric, in the metric's unit."""

    metric: str
    challenger: str
    other: str
    mean: float
    """Mean of challenger - other over the sentences that both have a figure for."""
    low: float
    """Lower end of the 95 % confidence interval of the mean, by the bootstrap."""
    high: float
    samples: int
    """Number of those sentences."""
    verdict: str
    """better, worse, or no clear difference (the interval holds 0)."""


def comparison_title(names: Iterable[object]) -> str:
    """Title of a comparison: the first name against each other one, "3 against 2 and 1"."""
    challenger, *others = map(str, names)
    return f"{challenger} against {' and '.join(others)}" if others else challenger


def differences(evaluations: Sequence[Scores]) -> list[Difference]:
    """Differences of the first evaluation to each other one, by metric; metrics with too few sentences are left out."""
    challenger, *others = evaluations
    return [
        difference
        for other in others
        for name in METRICS
        if (difference := _difference(name, challenger, other)) is not None
    ]


def missing_figures(missing: Mapping[str, Mapping[str, str]]) -> dict[tuple[str, tuple[str, ...]], list[str]]:
    """Group missing figures: (reason, entries) -> metrics that these entries lack for this reason. `missing`: entry ->
    metric -> reason."""
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for metric in METRICS:
        for reason in dict.fromkeys(reasons[metric] for reasons in missing.values() if metric in reasons):
            entries = tuple(entry for entry, reasons in missing.items() if reasons.get(metric) == reason)
            groups.setdefault((reason, entries), []).append(metric)
    return groups


def _difference(name: str, challenger: Scores, other: Scores) -> Difference | None:
    figures, baseline = challenger.items.get(name, {}), other.items.get(name, {})
    shared = sorted(figures.keys() & baseline.keys())
    if len(shared) < FEWEST:
        return None
    mean = interval([figures[sentence] - baseline[sentence] for sentence in shared])
    sign = 1 if METRICS[name].better == "higher" else -1
    verdict = "no clear difference" if mean.low <= 0 <= mean.high else "better" if sign * mean.mean > 0 else "worse"
    return Difference(
        metric=name,
        challenger=challenger.voice,
        other=other.voice,
        mean=mean.mean,
        low=mean.low,
        high=mean.high,
        samples=mean.samples,
        verdict=verdict,
    )

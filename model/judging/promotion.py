"""The promotion gate: whether a challenger replaces the champion, a pure function of two evaluations and the settings.

Bounds hold for every champion. Compared with the present one the challenger must be not inferior (Piaggio et al.,
"Reporting of Noninferiority and Equivalence Randomized Trials", JAMA 2012): sentence by sentence on the same test set,
the interval of the mean difference must end before the margin on the side of the worse. Every metric with a margin has
to pass, so that no correction for many comparisons is due (Berger, "Multiparameter Hypothesis Testing and Acceptance
Sampling", Technometrics 1982), and doubt, from few sentences or scattered figures, keeps the champion.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from voicemill.model.judging.bootstrap import ConfidenceInterval, interval
from voicemill.model.judging.scores import Scores
from voicemill.model.settings.promotion import METRICS, GateSettings, Metric
from voicemill.storage.voices.cards import Kind

Outcome = Literal["better", "not worse", "worse", "too few", "missing", "out of bounds", "within bounds", "no rule"]


@dataclass(frozen=True)
class Row:
    """One metric of the comparison; figures in its unit."""

    metric: str
    challenger: float | None
    champion: float | None
    bound: float | None
    margin: float | None
    difference: float | None
    """Mean of challenger - champion over the sentences that both have."""
    low: float | None
    """Ends of the confidence interval of the difference."""
    high: float | None
    samples: int
    """Sentences compared; without a comparison, those behind the challenger's figure."""
    outcome: Outcome
    detail: str
    """Why it blocks the challenger; "" where it does not."""


@dataclass(frozen=True)
class GateDecision:
    """Decision of the gate on one challenger."""

    promote: bool
    challenger: str
    """Entry: "anna/0004"."""
    champion: str
    """Champion that it was compared with; "" = none."""
    testset: str
    """sha256 of the test set."""
    reason: str
    """Explanation for a reader, one sentence."""
    rows: tuple[Row, ...]
    """Comparisons by metric, in the order of `METRICS`."""

    @property
    def in_doubt(self) -> bool:
        """Whether nothing but too few test sentences speaks against the challenger."""
        return not self.promote and {row.outcome for row in self.rows if row.detail} == {"too few"}

    def as_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def decide(challenger: Scores, champion: Scores | None, settings: GateSettings, lane: Kind = "trained") -> GateDecision:
    """Return the decision on a challenger; `champion` None: there is none, and the bounds alone decide."""
    name, other = challenger.voice, champion.voice if champion else ""

    def verdict(reason: str, rows: tuple[Row, ...] = (), *, promote: bool = False) -> GateDecision:
        return GateDecision(
            promote=promote, challenger=name, champion=other, testset=challenger.testset, reason=reason, rows=rows
        )

    if champion and champion.testset != challenger.testset:
        voice, _, number = other.rpartition("/")
        return verdict(
            f"{name} and {other} were heard on different test sets, {challenger.testset[:12]} and "
            f"{champion.testset[:12]}, so nothing can be compared: `voicemill evaluate --voice {voice} --number "
            f"{number.lstrip('0')}` hears the champion again"
        )
    bounds = settings.bounds_of(lane)
    present = {*challenger.totals, *bounds, *(champion.totals if champion else ())}
    rows = tuple(
        _row(metric, challenger, champion, bounds.get(metric.name), settings)
        for metric in METRICS.values()
        if metric.name in present
    )
    if against := [row.detail for row in rows if row.detail]:
        return verdict(f"{name} is kept out: {'; '.join(against)}", rows)
    compared = [row.metric for row in rows if row.outcome in ("better", "not worse")]
    if champion and not compared:
        nothing = f"no metric with a margin has figures of both, so nothing says that it is not worse than {other}"
        return verdict(f"{name} is kept out: {nothing}", rows)
    kept = f"{name} keeps every bound ({', '.join(bounds) or 'none is set'})"
    if not champion:
        return verdict(f"{kept}, and there is no champion to compare with", rows, promote=True)
    return verdict(f"{kept} and is not worse than {other} in {', '.join(compared)}", rows, promote=True)


@dataclass(frozen=True)
class _Finding:
    """Result of one of the two rules for one metric."""

    outcome: Outcome
    detail: str = ""
    """Reason against the challenger."""
    spread: ConfidenceInterval | None = None
    samples: int = 0


def _row(metric: Metric, challenger: Scores, champion: Scores | None, bound: float | None, gate: GateSettings) -> Row:
    name = metric.name
    count = len(challenger.items.get(name, {}))
    absolute = _Finding("no rule") if bound is None else _absolute(metric, challenger, bound, gate.samples)
    relative = _relative(metric, challenger, champion, gate) if champion else None
    deciding = absolute if absolute.detail or relative is None else relative
    if relative and deciding.outcome == "too few" and relative.detail:
        deciding = relative  # it may be worse than a doubt
    spread = relative.spread if relative else None
    return Row(
        metric=name,
        challenger=challenger.totals.get(name),
        champion=champion.totals.get(name) if champion else None,
        bound=bound,
        margin=gate.margins.get(name),
        difference=spread.mean if spread else None,
        low=spread.low if spread else None,
        high=spread.high if spread else None,
        samples=(relative.samples if relative else 0) or count,
        outcome=deciding.outcome,
        detail=absolute.detail if not relative or relative.outcome == absolute.outcome else _both(absolute, relative),
    )


def _both(*found: _Finding) -> str:
    return "; ".join(each.detail for each in found if each.detail)


def _absolute(metric: Metric, challenger: Scores, bound: float, fewest: int) -> _Finding:
    """Result for a metric with a bound."""
    name, value = metric.name, challenger.totals.get(metric.name)
    if value is None or not math.isfinite(value):
        why = challenger.missing.get(name, "the evaluation has no figure of it")
        return _Finding("missing", f"{name}, which has a bound, is missing ({why})")
    if name in challenger.items and (count := len(challenger.items[name])) < fewest:
        return _Finding("too few", f"{name} rests on {_sentences(count)}, fewer than {fewest}")
    if (value - bound) * _sign(metric) < 0:
        side = "below" if metric.better == "higher" else "above"
        return _Finding("out of bounds", f"{name} {value:.4g} is {side} {bound:.4g}")
    return _Finding("within bounds")


def _relative(metric: Metric, challenger: Scores, champion: Scores, gate: GateSettings) -> _Finding | None:
    """Result for a metric with a margin, against the champion; None: no margin, or neither entry has figures by
    sentence."""
    name, margin = metric.name, gate.margins.get(metric.name)
    mine, theirs = challenger.items.get(name, {}), champion.items.get(name, {})
    if margin is None or not (mine or theirs):
        return None
    if not mine or not theirs:
        which, scores = ("champion", champion) if mine else ("challenger", challenger)
        why = scores.missing.get(name, "no sentence could be judged")
        return _Finding("missing", f"{name} of the {which} is missing ({why}), and of the other it is not")
    shared = sorted(mine.keys() & theirs.keys())
    if len(shared) < (fewest := max(gate.samples, 2)):  # one alone has no interval
        words = f"{name} can be compared in {_sentences(len(shared))}, fewer than {fewest}"
        return _Finding("too few", words, samples=len(shared))
    found = interval([mine[at] - theirs[at] for at in shared], confidence=gate.confidence, resamples=gate.resamples)
    worst = min(end * _sign(metric) for end in (found.low, found.high))
    if worst < -margin:
        words = (
            f"{name} differs from that of {champion.voice} by {found.mean:.4g} ({found.low:.4g} to {found.high:.4g})"
        )
        allowed = f"and may be {'lower' if metric.better == 'higher' else 'higher'} by {margin:.4g} at most"
        return _Finding("worse", f"{words}, {allowed}", found, found.samples)
    return _Finding("better" if worst > 0 else "not worse", "", found, found.samples)


def _sentences(count: int) -> str:
    return "1 sentence" if count == 1 else f"{count} sentences"


def _sign(metric: Metric) -> int:
    return 1 if metric.better == "higher" else -1

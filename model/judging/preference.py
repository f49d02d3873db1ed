"""Which of two voices listeners prefer, and how certain that is.

The share of the votes that chose one of the two (ties are counted apart, and take no side), its Wilson score interval
(Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927), and the exact two-sided
binomial (sign) test of no preference, both by SciPy. Votes are taken as independent. Several votes of one listener are
not quite independent, so with few listeners the interval is too narrow; their number is reported.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from voicemill.storage.voices.votes import Vote


@dataclass(frozen=True)
class Preference:
    """Votes on two entries, a and b, and the statistics of their preference."""

    a: int
    """Votes for a."""
    b: int
    """Votes for b."""
    same: int
    """Votes for neither."""
    listeners: int
    sentences: int
    share: float
    """Share of a among the votes for a or b, 0..1; 0.5 without any."""
    low: float
    """Lower end of the 95 % confidence interval of the share."""
    high: float
    """Its upper end."""
    p: float
    """Probability of a split at least so uneven if there were no preference."""
    left: float
    """Share of the left side among the votes for a or b; far from 0.5 where listeners chose by the side."""

    @property
    def verdict(self) -> str:
        """a, b, or "no clear preference" where the interval holds one half."""
        return "a" if self.low > 0.5 else "b" if self.high < 0.5 else "no clear preference"

    def as_json(self) -> dict[str, Any]:
        """The fields and the verdict as plain values."""
        return asdict(self) | {"verdict": self.verdict}


def preference(votes: Iterable[Vote]) -> Preference:
    """Return the preference of counted votes (`voicemill.storage.voices.votes.counted`) on the same two entries."""
    votes = list(votes)
    count = {choice: sum(vote.choice == choice for vote in votes) for choice in ("a", "b", "same")}
    decided = [vote for vote in votes if vote.choice != "same"]
    low, high = wilson(count["a"], len(decided))
    return Preference(
        a=count["a"],
        b=count["b"],
        same=count["same"],
        listeners=len({vote.listener for vote in votes}),
        sentences=len({vote.sentence for vote in votes}),
        share=count["a"] / len(decided) if decided else 0.5,
        low=low,
        high=high,
        p=sign_test(count["a"], len(decided)),
        left=sum(vote.choice == vote.left for vote in decided) / len(decided) if decided else 0.5,
    )


def wilson(hits: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of the share hits / count; (0, 1) where `count` is 0."""
    if not count:
        return 0.0, 1.0
    from scipy.stats import binomtest

    interval = binomtest(hits, count).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def sign_test(hits: int, count: int) -> float:
    """Return the two-sided probability of a split at least so uneven under one half; 1 where `count` is 0."""
    if not count:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(hits, count).pvalue)

"""Which of two voices listeners prefer, and how sure that is.

Share of the votes that chose one of the two (ties are stated, and take no side), its Wilson score interval (Wilson,
"Probable inference, the law of succession, and statistical inference", JASA 22, 1927), and the exact two-sided binomial
(sign) test of no preference. Votes are taken as independent: several of one listener are not quite, so with few
listeners the interval is too narrow; their number is stated.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

from voicemill.storage.voices.votes import Vote


@dataclass(frozen=True)
class Preference:
    """What the votes say."""

    a: int
    """Votes for a."""
    b: int
    same: int
    listeners: int
    sentences: int
    share: float
    """Of a among a and b, 0..1; 0.5 where there is neither."""
    low: float
    """95 % confidence interval of the share."""
    high: float
    p: float
    """Of so uneven votes, or more so, if there were no preference."""
    left: float
    """Share of the left side among a and b: far from 0.5 listeners went by the side."""

    @property
    def verdict(self) -> str:
        """a, b, or "no clear preference" where the interval holds one half."""
        return "a" if self.low > 0.5 else "b" if self.high < 0.5 else "no clear preference"

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return asdict(self) | {"verdict": self.verdict}


def preference(votes: Iterable[Vote]) -> Preference:
    """Of counted votes (`voicemill.storage.voices.votes.counted`) on the same two entries."""
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
    """Interval of a share; (0, 1) of nothing."""
    if not count:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, square = hits / count, z * z / count
    middle = share + square / 2
    half = z * math.sqrt(share * (1 - share) / count + square / (4 * count))
    low, high = (middle - half) / (1 + square), (middle + half) / (1 + square)
    return (0.0 if hits == 0 else low), (1.0 if hits == count else high)


def sign_test(hits: int, count: int) -> float:
    """Two-sided probability of a split at least so uneven under one half; 1 of nothing."""
    few = min(hits, count - hits)
    tail = sum(math.comb(count, k) for k in range(few + 1))
    return min(1.0, tail / 2 ** (count - 1)) if count else 1.0

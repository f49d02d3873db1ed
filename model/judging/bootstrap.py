"""Confidence interval of a mean by the bootstrap: its range over other sentences of the same kind.

The expanded percentile interval (Hesterberg, "What Teachers Should Know about the Bootstrap", 2015), which SciPy's
`bootstrap` does not have: the plain percentile interval is too narrow on few samples, by the ratio of Student's t to
the normal quantile and the root of n / (n - 1). 2,000 resamples of 100 values take 4 ms.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

SEED = 20_250_101
BLOCK = 1_000_000
"""Draws at a time: 8 MB."""


@dataclass(frozen=True)
class ConfidenceInterval:
    """A mean and the interval around it, in the unit of the values."""

    mean: float
    low: float
    high: float
    samples: int
    """Number of values."""


def interval(
    values: Sequence[float] | NDArray[np.floating], *, confidence: float = 0.95, resamples: int = 2000, seed: int = SEED
) -> ConfidenceInterval:
    """Return the two-sided interval of the mean of `values` [samples], finite. The same values give the same interval.

    The interval of a single value is unbounded.

    Raises:
        ValueError: there are no values, one is not finite, or `confidence` is not between 0 and 1.
    """
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all() or not 0 < confidence < 1:
        raise ValueError(f"{found.shape} values, confidence {confidence}: expected finite values [samples], 0 to 1")
    count, mean = len(found), float(found.mean())
    if count == 1:
        return ConfidenceInterval(mean, -math.inf, math.inf, 1)
    rng, means = np.random.default_rng(seed), []
    for start in range(0, resamples, step := max(BLOCK // count, 1)):
        drawn = rng.integers(0, count, (min(step, resamples - start), count))
        means.append(found[drawn].mean(axis=1))
    tail = _tail(confidence, count)
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    # rounding: the mean of equal values may differ from them, and an interval contains its mean
    return ConfidenceInterval(mean, min(float(low), mean), max(float(high), mean), count)


def _tail(confidence: float, count: int) -> float:
    """Share of the resampled means to leave out at either end."""
    from scipy.special import stdtrit

    student = float(stdtrit(count - 1, (1 + confidence) / 2))
    return NormalDist().cdf(-math.sqrt(count / (count - 1)) * student)

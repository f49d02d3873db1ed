"""The bootstrap interval: its definition, and how often it holds the true mean."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.judging import bootstrap
from voicemill.model.judging.bootstrap import ConfidenceInterval, interval

VALUES = st.lists(st.floats(-100, 100), min_size=2, max_size=30)


@given(VALUES)
def test_it_holds_the_mean_within_the_values_and_is_repeatable(values: list[float]) -> None:
    found = interval(values, resamples=200)
    assert found == interval(values, resamples=200)
    assert min(values) - 1e-9 <= found.low <= found.mean <= found.high <= max(values) + 1e-9
    assert found.mean == pytest.approx(np.mean(values))


@given(VALUES, st.floats(-50, 50), st.floats(0.1, 10))
def test_it_moves_and_grows_with_the_values(values: list[float], shift: float, scale: float) -> None:
    one, two = interval(values, resamples=200), interval(np.array(values) * scale + shift, resamples=200)
    assert (two.low, two.high) == pytest.approx((one.low * scale + shift, one.high * scale + shift), abs=1e-6)


def test_equal_values_leave_no_doubt_and_one_value_leaves_all() -> None:
    assert interval([0.25] * 8) == ConfidenceInterval(0.25, 0.25, 0.25, 8)
    assert interval([0.25]) == ConfidenceInterval(0.25, -math.inf, math.inf, 1)


def test_many_samples_are_drawn_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=50)
    whole = interval(values)
    monkeypatch.setattr(bootstrap, "BLOCK", 170)
    assert interval(values) == whole


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [[1.0, 2.0]]])
def test_what_is_no_list_of_figures_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="expected finite values"):
        interval(values)


@pytest.mark.parametrize("count", [8, 40])
def test_it_holds_the_true_mean_as_often_as_it_says(count: int) -> None:
    """Of 400 draws; a plain percentile interval would hold it in 88 % at 8 samples."""
    rng = np.random.default_rng(3)
    inside = [
        found.low <= 1.5 <= found.high
        for found in (interval(rng.normal(1.5, 2.0, count), resamples=500) for _ in range(400))
    ]
    assert 0.925 <= np.mean(inside) <= 0.985

"""The choice of a code: order of the filters, shares, seeds."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from voicemill.model.s1.generate import Sampling, draw, penalise, probabilities
from voicemill.storage.errors import ConfigError

SHARES = torch.tensor([[0.5, 0.25, 0.125, 0.0625, 0.0625]])
SCORES = SHARES.log()


def kept(shares: Tensor) -> list[int]:
    return shares[0].nonzero()[:, 0].tolist()


def test_the_penalty_lowers_codes_that_occurred() -> None:
    logits, seen = torch.tensor([[2.0, -2.0, 3.0, -3.0]]), torch.tensor([[True, True, False, False]])
    assert penalise(logits, seen, Sampling(repetition_penalty=2.0)).tolist() == [[1.0, -4.0, 3.0, -3.0]]
    assert penalise(logits, seen, Sampling(repetition_penalty=1.0)).tolist() == logits.tolist()


def test_neither_filter() -> None:
    torch.testing.assert_close(probabilities(SCORES, Sampling(0)), SHARES)


def test_top_k() -> None:
    assert probabilities(SCORES, Sampling(2))[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0, 0])
    assert kept(probabilities(SCORES, Sampling(4))) == [0, 1, 2, 3, 4]  # equals of the last are kept
    assert kept(probabilities(SCORES, Sampling(500))) == [0, 1, 2, 3, 4]


def test_top_p_keeps_the_likeliest_codes_up_to_it() -> None:
    assert kept(probabilities(SCORES, Sampling(0, top_p=0.76))) == [0, 1]
    assert kept(probabilities(SCORES, Sampling(0, top_p=0.74))) == [0]
    assert kept(probabilities(SCORES, Sampling(0, top_p=0.01))) == [0]


def test_top_p_comes_before_the_temperature() -> None:
    """At temperature 0.5 the first code has 75 %: applied first, it would leave one code."""
    assert kept(probabilities(SCORES, Sampling(0, top_p=0.76, temperature=0.5))) == [0, 1]
    assert probabilities(SCORES, Sampling(0, top_p=0.76, temperature=0.5))[0, 0].item() == pytest.approx(0.8)


def test_temperature() -> None:
    assert probabilities(SCORES, Sampling(0, temperature=0.0))[0].tolist() == pytest.approx([1, 0, 0, 0, 0])
    squares = SHARES[0] ** 2
    assert probabilities(SCORES, Sampling(0, temperature=0.5))[0].tolist() == pytest.approx(
        (squares / squares.sum()).tolist()
    )


@given(
    st.lists(st.floats(-30, 30, width=32), min_size=3, max_size=30),
    st.integers(0, 40),
    st.floats(0.01, 1),
    st.floats(0, 3),
)
def test_shares_sum_to_one_and_the_likeliest_stays(scores: list[float], k: int, p: float, temperature: float) -> None:
    given_scores = torch.tensor([[*scores, -math.inf]])
    shares = probabilities(given_scores, Sampling(k, p, temperature))
    assert float(shares.sum()) == pytest.approx(1, abs=1e-5)
    assert float(shares.min()) >= 0
    assert shares[0, int(given_scores.argmax())] == shares.max()
    assert shares[0, -1] == 0


def test_draws_follow_the_shares() -> None:
    """Chi squared with 4 degrees of freedom is above 23.5 once in 10,000 runs; the seed makes this one run."""
    count = 4000
    generators = [torch.Generator().manual_seed(7)] * count
    drawn = draw(SHARES.expand(count, -1), generators)
    observed, expected = drawn.bincount(minlength=5).double(), SHARES[0].double() * count
    assert float(((observed - expected) ** 2 / expected).sum()) < 23.5


def test_excluded_codes_are_never_drawn() -> None:
    shares = probabilities(torch.randn(1, 50, generator=torch.Generator().manual_seed(1)), Sampling(3))
    drawn = draw(shares.expand(500, -1), [torch.Generator().manual_seed(seed) for seed in range(500)])
    assert set(drawn.tolist()) == set(kept(shares))


def test_a_row_draws_as_it_does_alone() -> None:
    shares = torch.rand(4, 30, generator=torch.Generator().manual_seed(0))
    together = draw(shares, [torch.Generator().manual_seed(seed) for seed in (5, 6, 5, 9)])
    alone = [
        draw(row[None], [torch.Generator().manual_seed(seed)]) for row, seed in zip(shares, (5, 6, 5, 9), strict=True)
    ]
    assert together.tolist() == torch.cat(alone).tolist()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"repetition_penalty": math.inf}, "repetition_penalty"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, float], name: str) -> None:
    with pytest.raises(ConfigError, match=rf"sampling\.{name}"):
        Sampling(**change)  # type: ignore[arg-type]

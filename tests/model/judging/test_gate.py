"""The gate: worse, equal, better, too few samples, a missing metric; and how often chance decides."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from voicemill.model.judging.promotion import decide
from voicemill.model.judging.scores import Scores
from voicemill.model.settings.promotion import METRICS, GateSettings

TESTSET = "ab" * 32
GATE = GateSettings(
    samples=5, bounds={"similarity": 0.6, "cer": 0.2, "rtf": 1.0}, margins={"similarity": 0.02, "cer": 0.01}
)
SIMILAR = [0.70, 0.72, 0.75, 0.71, 0.69, 0.74, 0.73, 0.70]


def scores(entry: int, similarity: Sequence[float] = SIMILAR, cer: float = 0.1, **more: float) -> Scores:
    items: dict[str, Mapping[str, float]] = {
        "similarity": {f"s{n}": value for n, value in enumerate(similarity)},
        "cer": {f"s{n}": cer for n in range(len(similarity))},
    }
    totals = {name: float(np.mean(list(found.values()))) for name, found in items.items()} | {"rtf": 0.3} | more
    return Scores(TESTSET, f"ann/{entry:04d}", items, totals)


def shifted(by: float) -> Scores:
    """A challenger whose similarity is other by this, give or take a thousandth."""
    return scores(2, [value + by + 0.001 * (-1) ** n for n, value in enumerate(SIMILAR)])


def test_the_first_champion_has_to_keep_the_bounds() -> None:
    found = decide(scores(1), None, GATE)
    assert found.promote
    assert found.reason == (
        "ann/0001 keeps every bound (similarity, cer, rtf), and there is no champion to compare with"
    )
    assert {row.metric: row.outcome for row in found.rows} == dict.fromkeys(GATE.bounds, "within bounds")
    assert (found.champion, found.testset) == ("", TESTSET)


@pytest.mark.parametrize(
    ("challenger", "said"),
    [
        (scores(2, [0.4] * 8), "similarity 0.4 is below 0.6"),
        (scores(2, cer=0.25), "cer 0.25 is above 0.2"),
        (scores(2, rtf=1.01), "rtf 1.01 is above 1"),
        (scores(2, rtf=float("nan")), "rtf, which has a bound, is missing"),
    ],
)
def test_out_of_bounds_is_kept_out_with_and_without_a_champion(challenger: Scores, said: str) -> None:
    for champion in (None, scores(1)):
        found = decide(challenger, champion, GATE)
        assert not found.promote
        assert found.reason.startswith("ann/0002 is kept out: ")
        assert said in found.reason


def test_a_bound_itself_is_kept() -> None:
    assert decide(scores(1, [0.6] * 8, cer=0.2, rtf=1.0), None, GATE).promote


def test_worse_is_kept_out() -> None:
    found = decide(shifted(-0.05), scores(1), GATE)
    assert not found.promote
    (row,) = [row for row in found.rows if row.outcome == "worse"]
    assert (row.metric, row.samples, row.margin) == ("similarity", 8, 0.02)
    assert row.difference == pytest.approx(-0.05)
    assert row.low is not None
    assert row.high is not None
    assert -0.052 < row.low <= row.difference <= row.high < -0.048
    assert "similarity differs from that of ann/0001 by -0.05 (-0.05" in found.reason
    assert "may be lower by 0.02 at most" in found.reason


def test_a_metric_where_lower_is_better_is_turned_round() -> None:
    assert "cer differs from that of ann/0001 by 0.05" in decide(scores(2, cer=0.15), scores(1), GATE).reason
    better = decide(scores(2, cer=0.05), scores(1), GATE)
    assert better.promote
    assert {row.metric: row.outcome for row in better.rows}["cer"] == "better"


def test_equal_is_promoted() -> None:
    found = decide(scores(2), scores(1), GATE)
    assert found.promote
    assert found.reason == (
        "ann/0002 keeps every bound (similarity, cer, rtf) and is not worse than ann/0001 in similarity, cer"
    )
    assert [(row.difference, row.low, row.high) for row in found.rows if row.metric == "cer"] == [(0.0, 0.0, 0.0)]


def test_better_is_promoted() -> None:
    found = decide(shifted(0.05), scores(1), GATE)
    assert found.promote
    assert {row.metric: row.outcome for row in found.rows} == {
        "similarity": "better", "cer": "not worse", "rtf": "within bounds",
    }  # fmt: skip


def test_a_little_worse_passes_within_the_margin_and_doubt_does_not() -> None:
    assert decide(shifted(-0.015), scores(1), GATE).promote
    scattered = [value + (0.3 if n % 2 else -0.3) for n, value in enumerate(SIMILAR)]
    found = decide(scores(2, scattered), scores(1), GATE)
    assert not found.promote
    (row,) = [row for row in found.rows if row.metric == "similarity"]
    assert row.difference == pytest.approx(0)  # it may as well be better


@pytest.mark.parametrize("champion", [None, scores(1)])
def test_too_few_samples_are_kept_out(champion: Scores | None) -> None:
    found = decide(scores(2, SIMILAR[:4]), champion, GATE)
    assert not found.promote
    assert "similarity rests on 4 sentences, fewer than 5" in found.reason
    assert {row.outcome for row in found.rows} == {"too few", "within bounds"}
    assert found.in_doubt
    assert not decide(scores(2, SIMILAR[:4], rtf=1.01), champion, GATE).in_doubt  # it is too slow besides


def test_too_few_sentences_that_both_have_are_kept_out() -> None:
    mine = scores(2)
    elsewhere = {f"s{n}": value for n, value in enumerate(SIMILAR, 4)}
    found = decide(replace(mine, items={**mine.items, "similarity": elsewhere}), scores(1), GATE)
    assert not found.promote
    assert "similarity can be compared in 4 sentences, fewer than 5" in found.reason


def test_a_figure_that_the_champion_lacks_is_more_than_a_doubt() -> None:
    found = decide(scores(2, SIMILAR[:4]), without(scores(1), "similarity"), GATE)
    assert [row.outcome for row in found.rows] == ["missing", "too few", "within bounds"]
    assert "similarity rests on 4 sentences" in found.reason
    assert not found.in_doubt
    assert not decide(scores(2), scores(1), GATE).in_doubt


def test_one_sentence_is_no_comparison() -> None:
    found = decide(scores(2, SIMILAR[:1]), scores(1, SIMILAR[:1]), GATE.model_copy(update={"samples": 1}))
    assert not found.promote
    assert "similarity can be compared in 1 sentence, fewer than 2" in found.reason


def without(found: Scores, metric: str, why: str = "no recogniser in the config") -> Scores:
    items = {name: each for name, each in found.items.items() if name != metric}
    totals = {name: each for name, each in found.totals.items() if name != metric}
    return replace(found, items=items, totals=totals, missing={metric: why})


def test_a_missing_metric_that_a_bound_names_is_kept_out() -> None:
    for champion in (None, scores(1), without(scores(1), "cer")):
        found = decide(without(scores(2), "cer"), champion, GATE)
        assert not found.promote
        assert "cer, which has a bound, is missing (no recogniser in the config)" in found.reason


def test_a_metric_that_one_of_the_two_lacks_is_kept_out() -> None:
    gate = GATE.model_copy(update={"bounds": {}})
    assert "cer of the challenger is missing (no rec" in decide(without(scores(2), "cer"), scores(1), gate).reason
    assert "cer of the champion is missing (no rec" in decide(scores(2), without(scores(1), "cer"), gate).reason
    both = decide(without(scores(2), "cer"), without(scores(1), "cer"), gate)
    assert both.promote
    assert {row.metric: row.outcome for row in both.rows} == {"similarity": "not worse", "rtf": "no rule"}


def test_where_nothing_can_be_compared_the_champion_stays() -> None:
    found = decide(scores(2), scores(1), GATE.model_copy(update={"margins": {"mos": 0.1}}))
    assert not found.promote
    assert "nothing says that it is not worse than ann/0001" in found.reason


def test_different_test_sets_are_not_compared() -> None:
    found = decide(scores(2), replace(scores(1), testset="cd" * 32), GATE)
    assert (found.promote, found.rows) == (False, ())
    assert "`voicemill evaluate --voice ann --number 1`" in found.reason


def test_a_lane_has_bounds_of_its_own() -> None:
    gate = GateSettings(samples=5, bounds={"rtf": 1.0, "cer": 0.2}, lanes={"light": {"rtf": 0.05}})
    assert decide(scores(1), None, gate).promote
    assert "rtf 0.3 is above 0.05" in decide(scores(1), None, gate, "light").reason
    assert gate.bounds_of("light") == {"rtf": 0.05, "cer": 0.2}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bounds": {"beauty": 1.0}}, "bounds names 'beauty', which is no metric: expected similarity"),
        ({"margins": {"cer": -0.1}}, r"margins.cer = -0.1"),
        ({"lanes": {"light": {"speed": 1.0}}}, "lanes.light names 'speed'"),
        ({"lanes": {"heavy": {}}}, "trained"),
        ({"bounds": {"cer": float("nan")}}, "bounds.cer = nan"),
        ({"samples": 0}, "samples"),
    ],
)
def test_contradictions_are_named(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        GateSettings(**settings)  # type: ignore[arg-type]


# -- properties


FIGURES = st.lists(st.floats(0.6, 1), min_size=5, max_size=12)


@given(FIGURES, st.floats(0, 0.2))
def test_who_is_nowhere_worse_is_always_promoted(figures: list[float], gain: float) -> None:
    assert decide(scores(2, [value + gain for value in figures]), scores(1, figures), GATE).promote


@given(FIGURES, FIGURES)
def test_not_both_of_two_are_better_and_a_verdict_repeats(one: list[float], two: list[float]) -> None:
    here, there = decide(scores(2, one), scores(1, two), GATE), decide(scores(1, two), scores(2, one), GATE)
    assert here == decide(scores(2, one), scores(1, two), GATE)
    outcomes = [row.outcome for found in (here, there) for row in found.rows if row.metric == "similarity"]
    assert outcomes.count("better") <= 1


@pytest.mark.parametrize(
    ("worse", "least", "most"),
    [
        (0.04, 0.0, 0.05),  # twice the margin: chance lets it through in one of 40 at most, as the interval says
        (0.02, 0.0, 0.05),  # just as much as is allowed
        (0.0, 0.9, 1.0),  # as good: chance keeps it out in one of ten at most, with 40 sentences
    ],
)
def test_chance_seldom_decides(worse: float, least: float, most: float) -> None:
    rng, gate = np.random.default_rng(1), GATE.model_copy(update={"resamples": 300, "margins": {"similarity": 0.02}})
    promoted = []
    for _ in range(200):
        hard = rng.normal(0.75, 0.05, 40)  # some sentences are harder than others, for both
        mine, theirs = (hard + rng.normal(0, 0.02, 40) for _ in range(2))
        promoted.append(decide(scores(2, list(mine - worse)), scores(1, list(theirs)), gate).promote)
    assert least <= np.mean(promoted) <= most


def test_every_metric_has_a_direction_that_the_gate_heeds() -> None:
    for metric in METRICS.values():
        gate = GateSettings(samples=2, bounds={metric.name: 1.0})
        found = {value: Scores(TESTSET, "ann/0001", {}, {metric.name: value}) for value in (0.5, 2.0)}
        passed = [value for value, each in found.items() if decide(each, None, gate).promote]
        assert passed == [2.0 if metric.better == "higher" else 0.5]

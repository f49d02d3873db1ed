"""Preferences: intervals against published values, sums by hand, and both sides alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.judging.preference import preference, sign_test, wilson
from voicemill.storage.voices.votes import Vote, swapped


def vote(choice: str, listener: str = "lis", sentence: str = "s", left: str = "a") -> Vote:
    return Vote(
        time="2025",
        listener=listener,
        voice="anna",
        a=1,
        b=2,
        testset="f" * 64,
        sentence=sentence,
        choice=choice,
        left=left,
        order=0,
    )  # type: ignore[arg-type]


def test_wilson_interval_against_published_values() -> None:
    """Newcombe, Statistics in Medicine 17, 1998, table I, method 3."""
    for hits, count, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert wilson(hits, count) == pytest.approx((low, high), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_sign_test_by_hand() -> None:
    assert sign_test(0, 5) == sign_test(5, 5) == pytest.approx(2 / 32)
    assert sign_test(1, 5) == pytest.approx(2 * 6 / 32)
    assert sign_test(3, 6) == sign_test(0, 0) == 1
    assert 0 < sign_test(0, 1000) < 1e-200


def test_a_preference_by_hand() -> None:
    votes = [vote("a", sentence=f"s{n}", left="ab"[n % 2]) for n in range(9)]
    votes += [vote("b", "max"), vote("same", "eva"), vote("same", "eva", "t")]
    found = preference(votes)
    assert (found.a, found.b, found.same, found.listeners, found.sentences) == (9, 1, 2, 3, 11)
    assert found.share == 0.9
    assert (found.low, found.high) == wilson(9, 10)
    assert found.p == pytest.approx(2 * 11 / 1024)
    assert found.verdict == "a"
    assert found.left == pytest.approx(5 / 10)
    nothing = preference([])
    assert (nothing.share, nothing.low, nothing.high, nothing.p, nothing.verdict) == (
        0.5,
        0,
        1,
        1,
        "no clear preference",
    )


@given(st.lists(st.sampled_from(["a", "b", "same"]), max_size=40))
def test_both_sides_are_treated_alike(choices: list[str]) -> None:
    votes = [vote(choice, sentence=str(n)) for n, choice in enumerate(choices)]
    one, other = preference(votes), preference(map(swapped, votes))
    assert (one.a, one.b, one.same) == (other.b, other.a, other.same)
    assert one.share == pytest.approx(1 - other.share)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low))
    assert one.low <= one.share <= one.high
    assert one.p == other.p
    assert one.left == pytest.approx(other.left)  # the sounds stood where they stood

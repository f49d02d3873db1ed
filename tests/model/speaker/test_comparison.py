"""References of speakers with wrong recordings among them, and changes of voice, on vectors with known directions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.speaker.comparison import MOST, Vectors, enrol, spread_evenly, unit, voice_change


def voice(seed: int, count: int, spread: float = 0.3) -> Vectors:
    """Vectors around one direction, float32 [count, 256], of length 1: cosine to their mean about 0.95."""
    rng = np.random.default_rng(seed)
    centre = unit(np.abs(rng.normal(size=256)).astype(np.float32))
    return unit(centre + (spread / 16) * rng.normal(size=(count, 256)).astype(np.float32))


@pytest.mark.parametrize("wrong", [0, 1, 4])
def test_a_minority_of_wrong_recordings_has_no_say(wrong: int) -> None:
    own, other = voice(1, 10), voice(2, wrong)
    reference, similar = enrol(np.concatenate([own, other]), [3.0] * (10 + wrong))
    assert reference.segments == 10
    assert reference.seconds == pytest.approx(30.0)
    np.testing.assert_allclose(reference.vector, unit(own.mean(0)), atol=1e-5)
    assert similar[:10].min() > 0.9
    assert (similar[10:] < reference.typical - 0.15).all()


def test_a_member_is_compared_with_the_others_alone() -> None:
    own = voice(1, 6)
    _, similar = enrol(own, [3.0] * 6)
    expected = [own[k] @ unit(np.delete(own, k, axis=0).mean(0)) for k in range(6)]
    np.testing.assert_allclose(similar, expected, atol=1e-5)


def test_long_segments_count_more_but_not_without_end() -> None:
    own = voice(1, 4)
    weighted, _ = enrol(own, [100.0, 10.0, 5.0, 5.0])
    np.testing.assert_allclose(weighted.vector, unit(np.array([10, 10, 5, 5], np.float32) @ own), atol=1e-5)


@given(before=st.integers(0, 8), after=st.integers(0, 8))
def test_a_change_is_found_wherever_it_leaves_a_window_on_each_side(before: int, after: int) -> None:
    joint = unit(voice(1, 1, 0.0) + voice(2, 1, 0.0))
    windows = np.concatenate([voice(1, before), joint, voice(2, after)])
    steady = voice(1, before + after + 1)
    assert voice_change(steady) < 0.2
    if min(before, after) >= 1:
        assert voice_change(windows) > voice_change(steady)
    if min(before, after) >= 3:
        assert voice_change(windows) > 0.45


def test_segments_are_chosen_evenly() -> None:
    assert spread_evenly(5).tolist() == [0, 1, 2, 3, 4]
    chosen = spread_evenly(1000)
    assert (len(chosen), chosen[0], chosen[-1]) == (MOST, 0, 999)
    assert spread_evenly(0).tolist() == []

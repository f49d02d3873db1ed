"""Turns: overlaps belong to no voice, and widened turns stay apart."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.speaker.turns import disjoint_turns, widen_turns
from voicemill.storage.records import Turn

SAMPLES = 60
turns = st.lists(
    st.builds(
        lambda start, length, voice: Turn(start, start + length, voice),
        st.integers(0, SAMPLES + 5),
        st.integers(1, 20),
        st.sampled_from("abc"),
    ),
    max_size=8,
)


def voices(rows: list[Turn] | tuple[Turn, ...], at: int) -> set[str]:
    return {row.voice for row in rows if row.start <= at < row.stop}


@given(turns)
def test_every_sample_has_its_voice_or_none_where_several_speak(rows: list[Turn]) -> None:
    apart = disjoint_turns(rows, SAMPLES)
    for at in range(SAMPLES):
        said = voices(rows, at)
        assert voices(apart, at) == (said if len(said) < 2 else {""})
    assert all(a.stop <= b.start and (a.stop, a.voice) != (b.start, b.voice) for a, b in pairwise(apart))
    assert all(0 <= row.start < row.stop <= SAMPLES for row in apart)


@given(turns, st.integers(0, 80))
def test_widened_turns_keep_their_speech_and_stay_apart(rows: list[Turn], most: int) -> None:
    apart = disjoint_turns(rows, SAMPLES)
    wide = widen_turns(apart, SAMPLES, most)
    assert [row.voice for row in wide] == [row.voice for row in apart]
    for own, row in zip(apart, wide, strict=True):
        assert max(own.start - most, 0) <= row.start <= own.start < own.stop <= row.stop <= own.stop + most
    assert all(a.stop <= b.start for a, b in pairwise(wide))
    if apart and most >= SAMPLES:
        assert (wide[0].start, wide[-1].stop) == (0, SAMPLES)
        assert all(a.stop == b.start for a, b in pairwise(wide))

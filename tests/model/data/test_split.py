"""The validation set: whole, stable, never everything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.data.index import Index
from voicemill.model.data.split import Split, split


def made(recordings: list[tuple[int, int]], later: int = 0) -> Index:
    """(speaker, utterances) of each recording: three in a batch, the last `later` of them in batches of their own."""
    upload = np.repeat(np.arange(len(recordings), dtype=np.int32), [count for _, count in recordings])
    whose = np.array([speaker for speaker, _ in recordings], dtype=np.int32)
    speakers = int(whose.max()) + 1
    ids = [f"{upload[n]:04}-{n - int(np.searchsorted(upload, upload[n])):04}" for n in range(len(upload))]
    zeros = np.zeros(len(upload), dtype=np.int32)
    return Index(
        version=1,
        dims=4,
        shards=(),
        speakers=tuple(f"speaker {n}" for n in range(speakers)),
        uploads=tuple(f"recording {n}" for n in range(len(recordings))),
        batches=np.array([n // 3 + 100 * (n >= len(recordings) - later) for n in range(len(recordings))]),
        languages=("en",),
        ids=np.array(ids, dtype=np.bytes_),
        speaker=whose[upload],
        upload=upload,
        language=zeros.astype(np.int16),
        frames=(100 + 37 * np.arange(len(upload)) % 91).astype(np.int32),
        shard=zeros,
        row=zeros,
        placed=zeros.astype(bool),
        left_out={},
    )


RECORDINGS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5)), min_size=1, max_size=30)
BY = st.sampled_from(["recordings", "speakers"])


def everything(index: Index, by: str, share: float = 0.05, most: int = 10**6) -> Split:
    return split(index, {"all": np.ones(len(index), dtype=bool)}, {"all": 1.0}, by, share, most)  # type: ignore[arg-type]


@given(RECORDINGS, BY, st.floats(0.01, 1))
def test_units_are_whole_and_something_is_left(recordings: list[tuple[int, int]], by: str, share: float) -> None:
    index = made(recordings)
    found = everything(index, by, share)
    unit = index.upload if by == "recordings" else index.speaker
    training = found.training["all"]
    assert sorted([*training, *found.validation]) == list(range(len(index)))
    assert not set(unit[training]) & set(unit[found.validation])
    assert len(training) > 0
    several = len(set(unit)) > 1
    assert (len(found.validation) > 0) == several
    assert bool(found.notes) != several
    assert len(found.units) == len(set(unit[found.validation]))
    assert found.aside == len(found.validation)


@given(RECORDINGS, RECORDINGS, BY, st.floats(0.01, 1))
def test_what_was_held_out_stays_so(
    before: list[tuple[int, int]], after: list[tuple[int, int]], by: str, share: float
) -> None:
    first, then = everything(made(before), by, share), everything(made(before + after, len(after)), by, share)
    assert set(first.units) <= set(then.units)


def test_the_share_is_met() -> None:
    found = everything(made([(n % 50, 2) for n in range(3000)]), "recordings", 0.1)
    assert 0.08 < len(found.units) / 3000 < 0.12


def test_a_share_of_nothing_holds_nothing_back() -> None:
    found = everything(made([(0, 3), (0, 3)]), "recordings", 0)
    assert found.units == ()
    assert found.notes == ("source 'all' has no held-out utterances: data.validation_share is 0",)


def test_one_recording_is_trained_on_and_that_is_said() -> None:
    found = everything(made([(0, 9)]), "recordings")
    assert len(found.training["all"]) == 9
    assert found.notes == ("source 'all' has no held-out utterances: it has only one recording",)
    several = everything(made([(0, 9), (0, 2)]), "speakers")
    assert several.notes == ("source 'all' has no held-out utterances: it has only one speaker",)


def test_of_two_recordings_the_shorter_one_is_heard() -> None:
    for recordings in ([(0, 40), (0, 2)], [(0, 2), (0, 40)]):
        assert len(everything(made(recordings), "recordings").validation) == 2


@given(RECORDINGS, st.integers(1, 20), st.floats(0.1, 0.9))
def test_each_source_is_heard_by_its_share(recordings: list[tuple[int, int]], most: int, share: float) -> None:
    index = made([*recordings, (0, 3), (0, 3), (1, 3), (1, 3)])
    target = index.speaker == 0
    found = split(
        index, {"target": target, "others": ~target}, {"target": share, "others": 1 - share}, "recordings", 0.3, most
    )
    heard = set(found.validation)
    assert 0 < len(heard & set(np.flatnonzero(target))) <= np.ceil(most * share)
    assert 0 < len(heard & set(np.flatnonzero(~target))) <= np.ceil(most * (1 - share))
    assert not heard & {*found.training["target"], *found.training["others"]}
    assert len(found.training["target"]) + len(found.training["others"]) + found.aside == len(index)


def test_what_one_source_holds_back_no_other_trains_on() -> None:
    index = made([(n % 3, 4) for n in range(12)])
    target = index.speaker == 0
    found = split(index, {"target": target, "all": target | True}, {"target": 0.5, "all": 0.5}, "recordings", 0.1, 99)
    assert set(found.training["target"]) <= set(found.training["all"])
    assert not set(found.validation) & set(found.training["all"])


@pytest.mark.parametrize("most", [1, 5])
def test_an_evaluation_is_short(most: int) -> None:
    found = everything(made([(0, 5)] * 40), "recordings", 0.5, most)
    assert len(found.validation) == most < found.aside
    assert (np.diff(found.validation) > 0).all()

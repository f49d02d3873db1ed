"""Monotonic alignment search against all ways that there are; the length regulator."""

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.light.alignment import diagonal, durations_of, outside, places, progress, regulate


def ways(phones: int, frames: int) -> list[list[int]]:
    """Every way to hand out the frames: where each phone but the first begins."""
    edges = ([0, *inner, frames] for inner in combinations(range(1, frames), phones - 1))
    return [[stop - start for start, stop in pairwise(edge)] for edge in edges]


def total(scores: torch.Tensor, durations: list[int]) -> float:
    at, actual = 0, 0.0
    for phone, count in enumerate(durations):
        actual += float(scores[phone, at : at + count].sum())
        at += count
    return actual


@given(st.integers(1, 5), st.integers(0, 5), st.integers(0, 2**31))
def test_the_search_finds_the_best_of_all_ways(phones: int, more: int, seed: int) -> None:
    frames = phones + more
    scores = torch.randn(phones, frames, generator=torch.Generator().manual_seed(seed))
    actual = durations_of(scores[None], torch.tensor([phones]), torch.tensor([frames]))[0].tolist()
    assert actual in ways(phones, frames)
    assert total(scores, actual) == pytest.approx(max(total(scores, way) for way in ways(phones, frames)), abs=1e-5)


def beyond(bounds: list[list[int]], durations: list[int], tolerance: int) -> int:
    """Frames from the bounds of its phone, summed over the frames of a way."""
    stops = np.cumsum(durations).tolist()
    return sum(
        max(first - tolerance - at, at - (stop + tolerance - 1), 0)
        for (first, stop), end, count in zip(bounds, stops, durations, strict=True)
        for at in range(end - count, end)
    )


@given(
    st.lists(st.lists(st.integers(0, 10), min_size=2, max_size=2).map(sorted), min_size=1, max_size=5),
    st.integers(0, 5),
    st.integers(0, 2),
    st.integers(0, 2**31),
)
def test_the_search_finds_the_best_way_inside_bounds_and_else_oversteps_the_least(
    bounds: list[list[int]], more: int, tolerance: int, seed: int
) -> None:
    """Whatever the bounds: empty, out of order, or beyond the end."""
    phones, frames = len(bounds), len(bounds) + more
    scores = 30 * torch.randn(phones, frames, generator=torch.Generator().manual_seed(seed))
    held = scores + outside(torch.tensor(bounds), frames, tolerance)
    actual = durations_of(held[None], torch.tensor([phones]), torch.tensor([frames]))[0].tolist()
    every = ways(phones, frames)
    least = min(beyond(bounds, way, tolerance) for way in every)
    assert actual in every
    assert beyond(bounds, actual, tolerance) == least
    if least == 0:
        inside = [way for way in every if beyond(bounds, way, tolerance) == 0]
        assert total(scores, actual) == pytest.approx(max(total(scores, way) for way in inside), abs=1e-4)


@given(st.integers(1, 6), st.integers(0, 9), st.integers(0, 2**31))
def test_free_bounds_change_nothing(phones: int, more: int, seed: int) -> None:
    frames = phones + more
    scores = torch.randn(1, phones, frames, generator=torch.Generator().manual_seed(seed))
    free = torch.tensor([[[0, frames]] * phones])
    assert not outside(free, frames).any()
    lengths = torch.tensor([phones]), torch.tensor([frames])
    assert durations_of(scores + outside(free, frames), *lengths).equal(durations_of(scores, *lengths))


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 6)), min_size=1, max_size=6), st.integers(0, 2**31))
def test_words_last_as_long_as_their_bounds(words: list[tuple[int, int]], seed: int) -> None:
    """Words of so many phones and more frames, one behind the other: each keeps all of its frames, and no other."""
    stops = np.cumsum([phones + more for phones, more in words]).tolist()
    starts = [0, *stops[:-1]]
    each = [[a, b] for (phones, _), a, b in zip(words, starts, stops, strict=True) for _ in range(phones)]
    scores = 100 * torch.randn(1, len(each), stops[-1], generator=torch.Generator().manual_seed(seed))
    held = scores + outside(torch.tensor([each]), stops[-1])
    actual = durations_of(held, torch.tensor([len(each)]), torch.tensor([stops[-1]]))[0]
    ends = actual.cumsum(0)[np.cumsum([phones for phones, _ in words]) - 1]
    assert ends.tolist() == stops


def test_of_equal_ways_later_phones_begin_the_earliest() -> None:
    assert durations_of(torch.zeros(1, 3, 6), torch.tensor([3]), torch.tensor([6])).tolist() == [[1, 1, 4]]


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 9)), min_size=1, max_size=4), st.integers(0, 2**31))
def test_a_row_of_a_batch_is_what_it_is_alone(rows: list[tuple[int, int]], seed: int) -> None:
    """Whatever stands in the padding."""
    phones, frames = torch.tensor([p for p, _ in rows]), torch.tensor([p + more for p, more in rows])
    shape = len(rows), int(phones.max()) + 1, int(frames.max()) + 2
    scores = 50 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    together = durations_of(scores, phones, frames)
    assert together.sum(1).tolist() == frames.tolist()
    for row, (p, n) in enumerate(zip(phones.tolist(), frames.tolist(), strict=True)):
        alone = durations_of(scores[row : row + 1, :p, :n], phones[row : row + 1], frames[row : row + 1])
        assert together[row, :p].tolist() == alone[0].tolist()
        assert not together[row, p:].any()


def test_without_scores_the_alignment_is_even() -> None:
    phones, frames = torch.tensor([5, 3, 7]), torch.tensor([40, 33, 8])
    for row, counts in enumerate(durations_of(diagonal(phones, frames, 7, 40), phones, frames).tolist()):
        even = int(frames[row]) / int(phones[row])
        assert all(abs(count - even) < 1.5 for count in counts[: int(phones[row])])


def test_more_phones_than_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="row 1 has 4 phones and 3 frames"):
        durations_of(torch.zeros(2, 4, 6), torch.tensor([2, 4]), torch.tensor([6, 3]))


@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=4))
def test_each_phone_stands_as_often_as_it_lasts(rows: list[list[int]]) -> None:
    durations = torch.tensor(rows)
    x = torch.arange(1.0, 1.0 + durations.numel()).reshape(*durations.shape, 1)
    actual = regulate(x, durations)
    assert actual.shape[1] == int(durations.sum(1).max())
    for row, counts in enumerate(rows):
        expected = np.repeat(x[row, :, 0].numpy(), counts)
        assert actual[row, : len(expected), 0].tolist() == expected.tolist()
        assert not actual[row, len(expected) :].any()


def test_where_a_frame_is_in_its_phone() -> None:
    durations = torch.tensor([[2, 0, 4], [1, 1, 0]])
    assert progress(durations).tolist() == [[0.25, 0.75, 0.125, 0.375, 0.625, 0.875], [0.5, 0.5, 0, 0, 0, 0]]
    index, real = places(durations, 7)
    assert index[0].tolist() == [0, 0, 2, 2, 2, 2, 2]
    assert real.sum(1).tolist() == [6, 2]

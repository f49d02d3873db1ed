"""The plan: every example once an epoch, in an order that follows from the step alone."""

import time
from collections import Counter
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicemill.model.data.plan import FEWEST, Order, Plan, Source, Turn, epoch, order_of, parts_of
from voicemill.model.settings.training import DataSettings


def source(counts: list[int], name: str = "all", share: float = 1.0, first: int = 0, seed: int = 1) -> Source:
    """Shards of so many examples of 0.5 to 12 s."""
    shard = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    frames = np.random.default_rng(seed).integers(25, 600, len(shard)).astype(np.int32)
    return Source(name=name, share=share, rows=first + np.arange(len(shard)), shard=shard, frames=frames)


COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=30)
ORDERS = st.builds(
    Order,
    batch=st.integers(1, 9),
    bucket=st.integers(1, 200),
    window=st.integers(1, 6),
    window_frames=st.integers(1, 50_000),
    lanes=st.integers(1, 5),
    seed=st.integers(-(2**63), 2**63),
)


def drawn(plan: Plan, count: int, start: int = 0) -> list[tuple[Turn, list[int]]]:
    return [(turn, plan.rows(turn).tolist()) for turn in islice(plan.steps(start), count)]


@given(COUNTS, ORDERS)
def test_every_example_once_an_epoch(counts: list[int], order: Order) -> None:
    plan = Plan([source(counts)], order)
    lengths = [len(epoch(plan.sources[0], order, 0, number)) for number in range(3)]
    found = drawn(plan, sum(lengths))
    for number in range(3):
        rows = [row for turn, part in found if turn.epoch == number for row in part]
        assert sorted(rows) == list(range(sum(counts)))
        assert sum(turn.epoch == number for turn, _ in found) == lengths[number]
    assert [turn.step for turn, _ in found] == list(range(sum(lengths)))


@given(COUNTS, COUNTS, ORDERS, st.floats(0.05, 0.95), st.lists(st.integers(0, 60), max_size=5), st.booleans())
def test_resumed_anywhere_it_is_the_same(
    one: list[int], two: list[int], order: Order, share: float, stops: list[int], mixed: bool
) -> None:
    sources = [source(one, "target", share), source(two, "others", 1 - share, first=1000, seed=2)][: 1 + mixed]
    undisturbed = drawn(Plan(sources, order), 100)
    for start in stops:
        assert drawn(Plan(sources, order), 40, start) == undisturbed[start : start + 40]


@given(COUNTS, ORDERS)
def test_batches_are_full_but_for_one_of_each_window(counts: list[int], order: Order) -> None:
    laid = epoch(source(counts), order, 0, 0)
    for lane, windows in enumerate(laid.windows):
        for number in range(len(windows)):
            found = [len(batch) for batch in laid.batches(lane, number)]
            assert set(found[:-1]) <= {order.batch}
            assert 0 < found[-1] <= order.batch
            mine = (laid.lane == lane) & (laid.window == number)
            assert laid.size[mine].tolist() == found
            assert laid.place[mine].tolist() == list(range(len(found)))


@given(COUNTS, ORDERS)
def test_examples_of_a_batch_are_alike(counts: list[int], order: Order) -> None:
    """Of one bucket; batches of what buckets left over are neighbours in length, at most one for each bucket."""
    laid = epoch(source(counts), order, 0, 0)
    frames = laid.source.frames
    for lane, windows in enumerate(laid.windows):
        for number in range(len(windows)):
            batches = laid.batches(lane, number)
            wide = [b for b in batches if np.ptp(frames[b]) >= order.bucket]
            held = np.concatenate(batches)
            assert len(wide) <= np.ptp(frames[held]) // order.bucket + 2
            spans = sorted((int(frames[b].min()), int(frames[b].max())) for b in wide)
            assert all(left[1] <= right[0] for left, right in pairwise(spans))


def test_a_usual_corpus_pads_little() -> None:
    plan = Plan([source([150] * 40)], order_of(DataSettings(batch=8), 1))
    frames = plan.sources[0].frames
    padded = [int(frames[rows].max()) * len(rows) for _, rows in drawn(plan, 700)]
    real = [int(frames[rows].sum()) for _, rows in drawn(plan, 700)]
    assert sum(padded) / sum(real) < 1.15


@given(COUNTS, ORDERS)
def test_windows_are_bounded(counts: list[int], order: Order) -> None:
    """By shards and speech; where these hold too few batches, by what is enough, twice at the end of a lane."""
    made = source(counts)
    laid = epoch(made, order, 0, 0)
    enough, most = FEWEST * order.batch, max(counts)
    assert len(laid.windows) <= order.lanes
    for windows in laid.windows:
        for window in windows:
            held, speech = sum(counts[s] for s in window), int(made.speech[window].sum())
            small = len(window) <= order.window and (speech <= order.window_frames or len(window) == 1)
            assert small or held < 2 * enough + most or len(window) <= order.window + enough
    everything = sorted(int(s) for windows in laid.windows for window in windows for s in window)
    assert everything == list(range(len(counts)))


def test_lanes_take_turns() -> None:
    plan = Plan([source([100] * 40)], Order(batch=5, bucket=100, window=4, window_frames=10**9, lanes=4, seed=1))
    lanes = [turn.lane for turn in islice(plan.steps(), 780)]
    assert lanes[:8] == [0, 1, 2, 3] * 2
    assert max(Counter(lanes).values()) - min(Counter(lanes).values()) <= 21  # a shard


@given(COUNTS, COUNTS, st.floats(0.02, 0.98), ORDERS)
def test_shares_are_met_at_every_step(one: list[int], two: list[int], share: float, order: Order) -> None:
    plan = Plan([source(one, "target", share), source(two, "others", 1 - share, 1000)], order)
    given_ = [0, 0]
    for turn, rows in drawn(plan, 120):
        given_[turn.source] += len(rows)
        assert abs(given_[0] - share * sum(given_)) <= 2 * order.batch
        assert (rows[0] >= 1000) == (turn.source == 1)


def test_a_source_that_ends_starts_its_own_next_epoch() -> None:
    plan = Plan(
        [source([4], "target", 0.5), source([200], "others", 0.5, 1000)],
        Order(batch=4, bucket=100, window=4, window_frames=10**6, lanes=2, seed=1),
    )
    found = drawn(plan, 100)
    assert [max(turn.epoch for turn, _ in found if turn.source == n) for n in (0, 1)] == [49, 0]
    others = [row for turn, rows in found if turn.source == 1 for row in rows]
    assert len(set(others)) == len(others) == 200


@given(st.integers(1, 40), st.integers(1, 9))
def test_parts_are_a_division(count: int, parts: int) -> None:
    frames = np.random.default_rng(count).integers(10, 500, 100).astype(np.int32)
    rows = np.random.default_rng(parts).permutation(100)[:count]
    found = parts_of(rows, frames, parts)
    assert len(found) == parts
    assert min(map(len, found)) >= 1
    assert max(map(len, found)) - min(map(len, found)) <= 1
    if count >= parts:
        assert sorted(np.concatenate(found)) == sorted(rows)
        longest = [int(frames[part].max()) for part in found]
        assert longest == sorted(longest, reverse=True)  # the n-th longest stands in part n
    else:
        assert Counter(np.concatenate(found).tolist()).keys() == set(rows.tolist())


@settings(max_examples=20)
@given(COUNTS, ORDERS, st.integers(1, 4))
def test_more_parts_are_the_same_examples(counts: list[int], order: Order, halves: int) -> None:
    plan = Plan([source(counts)], order)
    for _, rows in drawn(plan, 20):
        for parts in (1, halves, 2 * halves):
            joined = np.concatenate(parts_of(np.array(rows), plan.sources[0].frames, parts))
            assert set(joined.tolist()) == set(rows)


@pytest.mark.slow
def test_a_million_utterances() -> None:
    """Planned in seconds, reached in the middle in seconds, and a step costs no more than on a small corpus."""
    plan = Plan([source([200] * 5000)], order_of(DataSettings(), 1))
    began = time.process_time()
    drawn(plan, 100)
    planned = time.process_time() - began
    later = Plan(plan.sources, plan.order)
    began = time.process_time()
    drawn(later, 1, 199_000)
    reached = time.process_time() - began
    began = time.process_time()
    drawn(later, 2000, 199_000)
    step = (time.process_time() - began) / 2000
    assert planned < 5
    assert reached < 10
    assert step < 0.01

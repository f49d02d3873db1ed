"""The order of training: the examples of optimiser step n are a pure function of (examples, settings, seed, n).

An epoch of a source: its shards in random order are dealt to streams (setting `lanes`), each stream is cut into windows
of shards, and one reader holds one window in memory. The examples of a window are shuffled and cut into batches of
similar length; streams take turns batch by batch. Sources take turns by largest deficit: after any number of steps each
one has its share of the examples, to within a batch. A source that ends starts its own next epoch.

Cost: arrays with an item for each shard and batch, once an epoch; a step sorts only the window that it starts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from voicemill.model.data.minibatch import CONTENT_RATE
from voicemill.model.settings.training import DataSettings

Rows = NDArray[np.int64]
FEWEST = 8
"""Least number of batches in a window, where a stream has as many: shorter windows hold too few of similar length."""


@dataclass(frozen=True)
class Order:
    """Settings that the order depends on, besides the examples."""

    batch: int
    bucket: int
    """Largest difference of length in a batch, frames at 50 Hz, where a window holds enough examples."""
    window: int
    """Most shards of a window, where these hold `FEWEST` batches."""
    window_frames: int
    """Most frames in a window of two shards or more that hold `FEWEST` batches."""
    lanes: int
    seed: int


@dataclass(frozen=True, eq=False)
class Source:
    """Examples that are drawn without replacement, epoch after epoch."""

    name: str
    share: float
    """Share of the examples of the training, 0..1."""
    rows: Rows = field(repr=False)
    """Rows of the index, ascending: those of a shard are adjacent."""
    shard: NDArray[np.int32] = field(repr=False)
    frames: NDArray[np.int32] = field(repr=False)
    """Frames of each row."""

    @cached_property
    def starts(self) -> Rows:
        """Start of each shard in `rows`, and the end."""
        inner = np.flatnonzero(np.diff(self.shard)) + 1
        return np.concatenate([[0], inner, [len(self.rows)]]).astype(np.int64)

    @cached_property
    def speech(self) -> Rows:
        """Frames of each shard."""
        return np.add.reduceat(self.frames.astype(np.int64), self.starts[:-1])


@dataclass(frozen=True, eq=False)
class Epoch:
    """One pass over a source."""

    source: Source
    number: int
    seed: tuple[int, ...]
    order: Order
    windows: tuple[tuple[Rows, ...], ...] = field(repr=False)
    """Stream -> window -> its shards, as numbers of the source."""
    lane: NDArray[np.int32] = field(repr=False)
    """Stream of each batch of the epoch; the next three arrays have one item for each batch too."""
    window: NDArray[np.int32] = field(repr=False)
    place: NDArray[np.int32] = field(repr=False)
    """Place of the batch in its window."""
    size: NDArray[np.int32] = field(repr=False)
    """Number of examples."""

    def __len__(self) -> int:
        return len(self.size)

    def batches(self, lane: int, window: int) -> list[Rows]:
        """Batches of one window, as rows of the index."""
        source, order = self.source, self.order
        starts = source.starts
        examples = np.concatenate([np.arange(starts[s], starts[s + 1]) for s in self.windows[lane][window]])
        random = np.random.default_rng((*self.seed, lane, window))
        examples = examples[random.permutation(len(examples))]
        # bucket borders differ between windows: the same two examples are not always separated
        bucket = (source.frames[examples] + random.integers(order.bucket)) // order.bucket
        examples = examples[np.argsort(bucket, kind="stable")]
        bucket.sort()
        full, rest = [], []
        for group in np.split(examples, np.flatnonzero(np.diff(bucket)) + 1):
            whole = len(group) - len(group) % order.batch
            full += np.split(group[:whole], range(order.batch, whole, order.batch)) if whole else []
            rest.append(group[whole:])
        others = np.concatenate(rest)
        others = others[np.argsort(source.frames[others], kind="stable")]
        parts = np.split(others, range(order.batch, len(others), order.batch)) if len(others) else []
        short = [parts.pop()] if parts and len(parts[-1]) < order.batch else []
        full += parts
        return [source.rows[full[n]] for n in random.permutation(len(full))] + [source.rows[part] for part in short]

    def shards(self, lane: int, window: int) -> Rows:
        """Shards of the index that the window is read from."""
        return self.source.shard[self.source.starts[self.windows[lane][window]]].astype(np.int64)


def epoch(source: Source, order: Order, salt: int, number: int) -> Epoch:
    """Lay out one pass. `salt` tells sources apart that hold the same examples."""
    seed = (order.seed % 2**63, salt, number)
    counts, random = np.diff(source.starts), np.random.default_rng(seed)
    lanes = lane_count(source, order)
    shuffled = random.permutation(len(counts))
    dealt: list[list[int]] = [[] for _ in range(lanes)]
    held = [0] * lanes
    for shard, count in zip(shuffled.tolist(), counts[shuffled].tolist(), strict=True):
        least = held.index(min(held))
        dealt[least].append(shard)
        held[least] += count
    windows = tuple(_windows(lane, counts, source.speech, order) for lane in dealt)
    sizes = [[int(counts[window].sum()) for window in lane] for lane in windows]
    each = [np.array([-(-size // order.batch) for size in lane], dtype=np.int64) for lane in sizes]
    window = [np.repeat(np.arange(len(n)), n) for n in each]
    place = [np.concatenate([np.arange(k) for k in n]) for n in each]
    left = [np.array(size)[w] - p * order.batch for size, w, p in zip(sizes, window, place, strict=True)]
    turns = np.concatenate([np.arange(len(w)) for w in window])
    whose = np.repeat(np.arange(lanes), [len(w) for w in window])
    turn = np.lexsort((whose, turns))
    return Epoch(
        source=source,
        number=number,
        seed=seed,
        order=order,
        windows=windows,
        lane=whose[turn].astype(np.int32),
        window=np.concatenate(window)[turn].astype(np.int32),
        place=np.concatenate(place)[turn].astype(np.int32),
        size=np.minimum(np.concatenate(left), order.batch)[turn].astype(np.int32),
    )


def lane_count(source: Source, order: Order) -> int:
    """Number of streams: `order.lanes`, or fewer where the source is too small to give each of them a full window."""
    return max(1, min(order.lanes, len(source.starts) - 1, len(source.rows) // (FEWEST * order.batch)))


def _windows(lane: Sequence[int], counts: Rows, speech: Rows, order: Order) -> tuple[Rows, ...]:
    """Cut the shards of a stream into windows; a remainder that is too small for one joins the window before."""
    enough = FEWEST * order.batch
    cut: list[list[int]] = [[]]
    held = frames = 0
    for shard in lane:
        full = len(cut[-1]) >= order.window or frames + speech[shard] > order.window_frames
        if full and held >= enough:
            cut.append([])
            held = frames = 0
        cut[-1].append(shard)
        held += int(counts[shard])
        frames += int(speech[shard])
    if held < enough and len(cut) > 1:
        remainder = cut.pop()
        cut[-1] += remainder
    return tuple(np.array(shards, dtype=np.int64) for shards in cut)


@dataclass(frozen=True)
class Turn:
    """Position of the global batch of one optimiser step in the epochs of the sources."""

    step: int
    source: int
    epoch: int
    lane: int
    window: int
    place: int


class Plan:
    """The endless steps of a training."""

    def __init__(self, sources: Sequence[Source], order: Order) -> None:
        self.sources, self.order = tuple(sources), order
        counts = [lane_count(source, order) for source in self.sources]
        self._first = [sum(counts[:n]) for n in range(len(counts))]
        self.lanes = sum(counts)
        self._epoch = lru_cache(len(self.sources))(lambda source, number: epoch(sources[source], order, source, number))
        self._batches = lru_cache(2 * self.lanes)(lambda s, e, lane, window: self._epoch(s, e).batches(lane, window))

    def lane(self, turn: Turn) -> int:
        """Number of the stream of a step, counted over all sources: 0..lanes - 1."""
        return self._first[turn.source] + turn.lane

    def steps(self, start: int = 0) -> Iterator[Turn]:
        """Steps from `start` on, without end."""
        at = [(0, 0) for _ in self.sources]  # epoch, batch
        examples = [0] * len(self.sources)
        step = 0
        while True:
            which = self._next(examples)
            number, place = at[which]
            batches = self._epoch(which, number)
            if len(self.sources) == 1 and step + len(batches) <= start:  # a single source: whole epochs can be skipped
                step += len(batches)
                at[which] = (number + 1, 0)
                continue
            if step >= start:
                yield Turn(
                    step=step,
                    source=which,
                    epoch=number,
                    lane=int(batches.lane[place]),
                    window=int(batches.window[place]),
                    place=int(batches.place[place]),
                )
            examples[which] += int(batches.size[place])
            at[which] = (number, place + 1) if place + 1 < len(batches) else (number + 1, 0)
            step += 1

    def rows(self, turn: Turn) -> Rows:
        """Examples of a step, as rows of the index."""
        return self._batches(turn.source, turn.epoch, turn.lane, turn.window)[turn.place]

    def shards(self, turn: Turn) -> Rows:
        """Shards that the window of a step is read from, as numbers of the index."""
        return self._epoch(turn.source, turn.epoch).shards(turn.lane, turn.window)

    def _next(self, examples: Sequence[int]) -> int:
        """Source with the largest deficit of examples."""
        total = sum(examples) + self.order.batch
        return max(range(len(examples)), key=lambda n: (self.sources[n].share * total - examples[n], -n))


def parts_of(rows: Rows, frames: NDArray[np.int32], parts: int) -> list[Rows]:
    """Divide a global batch into similar parts: sorted by length, each part takes every `parts`-th example.

    Where there are fewer examples than parts, some are repeated, so that no part is empty.
    """
    ordered = rows[np.argsort(-frames[rows].astype(np.int64), kind="stable")]
    if len(ordered) < parts:
        ordered = np.resize(ordered, parts)
    return [ordered[part::parts] for part in range(parts)]


def order_of(settings: DataSettings, seed: int) -> Order:
    """Return the order that the settings describe, with lengths in frames."""
    bucket, window = settings.bucket_s * CONTENT_RATE, settings.window_minutes * 60 * CONTENT_RATE
    return Order(
        batch=settings.batch,
        bucket=max(1, round(bucket)),
        window=settings.window,
        window_frames=round(window),
        lanes=settings.lanes,
        seed=seed,
    )

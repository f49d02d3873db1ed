"""The batches of one device, step by step: in this process, or from others that read ahead.

Every reading process goes through the whole plan and reads the steps of its own lanes. The process that trains asks
the owner of a step's lane for it, so that order needs no queue, and who reads changes nothing of what is read.
"""

import atexit
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from voicemill.model.data.index import Shard
from voicemill.model.data.minibatch import Minibatch, Totals
from voicemill.model.data.plan import Order, Plan, Rows, Source, parts_of
from voicemill.model.data.reader import HOP, Example, Raw, Reader, decode_example, seed_of

AHEAD = 4
"""Steps that the loaders of a device prepare ahead together; each of them two at least."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a reading process needs to know, but for where to start."""

    shards: tuple[Shard, ...] = field(repr=False)
    sources: tuple[Source, ...]
    order: Order
    frames: NDArray[np.int32] = field(repr=False)
    """Of each row of the index; so are the next two."""
    shard: NDArray[np.int32] = field(repr=False)
    row: NDArray[np.int32] = field(repr=False)
    needs: frozenset[str]

    def plan(self) -> Plan:
        """Anew in each process."""
        return Plan(self.sources, self.order)

    def raw(self, reader: Reader, row: int) -> Raw:
        """An utterance, by its row in the index. Raises StoreError as the reader."""
        return reader.raw(int(self.shard[row]), int(self.row[row]))

    def batch(self, raws: Sequence[Raw], epoch: int, totals: Totals) -> Minibatch:
        """Decode and pad; the seeds are those of an epoch."""
        seeds = [seed_of(self.order.seed, epoch, raw.id) for raw in raws]
        return batch_of([decode_example(raw) for raw in raws], seeds, totals)

    def totals(self, parts: Sequence[Rows]) -> Totals:
        """Of parts of a step, given as rows of the index."""
        frames = self.frames[np.concatenate(parts)].astype(np.int64)
        return Totals(len(parts), len(frames), int(frames.sum()), int((frames // 2).sum()))


@dataclass(frozen=True)
class Share:
    """Which parts of every step a device computes."""

    rank: int = 0
    world: int = 1
    accumulate: int = 1

    def of(self, parts: Sequence[Rows]) -> Sequence[Rows]:
        """Its own of the `world x accumulate` parts of a step."""
        return parts[self.rank :: self.world]


def steps(
    recipe: Recipe, share: Share, start: int, owner: int = 0, owners: int = 1, reader: Reader | None = None
) -> Iterator[list[Minibatch]]:
    """The batches of a device from a step on, in this process; of several owners, those of the lanes of one."""
    plan, reader = recipe.plan(), reader or Reader(recipe.shards, recipe.needs)
    windows: dict[int, tuple[int, int]] = {}
    held: dict[int, Rows] = {}
    for turn in plan.steps(start):
        lane = plan.lane(turn)
        if lane % owners != owner:
            continue
        if windows.get(lane) != (turn.epoch, turn.window):
            windows[lane], held[lane] = (turn.epoch, turn.window), plan.shards(turn)
            reader.keep(np.concatenate(list(held.values())).tolist())
        parts = parts_of(plan.rows(turn), recipe.frames, share.world * share.accumulate)
        totals = recipe.totals(parts)
        yield [
            recipe.batch([recipe.raw(reader, int(row)) for row in part], turn.epoch, totals) for part in share.of(parts)
        ]


def stream_from_processes(recipe: Recipe, share: Share, start: int, loaders: int) -> Iterator[list[Minibatch]]:
    """The same, read by other processes. They end when the iterator is closed, and when this process dies."""
    plan = recipe.plan()
    owners = min(loaders, plan.lanes)
    streams = [_process(_Steps(recipe, share, start, owner, owners)) for owner in range(owners)]
    try:
        for turn in plan.steps(start):
            yield next(streams[plan.lane(turn) % owners])
    finally:
        streams.clear()  # nobody else knows them: this ends the processes


def batch_of(examples: Sequence[Example], seeds: Sequence[int], totals: Totals) -> Minibatch:
    """Return the minibatch of some examples, padded with zeros on the right; frames to 2 x (longest // 2 + 1), as
    GPT-SoVITS does."""
    lengths = [example.frames for example in examples]
    frames, rows = 2 * (max(lengths) // 2 + 1), len(examples)
    phones = torch.zeros(rows, max(len(example.phones) for example in examples), dtype=torch.int64)
    content = torch.zeros(rows, examples[0].content.shape[1], frames)
    wave = torch.zeros(rows, frames * HOP) if examples[0].wave is not None else None
    f0 = torch.zeros(rows, frames) if examples[0].f0 is not None else None
    bounds = torch.zeros(*phones.shape, 2, dtype=torch.int64) if examples[0].bounds is not None else None
    for row, one in enumerate(examples):
        phones[row, : len(one.phones)] = torch.from_numpy(one.phones)
        content[row, :, : one.frames] = _tensor(one.content).T
        if wave is not None and one.wave is not None:
            wave[row, : len(one.wave)] = torch.from_numpy(one.wave)
        if f0 is not None and one.f0 is not None:
            f0[row, : one.frames] = torch.from_numpy(one.f0)
        if bounds is not None and one.bounds is not None:
            bounds[row, : len(one.phones)] = torch.from_numpy(one.bounds)
    return Minibatch(
        ids=tuple(example.id for example in examples),
        speakers=tuple(example.speaker for example in examples),
        phones=phones,
        phone_lengths=torch.tensor([len(example.phones) for example in examples]),
        content=content,
        lengths=torch.tensor(lengths),
        seeds=torch.tensor(seeds, dtype=torch.int64),
        totals=totals,
        wave=wave,
        f0=f0,
        bounds=bounds,
    )


def _tensor(values: NDArray[np.float16]) -> Tensor:
    """Copy the array where it is a view of read-only bytes: torch warns about those."""
    return torch.from_numpy(values if values.flags.writeable else values.copy())


class _Steps(IterableDataset):  # type: ignore[misc]  # torch is not followed
    """`steps` of one owner."""

    def __init__(self, recipe: Recipe, share: Share, start: int, owner: int, owners: int) -> None:
        self.owners = owners
        self._steps = partial(steps, recipe, share, start, owner, owners)

    def __iter__(self) -> Iterator[list[Minibatch]]:
        return self._steps()


def _process(dataset: _Steps) -> Iterator[list[Minibatch]]:
    found: Iterator[list[Minibatch]] = iter(
        DataLoader(
            dataset,
            batch_size=None,
            num_workers=1,
            multiprocessing_context="spawn",  # neither CUDA nor deltalake's runtime survive a fork
            prefetch_factor=max(2, AHEAD // dataset.owners),
            collate_fn=_as_it_is,
            worker_init_fn=_ending,
            pin_memory=torch.cuda.is_available(),
        )
    )
    return found


def _ending(_: int) -> None:
    """Let the process end at once: the thread that hands over tensors may be in C++, which dies of a slow goodbye.

    And not by a signal to the whole group: a training heeds it after its step, which a reader's death would break.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    atexit.register(os._exit, 0)


def _as_it_is(batches: list[Minibatch]) -> list[Minibatch]:
    return batches

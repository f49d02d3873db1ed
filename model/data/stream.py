"""Minibatches of one device, step by step, read in this process or by processes that read ahead.

Every reading process iterates over the whole plan and reads the steps of its own streams (lanes of the plan). The
training process asks the owner of a step's stream for it: the order needs no queue, and the number of readers changes
nothing in the data.
"""

import atexit
import math
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

from voicemill.model.audio.mel import BANDS, FLOOR
from voicemill.model.data.index import Shard
from voicemill.model.data.minibatch import Minibatch, Totals
from voicemill.model.data.plan import Order, Plan, Rows, Source, parts_of
from voicemill.model.data.reader import HOP, Example, Raw, Reader, decode_example, seed_of

AHEAD = 4
"""Steps that the loaders of a device prefetch together; each of them at least two."""


@dataclass(frozen=True, eq=False)
class ReadingSpec:
    """Everything a reading process needs, except for the step to start at."""

    shards: tuple[Shard, ...] = field(repr=False)
    sources: tuple[Source, ...]
    order: Order
    frames: NDArray[np.int32] = field(repr=False)
    """Frames, shard and row in the shard of each row of the index."""
    shard: NDArray[np.int32] = field(repr=False)
    row: NDArray[np.int32] = field(repr=False)
    needs: frozenset[str]

    def plan(self) -> Plan:
        """Build the plan; each process has its own."""
        return Plan(self.sources, self.order)

    def raw(self, reader: Reader, row: int) -> Raw:
        """Read an utterance by its row in the index. Raises StoreError like the reader."""
        return reader.raw(int(self.shard[row]), int(self.row[row]))

    def batch(self, raws: Sequence[Raw], epoch: int, totals: Totals) -> Minibatch:
        """Decode and pad utterances; their seeds are those of an epoch."""
        seeds = [seed_of(self.order.seed, epoch, raw.id) for raw in raws]
        return batch_of([decode_example(raw) for raw in raws], seeds, totals)

    def totals(self, parts: Sequence[Rows]) -> Totals:
        """Totals over the parts of a step, given as rows of the index."""
        frames = self.frames[np.concatenate(parts)].astype(np.int64)
        return Totals(len(parts), len(frames), int(frames.sum()), int((frames // 2).sum()))


@dataclass(frozen=True)
class Share:
    """The parts of every step that one device computes."""

    rank: int = 0
    world: int = 1
    accumulate: int = 1

    def of(self, parts: Sequence[Rows]) -> Sequence[Rows]:
        """Select the device's own of the `world x accumulate` parts of a step."""
        return parts[self.rank :: self.world]


def steps(
    spec: ReadingSpec, share: Share, start: int, owner: int = 0, owners: int = 1, reader: Reader | None = None
) -> Iterator[list[Minibatch]]:
    """Minibatches of a device from step `start` on, read in this process; of several owners, those of one's streams."""
    plan, reader = spec.plan(), reader or Reader(spec.shards, spec.needs)
    windows: dict[int, tuple[int, int]] = {}
    open_shards: dict[int, Rows] = {}
    for turn in plan.steps(start):
        lane = plan.lane(turn)
        if lane % owners != owner:
            continue
        if windows.get(lane) != (turn.epoch, turn.window):
            windows[lane], open_shards[lane] = (turn.epoch, turn.window), plan.shards(turn)
            reader.keep(np.concatenate(list(open_shards.values())).tolist())
        parts = parts_of(plan.rows(turn), spec.frames, share.world * share.accumulate)
        totals = spec.totals(parts)
        yield [spec.batch([spec.raw(reader, int(row)) for row in part], turn.epoch, totals) for part in share.of(parts)]


def stream_from_processes(spec: ReadingSpec, share: Share, start: int, loaders: int) -> Iterator[list[Minibatch]]:
    """The minibatches of `steps`, read by processes that end when the iterator is closed or this process dies."""
    plan = spec.plan()
    owners = min(loaders, plan.lanes)
    streams = [_process(_Steps(spec, share, start, owner, owners)) for owner in range(owners)]
    try:
        for turn in plan.steps(start):
            yield next(streams[plan.lane(turn) % owners])
    finally:
        streams.clear()  # the only references: this ends the processes


def batch_of(examples: Sequence[Example], seeds: Sequence[int], totals: Totals) -> Minibatch:
    """Return the minibatch of some examples, padded with zeros on the right; frames to 2 x (longest // 2 + 1), as
    GPT-SoVITS does."""
    lengths = [example.frames for example in examples]
    frames, rows = 2 * (max(lengths) // 2 + 1), len(examples)
    phones = torch.zeros(rows, max(len(example.phones) for example in examples), dtype=torch.int64)
    content = torch.zeros(rows, examples[0].content.shape[1], frames)
    wave = torch.zeros(rows, frames * HOP) if examples[0].wave is not None else None
    f0 = torch.zeros(rows, frames) if examples[0].f0 is not None else None
    mel = torch.full((rows, BANDS, frames), math.log(FLOOR)) if examples[0].mel is not None else None
    bounds = torch.zeros(*phones.shape, 2, dtype=torch.int64) if examples[0].bounds is not None else None
    for row, item in enumerate(examples):
        phones[row, : len(item.phones)] = torch.from_numpy(item.phones)
        content[row, :, : item.frames] = _tensor(item.content).T
        if wave is not None and item.wave is not None:
            wave[row, : len(item.wave)] = torch.from_numpy(item.wave)
        if f0 is not None and item.f0 is not None:
            f0[row, : item.frames] = torch.from_numpy(item.f0)
        if mel is not None and item.mel is not None:
            mel[row, :, : item.frames] = _tensor(item.mel).T
        if bounds is not None and item.bounds is not None:
            bounds[row, : len(item.phones)] = torch.from_numpy(item.bounds)
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
        mel=mel,
    )


def _tensor(values: NDArray[np.float16]) -> Tensor:
    """Copy the array where it is a view of read-only bytes: torch warns about those."""
    return torch.from_numpy(values if values.flags.writeable else values.copy())


class _Steps(IterableDataset):  # type: ignore[misc]  # torch is not followed
    """The steps of one owner as a dataset."""

    def __init__(self, spec: ReadingSpec, share: Share, start: int, owner: int, owners: int) -> None:
        self.owners = owners
        self._steps = partial(steps, spec, share, start, owner, owners)

    def __iter__(self) -> Iterator[list[Minibatch]]:
        return self._steps()


def _process(dataset: _Steps) -> Iterator[list[Minibatch]]:
    minibatches: Iterator[list[Minibatch]] = iter(
        DataLoader(
            dataset,
            batch_size=None,
            num_workers=1,
            multiprocessing_context="spawn",  # neither CUDA nor deltalake's runtime survive a fork
            prefetch_factor=max(2, AHEAD // dataset.owners),
            collate_fn=_identity,
            worker_init_fn=_exit_at_once,
            pin_memory=torch.cuda.is_available(),
        )
    )
    return minibatches


def _exit_at_once(_: int) -> None:
    """Let the reading process exit at once, and ignore SIGTERM.

    The thread that hands over tensors may be in C++, which crashes in an orderly exit. A SIGTERM for the whole group is
    handled by the training after its current step, which the death of a reader would break.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    atexit.register(os._exit, 0)


def _identity(batches: list[Minibatch]) -> list[Minibatch]:
    return batches

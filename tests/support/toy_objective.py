"""A toy objective that trains in seconds, with its examples: a regression and a discriminator against it.

Run as a program it trains a folder as `model.training.main` does: `toy_objective.py FOLDER JSON` (of `Circumstances`).
"""

import json
import math
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.optim import AdamW, Optimizer

from voicemill.model.checkpoints.checkpoint import Checkpoint
from voicemill.model.data.minibatch import Minibatch, Totals
from voicemill.model.settings.training import DataSettings, LoopSettings, Phase, TrainingSettings
from voicemill.model.training.engine.objective import Sample
from voicemill.model.training.engine.ranks import Ranks
from voicemill.model.training.engine.run import RunSpec
from voicemill.model.training.main import Material, train
from voicemill.storage.errors import NoData

DIMS = 6


def example(number: int) -> tuple[str, Tensor]:
    """Id and content [DIMS, 4 to 12 frames] of an utterance; the content is noise drawn from `number`."""
    generator = torch.Generator().manual_seed(number)
    frames = 4 + 2 * (number % 5)
    return f"utterance-{number}", torch.randn(DIMS, frames, generator=generator)


def batch(numbers: list[int], totals: Totals) -> Minibatch:
    found = [example(number) for number in numbers]
    longest = max(content.shape[1] for _, content in found)
    content = torch.zeros(len(found), DIMS, longest)
    for row, (_, one) in zip(content, found, strict=True):
        row[:, : one.shape[1]] = one
    return Minibatch(
        ids=tuple(name for name, _ in found),
        speakers=("ann",) * len(found),
        phones=torch.ones(len(found), 2, dtype=torch.int64),
        phone_lengths=torch.full((len(found),), 2),
        content=content,
        lengths=torch.tensor([one.shape[1] for _, one in found]),
        seeds=torch.tensor(numbers),
        totals=totals,
    )


@dataclass
class Examples:
    """Global minibatches of `size` out of `count` utterances, in an order that the step alone decides."""

    size: int
    count: int = 40
    held_out: int = 6
    streams: list[tuple[int, int]] = field(default_factory=list)
    """(step, accumulate) at which each training stream began."""

    def training(self, start_step: int, rank: int, world: int, accumulate: int) -> Iterator[list[Minibatch]]:
        self.streams.append((start_step, accumulate))
        parts = world * accumulate
        step = start_step
        while True:
            order = np.random.default_rng(step).permutation(self.count)[: self.size].tolist()
            frames = sum(example(number)[1].shape[1] for number in order)
            totals = Totals(parts, len(order), frames, frames // 2)
            yield [batch(order[rank * accumulate + part :: parts], totals) for part in range(accumulate)]
            step += 1

    def validation(self, rank: int, world: int) -> Iterator[Minibatch]:
        for number in range(1000 + rank, 1000 + self.held_out, world):
            yield batch([number], Totals(1, 1, 4, 2))


@dataclass(frozen=True)
class Circumstances:
    """Faults and delays of a training."""

    dropout: float = 0.0
    spoiled: str = ""
    """Id of the utterance whose loss is NaN."""
    broken: str = ""
    """Id of the utterance whose loss is finite and whose gradient is NaN."""
    megabytes: int = 0
    """Memory that each example takes in the loss of s2, MiB."""
    limit_megabytes: int = 0
    """Address space that the process may take beyond what it has when training begins, MiB; 0 = no limit."""
    limited_rank: int = -1
    """Rank with that limit; -1 = all."""
    terminated_at: int = 0
    """Number of losses of s2 after which SIGTERM is raised; 0 = never."""
    crashes_at: int = 0
    """Number of losses of s2 after which an exception is raised; 0 = never."""
    pause_s: float = 0.0
    """Duration of each loss, seconds."""
    held_out: int = 6
    grows: bool = False
    """Whether the validation loss rises from evaluation to evaluation."""
    empty: bool = False
    """Whether the corpus has nothing to train on."""


class Regression:
    """s2 learns the content rolled by one band; the discriminator learns to give 1 for its error, s2 to make that 0."""

    network = "s2"
    needs: frozenset[str] = frozenset()
    rounds = ("discriminator", "s2")
    notes = ("a toy regression",)

    def __init__(self, how: Circumstances) -> None:
        self.how = how
        self.modules: dict[str, nn.Module] = {
            "s2": nn.Sequential(nn.Conv1d(DIMS, 16, 1), nn.Tanh(), nn.Dropout(how.dropout), nn.Conv1d(16, DIMS, 1)),
            "discriminator": nn.Conv1d(DIMS, 1, 1),
        }
        self.computed: list[int] = []
        """Number of examples of each part whose loss of s2 was computed."""
        self.evaluations = 0

    def optimisers(self, rate: float) -> dict[str, Optimizer]:
        first, last = self.modules["s2"][0], self.modules["s2"][-1]
        groups = [{"params": first.parameters(), "scale": 0.5}, {"params": last.parameters(), "scale": 1.0}]
        other = [{"params": self.modules["discriminator"].parameters(), "scale": 1.0}]
        return {"s2": AdamW(groups, rate), "discriminator": AdamW(other, rate)}

    def losses(self, module: str, batch: Minibatch) -> dict[str, Tensor]:
        time.sleep(self.how.pause_s)
        error = self._error(batch)
        share = batch.totals.parts / batch.totals.frames
        frames = torch.arange(error.shape[-1], device=error.device)
        mask = (frames < batch.lengths[:, None])[:, None]
        score = self.modules["discriminator"](error)
        if module == "discriminator":
            return {"discriminator": ((score - 1) ** 2 * mask).sum() * share}
        self.computed.append(len(batch))
        # the test limits address space: nothing needs to be written there
        ballast = torch.empty(len(batch) * self.how.megabytes, 1 << 18, device=error.device)
        if len(self.computed) == self.how.terminated_at:
            signal.raise_signal(signal.SIGTERM)
        if len(self.computed) == self.how.crashes_at:
            raise ZeroDivisionError("the program breaks")
        mel = (error**2 * mask).sum() * share
        if self.how.spoiled in batch.ids:
            mel = mel * math.nan
        if self.how.broken in batch.ids:
            mel = mel + (self.modules["s2"][0].bias * 0).sum().abs().sqrt()  # 0, and its derivative is 0 x inf
        terms = {"mel": mel, "adversarial": 0.1 * (score**2 * mask).sum() * share}
        del ballast
        return terms

    def _error(self, batch: Minibatch) -> Tensor:
        rendered: Tensor = self.modules["s2"](batch.content)
        return rendered - batch.content.roll(1, 1)

    def validate(self, batch: Minibatch) -> dict[str, float]:
        assert not any(module.training for module in self.modules.values())
        with torch.no_grad():
            loss = float((self._error(batch) ** 2).mean((1, 2)).sum())
        self.evaluations += 1
        return {"loss": self.evaluations if self.how.grows else loss, "loss/weight": float(len(batch))}

    def sample(self, batch: Minibatch) -> Sample:
        with torch.no_grad():
            error = self._error(batch)[0]
        wave = 0.5 * np.sin(np.arange(3200, dtype=np.float32) * 0.1)
        return Sample({"rendered": wave}, {"left": error.float().cpu().numpy()})

    def checkpoints(self, lineage: Mapping[str, Any]) -> dict[str, Checkpoint]:
        return {"s2": Checkpoint("s2", "v2", dict(self.modules["s2"].state_dict()), lineage=dict(lineage))}


def spec(steps: int = 20, batch: int = 8, **loop: Any) -> RunSpec:
    """A run of the toy objective; keywords are settings of the loop."""
    given = {"precision": "float32", "evaluate_every": 5, "checkpoint_every": 5, "log_every": 1, "sample_every": 1000}
    return RunSpec(
        store="unused",
        version=1,
        network="s2",
        phase="only",
        settings=TrainingSettings(
            data=DataSettings(batch=batch),
            loop=LoopSettings(**given | loop),
            phases={"only": Phase(steps=steps, rate=1e-2)},
        ),
    )


@dataclass
class Built:
    """Builds the material of a training and keeps it, for a test to inspect afterwards."""

    how: Circumstances = field(default_factory=Circumstances)
    objective: Regression | None = None
    source: Examples | None = None

    def __call__(self, spec: RunSpec, ranks: Ranks) -> Material:
        torch.set_num_threads(1)  # sums of so few numbers are not worth waiting for another thread
        if self.how.empty:
            raise NoData("version 1 holds nothing to train on: 3 x no text")
        if self.how.limit_megabytes and self.how.limited_rank in (-1, ranks.rank):
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            hardest = resource.getrlimit(resource.RLIMIT_AS)[1]
            resource.setrlimit(resource.RLIMIT_AS, (used + (self.how.limit_megabytes << 20), hardest))
        self.objective = Regression(self.how)
        self.source = Examples(spec.settings.data.batch, held_out=self.how.held_out)
        return Material(self.objective, self.source)


def trained(folder: Path, **how: Any) -> int:
    """Exit status of a training of `folder` in this process; keywords are `Circumstances`."""
    return train(folder, Built(Circumstances(**how)))


if __name__ == "__main__":
    status = trained(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    if distributed.is_initialized():
        distributed.destroy_process_group()
    sys.exit(status)

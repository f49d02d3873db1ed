"""A small real objective and its examples: two networks, one against the other, trained in a moment.

Run as a program it trains a folder as `model.training.main` does: `regression.py FOLDER JSON` (of `Circumstances`).
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
from voicemill.model.data.batch import Batch, Totals
from voicemill.model.settings.training import DataSettings, LoopSettings, Phase, TrainingSettings
from voicemill.model.training.engine.objective import Sample
from voicemill.model.training.engine.ranks import Ranks
from voicemill.model.training.engine.run import RunSpec
from voicemill.model.training.main import Material, train
from voicemill.storage.errors import NoData

DIMS = 6


def example(number: int) -> tuple[str, Tensor]:
    """An utterance: its id, and content [DIMS, 4 to 12 frames] that has a part which can be predicted."""
    generator = torch.Generator().manual_seed(number)
    frames = 4 + 2 * (number % 5)
    return f"utterance-{number}", torch.randn(DIMS, frames, generator=generator)


def batch(numbers: list[int], totals: Totals) -> Batch:
    found = [example(number) for number in numbers]
    longest = max(content.shape[1] for _, content in found)
    content = torch.zeros(len(found), DIMS, longest)
    for row, (_, one) in zip(content, found, strict=True):
        row[:, : one.shape[1]] = one
    return Batch(
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
    """Global batches of `size` out of `count` utterances in an order that follows from the step."""

    size: int
    count: int = 40
    held_back: int = 6
    asked: list[tuple[int, int]] = field(default_factory=list)
    """(step, accumulate) of each stream that was begun."""

    def training(self, start_step: int, rank: int, world: int, accumulate: int) -> Iterator[list[Batch]]:
        self.asked.append((start_step, accumulate))
        parts = world * accumulate
        step = start_step
        while True:
            order = np.random.default_rng(step).permutation(self.count)[: self.size].tolist()
            frames = sum(example(number)[1].shape[1] for number in order)
            totals = Totals(parts, len(order), frames, frames // 2)
            yield [batch(order[rank * accumulate + part :: parts], totals) for part in range(accumulate)]
            step += 1

    def validation(self, rank: int, world: int) -> Iterator[Batch]:
        for number in range(1000 + rank, 1000 + self.held_back, world):
            yield batch([number], Totals(1, 1, 4, 2))


@dataclass(frozen=True)
class Circumstances:
    """What goes wrong, or takes time."""

    dropout: float = 0.0
    spoiled: str = ""
    """Utterance whose loss is not a number."""
    broken: str = ""
    """Utterance whose gradient is not a number, though its loss is."""
    megabytes: int = 0
    """Of memory that each example takes in the loss of s2."""
    limit_megabytes: int = 0
    """Of address space that the process may have beyond what it has when training begins; 0 = no limit."""
    limited_rank: int = -1
    """Which rank is limited so; -1 = all."""
    terminated_at: int = 0
    """How many losses of s2 are computed when SIGTERM comes; 0 = it does not."""
    crashes_at: int = 0
    """How many of them are computed when the program breaks."""
    pause_s: float = 0.0
    """Of each loss."""
    held_back: int = 6
    grows: bool = False
    """The validation loss rises from evaluation to evaluation."""
    empty: bool = False
    """The corpus has nothing to train on."""


class Regression:
    """s2 learns its content in another order; the discriminator to give 1 for what is left, s2 that it gives 0."""

    network = "s2"
    needs: frozenset[str] = frozenset()
    rounds = ("discriminator", "s2")
    notes = ("a small regression",)

    def __init__(self, how: Circumstances) -> None:
        self.how = how
        self.modules: dict[str, nn.Module] = {
            "s2": nn.Sequential(nn.Conv1d(DIMS, 16, 1), nn.Tanh(), nn.Dropout(how.dropout), nn.Conv1d(16, DIMS, 1)),
            "discriminator": nn.Conv1d(DIMS, 1, 1),
        }
        self.computed: list[int] = []
        """Examples of each part whose losses of s2 were computed."""
        self.evaluations = 0

    def optimisers(self, rate: float) -> dict[str, Optimizer]:
        first, last = self.modules["s2"][0], self.modules["s2"][-1]
        groups = [{"params": first.parameters(), "scale": 0.5}, {"params": last.parameters(), "scale": 1.0}]
        other = [{"params": self.modules["discriminator"].parameters(), "scale": 1.0}]
        return {"s2": AdamW(groups, rate), "discriminator": AdamW(other, rate)}

    def losses(self, module: str, batch: Batch) -> dict[str, Tensor]:
        time.sleep(self.how.pause_s)
        left = self._left(batch)
        share = batch.totals.parts / batch.totals.frames
        frames = torch.arange(left.shape[-1], device=left.device)
        mask = (frames < batch.lengths[:, None])[:, None]
        verdict = self.modules["discriminator"](left)
        if module == "discriminator":
            return {"discriminator": ((verdict - 1) ** 2 * mask).sum() * share}
        self.computed.append(len(batch))
        # address space is what the test limits: nothing needs to be written there
        ballast = torch.empty(len(batch) * self.how.megabytes, 1 << 18, device=left.device)
        if len(self.computed) == self.how.terminated_at:
            signal.raise_signal(signal.SIGTERM)
        if len(self.computed) == self.how.crashes_at:
            raise ZeroDivisionError("the program breaks")
        mel = (left**2 * mask).sum() * share
        if self.how.spoiled in batch.ids:
            mel = mel * math.nan
        if self.how.broken in batch.ids:
            mel = mel + (self.modules["s2"][0].bias * 0).sum().abs().sqrt()  # 0, and its derivative is 0 x inf
        terms = {"mel": mel, "adversarial": 0.1 * (verdict**2 * mask).sum() * share}
        del ballast
        return terms

    def _left(self, batch: Batch) -> Tensor:
        rendered: Tensor = self.modules["s2"](batch.content)
        return rendered - batch.content.roll(1, 1)

    def validate(self, batch: Batch) -> dict[str, float]:
        assert not any(module.training for module in self.modules.values())
        with torch.no_grad():
            loss = float((self._left(batch) ** 2).mean((1, 2)).sum())
        self.evaluations += 1
        return {"loss": self.evaluations if self.how.grows else loss, "loss/weight": float(len(batch))}

    def sample(self, batch: Batch) -> Sample:
        with torch.no_grad():
            left = self._left(batch)[0]
        wave = 0.5 * np.sin(np.arange(3200, dtype=np.float32) * 0.1)
        return Sample({"rendered": wave}, {"left": left.float().cpu().numpy()})

    def checkpoints(self, lineage: Mapping[str, Any]) -> dict[str, Checkpoint]:
        return {"s2": Checkpoint("s2", "v2", dict(self.modules["s2"].state_dict()), lineage=dict(lineage))}


def spec(steps: int = 20, batch: int = 8, **loop: Any) -> RunSpec:
    """A run of the small objective."""
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
    """What a training was given, to be looked at afterwards."""

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
        self.source = Examples(spec.settings.data.batch, held_back=self.how.held_back)
        return Material(self.objective, self.source)


def trained(folder: Path, **how: Any) -> int:
    """Train a folder in this process; the exit status."""
    return train(folder, Built(Circumstances(**how)))


if __name__ == "__main__":
    status = trained(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    if distributed.is_initialized():
        distributed.destroy_process_group()
    sys.exit(status)

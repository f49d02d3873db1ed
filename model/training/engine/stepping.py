"""One optimiser step: every round of the objective over all parts of the step, on all ranks.

Every part seeds torch's generator from (seed, step, number of the part), the same in each round. So a part that is
computed again, on whatever rank, has the same dropout, and no generator state needs to be stored to resume.

Memory: a rank that runs out of it reports so before gradients are exchanged; then all ranks discard the round, divide
the step into twice as many parts and compute the round again. Earlier rounds are not repeated.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from voicemill.model.data.minibatch import Minibatch
from voicemill.model.settings.training import LoopSettings
from voicemill.model.training.engine.objective import Objective
from voicemill.model.training.engine.ranks import Ranks, free_memory, out_of_memory
from voicemill.storage.units import Seconds


class Source(Protocol):
    """Source of minibatches: `voicemill.model.data.loader.Loader`."""

    def training(self, start_step: int, rank: int, world: int, accumulate: int) -> Iterator[list[Minibatch]]:
        """Yield the parts of this rank of step `start_step` + 1 and of all that follow, without end."""

    def validation(self, rank: int, world: int) -> Iterator[Minibatch]:
        """Yield the share of this rank of the validation set; nothing on any rank where nothing is held out."""


class Stopped(Exception):
    """The training cannot go on, for a stated reason; every rank raises it in the same step."""

    def __init__(self, outcome: str, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail


@dataclass(frozen=True)
class StepOutcome:
    """Losses and size of a step."""

    losses: dict[str, float]
    """Weighted terms over the whole step, those of modules other than the network under "<module>/<term>", and "loss",
    the sum of the network's terms."""
    norms: dict[str, float]
    """Gradient norm of each module before clipping; not finite where float16 skipped its update."""
    examples: int
    seconds: Seconds
    """Duration of its speech."""


class Feed:
    """Reads the parts of the steps in order, on the CPU; `accumulate` rounds for each rank."""

    def __init__(
        self, source: Source, ranks: Ranks, step: int, batch: int, accumulate: int, say: Callable[[str], None]
    ) -> None:
        self.accumulate = accumulate
        self._source, self._ranks, self._batch, self._say = source, ranks, batch, say
        self._stream = source.training(step, ranks.rank, ranks.world, accumulate)
        self.newest: Minibatch | None = None
        """First part of the step taken last."""
        self.waited: Seconds = 0.0
        """Time spent waiting for the parts of the step taken last."""

    def take(self) -> list[Minibatch]:
        """Return the parts of the next step."""
        began = time.monotonic()
        parts = next(self._stream)
        self.waited, self.newest = time.monotonic() - began, parts[0]
        return parts

    def smaller(self, step: int) -> list[Minibatch]:
        """Return the same step in twice as many parts. Raises Stopped where a part is one example already."""
        self.close()
        parts = self._ranks.world * self.accumulate
        if parts >= self._batch:
            raise Stopped(
                "no_memory",
                f"step {step}: out of memory with one example at a time on {self._ranks.device}. Shorter examples "
                "(data.longest_s), adapters (adapt.kind) or a device with more memory can help",
            )
        self.accumulate *= 2
        self._say(
            f"step {step}: out of memory with {-(-self._batch // parts)} examples at a time: halved to "
            f"{-(-self._batch // (2 * parts))}, accumulate = {self.accumulate}; the step is repeated"
        )
        self._stream = self._source.training(step - 1, self._ranks.rank, self._ranks.world, self.accumulate)
        return self.take()

    def close(self) -> None:
        """End the processes of the loader."""
        close = getattr(self._stream, "close", None)
        if close:
            close()


class Stepper:
    """Computes steps with the modules of an objective and their optimisers."""

    def __init__(
        self,
        ranks: Ranks,
        objective: Objective,
        settings: LoopSettings,
        rate: float,
        falls_from: int = 0,
        steps: int = 0,
    ) -> None:
        """`falls_from`: step after which the rate falls linearly, to reach 0 behind the last of `steps`; both 0 =
        constant."""
        self.ranks, self.objective, self.settings, self.rate = ranks, objective, settings, rate
        self._falls_from, self._steps = falls_from, steps
        for module in objective.modules.values():
            ranks.put(module)
        self.optimisers = objective.optimisers(rate)
        self._moved = {
            name: [parameter for parameter in module.parameters() if parameter.requires_grad]
            for name, module in objective.modules.items()
        }

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step: it rises over the first `warmup` steps, then is constant until it
        falls."""
        rate = self.rate * min(1.0, step / self.settings.warmup) if self.settings.warmup else self.rate
        fallen = step - self._falls_from
        return rate if fallen <= 0 or not self._steps else rate * (1 - fallen / (self._steps + 1 - self._falls_from))

    def step(self, number: int, feed: Feed) -> StepOutcome:
        """Compute step `number`, counted from 1.

        Raises Stopped: "not_finite" (the weights are those before the module's update) or "no_memory".
        """
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = self.rate_at(number) * group.get("scale", 1.0)
        for module in self.objective.modules.values():
            module.train()
        parts = feed.take()
        losses: dict[str, float] = {}
        norms: dict[str, float] = {}
        for name in self.objective.rounds:
            while (table := self._backward(name, number, parts)) is None:
                parts = feed.smaller(number)
            self.ranks.mean_gradients(self._moved[name])
            found = dict(zip(table.terms, self.ranks.mean(table.values.mean(0)).tolist(), strict=True))
            if not all(map(math.isfinite, found.values())):
                raise Stopped("not_finite", self._where(number, name, table, parts))
            norms[name] = self._update(name, number, parts)
            own = name == self.objective.network
            losses |= {key if own or key == name else f"{name}/{key}": value for key, value in found.items()}
            if own:
                losses["loss"] = sum(found.values())
        self._clear()
        totals = parts[0].totals
        return StepOutcome(losses, norms, totals.examples, totals.frames / 50)

    def _backward(self, name: str, number: int, parts: list[Minibatch]) -> "_Table | None":
        """Gradients of one module, added up over the parts of this rank; None where memory ran out on some rank."""
        self._clear()
        terms: tuple[str, ...] = ()
        values: list[Tensor] = []
        failed = False
        try:
            for index, part in enumerate(parts):
                if part.phones.device != self.ranks.device:
                    parts[index] = part = part.to(self.ranks.device)
                torch.manual_seed(seed_for(self.settings.seed, number, index * self.ranks.world + self.ranks.rank))
                found = self.objective.losses(name, part)
                terms = tuple(found)
                stacked = torch.stack([value.float() for value in found.values()])
                values.append(stacked.detach())
                self.ranks.backward(stacked.sum() / len(parts))
                del found, stacked
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            failed = True
        if self.ranks.any([failed])[0]:
            values.clear()
            self._clear()
            free_memory()
            return None
        return _Table(terms, torch.stack(values))

    def _update(self, name: str, number: int, parts: list[Minibatch]) -> float:
        failed = False
        norm = 0.0
        try:
            norm = self.ranks.step(self.optimisers[name], self._moved[name], self.settings.clip)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            failed = True
        if self.ranks.any([failed])[0]:
            detail = f"step {number}: the optimiser's state of {name} does not fit into the memory of this device"
            raise Stopped("no_memory", f"{detail}: adapters (adapt.kind) need less")
        if math.isfinite(norm):
            return norm
        if self.ranks.scaler is None or self.ranks.scaler.get_scale() < 1:
            raise Stopped("not_finite", self._where(number, name, None, parts))
        return norm

    def _where(self, number: int, name: str, table: "_Table | None", parts: list[Minibatch]) -> str:
        """Explanation for a reader: what is not finite, in which utterances."""
        if table:
            wrong = [
                (term, part.ids)
                for row, part in zip(table.values.tolist(), parts, strict=True)
                for term, value in zip(table.terms, row, strict=True)
                if not math.isfinite(value)
            ]
        else:
            owned = self.objective.modules[name].named_parameters()
            bad = [key for key, p in owned if p.grad is not None and not p.grad.isfinite().all()]
            what = f"the gradient of {', '.join(bad[:3])}" + (f" and {len(bad) - 3} more" if len(bad) > 3 else "")
            wrong = [(what if bad else f"the gradient norm of {name}", part.ids) for part in parts]
        everywhere = [found for of_rank in self.ranks.gather(wrong) for found in of_rank]
        terms = list(dict.fromkeys(term for term, _ in everywhere))
        ids = list(dict.fromkeys(one for _, some in everywhere for one in some))
        return f"step {number}, {name}: {', '.join(terms)} is not finite, with utterances {', '.join(ids)}"

    def _clear(self) -> None:
        """Drop all gradients: a round leaves some in modules that it only reads."""
        for module in self.objective.modules.values():
            module.zero_grad(set_to_none=True)


@dataclass(frozen=True, eq=False)
class _Table:
    """Loss terms of each part of this rank."""

    terms: tuple[str, ...]
    values: Tensor
    """float32 [parts, terms]."""


def seed_for(seed: int, step: int, part: int) -> int:
    """Return a seed for torch's generators, 63 bits, different for each (seed, step, part) that occurs."""
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + part * 0x94D049BB133111EB) & (2**64 - 1)
    mixed = ((mixed ^ (mixed >> 31)) * 0xD6E8FEB86659FD93) & (2**64 - 1)
    return (mixed ^ (mixed >> 32)) & (2**63 - 1)

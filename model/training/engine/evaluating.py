"""Validation: the losses over the validation set, divided over the ranks, and the early stopping that watches them.

The losses are weighted means, the same on any number of ranks.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

from torch import Tensor

from voicemill.model.data.minibatch import Minibatch
from voicemill.model.training.engine.objective import Objective
from voicemill.model.training.engine.ranks import Ranks, free_memory, out_of_memory
from voicemill.model.training.engine.stepping import Source, Stopped

WEIGHT = "/weight"


@dataclass(frozen=True)
class Stopping:
    """Early stopping: training ends when `patience` validations in a row were not better than the best (Prechelt,
    1998)."""

    patience: int
    """Validations without an improvement after which training stops."""
    best: float = math.inf
    """Smallest validation loss so far; inf = none yet."""
    best_step: int = 0
    """Step of the smallest validation loss; 0 = none yet."""
    waited: int = 0
    """Validations since that step."""

    def after(self, step: int, loss: float) -> "Stopping":
        """Return the state after one more validation. A loss that is not a number is no improvement."""
        if loss < self.best:
            return replace(self, best=loss, best_step=step, waited=0)
        return replace(self, waited=self.waited + 1)

    @property
    def over(self) -> bool:
        """Whether patience has run out."""
        return self.waited >= self.patience


def evaluate(ranks: Ranks, objective: Objective, source: Source, broken_off: Callable[[], bool]) -> dict[str, float]:
    """Return the mean of each term over the validation set; empty where nothing is held out, or a rank broke it off.

    A minibatch that does not fit into memory is computed in halves. Raises Stopped("no_memory") where one example does
    not fit.
    """
    for module in objective.modules.values():
        module.eval()
    sums: dict[str, float] = {}
    off, failed = False, ""
    batches = source.validation(ranks.rank, ranks.world)
    for batch in batches:
        if off := broken_off():
            break
        for part in _fitting(ranks, objective, batch):
            if isinstance(part, str):
                failed = part
                break
            for term, value in part.items():
                sums[term] = sums.get(term, 0.0) + value
    close = getattr(batches, "close", None)
    if close:
        close()
    everywhere = ranks.gather((sums, off, failed))
    if failures := [words for _, _, words in everywhere if words]:
        raise Stopped("no_memory", failures[0])
    if any(stop for _, stop, _ in everywhere):
        return {}
    total: dict[str, float] = {}
    for of_rank, _, _ in everywhere:
        for term, value in of_rank.items():
            total[term] = total.get(term, 0.0) + value
    return {term: value / total[term + WEIGHT] for term, value in total.items() if total.get(term + WEIGHT)}


def _fitting(ranks: Ranks, objective: Objective, batch: Minibatch) -> Iterator[dict[str, float] | str]:
    """Sums of the minibatch, in as few parts as fit into memory; an error text where one example does not fit."""
    found: dict[str, float] | None = None
    try:
        found = objective.validate(batch.to(ranks.device))
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    if found is not None:
        yield found
        return
    free_memory()
    if len(batch) == 1:
        yield f"validation: out of memory with one example, {batch.ids[0]}: lower data.longest_s"
        return
    middle = len(batch) // 2
    for start, stop in ((0, middle), (middle, len(batch))):
        yield from _fitting(ranks, objective, rows(batch, start, stop))


def rows(batch: Minibatch, start: int, stop: int) -> Minibatch:
    """Return some of the examples of a minibatch, with its padding."""
    cut = {f.name: v[start:stop] for f in fields(batch) if isinstance(v := getattr(batch, f.name), Tensor)}
    return replace(batch, ids=batch.ids[start:stop], speakers=batch.speakers[start:stop], **cut)

"""Early stopping: training ends when so many evaluations in a row were not better than the best (Prechelt, 1998)."""

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Stopping:
    """What is known after the evaluations so far."""

    patience: int
    """Evaluations without a better one after which training stops."""
    best: float = math.inf
    """Smallest validation loss so far; inf = none yet."""
    best_step: int = 0
    """Its step; 0 = none yet."""
    waited: int = 0
    """Evaluations since then."""

    def after(self, step: int, loss: float) -> "Stopping":
        """With one more evaluation. A loss that is not a number is no better than any."""
        if loss < self.best:
            return replace(self, best=loss, best_step=step, waited=0)
        return replace(self, waited=self.waited + 1)

    @property
    def over(self) -> bool:
        """Whether patience has run out."""
        return self.waited >= self.patience

"""The interface of a network to the training loop: its modules, their losses, how it is saved."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from voicemill.model.checkpoints.checkpoint import Checkpoint
from voicemill.model.data.minibatch import Minibatch


@dataclass(frozen=True)
class Sample:
    """Sounds and images for TensorBoard."""

    waves: Mapping[str, NDArray[Any]]
    """Name ("real", "rendered") -> float32 [samples], 32 kHz."""
    images: Mapping[str, NDArray[Any]]
    """Name -> float32 [rows, frames], low frequencies first, any range."""


class Objective(Protocol):
    """One network in training. The loop moves `modules` to the device without wrapping them; their forward computes in
    the precision of the training and returns float32.

    All randomness of an objective comes from `Minibatch.seeds`, except dropout, which uses torch's generator; the loop
    seeds that anew for every part of a step, the same in each round.
    """

    network: str
    """Name of the network, a `voicemill.model.settings.training.Network`."""
    modules: dict[str, nn.Module]
    """Trained modules by name. The first is the network itself; s2 adds "discriminator"."""
    needs: frozenset[str]
    """Fields of `Minibatch` that are needed besides those always present: "wave", "f0", "bounds", "bert",
    "speaker_embedding"."""
    rounds: tuple[str, ...]
    """Names of the modules in the order in which a step updates them: ("s1",), ("discriminator", "s2")."""
    notes: tuple[str, ...]
    """Lines for the log: how the training starts, and which weights are trained."""

    def optimisers(self, rate: float) -> dict[str, Optimizer]:
        """Return one optimiser per module; their parameter groups have "scale", a factor of the learning rate."""

    def losses(self, module: str, batch: Minibatch) -> dict[str, Tensor]:
        """Return weighted scalars by term; the update of `module` minimises their sum.

        Scaled by the totals of the step so that the mean over its parts is the loss over its whole global batch.
        """

    def validate(self, batch: Minibatch) -> dict[str, float]:
        """Return the terms of a validation minibatch, in eval mode without gradient: the sum over the minibatch under
        the name of each term, its weight under the name + "/weight". Early stopping watches "loss"."""

    def sample(self, batch: Minibatch) -> Sample:
        """Return the first example of a minibatch as the network renders it."""

    def checkpoints(self, lineage: Mapping[str, Any]) -> dict[str, Checkpoint]:
        """Return, by file stem ("s1", "s2", "s2_discriminator"), the checkpoints to write: the trained weights in full,
        adapters merged."""

"""What the training loop knows of a network: its modules, their losses, how it is saved. s1 and s2 have one each."""

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
    """Something to hear and to see, for TensorBoard."""

    waves: Mapping[str, NDArray[Any]]
    """Name ("real", "rendered") -> float32 [samples], 32 kHz."""
    images: Mapping[str, NDArray[Any]]
    """Name -> float32 [rows, frames], low frequencies first, any range."""


class Objective(Protocol):
    """`modules` stay what they are: the loop moves them to the device, and what is called by their forward computes in
    mixed precision and returns float32.

    All randomness of an objective comes from `Minibatch.seeds`, except dropout, which uses torch's generator; the loop
    seeds that anew for every part of a step, the same in each round.
    """

    network: str
    """A `voicemill.model.settings.training.Network`."""
    modules: dict[str, nn.Module]
    """By name, what is trained. The first is the network itself; s2 adds "discriminator"."""
    needs: frozenset[str]
    """Fields of `Minibatch` besides the always present ones: "wave", "f0", "bounds", "bert",
    "speaker_embedding"."""
    rounds: tuple[str, ...]
    """Names of the modules in the order in which a step updates them: ("s1",), ("discriminator", "s2")."""
    notes: tuple[str, ...]
    """How the training starts and what of it moves, a line each, for its log."""

    def optimisers(self, rate: float) -> dict[str, Optimizer]:
        """One for each module; their parameter groups have "scale", what the learning rate is multiplied with."""

    def losses(self, module: str, batch: Minibatch) -> dict[str, Tensor]:
        """Scalars by term, weighted: their sum is what the update of `module` minimises.

        Scaled by the totals of the step so that the mean over its parts is the loss over its whole global batch.
        """

    def validate(self, batch: Minibatch) -> dict[str, float]:
        """Terms of a batch of the validation set in eval mode without gradient, sums over the batch under the name of
        each term, and their weights under the name + "/weight"; "loss" is what early stopping watches."""

    def sample(self, batch: Minibatch) -> Sample:
        """The first example of a batch, as the network makes it."""

    def checkpoints(self, lineage: Mapping[str, Any]) -> dict[str, Checkpoint]:
        """File stem ("s1", "s2", "s2_discriminator") -> what `model.checkpoints.writing.write` takes: the trained
        weights in full, adapters merged."""

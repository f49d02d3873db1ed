"""What s1 continues: the phones to speak, their BERT features, and the codes of a reference spoken before them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from voicemill.model.s1.config import S1Config


@dataclass(frozen=True, eq=False)
class Prefix:
    """One thing to say. With a prompt, `phones` are those of the reference text and then those of the new text."""

    phones: Tensor
    """int64 [phones], at least one."""
    prompt: Tensor
    """int64 [codes], those of the reference; empty = no prompt."""
    bert: Tensor | None = None
    """float32 [1024, phones]; None = zeros, as for every language but Chinese."""

    def checked(self, config: S1Config) -> "Prefix":
        """Itself; ValueError when it does not fit a model of that size."""
        _tokens(self.phones, "phones", 1, config.phonemes)
        _tokens(self.prompt, "prompt", 0, config.codes)
        if self.bert is not None and tuple(self.bert.shape) != (config.bert, len(self.phones)):
            raise ValueError(
                f"bert of shape {tuple(self.bert.shape)}: expected {(config.bert, len(self.phones))}, "
                "a vector for each phone"
            )
        return self


class Decoding(Protocol):
    """Rows being continued, with the keys and values of all that was seen so far."""

    logits: Tensor
    """float32 [batch, vocabulary]: of the code that comes next in each row. Overwritten by `advance`."""

    def advance(self, codes: Tensor) -> None:
        """int64 [batch]: the code that was chosen in each row; `logits` are then those of the one after it."""


class Engine(Protocol):
    """A way to compute s1, in one precision. It holds the weights; threads may share it, each with a `Decoding`."""

    config: S1Config
    name: str

    def begin(self, prefixes: Sequence[Prefix], room: int) -> Decoding:
        """Reads the prefixes; memory for `room` codes more of each row is set aside once.

        Raises ValueError for prefixes that do not fit the model.
        """


def _tokens(tokens: Tensor, name: str, least: int, bound: int) -> None:
    if tokens.ndim != 1 or len(tokens) < least or tokens.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"{name}: {tokens.dtype} of shape {tuple(tokens.shape)}: expected whole numbers, one-dimensional"
            + (f", at least {least}" if least else "")
        )
    if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < bound:
        raise ValueError(f"{name}: values {int(tokens.min())} to {int(tokens.max())}: expected 0 to {bound - 1}")

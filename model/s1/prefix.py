"""The prefix that s1 continues (phones, their BERT features, codes of a reference), and the protocol of its engines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from voicemill.model.s1.config import S1Config


@dataclass(frozen=True, eq=False)
class Prefix:
    """Input of one row. With a prompt, `phones` are those of the reference text followed by those of the new text."""

    phones: Tensor
    """int64 [phones], at least one."""
    prompt: Tensor
    """Codes of the reference, int64 [codes]; empty = no prompt."""
    bert: Tensor | None = None
    """float32 [1024, phones]; None = zeros, as for every language but Chinese."""

    def validate(self, config: S1Config) -> "Prefix":
        """Return the prefix itself; raise ValueError when it does not fit a model of that size."""
        _tokens(self.phones, "phones", 1, config.phonemes)
        _tokens(self.prompt, "prompt", 0, config.codes)
        if self.bert is not None and tuple(self.bert.shape) != (config.bert, len(self.phones)):
            raise ValueError(
                f"bert of shape {tuple(self.bert.shape)}: expected {(config.bert, len(self.phones))}, "
                "one vector for each phone"
            )
        return self


class Decoding(Protocol):
    """Rows being continued, with the keys and values of all positions so far."""

    logits: Tensor
    """Logits of the next code of each row, float32 [batch, vocabulary]. Overwritten by `advance`."""

    def advance(self, codes: Tensor) -> None:
        """Append the code chosen in each row, int64 [batch]; `logits` then hold those of the code after it."""


class Engine(Protocol):
    """Implementation of s1 in one precision. It holds the weights; threads may share it, each with a `Decoding`."""

    config: S1Config
    name: str

    def begin(self, prefixes: Sequence[Prefix], room: int) -> Decoding:
        """Read the prefixes and allocate memory for `room` more codes of each row.

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

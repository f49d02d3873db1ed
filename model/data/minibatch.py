"""What one process computes at once: a part of the examples of one optimiser step.

A step has the same examples on any number of devices: its global batch is divided into parts, one for each device and
each round of gradient accumulation. So that the mean over all parts is the loss over the whole step, every part knows
the totals of the step.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from voicemill.storage.units import Seconds

CONTENT_RATE = 50
"""Frames per second of `content`, `f0` and the spectrogram: a hop of 640 samples at 32 kHz."""


@dataclass(frozen=True)
class Totals:
    """Of all parts of one optimiser step."""

    parts: int
    """In how many parts its examples are: devices x rounds of accumulation."""
    examples: int
    frames: int
    """Real frames at 50 Hz of all examples."""
    codes: int
    """Half of the frames, example by example rounded down: what s1 predicts, without the EOS of each."""


@dataclass(frozen=True, eq=False)
class Minibatch:
    """Padded on the right with zeros. Rows are examples."""

    ids: tuple[str, ...]
    """Of the utterances."""
    speakers: tuple[str, ...]
    phones: Tensor
    """int64 [batch, phones]."""
    phone_lengths: Tensor
    """int64 [batch], 1 or more."""
    content: Tensor
    """float32 [batch, dims, frames], 50 Hz; frames is even: 2 x (longest // 2 + 1), as GPT-SoVITS pads."""
    lengths: Tensor
    """int64 [batch]: real frames of `content`, `wave` and `f0`."""
    seeds: Tensor
    """int64 [batch]: random numbers of an example come from its own seed, so that they do not depend on the device."""
    totals: Totals
    bert: Tensor | None = None
    """float32 [batch, 1024, phones]; None = zeros."""
    wave: Tensor | None = None
    """float32 [batch, frames x 640], -1..1, 32 kHz."""
    f0: Tensor | None = None
    """float32 [batch, frames], Hz, 0 = unvoiced."""
    bounds: Tensor | None = None
    """int64 [batch, phones, 2]: of each phone the earliest frame and the one after the latest, 0..frames, by the forced
    alignment: those of its word; all frames of the row where it is not known. None = not known of any."""
    speaker_embedding: Tensor | None = None
    """float32 [batch, dims] where the corpus has one (v2Pro)."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def seconds(self) -> Seconds:
        """Of real audio."""
        return int(self.lengths.sum()) / CONTENT_RATE

    def to(self, device: torch.device) -> "Minibatch":
        """The same on a device; copies from pinned memory do not wait."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Minibatch":
        """For the loader of torch, which calls it by this name."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Any) -> "Minibatch":
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: change(v) for k, v in values.items() if isinstance(v, Tensor)})

"""Minibatches: the examples that one process computes at once, a part of one optimiser step.

A step has the same examples on any number of devices: its global batch is divided into parts, one for each device and
each round of gradient accumulation. Every part carries the totals of the step, so that the mean over all parts is the
loss over the whole step.
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
    """Totals over all parts of one optimiser step."""

    parts: int
    """Number of parts: devices x rounds of accumulation."""
    examples: int
    frames: int
    """Frames of all examples at 50 Hz, without padding."""
    codes: int
    """Half of the frames, rounded down for each example: the codes that s1 predicts, without EOS."""


@dataclass(frozen=True, eq=False)
class Minibatch:
    """Examples, one in each row, padded on the right with zeros."""

    ids: tuple[str, ...]
    """Ids of the utterances."""
    speakers: tuple[str, ...]
    phones: Tensor
    """Rows of the phone embedding, int64 [batch, phones]."""
    phone_lengths: Tensor
    """Number of phones of each row, 1 or more, int64 [batch]."""
    content: Tensor
    """Content features, float32 [batch, dims, frames], 50 Hz; frames = 2 x (longest // 2 + 1), as in GPT-SoVITS."""
    lengths: Tensor
    """Number of real frames of `content`, `wave` and `f0`, int64 [batch]."""
    seeds: Tensor
    """Seed of each example, int64 [batch]; its random numbers come from there, so they do not depend on the device."""
    totals: Totals
    bert: Tensor | None = None
    """BERT features, float32 [batch, 1024, phones]; None = zeros."""
    wave: Tensor | None = None
    """Waveforms, float32 [batch, frames x 640], -1..1, 32 kHz."""
    f0: Tensor | None = None
    """Pitch, float32 [batch, frames], Hz, 0 = unvoiced."""
    bounds: Tensor | None = None
    """Earliest frame of each phone and the frame after its latest, int64 [batch, phones, 2], 0..frames.

    They are those of its word in the forced alignment; all frames of the row where that is unknown. None = unknown for
    all rows."""
    mel: Tensor | None = None
    """Log-mels as the corpus stores them, float32 [batch, 128, frames], nepers; the floor behind the end of a row."""
    speaker_embedding: Tensor | None = None
    """Speaker embedding of v2Pro, float32 [batch, dims], where the corpus has one."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def seconds(self) -> Seconds:
        """Seconds of audio without padding."""
        return int(self.lengths.sum()) / CONTENT_RATE

    def to(self, device: torch.device) -> "Minibatch":
        """Return a copy on a device; copies from pinned memory do not block."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Minibatch":
        """Return a copy in pinned memory; torch's loader calls it by this name."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Any) -> "Minibatch":
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: change(v) for k, v in values.items() if isinstance(v, Tensor)})

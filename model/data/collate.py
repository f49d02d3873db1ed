"""Examples to batches of padded tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voicemill.model.data.minibatch import Minibatch, Totals
from voicemill.model.data.reader import HOP, Example


def batch_of(examples: Sequence[Example], seeds: Sequence[int], totals: Totals) -> Minibatch:
    """Pad with zeros on the right; frames to 2 x (longest // 2 + 1), as GPT-SoVITS does."""
    lengths = [example.frames for example in examples]
    frames, rows = 2 * (max(lengths) // 2 + 1), len(examples)
    phones = torch.zeros(rows, max(len(example.phones) for example in examples), dtype=torch.int64)
    content = torch.zeros(rows, examples[0].content.shape[1], frames)
    wave = torch.zeros(rows, frames * HOP) if examples[0].wave is not None else None
    f0 = torch.zeros(rows, frames) if examples[0].f0 is not None else None
    bounds = torch.zeros(*phones.shape, 2, dtype=torch.int64) if examples[0].bounds is not None else None
    for row, example in enumerate(examples):
        phones[row, : len(example.phones)] = torch.from_numpy(example.phones)
        content[row, :, : example.frames] = _tensor(example.content).T
        if wave is not None and example.wave is not None:
            wave[row, : len(example.wave)] = torch.from_numpy(example.wave)
        if f0 is not None and example.f0 is not None:
            f0[row, : example.frames] = torch.from_numpy(example.f0)
        if bounds is not None and example.bounds is not None:
            bounds[row, : len(example.phones)] = torch.from_numpy(example.bounds)
    return Minibatch(
        ids=tuple(example.id for example in examples),
        speakers=tuple(example.speaker for example in examples),
        phones=phones,
        phone_lengths=torch.tensor([len(example.phones) for example in examples]),
        content=content,
        lengths=torch.tensor(lengths),
        seeds=torch.tensor(seeds, dtype=torch.int64),
        totals=totals,
        wave=wave,
        f0=f0,
        bounds=bounds,
    )


def _tensor(values: NDArray[np.float16]) -> Tensor:
    """A copy where the array is a view of bytes that may not be written: torch warns about those."""
    return torch.from_numpy(values if values.flags.writeable else values.copy())

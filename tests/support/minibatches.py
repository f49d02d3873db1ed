"""Minibatches of made-up utterances, as the loader would give them to a training step."""

from dataclasses import replace

import torch
from torch import Tensor

from support.golden import inp
from voicemill.model.data.minibatch import Minibatch, Totals


def totals_of(lengths: Tensor, parts: int = 1) -> Totals:
    return Totals(parts, len(lengths), int(lengths.sum()), int((lengths // 2).sum()))


def batch_of(frames: list[int], dims: int = 6, phones: int = 20, seed: int = 0) -> Minibatch:
    """Utterances of so many frames, of tones with a little noise, as a loader would pad them."""
    generator = torch.Generator().manual_seed(seed)
    lengths, longest = torch.tensor(frames), 2 * (max(frames) // 2 + 1)
    real = torch.arange(longest) < lengths[:, None]
    pitch = 100 + 200 * torch.rand(len(frames), 1, generator=generator)
    time = torch.arange(longest * 640) / 32000
    tones = sum(torch.sin(2 * torch.pi * pitch * harmonic * time) / harmonic for harmonic in range(1, 9))
    wave = (0.1 * tones + 0.01 * torch.randn(len(frames), longest * 640, generator=generator)).float()
    counts = torch.tensor([max(1, n // 4) for n in frames])
    text = torch.randint(0, phones, (len(frames), int(counts.max())), generator=generator)
    return Minibatch(
        ids=tuple(f"u{row}" for row in range(len(frames))),
        speakers=tuple("ann" for _ in frames),
        phones=text * (torch.arange(text.shape[1]) < counts[:, None]),
        phone_lengths=counts,
        content=torch.randn(len(frames), dims, longest, generator=generator) * real[:, None],
        lengths=lengths,
        seeds=torch.arange(len(frames)) + 7,
        totals=totals_of(lengths),
        wave=wave * real.repeat_interleave(640, 1),
        f0=pitch * real,
    )


def part_of(batch: Minibatch, rows: list[int], parts: int) -> Minibatch:
    """Some examples of a batch, padded as if they stood alone."""
    lengths, counts = batch.lengths[rows], batch.phone_lengths[rows]
    frames, phones = 2 * (int(lengths.max()) // 2 + 1), int(counts.max())
    assert batch.wave is not None
    assert batch.f0 is not None
    return replace(
        batch,
        ids=tuple(batch.ids[row] for row in rows),
        speakers=tuple(batch.speakers[row] for row in rows),
        phones=batch.phones[rows, :phones],
        phone_lengths=counts,
        content=batch.content[rows, :, :frames],
        lengths=lengths,
        seeds=batch.seeds[rows],
        totals=replace(batch.totals, parts=parts),
        wave=batch.wave[rows, : frames * 640],
        f0=batch.f0[rows, :frames],
    )


def golden_batch(lengths: Tensor, text: Tensor, text_lengths: Tensor) -> Minibatch:
    """That of the golden training step of s2."""
    content, wave = inp("tr.ssl", (2, 768, 44)), inp("tr.wav", (2, 1, 28160), 0.1)[:, 0]
    content[1, :, 38:], wave[1, 38 * 640 :] = 0, 0
    seeds = torch.zeros(2, dtype=torch.int64)
    return Minibatch(
        ids=("a", "b"),
        speakers=("x", "x"),
        phones=text,
        phone_lengths=text_lengths,
        content=content,
        lengths=lengths,
        seeds=seeds,
        totals=totals_of(lengths),
        wave=wave,
    )

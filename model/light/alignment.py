"""Which frames belong to which phone: monotonic alignment search and the length regulator.

The search is that of Glow-TTS (Kim et al. 2020, section 3.1): of all ways to hand out the frames of a recording to its
phones in their order, at least one frame to each, the one with the highest sum of scores. It is exact, by dynamic
programming; the batch and the phones are computed side by side, so that it costs one small step for each frame (3 ms
for 8 utterances of 5 s).

Where the times of the words are known from a forced alignment, the search is held within them: `outside`.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

EVENLY = 0.2
"""Share of an utterance: deviation of where a phone may be expected, before anything is known of it."""

BEYOND = 1e7
"""Nats for each frame beyond the bounds of a phone. Scores are hundreds a frame, under a million an utterance."""


def durations_of(scores: Tensor, phone_lengths: Tensor, frame_lengths: Tensor) -> Tensor:
    """Scores [batch, phones, frames], any float, of a frame to be of a phone -> frames of each phone int64
    [batch, phones], on the device of the scores: 1 or more for real phones, 0 for padding; a row adds up to its frames.

    `phone_lengths`, `frame_lengths`: int [batch], 1 or more. Of ways with equal sums, the one whose later phones begin
    the earliest. Raises ValueError where a row has more phones than frames.
    """
    found = search(scores.detach().float().cpu().numpy(), phone_lengths.cpu().numpy(), frame_lengths.cpu().numpy())
    return torch.from_numpy(found).to(scores.device)


def search(scores: NDArray[np.float32], phones: NDArray[np.int64], frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """`durations_of` on arrays."""
    if (phones > frames).any():
        row = int((phones > frames).argmax())
        raise ValueError(f"row {row} has {phones[row]} phones and {frames[row]} frames: each phone needs one")
    batch, width, longest = scores.shape
    best = np.full((batch, width + 1), -np.inf)  # of paths that end in each phone; a phone before the first one
    best[:, 0] = 0.0
    came = np.zeros((longest, batch, width), dtype=bool)
    """Whether the best path came from the phone before."""
    for at in range(longest):
        stayed, moved = best[:, 1:], best[:, :-1]
        came[at] = moved > stayed
        best[:, 1:] = np.maximum(stayed, moved) + scores[:, :, at]
        best[:, 0] = -np.inf
    rows, here = np.arange(batch), phones - 1
    durations = np.zeros((batch, width + 1), dtype=np.int64)
    for at in range(longest - 1, -1, -1):
        real = at < frames
        durations[rows, here] += real
        here = here - (real & came[at, rows, here])
    return durations[:, :width]


def diagonal(phone_lengths: Tensor, frame_lengths: Tensor, phones: int, frames: int) -> Tensor:
    """What to add to scores so that an evenly spoken text is a little likelier: float32 [batch, phones, frames], nats.

    A normal distribution of the distance between the place of a phone in its text and that of a frame in its recording,
    both 0..1, of deviation `EVENLY`. Networks that know nothing yet would otherwise hand nearly all frames to one phone
    and learn from that (the static prior of Badlani et al. 2022, "One TTS Alignment To Rule Them All", serves the same
    end); what they learn soon outweighs it.
    """
    device = phone_lengths.device
    text = (torch.arange(phones, device=device) + 0.5) / phone_lengths[:, None]
    time = (torch.arange(frames, device=device) + 0.5) / frame_lengths[:, None]
    return -0.5 * ((text[:, :, None] - time[:, None]) / EVENLY).square()


def outside(bounds: Tensor, frames: int, tolerance: int = 0) -> Tensor:
    """What to add to scores so that phones keep to bounds: float32 [batch, phones, frames], 0 inside and under it.

    `bounds` int64 [batch, phones, 2]: of each phone the earliest frame and the one after the latest; `tolerance`:
    frames by which both may be overstepped at no cost. What is beyond costs more for each frame of distance than any
    scores can weigh: the search stays inside where a way inside there is, and oversteps the least where there is none.
    """
    at = torch.arange(frames, device=bounds.device)
    early = bounds[..., :1] - tolerance - at
    late = at - (bounds[..., 1:] + tolerance - 1)
    return torch.maximum(early, late).clamp(min=0).float() * -BEYOND


def regulated(x: Tensor, durations: Tensor, frames: int | None = None) -> Tensor:
    """The length regulator of FastSpeech (Ren et al. 2019): [batch, phones, channels], durations int64 [batch, phones]
    -> [batch, frames, channels], each phone as often as it lasts; zeros behind the end of a row.

    `frames`: of the longest row, where it is known.
    """
    index, real = places(durations, frames)
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1])) * real[..., None]


def places(durations: Tensor, frames: int | None = None) -> tuple[Tensor, Tensor]:
    """int64 [batch, phones] -> the phone of each frame int64 [batch, frames], and whether it is real, bool."""
    ends = durations.cumsum(1)
    longest = int(ends[:, -1].max()) if frames is None else frames
    at = torch.arange(longest, device=durations.device)
    index = (at[None, :, None] >= ends[:, None, :]).sum(-1)
    return index.clamp(max=durations.shape[1] - 1), at[None] < ends[:, -1:]


def progress(durations: Tensor, frames: int | None = None) -> Tensor:
    """How far each frame is into its phone, 0..1: float32 [batch, frames]; (n + 1/2) / duration for its nth frame."""
    index, real = places(durations, frames)
    ends = durations.cumsum(1)
    first = (ends - durations).gather(1, index)
    at = torch.arange(index.shape[1], device=durations.device)[None]
    return ((at - first).float() + 0.5) / durations.gather(1, index).clamp(min=1) * real

"""The latent of a piece in blocks, each as soon as s1 has generated the codes that it needs.

The prior of s2 attends to all codes of a piece, so no block of it is exactly that of the whole piece before s1 has
ended. Here the prior of a block reads all codes before it, those of the block and `look_ahead` codes behind it, and
nothing later. The blocks are the same whoever asks for them, and so is their noise: `Voice.speak` and `Voice.stream`
give the same speech. Flow and generator have a finite reach and stay exact (`model.s2.generator.windows`).

`FIRST` codes are what the first half second of sound needs: 25 frames, and behind them 11 of the generator's reach and
32 of the flow's. Cost: the prior is computed once for each block, over all codes so far.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from voicemill.model.s2.inference import Synthesis
from voicemill.model.s2.synthesizer import CODE_FRAMES

FIRST, NEXT = 34, 25
"""Codes of the first block and of those behind it."""


def latent_blocks(
    s2: Synthesis,
    codes: Iterator[int],
    phones: Tensor,
    ge: Tensor,
    look_ahead: int,
    noise_scale: float,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Yield the latent of a piece in blocks, float32 [1, hidden, frames] each, in order.

    `codes`: each taken when a block needs it; `phones`: int64 [1, phones] on the device of `s2`; `ge`: voice vector;
    `look_ahead`: codes that a block reads behind its end, 0 or more; `generator`: on the CPU.
    """
    known: list[int] = []
    start, stop = 0, FIRST
    while True:
        while len(known) < stop + look_ahead and (code := next(codes, None)) is not None:
            known.append(code)
        if len(known) < stop + look_ahead:  # s1 has ended
            stop = len(known)
        if start == stop:
            return
        with torch.inference_mode():
            prior = s2.prior(torch.tensor([known], device=s2.device), phones, ge)
            first, last = start * CODE_FRAMES, stop * CODE_FRAMES
            mean, logs = (values[..., first:last] for values in prior)
            noise = torch.randn(last - first, mean.shape[1], generator=generator).T[None].to(mean)
            block = s2.latent(mean, logs, noise_scale, noise)
        yield block
        start, stop = stop, stop + NEXT

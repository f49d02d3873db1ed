"""A waveform piece by piece: flow and generator have a finite reach, so a window with that margin gives exact frames.

The flow runs once over every frame, a margin ahead of the generator; the generator sees its own margin twice. With v2's
sizes the margins are 32 and 11 frames to each side, so a first piece of n frames costs n + 11 frames of the generator.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from voicemill.model.s2.config import S2Config
from voicemill.model.s2.generator import context
from voicemill.model.s2.masks import mask
from voicemill.storage.errors import ConfigError


class Renderer(Protocol):
    """What `windows` runs: the flow and the generator of a synthesizer."""

    @property
    def config(self) -> S2Config: ...

    @property
    def flow(self) -> Any: ...

    @property
    def dec(self) -> Any: ...


def windows(renderer: Renderer, z: Tensor, ge: Tensor, frames_per_chunk: int) -> Iterator[Tensor]:
    """Latent [batch, hidden, frames] -> pieces [batch, up to frames_per_chunk x hop] of the waveform, in order.

    Raises ConfigError for less than one frame per chunk.
    """
    if frames_per_chunk < 1:
        raise ConfigError(f"frames_per_chunk = {frames_per_chunk}: expected at least 1 (20 ms)")
    reach, margin, hop, total = context(renderer.config), renderer.flow.context, renderer.config.hop, z.shape[-1]
    ready = z[..., :0]  # inverse of the flow, from frame `first` on
    first = done = 0
    for start in range(0, total, frames_per_chunk):
        stop = min(start + frames_per_chunk, total)
        wanted = min(stop + reach, total)
        if wanted > done:
            left = max(0, done - margin)
            window = z[..., left : wanted + margin]
            fresh = renderer.flow(window, mask(None, window), ge, inverse=True)
            ready, done = torch.cat((ready, fresh[..., done - left : wanted - left]), -1), wanted
        left = max(0, start - reach)
        ready, first = ready[..., left - first :], left
        wave = renderer.dec(ready, ge)[:, 0]
        yield wave[:, (start - left) * hop : (stop - left) * hop]

"""HiFi-GAN (Kong et al. 2020): latent frames to a waveform, conditioned on a voice. 20 billion products per second.

`windows` renders a waveform piece by piece: flow and generator have a finite reach, so a window with that margin gives
exact frames. The flow runs once over every frame, a margin ahead of the generator; the generator sees its own margin
twice. With v2's sizes the margins are 32 and 11 frames to each side, so a first piece of n frames costs n + 11 frames
of the generator.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from voicemill.model.s2.config import S2Config
from voicemill.model.s2.layers import mask
from voicemill.model.s2.weight_norm import Conv1d, ConvTranspose1d
from voicemill.storage.errors import ConfigError

SLOPE = 0.1
"""Slope of the leaky ReLUs, except the last, which has torch's default 0.01."""
POST_KERNEL = 7


class GeneratorSizes(Protocol):
    """Sizes of a generator; see `S2Config` for their meaning."""

    @property
    def hidden(self) -> int: ...

    @property
    def style(self) -> int:
        """Channels of the voice vector, 0 = not conditioned on a voice."""

    @property
    def upsample_channels(self) -> int: ...

    @property
    def upsample_rates(self) -> tuple[int, ...]: ...

    @property
    def upsample_kernels(self) -> tuple[int, ...]: ...

    @property
    def resblock_kernels(self) -> tuple[int, ...]: ...

    @property
    def resblock_dilations(self) -> tuple[int, ...]: ...

    @property
    def hop(self) -> int: ...


class ResidualBlock(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Per dilation: x + conv(leaky(dilated conv(leaky(x))))."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            Conv1d(channels, channels, kernel, dilation=d, padding=d * (kernel // 2)) for d in dilations
        )
        self.convs2 = nn.ModuleList(Conv1d(channels, channels, kernel, padding=kernel // 2) for _ in dilations)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """[batch, channels, time], mask [batch, 1, time] -> the shape of x."""
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = x + second(_active(first(_active(x, mask)), mask))
        return x


def _active(x: Tensor, mask: Tensor | None) -> Tensor:
    return _masked(functional.leaky_relu(x, SLOPE), mask)


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


class Generator(nn.Module):  # type: ignore[misc]
    """conv_pre + voice, then per stage: upsampling and the mean of the residual blocks; conv_post, tanh."""

    def __init__(self, config: GeneratorSizes) -> None:
        super().__init__()
        self.config = config
        channels = [config.upsample_channels >> i for i in range(len(config.upsample_rates) + 1)]
        self.conv_pre = nn.Conv1d(config.hidden, channels[0], 7, padding=3)
        self.ups = nn.ModuleList(
            ConvTranspose1d(channels[i], channels[i + 1], kernel, rate, padding=(kernel - rate) // 2)
            for i, (rate, kernel) in enumerate(zip(config.upsample_rates, config.upsample_kernels, strict=True))
        )
        self.resblocks = nn.ModuleList(
            ResidualBlock(width, kernel, config.resblock_dilations)
            for width in channels[1:]
            for kernel in config.resblock_kernels
        )
        self.conv_post = nn.Conv1d(channels[-1], 1, POST_KERNEL, padding=POST_KERNEL // 2, bias=False)
        self.cond = nn.Conv1d(config.style, channels[0], 1) if config.style else None

    def forward(
        self,
        z: Tensor,
        ge: Tensor | None = None,
        mask: Tensor | None = None,
        stages: list[Tensor] | None = None,
    ) -> Tensor:
        """Latent [batch, hidden, frames], voice [batch, style, 1] -> float32 [batch, 1, frames x hop], -1..1.

        `ge`: None for a generator without a voice. With a mask [batch, 1, frames] each row is what it would be alone:
        every layer sees zeros after its end. The output of each stage, [batch, channels, time], is appended to
        `stages`.
        """
        x = self.conv_pre(_masked(z, mask))
        if self.cond is not None:
            x = x + self.cond(ge)
        for stage, up in enumerate(self.ups):
            x = up(_active(x, mask))
            if mask is not None:
                mask = mask.repeat_interleave(self.config.upsample_rates[stage], -1)
            x = sum(block(x, mask) for block in self.blocks(stage)) / len(self.config.resblock_kernels)
            if stages is not None:
                stages.append(x)
        return _masked(self.conv_post(_masked(functional.leaky_relu(x), mask)).tanh(), mask)

    def blocks(self, stage: int) -> nn.ModuleList:
        """Residual blocks of one stage."""
        count = len(self.config.resblock_kernels)
        return self.resblocks[stage * count : (stage + 1) * count]


def context(config: GeneratorSizes) -> int:
    """Number of frames to each side that one frame of the waveform depends on: the reach of every layer, backwards."""
    first, last = 0, config.hop - 1
    block = max(
        sum((kernel // 2) * (dilation + 1) for dilation in config.resblock_dilations)
        for kernel in config.resblock_kernels
    )
    first, last = first - POST_KERNEL // 2, last + POST_KERNEL // 2
    for rate, kernel in reversed(list(zip(config.upsample_rates, config.upsample_kernels, strict=True))):
        first, last = first - block, last + block
        padding = (kernel - rate) // 2  # output j comes from inputs i with 0 <= j + padding - rate i < kernel
        first, last = -((kernel - 1 - first - padding) // rate), (last + padding) // rate
    return max(3 - first, last + 3)


class Renderer(Protocol):
    """Flow and generator of a synthesizer, as `windows` runs them."""

    @property
    def config(self) -> S2Config: ...

    @property
    def flow(self) -> Any: ...

    @property
    def dec(self) -> Any: ...


def windows(renderer: Renderer, z: Tensor | Iterable[Tensor], ge: Tensor, frames_per_chunk: int) -> Iterator[Tensor]:
    """Yield pieces [batch, up to frames_per_chunk x hop] of the waveform of a latent [batch, hidden, frames], in order.

    A latent may come in blocks of frames, each taken when a piece needs it: the margins of both networks behind the end
    of that piece.

    Raises ConfigError for less than one frame per chunk.
    """
    if frames_per_chunk < 1:
        raise ConfigError(f"frames_per_chunk = {frames_per_chunk}: expected at least 1 (20 ms)")
    reach, margin, hop = context(renderer.config), renderer.flow.context, renderer.config.hop
    blocks = iter([z] if isinstance(z, Tensor) else z)
    latent = next(blocks)
    ready = latent[..., :0]  # inverse of the flow, from frame `first` on
    first = start = done = 0
    ended = False
    while True:
        while not ended and latent.shape[-1] < start + frames_per_chunk + reach + margin:
            block = next(blocks, None)
            ended = block is None
            latent = latent if block is None else torch.cat((latent, block), -1)
        total = latent.shape[-1]
        if start >= total:
            return
        stop = min(start + frames_per_chunk, total)
        needed = min(stop + reach, total)
        if needed > done:
            left = max(0, done - margin)
            window = latent[..., left : needed + margin]
            fresh = renderer.flow(window, mask(None, window), ge, inverse=True)
            ready, done = torch.cat((ready, fresh[..., done - left : needed - left]), -1), needed
        left = max(0, start - reach)
        ready, first = ready[..., left - first :], left
        wave = renderer.dec(ready, ge)[:, 0]
        yield wave[:, (start - left) * hop : (stop - left) * hop]
        start = stop

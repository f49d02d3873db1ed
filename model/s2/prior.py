"""Prior encoder of GPT-SoVITS: content and text, joined by cross-attention (MRTE), to a distribution per frame."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from voicemill.model.s2.attention import Attention, Encoder
from voicemill.model.s2.config import S2Config


class Prior(NamedTuple):
    """float32 [batch, hidden, frames] each, 0 where masked."""

    mean: Tensor
    logs: Tensor
    """Natural log of the standard deviation."""


class Mrte(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Content attends to text; the result, the content itself and the voice are added."""

    def __init__(self, config: S2Config) -> None:
        super().__init__()
        self.cross_attention = Attention(config.mrte_dim, config.mrte_heads)
        self.c_pre = nn.Conv1d(config.hidden, config.mrte_dim, 1)
        self.text_pre = nn.Conv1d(config.hidden, config.mrte_dim, 1)
        self.c_post = nn.Conv1d(config.mrte_dim, config.hidden, 1)

    def forward(self, content: Tensor, mask: Tensor, text: Tensor, text_mask: Tensor, voice: Tensor) -> Tensor:
        """[batch, hidden, frames] and [batch, hidden, phones], masks, [batch, mrte_dim, 1] -> the shape of content."""
        content, text = self.c_pre(content * mask), self.text_pre(text * text_mask)
        x = self.cross_attention(content * mask, text * text_mask, text_mask) + content + voice
        return self.c_post(x * mask)


class PriorEncoder(nn.Module):  # type: ignore[misc]
    """The part of s2 that reads codes and phones."""

    def __init__(self, config: S2Config) -> None:
        super().__init__()

        def encoder(layers: int) -> Encoder:
            return Encoder(
                config.hidden,
                config.filter,
                config.heads,
                layers,
                config.kernel,
                config.window,
                config.dropout,
            )

        self.ssl_proj = nn.Conv1d(config.ssl_dim, config.hidden, 1)
        self.encoder_ssl = encoder(config.layers // 2)
        self.encoder_text = encoder(config.layers)
        self.text_embedding = nn.Embedding(config.phones, config.hidden)
        self.mrte = Mrte(config)
        self.encoder2 = encoder(config.layers // 2)
        self.proj = nn.Conv1d(config.hidden, 2 * config.hidden, 1)

    def forward(self, content: Tensor, mask: Tensor, phones: Tensor, text_mask: Tensor, voice: Tensor) -> Tensor:
        """Hidden frames before the distribution: what `speed` stretches.

        Content [batch, ssl_dim, frames], mask [batch, 1, frames], phones int64 [batch, phones], their mask, voice
        [batch, mrte_dim, 1] -> [batch, hidden, frames].
        """
        x = self.encoder_ssl(self.ssl_proj(content * mask), mask)
        text = self.encoder_text(self.text_embedding(phones).mT, text_mask)
        return self.encoder2(self.mrte(x, mask, text, text_mask, voice), mask)

    def distribution(self, x: Tensor, mask: Tensor) -> Prior:
        """[batch, hidden, frames], mask [batch, 1, frames] -> mean and log standard deviation."""
        mean, logs = (self.proj(x) * mask).chunk(2, 1)
        return Prior(mean, logs)


def stretched_frames(frames: int, speed: float) -> int:
    """Frames after a change of speed: GPT-SoVITS renders one more than the quotient, except at speed 1."""
    return frames if speed == 1 else int(frames / speed) + 1


def stretched(x: Tensor, lengths: list[int], speed: float) -> Tensor:
    """[batch, channels, frames], rows real up to `lengths` -> the same at another speed, linearly interpolated.

    Row by row, since the grid of each depends on its length.
    """
    rows = [
        functional.interpolate(row[None, :, :n], size=stretched_frames(n, speed), mode="linear")[0].mT
        for row, n in zip(x, lengths, strict=True)
    ]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).mT

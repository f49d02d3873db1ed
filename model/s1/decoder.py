"""s1 of GPT-SoVITS v2: a Transformer over [phones ; codes] that predicts the next semantic code.

Phones are embedded, their BERT features are projected and added, codes are embedded; both get sinusoidal positions,
each counted from its own 0 and scaled by a learned alpha. The layers are post-norm encoder layers (Vaswani et al.,
"Attention is all you need", 2017). Phones see phones, in both directions; codes see all phones and the codes up to
themselves. The last phone predicts the first code, a code the next one, the last code EOS.

In a batch rows are padded on the right, padding is never a key, and the first code is predicted at each row's own last
phone: a padded row has the logits that it has alone. (The original masks the wrong side in a batch; for single rows
both agree.)

Modules are named so that `state_dict` has the keys of an official checkpoint without their prefix "model.".
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu, scaled_dot_product_attention

from voicemill.model.s1.config import S1Config

PHONE, CODE = "phones", "codes"


class Embedding(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Embedding table, its parameter named as in the checkpoints."""

    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(rows, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 [...] -> [..., dim]."""
        return self.word_embeddings(tokens)


class Positions(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Addition of alpha x position: sine and cosine interleaved, wavelengths 2 pi to 20000 pi."""

    table: Tensor

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1))
        self.dropout = nn.Dropout(dropout)
        self.dim = dim
        self.register_buffer("table", positions(512, dim), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, dim] -> the same shape; time counts from 0."""
        return self.dropout(x + self.alpha * self.rows(x.shape[1]).to(x.dtype))

    def rows(self, count: int) -> Tensor:
        """First `count` positions, float32 [count, dim]; the table grows when it is too short."""
        if count > len(self.table):
            self.table = positions(1 << (count - 1).bit_length(), self.dim).to(self.table.device)
        return self.table[:count]


def positions(count: int, dim: int) -> Tensor:
    """Table of sinusoidal positions, float32 [count, dim], -1..1."""
    angles = torch.arange(count, dtype=torch.float32)[:, None] * torch.exp(
        torch.arange(0, dim, 2, dtype=torch.float32) * -(math.log(10000.0) / dim)
    )
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


class Attention(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Multi-head attention in two steps with room for a cache between them; parameters named as in torch's own."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[batch, time, dim] -> queries, keys, values, each [batch, heads, time, dim / heads]."""
        packed = linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = packed.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def mix(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float = 0.0) -> Tensor:
        """Queries over keys and values -> [batch, time, dim]. `mask`: bool, True = may be seen, or added to scores."""
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Layer(nn.Module):  # type: ignore[misc]  # torch is not followed
    """One post-norm encoder layer: x = norm(x + attention(x)); x = norm(x + feed_forward(x)), with ReLU."""

    def __init__(self, config: S1Config) -> None:
        super().__init__()
        self.self_attn = Attention(config.dim, config.heads)
        self.linear1 = nn.Linear(config.dim, config.hidden)
        self.linear2 = nn.Linear(config.hidden, config.dim)
        self.norm1 = nn.LayerNorm(config.dim)
        self.norm2 = nn.LayerNorm(config.dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """[batch, time, dim] -> the same shape."""
        q, k, v = self.self_attn.project(x)
        return self.finish(x, q, k, v, mask)

    def finish(self, x: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Output of the layer from the projections of `x`; keys and values may come from a cache."""
        share = self.dropout.p if self.training else 0.0
        x = self.norm1(x + self.dropout(self.self_attn.mix(q, k, v, mask, share)))
        inner = self.dropout(relu(self.linear1(x)))
        return self.norm2(x + self.dropout(self.linear2(inner)))


class Stack(nn.Module):  # type: ignore[misc]  # torch is not followed
    """List of layers, named as in the checkpoints."""

    def __init__(self, config: S1Config) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))


class Front(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Embeddings in front of the layers: phones, BERT features and codes to vectors."""

    def __init__(self, config: S1Config) -> None:
        super().__init__()
        self.config = config
        self.bert_proj = nn.Linear(config.bert, config.dim)
        self.ar_text_embedding = Embedding(config.phonemes, config.dim)
        self.ar_text_position = Positions(config.dim, config.dropout)
        self.ar_audio_embedding = Embedding(config.vocabulary, config.dim)
        self.ar_audio_position = Positions(config.dim, config.dropout)

    @classmethod
    def of(cls, model: "Front") -> "Front":
        """Copy of the front of a model, in float32 on the CPU and in eval mode."""
        front = cls(model.config)
        own = front.state_dict().keys()
        front.load_state_dict({key: value for key, value in model.state_dict().items() if key in own})
        front.eval()
        return front

    def text(self, phones: Tensor, bert: Tensor | None) -> Tensor:
        """Phones int64 [batch, phones], BERT float32 [batch, 1024, phones] (None = zeros) -> [batch, phones, dim]."""
        features = self.bert_proj.bias if bert is None else self.bert_proj(bert.transpose(1, 2))
        return self.ar_text_position(self.ar_text_embedding(phones) + features)

    def audio(self, codes: Tensor) -> Tensor:
        """Codes int64 [batch, codes] -> [batch, codes, dim]."""
        return self.ar_audio_position(self.ar_audio_embedding(codes))


class LayerInput(NamedTuple):
    """Batch before the first layer."""

    x: Tensor
    """[batch, phones + codes, dim]."""
    mask: Tensor | None
    """bool, True = may be seen: [time, time], [batch, 1, time, time], or None where everything sees everything."""
    last: Tensor
    """Place of each row's last phone, int64 [batch]."""


class Text2Semantic(Front):
    """The whole model. `forward` serves training; `voicemill.model.s1.generate` decodes with it through an engine."""

    def __init__(self, config: S1Config | None = None) -> None:
        config = config or S1Config()
        super().__init__(config)
        self.h = Stack(config)
        self.ar_predict_layer = nn.Linear(config.dim, config.vocabulary, bias=False)

    def forward(
        self,
        phones: Tensor,
        bert: Tensor | None,
        codes: Tensor,
        phone_lengths: Sequence[int] | None = None,
        code_lengths: Sequence[int] | None = None,
    ) -> Tensor:
        """Logits of every next code, given the true codes before it.

        Args:
            phones: int64 [batch, phones], 0 to phonemes - 1; values on padding do not matter if they are in range.
            bert: float32 [batch, 1024, phones]; None = zeros.
            codes: int64 [batch, codes], 0 to EOS; codes may be 0 wide.
            phone_lengths: real phones of each row, at least 1; None = all.
            code_lengths: real codes of each row, at least 0; None = all.

        Returns:
            float32 [batch, codes + 1, vocabulary]; [b, i] predicts code i of row b, and EOS at i = code_lengths[b].
            Values at i > code_lengths[b] mean nothing.

        Raises ValueError for lengths that do not fit.
        """
        embedded = self.embed(phones, bert, codes, phone_lengths, code_lengths)
        x = embedded.x
        for layer in self.h.layers:
            x = layer(x, embedded.mask)
        return self.logits(x, embedded.last, phones.shape[1])

    def embed(
        self,
        phones: Tensor,
        bert: Tensor | None,
        codes: Tensor,
        phone_lengths: Sequence[int] | None = None,
        code_lengths: Sequence[int] | None = None,
    ) -> LayerInput:
        """Input of the first layer; arguments and errors are those of `forward`."""
        time = phones.shape[1]
        last = lengths(phone_lengths, phones, 1, PHONE) - 1
        known = lengths(code_lengths, codes, 0, CODE)
        x = torch.cat([self.text(phones, bert), self.audio(codes)], 1)
        padded = bool((last + 1 < time).any() or (known < codes.shape[1]).any())
        mask = (
            prefix_mask(last + 1, known, time, codes.shape[1]) if padded else plain_mask(time, codes.shape[1], x.device)
        )
        return LayerInput(x, mask, last)

    def logits(self, x: Tensor, last: Tensor, phones: int) -> Tensor:
        """Logits [batch, codes + 1, vocabulary] from the output of the last layer, [batch, phones + codes, dim].

        `last`: place of each row's last phone, int64 [batch]; `phones`: width of the phones.
        """
        first = x[torch.arange(len(x), device=x.device), last][:, None]
        return self.ar_predict_layer(torch.cat([first, x[:, phones:]], 1))


def lengths(given: Sequence[int] | None, tokens: Tensor, least: int, name: str) -> Tensor:
    """Lengths of the rows of `tokens` [batch, time], int64 [batch] on its device; ValueError outside least..time."""
    rows, time = tokens.shape
    sizes = [time] * rows if given is None else [int(value) for value in given]
    if len(sizes) != rows or min(sizes) < least or max(sizes) > time:
        raise ValueError(
            f"{rows} rows of {time} {name} with the lengths {sizes}: expected {rows} from {least} to {time}"
        )
    return torch.tensor(sizes, device=tokens.device)


def plain_mask(phones: int, codes: int, device: torch.device) -> Tensor | None:
    """Mask of rows without padding, bool [time, time], True = row may see column; None = everything is visible."""
    if not codes:
        return None
    mask = torch.ones(phones + codes, phones + codes, dtype=torch.bool, device=device).tril()
    mask[:phones, :phones] = True
    return mask


def prefix_mask(phone_lengths: Tensor, code_lengths: Tensor, phones: int, codes: int) -> Tensor:
    """Mask of padded rows, bool [batch, 1, time, time] with time = phones + codes: padding is never a key."""
    device = phone_lengths.device
    plain = plain_mask(phones, codes, device)
    keys = torch.cat(
        [
            torch.arange(phones, device=device) < phone_lengths[:, None],
            torch.arange(codes, device=device) < code_lengths[:, None],
        ],
        1,
    )[:, None, None]
    return keys.expand(-1, 1, phones, -1) if plain is None else keys & plain

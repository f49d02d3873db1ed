"""Scales of an 8-bit cache, measured once for a model: what a channel of its keys and values reaches.

All rows of a batch share them, and a row must say what it says alone, so they can be those of no prefix. They are
measured on every phone and every code of the model, once each, in an order drawn from a fixed seed, at places that
cover all positions, half of them with random BERT features. What goes beyond `HEADROOM` times the largest value of a
channel is cut off there.
"""

import torch
from torch import Tensor

from voicemill.model.s1.decoder import Front, Positions
from voicemill.model.s1.eight_bit_reader import LEAST, LEVELS, EightBitReader

PHONES, CODES = 500, 1500
"""Positions up to which phones and codes are measured: longer ones repeat the same waves."""
PARTS = 4
"""Sequences over which phones and codes are dealt out: attention grows with the square of their length."""
HEADROOM = 2.0
"""In parts of the largest value measured. Error of the logits: .070 with 1, .049 with 1.5, .047 with 2."""


def cache_scales(reader: EightBitReader, front: Front) -> Tensor:
    """float32 [layers, 2, heads, dim / heads], keys and then values: the value of a level of 8 bits. Deterministic."""
    config = front.config
    generator = torch.Generator().manual_seed(0)
    largest = torch.zeros(config.layers, 2, config.heads, config.dim // config.heads)

    def measure(layer: int, kept: Tensor) -> None:
        torch.maximum(largest[layer], kept.abs().amax(2), out=largest[layer])

    phones = torch.randperm(config.phonemes, generator=generator).tensor_split(PARTS)
    codes = torch.randperm(config.codes, generator=generator).tensor_split(PARTS)
    with torch.inference_mode():
        for part, (some, others) in enumerate(zip(phones, codes, strict=True)):
            features = front.bert_proj.bias
            if part % 2:
                features = front.bert_proj(torch.randn(len(some), config.bert, generator=generator))
            text = front.ar_text_embedding(some) + features
            text += _places(front.ar_text_position, len(some), PHONES, generator)
            audio = front.ar_audio_embedding(others)
            audio += _places(front.ar_audio_position, len(others), CODES, generator)
            reader.read(torch.cat([text, audio]), len(some), measure)
    return largest.mul_(HEADROOM / LEVELS).clamp_(min=LEAST)


def _places(positions: Positions, count: int, bound: int, generator: torch.Generator) -> Tensor:
    """float32 [count, dim]: places in ascending order, drawn from all up to `bound`."""
    drawn = torch.randperm(max(bound, count), generator=generator)[:count].sort().values
    return positions.alpha * positions.rows(max(bound, count))[drawn]

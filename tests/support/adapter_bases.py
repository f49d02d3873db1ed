"""Bases for adapters: both networks, what they compute, and how closely two results must agree."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from support.tiny_voice import S1, S2, tiny_s1, tiny_s2
from voicemill.model.s1.decoder import Text2Semantic

DEEPER_S1 = replace(S1, layers=3, dropout=0.0)


def base(network: str) -> nn.Module:
    """The network "s1" or "s2", the same at every call."""
    return tiny_s1(DEEPER_S1) if network == "s1" else tiny_s2(S2)


def output(module: nn.Module, seed: int = 0) -> Tensor:
    """Logits of an s1, the waveform of an s2, for inputs drawn from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        if isinstance(module, Text2Semantic):
            phones = torch.randint(40, (2, 7), generator=generator)
            bert = torch.randn(2, 24, 7, generator=generator)
            return module(phones, bert, torch.randint(16, (2, 9), generator=generator))
        codes, phones = torch.randint(16, (2, 8), generator=generator), torch.randint(20, (2, 5), generator=generator)
        voice = module.voices(torch.rand(2, 33, 12, generator=generator))
        return module.decode(codes, phones, voice, generator=generator)


def assert_same(actual: Tensor, expected: Tensor, within: float = 2e-6) -> None:
    """Equal but for the order of sums, which oneDNN chooses by where tensors happen to lie."""
    torch.testing.assert_close(actual, expected, atol=within, rtol=within)

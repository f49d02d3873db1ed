"""Small networks whose weights are functions of their names: the same base wherever it is made."""

import torch
from torch import Tensor, nn

from support.golden import fill
from voicemill.model.adapters.lora import layers
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.synthesizer import Synthesizer

S1 = S1Config(phonemes=40, codes=16, dim=64, heads=4, layers=3, bert=24, dropout=0.0)
S2 = S2Config(
    phones=20,
    ssl_dim=16,
    codebook=16,
    spectrum_bins=33,
    reference_bins=20,
    reference_dim=8,
    style=16,
    hidden=8,
    filter=12,
    layers=2,
    mrte_dim=16,
    posterior_layers=2,
    flow_layers=2,
    upsample_channels=32,
    upsample_rates=(5, 4, 2),
    upsample_kernels=(9, 8, 2),
    segment=6,
    dropout=0.0,
    reference_dropout=0.0,
)


def base(network: str) -> nn.Module:
    module = Text2Semantic(S1) if network == "s1" else Synthesizer(S2)
    module.load_state_dict(fill(module.state_dict(), "tiny.model." if network == "s1" else ""))
    return module.eval()


def said(module: nn.Module, seed: int = 0) -> Tensor:
    """What a network answers: logits of s1, the waveform of s2."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        if isinstance(module, Text2Semantic):
            phones = torch.randint(40, (2, 7), generator=generator)
            bert = torch.randn(2, 24, 7, generator=generator)
            return module(phones, bert, torch.randint(16, (2, 9), generator=generator))
        codes, phones = torch.randint(16, (2, 8), generator=generator), torch.randint(20, (2, 5), generator=generator)
        voice = module.voices(torch.rand(2, 33, 12, generator=generator))
        return module.decode(codes, phones, voice, generator=generator)


def moved(module: nn.Module, name: str, seed: int) -> nn.Module:
    """As after a training: no factor of an adapter is zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, layer in layers(module):
            for held in (layer.lora_A, layer.lora_B):
                if name in held:
                    weight = held[name].weight
                    weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    return module


def same(found: Tensor, expected: Tensor, within: float = 2e-6) -> None:
    """Equal but for the order of sums, which oneDNN chooses by where tensors happen to lie."""
    torch.testing.assert_close(found, expected, atol=within, rtol=within)

"""The tiny voice of the tests: sizes of its networks, the networks, their checkpoint files and adapters.

Weights are functions of their names (see `support.golden`): every process that builds a network gets the same one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from support.golden import fill
from voicemill.model.adapters.adapting import adapt
from voicemill.model.adapters.files import network_of, save
from voicemill.model.adapters.lora import layers
from voicemill.model.checkpoints.checkpoint import Checkpoint
from voicemill.model.checkpoints.sizes import header
from voicemill.model.checkpoints.writing import write
from voicemill.model.light.config import AcousticConfig, EcapaConfig, Ge2eConfig, VocoderConfig
from voicemill.model.light.system import PARTS, LightSystem
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s1.prefix import Prefix
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.settings.training import Adaptation

S1 = S1Config(phonemes=40, codes=16, dim=64, heads=4, layers=2, bert=24)
"""The small s1 of the golden arrays: 40 phones and 16 codes without a meaning."""
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
"""20 thousand weights and every part of the real s2; 40 samples per frame."""
TRAINED_S1 = replace(S1, phonemes=20, codes=12, dim=32, bert=8, dropout=0.0)
TRAINED_S2 = replace(
    S2,
    ssl_dim=6,
    codebook=12,
    spectrum_bins=S2Config.spectrum_bins,
    reference_bins=S2Config.reference_bins,
    couplings=2,
    upsample_rates=S2Config.upsample_rates,
    upsample_kernels=S2Config.upsample_kernels,
    resblock_kernels=(3,),
    resblock_dilations=(1,),
    periods=(2,),
    discriminator_width=32,
)
"""For training steps: reads real spectrograms, 640 samples per frame, and has the smallest vocoder."""
SPEAKING_S1 = S1Config(codes=64, dim=64, heads=4, layers=2)
SPEAKING_S2 = S2Config(
    ssl_dim=39,
    codebook=64,
    reference_dim=16,
    style=32,
    mrte_dim=32,
    hidden=32,
    filter=48,
    layers=2,
    posterior_layers=2,
    flow_layers=2,
    upsample_channels=64,
)
"""For voices that speak text: the real phone table, MFCC as content, 640 samples per frame."""

ECAPA = EcapaConfig(channels=16, scale=4, bottleneck=8)
ACOUSTIC = AcousticConfig(width=16, layers=1, units=16, dropout=0.0)
VOCODER = VocoderConfig(upsample_channels=32, resblock_kernels=(3,), resblock_dilations=(1,))
"""The three parts of a light system of a hundredth of the real size."""


def tiny_s1(config: S1Config = S1, prefix: str = "tiny.model.", eos: float = 1.0) -> Text2Semantic:
    """An s1 in evaluation mode. `eos` > 1 scales the logit that ends a sequence, so that generation ends early."""
    module = Text2Semantic(config)
    module.load_state_dict(fill(module.state_dict(), prefix))
    with torch.no_grad():
        module.ar_predict_layer.weight[config.eos] *= eos
    return module.eval()


def random_prefix(seed: int, phones: int, prompt: int) -> Prefix:
    """Input of `tiny_s1`: this many phones, and codes of a prompt."""
    generator = torch.Generator().manual_seed(seed)
    return Prefix(
        torch.randint(40, (phones,), generator=generator),
        torch.randint(16, (prompt,), generator=generator),
        torch.randn(24, phones, generator=generator),
    )


def tiny_s2(config: S2Config = S2, posterior: bool = True) -> Synthesizer:
    """An s2 in evaluation mode; `posterior=False` leaves out the encoder that only training uses."""
    module = Synthesizer(config, posterior=posterior)
    module.load_state_dict(fill(module.state_dict()))
    return module.eval()


def tiny_light(seed: int, trained: Iterable[str] = PARTS) -> LightSystem:
    """A light system with random weights, in training mode; `trained`: the parts that count as trained."""
    torch.manual_seed(seed)
    return LightSystem(ECAPA, ACOUSTIC, VOCODER, tuple(trained))


def tiny_single(seed: int, trained: Iterable[str] = PARTS, default_voice: Sequence[float] = ()) -> LightSystem:
    """The same with the embedded speaker encoder, GE2E."""
    torch.manual_seed(seed)
    acoustic = replace(ACOUSTIC, embedding=Ge2eConfig().embedding)
    return LightSystem(Ge2eConfig(), acoustic, VOCODER, tuple(trained), default_voice)


def write_s1(path: Path, config: S1Config = SPEAKING_S1, prefix: str = "tiny.model.") -> Path:
    write(path, Checkpoint("s1", "v2", tiny_s1(config, prefix, eos=2).state_dict(), header(config)))
    return path


def write_s2(path: Path, config: S2Config = SPEAKING_S2, lineage: Mapping[str, Any] | None = None) -> Path:
    weights = tiny_s2(config).state_dict()
    write(path, Checkpoint("s2", config.version, weights, header(config), lineage=lineage or {}))
    return path


def write_adapter(module: nn.Module, folder: Path, seed: int, rank: int = 4) -> Path:
    """A LoRA adapter of `module` as a training leaves it; `module` is used up."""
    adapt(module, network_of(module), Adaptation(kind="lora", rank=rank))
    save(with_random_factors(module, "default", seed), folder, {"seed": seed})
    return folder


def with_random_factors(module: nn.Module, name: str, seed: int) -> nn.Module:
    """`module` with both factors of the adapter `name` drawn anew: a fresh adapter's second factor is zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, layer in layers(module):
            for factors in (layer.lora_A, layer.lora_B):
                if name in factors:
                    weight = factors[name].weight
                    weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    return module


TRAINING_TOML = """
[data]
batch = 2
loaders = 0
[s1.sizes]
dim = 32
heads = 2
layers = 2
[s2]
discriminator = false
[s2.sizes]
hidden = 16
filter = 32
layers = 2
style = 16
mrte_dim = 16
reference_dim = 8
codebook = 16
posterior_layers = 1
flow_layers = 1
couplings = 1
upsample_channels = 64
resblock_kernels = [3]
resblock_dilations = [1, 3]
[loop]
precision = "float32"
evaluate_every = 4
checkpoint_every = 2
log_every = 1
"""
"""A training config of both networks in sizes that train in seconds; a test adds its phases."""
VOICE_TOML = f"""{TRAINING_TOML}
[phases.finetune]
steps = 4
rate = 1e-3
mix = {{target = 1.0}}
"""
"""The config of the voice in the fixture `voiced`: tests that go on from it add phases."""

"""Choice of the trainable weights of s1 or s2: all, the last layers, or low-rank adapters beside frozen weights.

LoRA (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021) adds (alpha / rank) B A to a weight, A
drawn, B zero at first, so that training starts from the output of the base. `peft` implements it; rank 4 of a
[2048, 512] weight is 10,240 numbers in place of a million.

s1: out_proj, linear1 and linear2 of every layer. (The packed in_proj_weight is not a module that could be wrapped.)

s2, by default `S2_TARGETS`, 274,176 of 51 million (0.53 %):
- the attention of the prior encoder, its cross-attention to the text (mrte) and its output: pronunciation and melody;
- the whole flow, where the voice enters by `cond_layer`;
- conv_pre and cond of the generator: its inputs from the latent and from the voice.
Not the posterior encoder (only training uses it, so it cannot be part of an adapter; as it stays, the latent keeps its
meaning for the generator), not ssl_proj (the codes stay those that s1 learnt), not the reference encoder (the voice
vector of a recording is the same under every adapter of a base), and not the generator's inner convolutions: they are a
vocoder, and half of the training's time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from voicemill.model.adapters.lora import KEPT, adaptable, inject
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.settings.training import Adaptation, Network
from voicemill.storage.errors import ConfigError

NAME = "default"
"""Name of the adapter in training."""
S2_TARGETS = (
    *("conv_q", "conv_k", "conv_v", "conv_o", "c_pre", "text_pre", "c_post", "enc_p.proj"),
    "flow",
    *("dec.conv_pre", "dec.cond"),
)


@dataclass(frozen=True)
class AdaptationSummary:
    """Result of `adapt`."""

    network: Network
    kind: str
    trainable: int
    """Number of trainable parameters."""
    all: int
    """Number of parameters of the network without adapters and buffers."""

    @property
    def share(self) -> float:
        """Trainable parameters over all parameters."""
        return self.trainable / self.all

    def describe(self) -> str:
        """Return one line for a log."""
        return f"trainable: {self.trainable:,} of {self.all:,} parameters ({100 * self.share:.2f} %)"


def adapt(module: nn.Module, network: Network, settings: Adaptation, seed: int = 0) -> AdaptationSummary:
    """Freeze and wrap `module` in place, so that exactly the parameters to train have `requires_grad`.

    `module` is a `Text2Semantic` or a `Synthesizer` without adapters, `network` its name; `seed` draws the adapters.
    Afterwards `model.adapters.lora.merged_state` gives the weights under their official keys, for every kind.

    Raises ConfigError for a target that names no layer, for more layers than there are, and for another module.
    """
    expected = Text2Semantic if network == "s1" else Synthesizer
    if not isinstance(module, expected):
        raise ConfigError(f"adapt: {network} must be a {expected.__name__}, got a {type(module).__name__}")
    total = sum(parameter.numel() for parameter in module.parameters())
    if settings.kind == "lora":
        targets = settings.targets_s1 if network == "s1" else settings.targets_s2 or S2_TARGETS
        inject(module, NAME, target_layers(module, targets), settings.rank, settings.alpha, seed)
    else:
        prefixes = last_layers(module, settings.layers) if settings.kind == "last" else [""]
        for name, parameter in module.named_parameters():
            moves = any(name.startswith(prefix) for prefix in prefixes)
            parameter.requires_grad_(moves and not (network == "s2" and name.startswith(KEPT)))
    trainable = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    return AdaptationSummary(network, settings.kind, trainable, total)


def target_layers(module: nn.Module, targets: Sequence[str]) -> list[str]:
    """Full names of the layers that match `targets`: each a run of whole parts of a layer's name, such as "linear1",
    "flow" (all layers in it) or "dec.cond".

    Raises ConfigError for a target without a match.
    """
    names = adaptable(module)
    if missing := [target for target in targets if not any(_named(target, name) for name in names)]:
        parts = sorted({name.split(".")[-1] for name in names if not name[-1].isdigit()})
        raise ConfigError(
            f"adapt: no adaptable layer of {type(module).__name__} is named {missing[0]!r}: expected one of "
            f"{', '.join(parts)}, or a part with all its layers"
        )
    return [name for name in names if any(_named(target, name) for target in targets)]


def _named(target: str, name: str) -> bool:
    return f".{target}." in f".{name}."


def last_layers(module: nn.Module, layers: int) -> list[str]:
    """Prefixes of the parameters of the last layers.

    s1: the last `layers` Transformer layers, and the prediction of the code. s2: the last `layers` upsampling stages of
    the generator, each with its residual blocks, its last convolution, and the coupling of the flow next to the
    generator in inference, flows.0.
    """
    if isinstance(module, Text2Semantic):
        _check_count(layers, module.config.layers, "Transformer layers")
        first = module.config.layers - layers
        return [*(f"h.layers.{i}." for i in range(first, module.config.layers)), "ar_predict_layer."]
    assert isinstance(module, Synthesizer)
    stages, per_stage = len(module.config.upsample_rates), len(module.config.resblock_kernels)
    _check_count(layers, stages, "upsampling stages")
    ups = [f"dec.ups.{i}." for i in range(stages - layers, stages)]
    blocks = [f"dec.resblocks.{i}." for i in range((stages - layers) * per_stage, stages * per_stage)]
    return [*ups, *blocks, "dec.conv_post.", "flow.flows.0."]


def _check_count(layers: int, most: int, kind: str) -> None:
    if layers > most:
        raise ConfigError(f"adapt.layers = {layers}: this network has {most} {kind}")


def trainable(module: nn.Module) -> list[torch.nn.Parameter]:
    """Trainable parameters of a module, for an optimiser."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]

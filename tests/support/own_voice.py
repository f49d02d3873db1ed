"""Checkpoints of our own: networks of a thousandth of the size, with weights that are functions of their names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from support.adapted import moved
from support.golden import fill
from voicemill.model.adapters.adapting import adapt
from voicemill.model.adapters.files import network_of, save
from voicemill.model.checkpoints.checkpoint import Checkpoint
from voicemill.model.checkpoints.sizes import header
from voicemill.model.checkpoints.writing import write
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.settings.training import Adaptation

S1 = S1Config(codes=64, dim=64, heads=4, layers=2)
S2 = S2Config(
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
"""Reads MFCC."""


def write_s1(path: Path, config: S1Config = S1, prefix: str = "tiny.model.") -> Path:
    module = Text2Semantic(config)
    module.load_state_dict(fill(module.state_dict(), prefix))
    with torch.no_grad():  # EOS comes early
        module.ar_predict_layer.weight[config.eos] *= 2
    write(path, Checkpoint("s1", "v2", module.state_dict(), header(config)))
    return path


def write_s2(path: Path, config: S2Config = S2, lineage: Mapping[str, Any] | None = None) -> Path:
    module = Synthesizer(config)
    module.load_state_dict(fill(module.state_dict()))
    write(path, Checkpoint("s2", config.version, module.state_dict(), header(config), lineage=lineage or {}))
    return path


def write_adapter(module: nn.Module, folder: Path, seed: int, rank: int = 4) -> Path:
    """As a training leaves it; `module` is used up."""
    adapt(module, network_of(module), Adaptation(kind="lora", rank=rank))
    save(moved(module, "default", seed), folder, {"seed": seed})
    return folder

"""From a checkpoint to the module that computes: built, filled, in eval mode."""

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from model.checkpoints.checkpoint import Checkpoint, differences, read
from model.checkpoints.layout import Kind
from model.s1.config import S1Config
from model.s1.decoder import Text2Semantic
from model.s2.config import S2Config
from model.s2.discriminators import Discriminators
from model.s2.synthesizer import Synthesizer
from storage.errors import CheckpointError

Module = TypeVar("Module", bound=nn.Module)


def load_s1(source: Checkpoint | Path | str, config: S1Config | None = None) -> Text2Semantic:
    """s1 of an official file or of ours, float32. Its sizes: `config`, else what the checkpoint says, else those of v2.

    Raises:
        CheckpointError: it holds something else than s1, or its tensors do not fit the sizes.
        ConfigError: its config lacks a size, or the sizes contradict each other.
    """
    checkpoint = _of("s1", source)
    if config is None:
        config = S1Config.of(checkpoint.config) if "model" in checkpoint.config else S1Config()
    with torch.random.fork_rng(devices=[]):  # the modules draw their first values: reading a file moves no seed
        module = Text2Semantic(config)
    return fill(module, checkpoint)


def load_s2(source: Checkpoint | Path | str, config: S2Config | None = None) -> Synthesizer:
    """s2 of an official file or of ours, float32, with the posterior encoder where the checkpoint has one.

    Its sizes: `config`, else those of the checkpoint's version.

    Raises:
        CheckpointError: it holds something else than s2, or its tensors do not fit the sizes.
    """
    checkpoint = _of("s2", source)
    with torch.random.fork_rng(devices=[]):
        module = Synthesizer(config or S2Config.of(checkpoint.version), posterior=checkpoint.posterior)
    return fill(module, checkpoint)


def load_discriminators(source: Checkpoint | Path | str, config: S2Config | None = None) -> Discriminators:
    """The discriminators of s2, float32. Raises CheckpointError as `load_s2` does."""
    checkpoint = _of("s2_discriminator", source)
    with torch.random.fork_rng(devices=[]):
        module = Discriminators(config or S2Config.of(checkpoint.version))
    return fill(module, checkpoint)


def fill(module: Module, checkpoint: Checkpoint) -> Module:
    """Copy the weights into a module, converted to its dtype; returns the module, in eval mode.

    Raises:
        CheckpointError: tensors are missing, unknown or of another shape than the module's.
    """
    found = {key: tuple(tensor.shape) for key, tensor in checkpoint.weights.items()}
    expected = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    if said := differences(found, expected):
        name = checkpoint.source or "these weights"
        raise CheckpointError(
            f"{name}: the {checkpoint.kind} of {checkpoint.version} does not fit {type(module).__name__}: {said}"
        )
    module.load_state_dict(dict(checkpoint.weights))
    module.eval()
    return module


def _of(kind: Kind, source: Checkpoint | Path | str) -> Checkpoint:
    checkpoint = source if isinstance(source, Checkpoint) else read(source)
    if checkpoint.kind != kind:
        raise CheckpointError(
            f"{checkpoint.source or 'these weights'}: a checkpoint of {checkpoint.kind}, where one of {kind} is needed"
        )
    return checkpoint

"""Loading of a checkpoint into a module in eval mode."""

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from voicemill.model.checkpoints.checkpoint import Checkpoint, differences, read
from voicemill.model.checkpoints.layout import Kind
from voicemill.model.checkpoints.sizes import from_header
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.losses import Discriminators
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.storage.errors import CheckpointError

Module = TypeVar("Module", bound=nn.Module)
Config = TypeVar("Config", S1Config, S2Config)


def load_s1(source: Checkpoint | Path | str, config: S1Config | None = None) -> Text2Semantic:
    """Load s1 from an official file or one of ours, float32. Sizes: `config`, else those of the checkpoint, else v2.

    Sizes in our own header are compared with the tensors before a network is built.

    Raises:
        CheckpointError: it is not a checkpoint of s1, or its tensors do not fit the sizes.
        ConfigError: its config lacks a size, or the sizes contradict each other.
    """
    checkpoint = _of("s1", source)
    if config is None and (config := _own_sizes(S1Config, checkpoint)):
        with torch.device("meta"):
            _same(Text2Semantic(config), checkpoint)
    if config is None:
        config = S1Config.of(checkpoint.config) if "model" in checkpoint.config else S1Config()
    with torch.random.fork_rng(devices=[]):  # the modules draw initial values: reading must not move the seed
        module = Text2Semantic(config)
    return fill(module, checkpoint)


def load_s2(source: Checkpoint | Path | str, config: S2Config | None = None) -> Synthesizer:
    """Load s2 from an official file or one of ours, float32, with the posterior encoder where the checkpoint has one.

    Sizes: `config`, else those of our own header, else those of the checkpoint's version.

    Raises:
        CheckpointError: it is not a checkpoint of s2, or its tensors do not fit the sizes.
    """
    checkpoint = _of("s2", source)
    if config is None and (config := s2_sizes(checkpoint)):
        with torch.device("meta"):
            _same(Synthesizer(config, posterior=checkpoint.posterior), checkpoint)
    with torch.random.fork_rng(devices=[]):
        module = Synthesizer(config or S2Config.of(checkpoint.version), posterior=checkpoint.posterior)
    return fill(module, checkpoint)


def load_discriminators(source: Checkpoint | Path | str, config: S2Config | None = None) -> Discriminators:
    """Load the discriminators of s2, float32. Raises CheckpointError as `load_s2` does."""
    checkpoint = _of("s2_discriminator", source)
    if config is None and (config := s2_sizes(checkpoint)):
        with torch.device("meta"):
            _same(Discriminators(config), checkpoint)
    with torch.random.fork_rng(devices=[]):
        module = Discriminators(config or S2Config.of(checkpoint.version))
    return fill(module, checkpoint)


def fill(module: Module, checkpoint: Checkpoint) -> Module:
    """Copy the weights into a module, converted to its dtype, and return it in eval mode.

    Raises:
        CheckpointError: tensors are missing, unknown or of another shape than the module's.
    """
    _same(module, checkpoint)
    module.load_state_dict(dict(checkpoint.weights))
    module.eval()
    return module


def s2_sizes(checkpoint: Checkpoint) -> S2Config | None:
    """Sizes in the header of our own s2 or discriminators; None for official files.

    Raises CheckpointError where the header is damaged, or its version is not that of the checkpoint.
    """
    config = _own_sizes(S2Config, checkpoint)
    if config and config.version != checkpoint.version and checkpoint.kind == "s2":
        raise CheckpointError(
            f"{_name(checkpoint)}: a checkpoint of {checkpoint.version} with the sizes of {config.version[:40]}: "
            "its header is damaged"
        )
    return config


def _own_sizes(kind: type[Config], checkpoint: Checkpoint) -> Config | None:
    return from_header(kind, checkpoint.config, _name(checkpoint)) if checkpoint.form == "own" else None


def _same(module: nn.Module, checkpoint: Checkpoint) -> None:
    shapes = {key: tuple(tensor.shape) for key, tensor in checkpoint.weights.items()}
    expected = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    if listing := differences(shapes, expected):
        raise CheckpointError(
            f"{_name(checkpoint)}: the {checkpoint.kind} of {checkpoint.version} does not fit "
            f"{type(module).__name__}: {listing}"
        )


def _name(checkpoint: Checkpoint) -> str:
    return str(checkpoint.source or "these weights")


def _of(kind: Kind, source: Checkpoint | Path | str) -> Checkpoint:
    checkpoint = source if isinstance(source, Checkpoint) else read(source)
    if checkpoint.kind != kind:
        raise CheckpointError(f"{_name(checkpoint)}: a checkpoint of {checkpoint.kind}, expected one of {kind}")
    return checkpoint

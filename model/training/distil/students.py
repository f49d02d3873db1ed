"""Construction of a student from its teacher: the layers that it keeps, and the sizes of its other parts.

s1: student layer i of L starts as the teacher's layer ceil(i x D / L), D being the teacher's depth: 6 of 24 are 4, 8,
12, 16, 20, 24. It replaces the teacher's layers up to that one, from the last one that the student layer before it
replaces (Sun et al., "Patient knowledge distillation", 2019, skip the same way). The rest of s1 is copied.

s2: a small generator and a small reference encoder, from scratch; the rest is copied and frozen. The posterior encoder,
which only training needs, is left out: a student speaks, and cannot be trained further as s2.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import nn

from voicemill.model.checkpoints.sizes import KEY, from_header
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.encoders import ReferenceEncoder
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.settings.training import DEPTH, DistillSettings
from voicemill.storage.errors import CheckpointError, ConfigError

SMALL = ("dec.", "ref_enc.")
"""Prefixes of the parameters that an s2 student does not copy."""
POSTERIOR = "enc_q."


@dataclass(frozen=True)
class Matches:
    """Correspondence of student and teacher layers, counted from 1."""

    start: tuple[int, ...]
    """Teacher layer that each student layer starts from."""
    pairs: tuple[tuple[int, int], ...]
    """Pairs (student layer, teacher layer) whose outputs and attentions are compared."""

    def __str__(self) -> str:
        starts = ", ".join(f"{i} from {t}" for i, t in enumerate(self.start, 1))
        pairs = ", ".join(f"{s} matches {t}" for s, t in self.pairs)
        return f"student layers: {starts}; {pairs or 'none is matched'}"


def matches(depth: int, layers: int, student_layers: Sequence[int]) -> Matches:
    """Match the layers of a student of `layers` with those of a teacher of `depth`.

    `student_layers` are layers of a teacher of depth 24; where one of them is deeper than this teacher, all are scaled:
    ceil(t x depth / 24). Each is matched by the student layer that replaces it; of several with the same student layer
    the deepest counts.

    Raises ConfigError: more layers than the teacher has, or none.
    """
    if not 1 <= layers <= depth:
        raise ConfigError(
            f"distill.layers = {layers}, and the teacher's s1 has {depth}: a student has 1 to {depth} layers"
        )
    start = tuple(-(-i * depth // layers) for i in range(1, layers + 1))
    matched = list(student_layers)
    if matched and max(matched) > depth:
        matched = [-(-t * depth // max(DEPTH, *matched)) for t in matched]
    by_student: dict[int, int] = {}
    for layer in sorted(set(matched)):
        by_student[next(i for i, t in enumerate(start, 1) if t >= layer)] = layer
    return Matches(start, tuple(sorted(by_student.items())))


def small_s1(teacher: Text2Semantic, layers: Matches, dropout: float) -> Text2Semantic:
    """Student of s1; every part is a copy of the teacher's."""
    student = Text2Semantic(replace(teacher.config, layers=len(layers.start), dropout=dropout))
    weights = teacher.state_dict()
    kept = {key: value for key, value in weights.items() if not key.startswith("h.layers.")}
    for place, layer in enumerate(layers.start):
        own, source = f"h.layers.{place}.", f"h.layers.{layer - 1}."
        kept |= {own + key.removeprefix(source): value for key, value in weights.items() if key.startswith(source)}
    student.load_state_dict(kept)
    return student


def small_s2(teacher: Synthesizer, settings: DistillSettings) -> Synthesizer:
    """Student of s2: generator and reference encoder from scratch, the rest copied from the teacher and frozen.

    Raises ConfigError: impossible sizes of a generator, or sizes of parts that are copied.
    """
    config = small_config(teacher.config, settings)
    student = Synthesizer(config, posterior=False)
    kept = {key: value for key, value in teacher.state_dict().items() if not key.startswith((POSTERIOR, *SMALL))}
    own = {key: value for key, value in student.state_dict().items() if key.startswith(SMALL)}
    student.load_state_dict(kept | own)
    for name, parameter in student.named_parameters():
        parameter.requires_grad_(name.startswith(SMALL))
    return student


def small_config(config: S2Config, settings: DistillSettings) -> S2Config:
    """Sizes of the student of an s2. Raises ConfigError like `small_s2`."""
    allowed = ("upsample_channels", "resblock_kernels", "resblock_dilations", "reference_dim")
    if wrong := [name for name in settings.s2_sizes if name not in allowed]:
        raise ConfigError(f"distill.s2_sizes.{wrong[0]}: a student differs from its teacher in {', '.join(allowed)}")
    sizes = {"reference_dim": reference_dim(config, settings.reference_share)} | dict(settings.s2_sizes)
    sizes |= {"dropout": 0.0, "reference_dropout": 0.0}  # the teacher's answer is the same every time
    try:
        student = from_header(S2Config, {KEY: asdict(config) | sizes}, "distill.s2_sizes")
    except CheckpointError as error:
        raise ConfigError(str(error)) from error
    return student or config


def reference_dim(config: S2Config, share: float) -> int:
    """Largest even number of channels of a reference encoder with at most `share` of the parameters.

    Raises ConfigError where 2 channels already have more.
    """
    allowed = share * _reference_size(config, config.reference_dim)
    for channels in range(config.reference_dim, 0, -2):
        if _reference_size(config, channels) <= allowed:
            return channels
    raise ConfigError(
        f"distill.reference_share = {share:g}: even a reference encoder of 2 channels is larger; "
        "1 keeps the teacher's size"
    )


def _reference_size(config: S2Config, channels: int) -> int:
    with torch.device("meta"):
        return size_of(ReferenceEncoder(config.reference_bins, channels, config.style, 0.0))


def size_of(module: nn.Module) -> int:
    """Number of parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())

"""Starting point of a distillation: the teacher's checkpoints, and new students or those of the phase before."""

from dataclasses import replace

from voicemill.model.checkpoints.loading import load_discriminators, load_s1, load_s2
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s2.losses import Discriminators
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.training.distil.joint import JointDistillation
from voicemill.model.training.distil.s1 import S1Distillation
from voicemill.model.training.distil.s2 import S2Distillation
from voicemill.model.training.distil.students import matches, small_s1, small_s2
from voicemill.model.training.engine.objective import Objective
from voicemill.model.training.engine.run import RunSpec
from voicemill.model.training.objectives.s1 import Coder
from voicemill.storage.errors import ConfigError


def distillation_of(spec: RunSpec, dims: int) -> Objective:
    """Build the objective of a run with teachers, on the CPU.

    The students are loaded from `start` (and in the joint phase `settings.start_s1`); where those are empty, they are
    constructed from the teachers. `dims`: dimensions of the content features of the corpus.

    Raises:
        ConfigError: no teacher, or settings, teachers and corpus contradict each other.
        CheckpointError: a checkpoint holds another network than expected.
    """
    for stem in ("s1", "s2") if spec.network == "s1" or joint(spec) else ("s2",):
        if stem not in spec.teachers:
            raise ConfigError(
                f"a student of {spec.network} learns from a teacher's {stem}: `voicemill distill` names it"
            )
    teacher = load_s2(spec.teachers["s2"])
    if teacher.config.ssl_dim != dims:
        raise ConfigError(
            f"the teacher {spec.teachers['s2']} reads content features of {teacher.config.ssl_dim} dimensions, the "
            f"corpus has {dims}: name the corpus version that it was trained on (--version)"
        )
    coder = Coder(teacher)
    if spec.network == "s1":
        return _s1(spec, coder, spec.start)
    if joint(spec):
        return JointDistillation(_s1(spec, coder, spec.settings.start_s1), _s2(spec, teacher, coder, whole=True))
    return _s2(spec, teacher, coder, whole=False)


def joint(spec: RunSpec) -> bool:
    """Return whether both students are trained together."""
    return spec.settings.phases[spec.phase].teach == "joint"


def _s1(spec: RunSpec, coder: Coder, start: str) -> S1Distillation:
    settings = spec.settings.distill
    teacher = load_s1(spec.teachers["s1"])
    layers = matches(teacher.config.layers, settings.layers, settings.student_layers)
    dropout = spec.settings.s1.dropout
    if start:
        loaded = load_s1(start)
        if loaded.config.layers != settings.layers:
            raise ConfigError(f"{start} has {loaded.config.layers} layers, and distill.layers = {settings.layers}")
        student = Text2Semantic(replace(loaded.config, dropout=dropout))
        student.load_state_dict(loaded.state_dict())
    else:
        student = small_s1(teacher, layers, dropout)
    notes = (f"s1 learns from {spec.teachers['s1']}" + (f", and starts from {start}" if start else ""),)
    return S1Distillation(student, teacher, layers, coder, settings, notes)


def _s2(spec: RunSpec, teacher: Synthesizer, coder: Coder, *, whole: bool) -> S2Distillation:
    settings, start = spec.settings, spec.start
    fresh = small_s2(teacher, settings.distill)
    if start:
        student = load_s2(start)
        if student.config != fresh.config:
            raise ConfigError(f"{start} has other sizes than [distill] demands: {student.config}")
        moved = {name for name, parameter in fresh.named_parameters() if parameter.requires_grad}
        for name, parameter in student.named_parameters():
            parameter.requires_grad_(name in moved)
        fresh = student
    notes = [f"s2 learns from {spec.teachers['s2']}" + (f", and starts from {start}" if start else "")]
    judges = None
    if settings.s2.discriminator:
        path = settings.start_discriminator
        judges = load_discriminators(path) if path else Discriminators(teacher.config)
        notes.append(f"discriminators from {path}" if path else "discriminators from scratch")
    return S2Distillation(
        fresh,
        teacher,
        judges,
        lambda batch: coder.to(batch.content.device)(batch.content, batch.lengths),
        settings.s2,
        settings.distill,
        tuple(notes),
        whole,
    )

"""Making the network of a run: from an official checkpoint, from one of ours, or from scratch.

From scratch, s2 gets its codebook by k-means over the content features of the corpus; s1 learns the codes of the s2
that the run names. `voicemill.model.adapters.adapting` decides which weights are trained.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from voicemill.model.adapters.adapting import adapt
from voicemill.model.checkpoints.checkpoint import Checkpoint, read
from voicemill.model.checkpoints.loading import load_discriminators, load_s1, load_s2
from voicemill.model.checkpoints.sizes import KEY, from_header
from voicemill.model.content.names import is_builtin
from voicemill.model.data.minibatch import Minibatch
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.losses import Discriminators
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.model.settings.training import LIGHT, Adaptation
from voicemill.model.text.symbols import SYMBOLS
from voicemill.model.training.distil.starting import distillation_of
from voicemill.model.training.engine.objective import Objective
from voicemill.model.training.engine.run import RunSpec
from voicemill.model.training.light.starting import Voices, light_of
from voicemill.model.training.objectives.codebook import learn_codebook
from voicemill.model.training.objectives.s1 import Coder, S1Objective
from voicemill.model.training.objectives.s2 import S2Objective
from voicemill.model.training.objectives.waveform_losses import ReferenceVoice, SpeakerEncoder
from voicemill.storage.errors import CheckpointError, ConfigError

Examples = Callable[[], Iterator[Minibatch]]
Config = TypeVar("Config", S1Config, S2Config)


def objective_of(
    spec: RunSpec,
    dims: int,
    examples: Examples,
    speaker_encoder: SpeakerEncoder | None = None,
    speakers: Sequence[str] = (),
    content: str = "",
    voices: Voices = dict,
) -> Objective:
    """Return the objective of a run, on the CPU; the same in every process, whatever torch's generator was seeded with.

    Args:
        dims: dimensions of the content features of the corpus.
        examples: minibatches of the corpus, read where a codebook is made; they need not end.
        speaker_encoder: judges voices where `s2.speaker_weight` is above 0; None = the reference encoder that s2 starts
            with.
        speakers: names of all speakers of the corpus, which light_speaker tells apart.
        voices: reads the speaker vectors of the corpus, where the light system needs them.
        content: content encoder of the corpus, which that of the starting checkpoints must be; "" = it is not compared.

    Raises:
        ConfigError: a setting contradicts another, or the corpus.
        CheckpointError: a checkpoint holds another network than expected, or cannot be trained.
        NoData: a codebook is to be made from an empty corpus.
    """
    teach = spec.settings.phases[spec.phase].teach if spec.phase in spec.settings.phases else ""
    if bool(teach) != bool(spec.teachers):
        raise ConfigError(
            f"phase {spec.phase!r} has teach = {teach!r}, and the run has {len(spec.teachers)} teachers: a phase with "
            "teach is run by `voicemill distill`, one without by `voicemill train`"
        )
    _check_content(spec, content)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.settings.loop.seed)
        if spec.teachers:
            return distillation_of(spec, dims)
        if spec.network in LIGHT:
            return light_of(spec, speakers, voices)
        return _s1(spec, dims) if spec.network == "s1" else _s2(spec, dims, examples, speaker_encoder)


def _s2(spec: RunSpec, dims: int, examples: Examples, speaker_encoder: SpeakerEncoder | None) -> S2Objective:
    settings, start = spec.settings.s2, spec.start or spec.settings.start_s2
    if start:
        checkpoint = read(start)
        if checkpoint.kind == "s2" and not checkpoint.posterior:
            raise CheckpointError(
                f"{start} speaks, but has no posterior encoder (enc_q), so it cannot be trained: start_s2 "
                "takes a file that has one, such as s2G2333k.pth of gsv-v2final-pretrained, or our s2.safetensors"
            )
        network, notes = load_s2(checkpoint), [_from("s2", checkpoint)]
        _check_dims(network, dims, start)
    else:
        _check_full(spec, "s2")
        config = _sized(S2Config.of(settings.version), settings.sizes, {"ssl_dim": dims}, "s2.sizes")
        network = Synthesizer(config)
        found = learn_codebook(network, examples(), spec.settings.loop.seed)
        used, points = int((found.sizes > 0).sum()), int(found.sizes.sum())
        notes = [f"s2 from scratch; {used} of {config.codebook} codes in use, by k-means over {points} pairs of frames"]
    if settings.speaker_weight and speaker_encoder is None:
        if start:
            speaker_encoder = ReferenceVoice(network.ref_enc)
            notes.append("speaker loss: judged by the reference encoder of that checkpoint, frozen")
        else:
            settings = settings.model_copy(update={"speaker_weight": 0.0})
            notes.append("no speaker loss: from scratch there is no reference encoder that knows voices")
    notes.append(adapt(network, "s2", _adaptation(spec), spec.settings.loop.seed).describe())
    judges = None
    if settings.discriminator:
        path = _discriminator(spec)
        judges = load_discriminators(path) if path else Discriminators(network.config)
        notes.append(f"discriminators from {path}" if path else "discriminators from scratch")
    return S2Objective(network, judges, settings, speaker_encoder, tuple(notes))


def _s1(spec: RunSpec, dims: int) -> S1Objective:
    settings, start = spec.settings.s1, spec.start or spec.settings.start_s1
    quantizer = spec.quantizer or spec.settings.start_s2
    if not quantizer:
        raise ConfigError(
            "s1 learns the codes of an s2, but none is named: set start_s2, or train s2 first (networks = s2, s1)"
        )
    teacher = load_s2(quantizer)
    _check_dims(teacher, dims, quantizer)
    coder = Coder(teacher)
    if start:
        checkpoint = read(start)
        network, notes = load_s1(checkpoint), [_from("s1", checkpoint)]
    else:
        _check_full(spec, "s1")
        fixed = {"codes": coder.entries, "phonemes": len(SYMBOLS)}
        network, notes = Text2Semantic(_sized(S1Config(), settings.sizes, fixed, "s1.sizes")), ["s1 from scratch"]
    network.config = replace(network.config, dropout=settings.dropout)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = settings.dropout
    notes.append(f"codes of {quantizer}")
    notes.append(adapt(network, "s1", _adaptation(spec), spec.settings.loop.seed).describe())
    return S1Objective(network, coder, settings, tuple(notes))


def _adaptation(spec: RunSpec) -> Adaptation:
    if spec.phase not in spec.settings.phases:
        raise ConfigError(f"phase {spec.phase!r} is not in the settings; there are: {', '.join(spec.settings.phases)}")
    return spec.settings.phases[spec.phase].adapt


def _check_full(spec: RunSpec, network: str) -> None:
    kind = _adaptation(spec).kind
    if kind != "full":
        raise ConfigError(
            f"phase {spec.phase} adapts {network} by adapt.kind = {kind!r}, but there is nothing to adapt: set "
            f"start_{network} to a checkpoint, or adapt.kind to 'full'"
        )


def _check_dims(network: Synthesizer, dims: int, path: str) -> None:
    if network.config.ssl_dim != dims:
        raise ConfigError(
            f"{path} takes content features of {network.config.ssl_dim} dimensions, the corpus has {dims}: refresh it "
            "with the content encoder of that checkpoint (content.engine, content.model), or train from scratch "
            "(start_s2 = '')"
        )


def _check_content(spec: RunSpec, content: str) -> None:
    """Refuse an s2 of another content encoder, also one of as many dimensions.

    Hub ids and folders are not compared: the same model may have two names.
    """
    start = (spec.start or spec.settings.start_s2) if spec.network == "s2" else spec.quantizer
    for path in (start, spec.teachers.get("s2", "")) if content else ():
        trained_on = str(read(path).lineage.get("content", "")) if path else ""
        if trained_on not in ("", content) and (is_builtin(trained_on) or is_builtin(content)):
            raise ConfigError(
                f"{path} was trained on the content features {trained_on}, the corpus has {content}: refresh it with "
                "the content encoder of that checkpoint (content.engine, content.model), or train from scratch "
                "(start_s2 = '')"
            )


def _sized(base: Config, sizes: Mapping[str, Any], fixed: Mapping[str, int], name: str) -> Config:
    """`base` with `sizes` and `fixed`, checked field by field."""
    if wrong := [key for key, value in fixed.items() if sizes.get(key, value) != value]:
        raise ConfigError(f"{name}.{wrong[0]} = {sizes[wrong[0]]}, but here it is {fixed[wrong[0]]}: leave it out")
    try:
        return from_header(type(base), {KEY: asdict(base) | dict(sizes) | dict(fixed)}, name) or base
    except CheckpointError as error:
        raise ConfigError(str(error)) from error


def _discriminator(spec: RunSpec) -> str:
    """Path of the discriminators trained with the starting network, else that of the settings; "" = none."""
    beside = [_beside(spec.start), spec.settings.start_discriminator, _beside(spec.settings.start_s2)]
    return next((path for path in beside if path), "")


def _beside(start: str) -> str:
    """Path of the discriminators beside an s2, by our name or that of GPT-SoVITS; "" = none."""
    path = Path(start)
    names = (f"{path.stem}_discriminator.safetensors", path.name.replace("s2G", "s2D", 1))
    there = (path.with_name(name) for name in names if start and name != path.name)
    return next((str(other) for other in there if other.is_file()), "")


def _from(network: str, checkpoint: Checkpoint) -> str:
    return f"{network} from {checkpoint.source}" + (f" ({checkpoint.info})" if checkpoint.info else "")

"""What a training of the light system starts from: its file, or networks from scratch.

Each of the three trainings takes the whole system and trains one part of it; all write the stem "light". So the file of
one is what the next one starts from, and after light_speaker, light and light_vocoder it speaks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias, TypeVar

from voicemill.model.checkpoints.sizes import KEY, from_header
from voicemill.model.light.config import AcousticConfig, EcapaConfig, VocoderConfig
from voicemill.model.light.system import LIGHT, LightSystem, load_light
from voicemill.model.settings.light import LightSettings
from voicemill.model.text.symbols import SYMBOLS
from voicemill.model.training.engine.run import RunSpec
from voicemill.model.training.light.acoustic import LightAcousticObjective
from voicemill.model.training.light.speaker import LIGHT_SPEAKER, LightSpeakerObjective
from voicemill.model.training.light.vocoder import LightVocoderObjective
from voicemill.storage.errors import CheckpointError, ConfigError

Config = TypeVar("Config", EcapaConfig, AcousticConfig, VocoderConfig)
LightObjective: TypeAlias = LightSpeakerObjective | LightAcousticObjective | LightVocoderObjective
FASTEST = 50.0
"""Phones per second: one of each frame."""


def light_of(spec: RunSpec, speakers: Sequence[str]) -> LightObjective:
    """What the run trains, on the CPU. `speakers`: all of the corpus, by name.

    Raises:
        ConfigError: a setting contradicts another, or the speaker encoder is needed and was never trained.
        CheckpointError: the file it starts from is no light system, or damaged.
    """
    settings, phase = spec.settings.light, spec.settings.phases[spec.phase]
    if phase.adapt.kind != "full":
        raise ConfigError(f"phase {spec.phase}: adapt.kind = {phase.adapt.kind!r}; the light system is trained in full")
    start = spec.start or spec.settings.start_light
    system = load_light(start, needs=()) if start else scratch(settings)
    notes = [f"light system from {start}, trained: {', '.join(sorted(system.trained))}" if start else "from scratch"]
    system.train().requires_grad_(True)
    if spec.network == LIGHT_SPEAKER:
        if phase.hold_back == "speakers":
            raise ConfigError(
                f"phase {spec.phase} holds back speakers, whom light_speaker could not know: set its hold_back to "
                "'recordings'"
            )
        return LightSpeakerObjective(system, speakers, settings.speaker, notes)
    if spec.network == LIGHT:
        if spec.settings.data.most_phones > FASTEST:
            raise ConfigError(
                f"data.most_phones = {spec.settings.data.most_phones:g}: light aligns frames of 20 ms, one or more for "
                f"each phone: expected {FASTEST:g} or less"
            )
        return LightAcousticObjective(system, settings.acoustic, notes)
    return LightVocoderObjective(system, settings.vocoder, notes)


def scratch(settings: LightSettings) -> LightSystem:
    """Untrained networks of the sizes of the settings. Raises ConfigError where a size is unknown or out of range."""
    return LightSystem(
        _sized(EcapaConfig(), settings.speaker.sizes, "light.speaker.sizes"),
        _sized(AcousticConfig(phones=len(SYMBOLS)), settings.acoustic.sizes, "light.acoustic.sizes"),
        _sized(VocoderConfig(), settings.vocoder.sizes, "light.vocoder.sizes"),
    )


def _sized(base: Config, sizes: Mapping[str, Any], name: str) -> Config:
    try:
        return from_header(type(base), {KEY: asdict(base) | dict(sizes)}, name) or base
    except CheckpointError as error:
        raise ConfigError(str(error)) from error

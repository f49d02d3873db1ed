"""Making the light system of a run: from its file, or from scratch.

Each of the three trainings takes the whole system, trains one part of it and writes the stem "light". So the next one
starts from the file of the one before, and after light_speaker, light and light_vocoder the system speaks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from voicemill.model.checkpoints.sizes import KEY, from_header
from voicemill.model.light.config import (
    AcousticConfig,
    EcapaConfig,
    Ge2eConfig,
    SpeakerConfig,
    SpectralConfig,
    VocoderConfig,
    VocoderSizes,
)
from voicemill.model.light.ge2e import Ge2e
from voicemill.model.light.system import LIGHT, LightSystem, load_light
from voicemill.model.settings.light import LightSettings
from voicemill.model.text.symbols import SYMBOLS
from voicemill.model.training.engine.run import RunSpec
from voicemill.model.training.light.acoustic import LightAcousticObjective
from voicemill.model.training.light.speaker import LIGHT_SPEAKER, LightSpeakerObjective
from voicemill.model.training.light.vocoder import LightVocoderObjective
from voicemill.storage.errors import CheckpointError, ConfigError

Config = TypeVar("Config", EcapaConfig, AcousticConfig, VocoderSizes)
LightObjective: TypeAlias = LightSpeakerObjective | LightAcousticObjective | LightVocoderObjective
Voices: TypeAlias = Callable[[], Mapping[str, NDArray[np.float32]]]
"""Function that reads the speaker vectors of the corpus, as `voicemill.model.data.voices.mean_voices`."""
FASTEST = 50.0
"""Most phones per second: one per frame."""


def light_of(spec: RunSpec, speakers: Sequence[str], voices: Voices = dict) -> LightObjective:
    """Return the objective of a run, on the CPU. `speakers`: names of all speakers of the corpus; `voices`: their
    vectors, read only where the speaker encoder is the embedded one.

    Raises:
        ConfigError: a setting contradicts another, the corpus lacks what it needs, or the speaker encoder is needed and
            was never trained.
        CheckpointError: the file it starts from is not a light system, or damaged.
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
                f"phase {spec.phase} holds out speakers, which light_speaker could not know: set its hold_back to "
                "'recordings'"
            )
        if isinstance(system.speaker, Ge2e):
            raise ConfigError(
                f"phase {spec.phase} trains light_speaker, but the speaker encoder is the embedded one, which is "
                "fixed: set its networks to ['light', 'light_vocoder']"
            )
        if len(speakers) == 1:
            raise ConfigError(
                f"phase {spec.phase} trains light_speaker, which learns to tell speakers apart, and the corpus has "
                "one: set light.encoder to 'ge2e' and the networks of the phase to ['light', 'light_vocoder'], or "
                "start from the light system of another voice (start_light) without light_speaker"
            )
        return LightSpeakerObjective(system, speakers, settings.speaker, notes)
    if spec.network == LIGHT:
        if spec.settings.data.most_phones > FASTEST:
            raise ConfigError(
                f"data.most_phones = {spec.settings.data.most_phones:g}: light aligns frames of 20 ms, one or more for "
                f"each phone: expected {FASTEST:g} or less"
            )
        vectors = voices() if isinstance(system.speaker, Ge2e) else {}
        targets = spec.speakers if set(phase.mix) == {"target"} else ()
        return LightAcousticObjective(system, settings.acoustic, notes, vectors, targets)
    return LightVocoderObjective(system, settings.vocoder, notes)


def scratch(settings: LightSettings) -> LightSystem:
    """Return untrained networks in the sizes of the settings. Raises ConfigError where a size is unknown or out of
    range."""
    encoder: SpeakerConfig = Ge2eConfig()
    if settings.encoder == "ecapa":
        encoder = _sized(EcapaConfig(), settings.speaker.sizes, "light.speaker.sizes")
    vocoder: VocoderSizes = SpectralConfig() if settings.vocoder.network == "spectral" else VocoderConfig()
    base = AcousticConfig(phones=len(SYMBOLS), embedding=encoder.embedding)
    return LightSystem(
        encoder,
        _sized(base, settings.acoustic.sizes, "light.acoustic.sizes"),
        _sized(vocoder, settings.vocoder.sizes, "light.vocoder.sizes"),
    )


def _sized(base: Config, sizes: Mapping[str, Any], name: str) -> Config:
    try:
        return from_header(type(base), {KEY: asdict(base) | dict(sizes)}, name) or base
    except CheckpointError as error:
        raise ConfigError(str(error)) from error

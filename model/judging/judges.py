"""The models that judge speech, and the reasons why some are missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from voicemill.model.device import DeviceChoice
from voicemill.model.judging.metrics.opinion import Opinion
from voicemill.model.judging.metrics.recognition import Recogniser
from voicemill.model.judging.metrics.speaker import SpeakerEncoder
from voicemill.model.judging.testset.testset import GallerySettings
from voicemill.model.pitch.engines import EngineName, Tracker, tracker
from voicemill.storage.errors import ModelMissing
from voicemill.storage.settings_file import FrozenSettings

LIGHT = "light"
OWN = "corpus"
"""Name for the recogniser that the corpus was transcribed with."""
FMIN, FMAX = 60.0, 800.0


class JudgeSettings(FrozenSettings):
    """Models that judge. A model that is named must be installed; without a name its figures are missing."""

    speaker_encoder: str = "light"
    """Encoder of voices: hub id or folder of an x-vector network (microsoft/wavlm-base-plus-sv), or the file of a light
    voice. "light": the newest light voice of the store that is not retired, if possible not one being judged."""
    recogniser: str = OWN
    """faster-whisper model, hub id or folder; "corpus": the one that transcribed the corpus, if any."""
    opinion: str = ""
    """MOS predictor: a TorchScript file, or hub id or folder of transformers; empty = none."""
    f0_engine: EngineName = "swift"
    """Pitch tracker, an engine of the stage `f0`."""
    gallery: GallerySettings = GallerySettings()
    device: DeviceChoice = "auto"
    beam_size: int = Field(5, ge=1)
    """Beam size of the recogniser."""


@dataclass(frozen=True, eq=False)
class Judges:
    """The loaded models."""

    pitch: Tracker
    speaker: SpeakerEncoder | None = None
    recogniser: Recogniser | None = None
    opinion: Opinion | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    """Metric -> why no model judges it, and how to add one."""
    models: Mapping[str, str] = field(default_factory=dict)
    """Role -> name of the model and 12 hex digits of its digest."""


def judges(settings: JudgeSettings, config: Mapping[str, Any]) -> Judges:
    """Return the loaded models. `config`: config of the corpus version.

    Raises:
        ModelMissing, ConfigError: a named model is not installed, or is of another kind.
    """
    missing: dict[str, str] = {}
    models: dict[str, str] = {"pitch": settings.f0_engine}
    speaker = _speaker(settings, missing, models)
    recogniser = _recogniser(settings, config, missing, models)
    opinion = _opinion(settings, missing, models)
    return Judges(
        pitch=tracker(settings.f0_engine, FMIN, FMAX),
        speaker=speaker,
        recogniser=recogniser,
        opinion=opinion,
        missing=missing,
        models=models,
    )


def _speaker(settings: JudgeSettings, missing: dict[str, str], models: dict[str, str]) -> SpeakerEncoder | None:
    from voicemill.model.device import place
    from voicemill.model.hub import digest_of, resolve
    from voicemill.model.judging.metrics.speaker import LightSpeaker, XVector

    if (name := settings.speaker_encoder) in ("", LIGHT):
        why = "no speaker encoder: name one, such as --speaker-encoder microsoft/wavlm-base-plus-sv, or let "
        why += "`voicemill distill --which light` make one"
        missing |= {"similarity": why, "identified": why}
        return None
    where = place(settings.device, "float32")
    if (file := Path(name)).is_file():
        models["speaker"] = f"{file.name} {digest_of(file)[:12]}"
        return LightSpeaker(file, where)
    folder = resolve(name, "speaker_encoder")
    models["speaker"] = f"{name} {digest_of(folder)[:12]}"
    return XVector(folder, where)


def _recogniser(
    settings: JudgeSettings, config: Mapping[str, Any], missing: dict[str, str], models: dict[str, str]
) -> Recogniser | None:
    from voicemill.model.hub import digest_of, resolve
    from voicemill.model.speech.whisper import Whisper

    name, why = settings.recogniser, ""
    if name == OWN:
        used: Mapping[str, Any] = config.get("transcribe", {})
        name = str(used.get("model", ""))
        if used.get("engine") != "whisperx":
            why = "no recogniser transcribed the corpus: name one, such as --recogniser Systran/faster-whisper-tiny"
        else:
            try:
                resolve(name, "recogniser")
            except ModelMissing as error:
                why = str(error)
    if why:
        missing |= {"cer": why, "wer": why}
        return None
    folder = resolve(name, "recogniser")
    models["recogniser"] = f"{name} {digest_of(folder)[:12]}"
    return Whisper(folder, settings.device, beam_size=settings.beam_size)


def _opinion(settings: JudgeSettings, missing: dict[str, str], models: dict[str, str]) -> Opinion | None:
    from voicemill.model.device import place
    from voicemill.model.hub import digest_of, resolve
    from voicemill.model.judging.metrics.opinion import Predictor

    if not (name := settings.opinion):
        missing["mos"] = "no predictor is named: give a TorchScript file or a folder of transformers with --opinion"
        return None
    path = Path(name).expanduser()
    path = path if path.is_file() else resolve(name, "opinion")
    models["opinion"] = f"{name} {digest_of(path)[:12]}"
    return Predictor(path, place(settings.device, "float32"))

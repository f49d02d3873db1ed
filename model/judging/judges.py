"""The models that judge speech, and the reasons why some are missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from voicemill.model.device import DeviceChoice
from voicemill.model.embedded import DISTILL_MOS, PREFIX, SPEAKER, WHISPER, EmbeddedModel, model_of
from voicemill.model.judging.metrics.opinion import Opinion
from voicemill.model.judging.metrics.recognition import Recogniser
from voicemill.model.judging.metrics.speaker import SpeakerEncoder
from voicemill.model.judging.testset.testset import GallerySettings
from voicemill.model.pitch.engines import EngineName, Tracker, tracker
from voicemill.storage.errors import ConfigError, ModelMissing
from voicemill.storage.settings_file import FrozenSettings

AUTO, NONE = "auto", "none"
LIGHT = "light"
OWN = "corpus"
"""Name for the recogniser that the corpus was transcribed with."""
FMIN, FMAX = 60.0, 800.0


class JudgeSettings(FrozenSettings):
    """Models that judge. The embedded ones need no setting; a model that is named must be installed; the figures of a
    model that is not there, or that is switched off by `none`, are missing with the reason."""

    speaker_encoder: str = AUTO
    """Encoder of voices: auto = the embedded one (GE2E), else as light; light = the newest light voice of the store
    that is not retired, if possible not one being judged; hub id or folder of an x-vector network
    (microsoft/wavlm-base-plus-sv), or the file of a light voice; none."""
    recogniser: str = AUTO
    """Recogniser: auto = the one that transcribed the corpus where it is not the embedded one, else the embedded one
    (Whisper tiny.en, which judges English only); corpus = the one that transcribed the corpus; hub id or folder of a
    Whisper model for CTranslate2; none."""
    opinion: str = AUTO
    """MOS predictor: auto = the embedded one (Distill-MOS); a TorchScript file, or hub id or folder of transformers;
    none."""
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


OFF = "it is switched off"


def _speaker(settings: JudgeSettings, missing: dict[str, str], models: dict[str, str]) -> SpeakerEncoder | None:
    from voicemill.model.device import place
    from voicemill.model.hub import digest_of, resolve
    from voicemill.model.judging.metrics.speaker import EmbeddedSpeaker, LightSpeaker, XVector

    name = settings.speaker_encoder
    if name == AUTO and SPEAKER.is_installed:
        name = PREFIX + SPEAKER.name
    if name in ("", AUTO, LIGHT, NONE):
        why = f"no speaker encoder: {SPEAKER.install_command}, or name one, such as --speaker-encoder "
        why += "microsoft/wavlm-base-plus-sv, or let `voicemill distill --which light` make one"
        why = f"no speaker encoder: {OFF}" if name == NONE else why
        missing |= {"similarity": why, "identified": why}
        return None
    if name.startswith(PREFIX):
        model = _embedded(name, "speaker_encoder", SPEAKER)
        models["speaker"] = f"{model.name} {model.digest[:12]}"
        return EmbeddedSpeaker(model.path("pretrained.pt"))
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
    if settings.recogniser == NONE:
        why = f"no recogniser: {OFF}"
    elif settings.recogniser == OWN and not _own_recogniser(config):
        why = "no recogniser transcribed the corpus: name one, such as --recogniser Systran/faster-whisper-tiny"
    else:
        from voicemill.model.speech.recogniser import find_model
        from voicemill.model.speech.whisper import Whisper

        why = ""
        for name in _recognisers(settings, config):
            try:
                model = find_model(name, "recogniser")
            except ModelMissing as error:
                if settings.recogniser not in (AUTO, OWN):
                    raise
                why = why or str(error)
                continue
            models["recogniser"] = f"{name.removeprefix(PREFIX)} {model.digest[:12]}"
            return Whisper(model.folder, settings.device, beam_size=settings.beam_size)
    missing |= {"cer": why, "wer": why}
    return None


def _recognisers(settings: JudgeSettings, config: Mapping[str, Any]) -> list[str]:
    """Models to try, the preferred one first."""
    own, embedded = _own_recogniser(config), PREFIX + WHISPER.name
    match settings.recogniser:
        case "auto":
            return list(dict.fromkeys(name for name in (own, embedded) if name))
        case "corpus":
            return [own]
    return [settings.recogniser]


def _own_recogniser(config: Mapping[str, Any]) -> str:
    """Model that the corpus was transcribed with; "" = its texts were given."""
    used: Mapping[str, Any] = config.get("transcribe", {})
    return "" if used.get("engine", "given") == "given" else str(used.get("model", ""))


def _opinion(settings: JudgeSettings, missing: dict[str, str], models: dict[str, str]) -> Opinion | None:
    from voicemill.model.device import place
    from voicemill.model.hub import digest_of, resolve
    from voicemill.model.judging.metrics.distill_mos import DistillMosPredictor
    from voicemill.model.judging.metrics.opinion import Predictor

    name = settings.opinion
    if name == AUTO and DISTILL_MOS.is_installed:
        name = PREFIX + DISTILL_MOS.name
    if name in ("", AUTO, NONE):
        why = f"{DISTILL_MOS.install_command}, or give a TorchScript file or a folder of transformers with --opinion"
        missing["mos"] = f"no predictor of opinions: {OFF if name == NONE else why}"
        return None
    where = place(settings.device, "float32")
    if name.startswith(PREFIX):
        model = _embedded(name, "opinion", DISTILL_MOS)
        models["opinion"] = f"{model.name} {model.digest[:12]}"
        return DistillMosPredictor(model.path("weights/distill_mos_v7.pt"), where)
    path = Path(name).expanduser()
    path = path if path.is_file() else resolve(name, "opinion")
    models["opinion"] = f"{name} {digest_of(path)[:12]}"
    return Predictor(path, where)


def _embedded(name: str, setting: str, fitting: EmbeddedModel) -> EmbeddedModel:
    """The embedded model that a setting names, which must be the `fitting` one.

    Raises:
        ModelMissing: no embedded model has the name.
        ConfigError: it is a model for something else.
    """
    model = model_of(name, setting)
    if model is not fitting:
        raise ConfigError(f"{setting} = {name!r}: a model for {model.task}; expected {PREFIX}{fitting.name}")
    return model

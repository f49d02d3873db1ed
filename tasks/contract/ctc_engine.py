"""The models of `align`, language by language: where they lie, what they need, and the word times they give.

A model is a wav2vec 2.0 one with a CTC head, or a small aligner that `voicemill aligner train` made (a folder with
`aligner.safetensors`, which alone counts as the model; always on the CPU).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from voicemill.model.speech.words import Alignment
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError
from voicemill.storage.keys import digest
from voicemill.storage.records import Segment
from voicemill.storage.units import Seconds
from voicemill.tasks.contract.models import Megabytes, weights_mb
from voicemill.tasks.contract.stage import Inputs

if TYPE_CHECKING:
    from voicemill.model.aligner.aligner import TrainedAligner
    from voicemill.model.speech.ctc import CtcModel
    from voicemill.model.speech.ctc_path import Emission

SMALL = "aligner.safetensors"
"""File of a small aligner."""
WORKING_MB: Megabytes = 1500
"""GPU memory that a model needs besides its weights, for a batch of 60 s."""


def locate(name: str, language: str) -> Path:
    """Folder of a model by hub id or local folder, file of a torchaudio bundle by its name (BUNDLE_NAME) or of a small
    aligner by its folder.

    Raises:
        ModelMissing: it is not on this machine; the message names the setting.
    """
    setting = f"align.models.{language}"
    if name.isupper():
        from voicemill.model.speech.ctc import bundle_file

        return bundle_file(name, setting)
    from voicemill.model.hub import resolve

    folder = resolve(name, setting)
    return folder / SMALL if (folder / SMALL).is_file() else folder


def model_digest(path: Path, language: str) -> str:
    """sha256 (hex) of all that the word times of a model depend on."""
    from voicemill.model.hub import digest_of

    if path.name != SMALL:
        return digest_of(path)
    from voicemill.model.speech.pronunciation import VERSION
    from voicemill.model.text.versions import VERSIONS

    return digest([digest_of(path), VERSION, VERSIONS.get(language, 0)])


def gpu_mb(path: Path) -> Megabytes:
    """GPU memory of a model at work; a small aligner uses none."""
    return 0 if path.name == SMALL else weights_mb(path) + WORKING_MB


class CtcEngine:
    """Word times by the ctc model of each language; a model is loaded at its first use."""

    def __init__(
        self,
        inputs: Inputs,
        models: Mapping[str, str],
        *,
        device: Literal["auto", "cpu", "cuda"],
        precision: Literal["auto", "float32", "bfloat16", "float16"],
        batch_s: Seconds,
    ) -> None:
        self._inputs, self._models = inputs, models
        self._device, self._precision, self._batch_s = device, precision, batch_s
        self._loaded: dict[str, CtcModel | TrainedAligner] = {}

    def model(self, language: str) -> "CtcModel | TrainedAligner":
        """The model of a language. Raises ModelMissing where it is not on this machine."""
        if language not in self._loaded:
            from voicemill.model.device import place
            from voicemill.model.hub import digest_of

            name = self._models[language]
            path = locate(name, language)
            if path.name == SMALL:
                self._loaded[language] = self._small(language, path)
            else:
                from voicemill.model.speech.ctc import CtcModel

                where = place(self._device, self._precision)
                key = ("align", name, digest_of(path), where)
                self._loaded[language] = self._inputs.model(key, partial(CtcModel, name, path, where), gpu_mb(path))
        return self._loaded[language]

    def _small(self, language: str, file: Path) -> "TrainedAligner":
        from voicemill.model.aligner.aligner import TrainedAligner
        from voicemill.model.hub import digest_of

        aligner = self._inputs.model(("align", digest_of(file)), partial(TrainedAligner.load, file))
        if aligner.description.language != language:
            raise ConfigError(
                f"align.models.{language} = {self._models[language]!r} is an aligner of another language, "
                f"{aligner.description.language!r}: "
                f"name one of {language!r}, or make it with `voicemill aligner train --language {language}`"
            )
        return aligner

    def emissions(self, language: str, waves: Mapping[Segment, Wave]) -> dict[Segment, "Emission"]:
        """Emissions of some segments, computed together; waves are float32 [samples], 32 kHz."""
        made = self.model(language).emissions(list(waves.values()), self._batch_s)
        return dict(zip(waves, made, strict=True))

    def align(self, language: str, emissions: Sequence["Emission"], words: Sequence[str]) -> Alignment:
        """Place the words of a text over the emissions of its segments, end to end. Raises Unalignable."""
        return self.model(language).place(emissions, words, language)

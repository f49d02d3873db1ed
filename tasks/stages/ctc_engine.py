"""The ctc models of `align`: where they lie, what they need, and the word times they give, language by language."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from voicemill.model.speech.words import Span
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.records import Segment
from voicemill.storage.units import Seconds
from voicemill.tasks.contract.models import Megabytes, weights_mb
from voicemill.tasks.contract.stage import Inputs

if TYPE_CHECKING:
    from voicemill.model.speech.ctc import CtcModel, Emission

WORKING_MB: Megabytes = 1500
"""GPU memory that a model needs besides its weights, for a batch of 60 s."""


def locate(name: str, language: str) -> Path:
    """Folder of a model by hub id or local folder, or file of a torchaudio bundle by its name (BUNDLE_NAME).

    Raises:
        ModelMissing: it is not on this machine; the message names the setting.
    """
    setting = f"align.models.{language}"
    if name.isupper():
        from voicemill.model.speech.ctc import bundle_file

        return bundle_file(name, setting)
    from voicemill.model.hub import resolve

    return resolve(name, setting)


def gpu_mb(path: Path) -> Megabytes:
    """GPU memory of a model at work."""
    return weights_mb(path) + WORKING_MB


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
        self._loaded: dict[str, CtcModel] = {}

    def model(self, language: str) -> "CtcModel":
        """The model of a language. Raises ModelMissing where it is not on this machine."""
        if language not in self._loaded:
            from voicemill.model.device import place
            from voicemill.model.hub import digest_of
            from voicemill.model.speech.ctc import CtcModel

            name, where = self._models[language], place(self._device, self._precision)
            path = locate(name, language)
            key = ("align", name, digest_of(path), where)
            self._loaded[language] = self._inputs.model(key, partial(CtcModel, name, path, where), gpu_mb(path))
        return self._loaded[language]

    def emissions(self, language: str, waves: Mapping[Segment, Wave]) -> dict[Segment, "Emission"]:
        """Emissions of some segments, computed together; waves are float32 [samples], 32 kHz."""
        made = self.model(language).emissions(list(waves.values()), self._batch_s)
        return dict(zip(waves, made, strict=True))

    def spans(self, language: str, emissions: Sequence["Emission"], words: Sequence[str]) -> list[Span | None]:
        """Place the words of a text over the emissions of its segments, end to end. Raises Unalignable."""
        from voicemill.model.speech.ctc import place_words

        model = self.model(language)
        return place_words(list(emissions), words, language, model.dictionary, model.blank)

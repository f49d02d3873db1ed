"""Texts of uploads by a Whisper model, in the languages that it knows.

An English-only model writes fluent English for every language, and neither its score nor an aligner sees that. So a
stated language that the model lacks is never transcribed; without a stated one, the sound decides: a multilingual model
detects the language, and for the embedded English-only model a classifier of its encoder states tells English from
other languages (`english_sound`). The classifier also refuses texts of what is stated as English but clearly is not.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from voicemill.model.embedded import PREFIX, WHISPER, model_of
from voicemill.model.speech import english_sound
from voicemill.model.speech.guards import Limits, Refusal
from voicemill.model.speech.whisper import Encoded, Package, Recognised, Whisper
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ModelMissing
from voicemill.storage.outcomes import Reason

ENGLISH = "en"


@dataclass(frozen=True)
class RecogniserModel:
    """A recogniser on this machine."""

    folder: Path
    digest: str
    languages: frozenset[str] | None
    """Languages that it recognises; None = known once it is loaded."""


@dataclass(frozen=True, kw_only=True)
class SpokenText:
    """Text of one segment, or why it has none."""

    text: str
    language: str
    score: float | None = None
    """Mean log probability of the tokens."""
    refusal: Refusal | None = None


def find_model(name: str, setting: str) -> RecogniserModel:
    """The model that a setting names: `embedded:<name>`, hub id or local folder.

    Raises:
        ModelMissing: it is not on this machine, or its files are not those pinned.
    """
    if name.startswith(PREFIX):
        known = model_of(name, setting)
        if known is not WHISPER:
            raise ModelMissing(f"{setting} = {name!r} is no recogniser; {PREFIX}{WHISPER.name} is one")
        return RecogniserModel(known.folder(), known.digest, frozenset({ENGLISH}))
    from voicemill.model.hub import digest_of, resolve

    folder = resolve(name, setting)
    return RecogniserModel(folder, digest_of(folder), None)


class Recogniser:
    """Recognises the segments of uploads with one model."""

    def __init__(self, model: RecogniserModel, whisper: Whisper, limits: Limits, batch_size: int) -> None:
        self._whisper, self._limits, self._batch_size = whisper, limits, batch_size
        self._tells_english = model.digest == WHISPER.digest and whisper.encodes_alone

    def texts(self, uploads: Mapping[str, Sequence[Wave]], stated: Mapping[str, str]) -> dict[str, list[SpokenText]]:
        """Upload -> one text for each wave (float32 [samples], 32 kHz). `stated`: upload -> language, "" = none."""
        encoded = {name: [self._whisper.encode(wave) for wave in waves] for name, waves in uploads.items()}
        texts: dict[str, list[SpokenText]] = {}
        together: dict[str, list[str]] = {}
        sounds: dict[str, _Sound] = {}
        for name, segments in encoded.items():
            language, refusal = stated[name], Refusal(Reason.UNKNOWN_LANGUAGE)
            if self._tells_english and language in ("", ENGLISH):
                sounds[name] = _Sound(english_sound.log_odds(segments), bool(language))
                foreign = sounds[name].refusal(english_sound.BEST_SCORE)  # no score could make it English
                language, refusal = ("", foreign) if foreign else (ENGLISH, refusal)
            elif not language and self._whisper.is_multilingual:
                language = self._whisper.language_of(segments)
            if self._whisper.knows(language):
                together.setdefault(language, []).append(name)
            else:
                refusal = Refusal(Reason.NO_RECOGNISER) if language else refusal
                texts[name] = refused(stated[name] or language, refusal, len(segments))
        for language, names in together.items():
            joined = [segment for name in names for segment in encoded[name]]
            made = iter(self._whisper.decode(joined, language, self._batch_size, self._limits))
            for name in names:
                own = list(itertools.islice(made, len(encoded[name])))
                other = sounds[name].refusal(_score(own, encoded[name])) if name in sounds else None
                texts[name] = refused(stated[name], other, len(own)) if other else [_text(o, language) for o in own]
        return texts


@dataclass(frozen=True)
class _Sound:
    """Evidence by the sound of an upload that may be English."""

    odds: float
    is_stated: bool
    """Whether English is stated: then only strong evidence speaks against it."""

    def refusal(self, score: float) -> Refusal | None:
        """The refusal of texts with this mean log probability, None where they are English."""
        evidence = english_sound.evidence(self.odds, score)
        least = english_sound.LEAST_STATED if self.is_stated else english_sound.LEAST
        reason = Reason.OTHER_LANGUAGE if self.is_stated else Reason.UNKNOWN_LANGUAGE
        return Refusal(reason, evidence, least) if evidence < least else None


def _score(texts: Sequence[Recognised], segments: Sequence[Encoded]) -> float:
    return float(np.average([one.score for one in texts], weights=[segment.seconds for segment in segments]))


def _text(one: Recognised, language: str) -> SpokenText:
    text = "" if one.refusal else one.text
    return SpokenText(text=text, language=language, score=one.score, refusal=one.refusal)


def refused(language: str, refusal: Refusal, count: int) -> list[SpokenText]:
    """The same refusal for every segment of an upload."""
    return [SpokenText(text="", language=language, refusal=refusal)] * count


def load(
    model: RecogniserModel,
    device: Literal["auto", "cpu", "cuda"],
    compute_type: str,
    beam_size: int,
    package: Package,
) -> Whisper:
    """Load a model. The embedded one runs on a CPU by default: it is small, and there its encoder tells English."""
    chosen = "cpu" if device == "auto" and model.digest == WHISPER.digest else device
    return Whisper(model.folder, chosen, compute_type, beam_size, package)

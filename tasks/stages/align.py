"""align: start, end and score of every word, and the split of an upload's text over its segments.

What: forced alignment of the text that `transcribe` gives with the kept segments. Engine `ctc`: a wav2vec 2.0 model for
each language (model/speech/ctc.py). Engine `pocketsphinx`: English with the model in its wheel
(model/speech/pocketsphinx_aligner.py). Both align English as the front end of training and speaking reads it, so that
`$12.50` spans its five spoken words. A text of a whole upload is aligned with its kept segments end to end; a word
belongs to the segment that holds most of it. A text that does not fit its audio has status `failed` and the reason: no
path, words missing, or scores too low. Cost: ctc a little more than the emissions of its model, pocketsphinx about 10 x
real time a core. Rows do not depend on the batch with pocketsphinx, nor with ctc on a CPU; on a GPU, but for rounding.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from voicemill.model.speech.words import Span, Unalignable
from voicemill.model.text.versions import VERSIONS as FRONT_END
from voicemill.storage.outcomes import Failure
from voicemill.storage.records import Aligned, Segment, Transcript
from voicemill.storage.units import RATE, Seconds
from voicemill.tasks.contract.signal import ListenTo, inputs_for, segment_reader
from voicemill.tasks.contract.stage import Inputs, Stage, StageSettings, guarded
from voicemill.tasks.stages.word_placement import Unit, distribute, failed, settle

if TYPE_CHECKING:
    from voicemill.model.speech.ctc import CtcModel, Emission
    from voicemill.model.speech.pocketsphinx_aligner import Pocket

VERSION = 1 + FRONT_END["en"]
"""Grows with the version of the English front end, whose reading is what is aligned."""

Engine = Literal["ctc", "pocketsphinx"]


class Settings(StageSettings):
    engine: Literal["auto", "ctc", "pocketsphinx", "off"] = "auto"
    """auto = ctc for the languages in `models`, pocketsphinx for English without one; languages without an engine keep
    their text and have no word times."""
    models: dict[str, str] = Field(default_factory=dict)
    """Language -> model of engine ctc: a torchaudio bundle, a hub id or a local folder. Default none: what is embedded
    needs no download."""
    min_score: float = Field(0.33, ge=0.0, le=1.0)
    """Lower quartile of a segment's word scores under which pocketsphinx's alignment has failed. Default calibrated on
    people and synthetic voices (tests/bench/align_calibration.py); for people alone 0.5 lets less through."""
    min_score_ctc: float = Field(0.2, ge=0.0, le=1.0)
    """The same for ctc. Default: our own, not calibrated; right texts have 0.5 and more."""
    batch_s: Seconds = Field(60.0, gt=0.0)
    """Audio that a ctc model hears at once on a GPU, with padding; a CPU takes one segment at a time. Default: ours."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where ctc models run; auto = the first GPU, else the CPU."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of ctc emissions; auto = bfloat16 where the hardware has it."""
    listen_to: ListenTo = "original"
    """original, or prepared (after denoise and loudness). Default original: denoising raises error rates."""

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.engine == "ctc" and not self.models:
            raise ValueError("align.engine = 'ctc' needs align.models, as {en = 'WAV2VEC2_ASR_BASE_960H'}")
        return self

    def engine_for(self, language: str) -> Engine | None:
        """The engine that aligns this language."""
        if self.engine in ("auto", "ctc") and language in self.models:
            return "ctc"
        return "pocketsphinx" if self.engine in ("auto", "pocketsphinx") and language == "en" else None

    def has_engine_for(self, language: str) -> bool:
        """Whether any engine aligns this language."""
        return self.engine_for(language) is not None


class Work:
    """The uploads of a batch on their way through; models are loaded when the first text needs them."""

    def __init__(self, inputs: Inputs, settings: Settings) -> None:
        self._read, self._settings = segment_reader(inputs, settings.listen_to), settings
        self._segments: dict[str, list[Segment]] = {}
        for segment in inputs.segments():
            self._segments.setdefault(segment.upload, []).append(segment)
        self._texts: dict[str, list[Transcript]] = {}
        for row in inputs.rows("transcribe", Transcript):
            self._texts.setdefault(row.upload, []).append(row)
        self._pocket: Pocket | None = None
        self._ctc: dict[str, CtcModel] = {}

    def group(self, uploads: Iterable[str]) -> Iterator[Aligned | Failure]:
        """Rows of some uploads, upload after upload; their emissions are computed together."""
        has = self._settings.has_engine_for
        settled = {u: settle(self._segments.get(u, []), self._texts.get(u, []), has) for u in uploads}
        units = [(u, unit) for u, (_, units) in settled.items() for unit in units]
        listen: dict[str, list[Segment]] = {}
        for _, unit in units:
            if self._settings.engine_for(unit.language) == "ctc":
                listen.setdefault(unit.language, []).extend(unit.segments)
        emitted: dict[Segment, Emission] = {}
        for language, segments in listen.items():
            self._model(language)  # a missing model ends the stage, whatever the uploads
            try:
                emitted |= self._emissions(language, segments)
            except MemoryError:
                raise
            except Exception:  # one of them breaks the batch: below each upload is on its own
                continue
        for upload, (rows, units_) in settled.items():

            def work(rows: list[Aligned] = rows, units_: list[Unit] = units_) -> list[Aligned]:
                made = [*rows, *(row for unit in units_ for row in self._align(unit, emitted))]
                return sorted(made, key=lambda row: row.index)

            yield from guarded(upload, work)

    def seconds(self, upload: str) -> Seconds:
        """Audio of the kept segments of an upload."""
        return sum(segment.stop - segment.start for segment in self._segments.get(upload, [])) / RATE

    def _align(self, unit: Unit, emitted: Mapping[Segment, "Emission"]) -> list[Aligned]:
        by_ctc = self._settings.engine_for(unit.language) == "ctc"
        try:
            spans = self._ctc_spans(unit, emitted) if by_ctc else self._pocket_spans(unit)
        except Unalignable as error:
            return failed(unit, str(error))
        return distribute(unit, spans, self._settings.min_score_ctc if by_ctc else self._settings.min_score)

    def _pocket_spans(self, unit: Unit) -> list[Span | None]:
        from voicemill.model.speech.pocketsphinx_aligner import Pocket

        self._pocket = self._pocket or Pocket()
        return self._pocket.align(np.concatenate([self._read(segment) for segment in unit.segments]), unit.words)

    def _ctc_spans(self, unit: Unit, emitted: Mapping[Segment, "Emission"]) -> list[Span | None]:
        from voicemill.model.speech.ctc import place_words

        if any(segment not in emitted for segment in unit.segments):
            emitted = self._emissions(unit.language, unit.segments)
        model = self._model(unit.language)
        emissions = [emitted[segment] for segment in unit.segments]
        return place_words(emissions, unit.words, unit.language, model.dictionary, model.blank)

    def _emissions(self, language: str, segments: Sequence[Segment]) -> dict[Segment, "Emission"]:
        waves = [self._read(segment) for segment in segments]
        return dict(zip(segments, self._model(language).emissions(waves, self._settings.batch_s), strict=True))

    def _model(self, language: str) -> "CtcModel":
        if language not in self._ctc:
            from voicemill.model.device import place
            from voicemill.model.speech.ctc import CtcModel

            name, where = located(self._settings, language)
            self._ctc[language] = CtcModel(name, where, place(self._settings.device, self._settings.precision))
        return self._ctc[language]


GROUP: Seconds = 300.0
"""Audio whose emissions are held at once: 700 MB for a model with 12,000 characters."""


def run(inputs: Inputs, settings: Settings) -> Iterator[Aligned | Failure]:
    """One row for each kept segment, in the order of the uploads and of time."""
    work = Work(inputs, settings)
    group: list[str] = []
    for upload in inputs.batch.uploads:
        group.append(upload.sha256)
        if sum(map(work.seconds, group)) > GROUP:
            yield from work.group(group)
            group = []
    yield from work.group(group)


def located(settings: Settings, language: str) -> tuple[str, Path]:
    """The name of a language's ctc model and its folder or file. Raises ModelMissing where it is not here."""
    from voicemill.model.hub import resolve

    name, setting = settings.models[language], f"align.models.{language}"
    if name.isupper():
        from voicemill.model.speech.ctc import bundle_file

        return name, bundle_file(name, setting)
    return name, resolve(name, setting)


def models(settings: Settings) -> Mapping[str, str]:
    """The digest of every ctc model that these settings can load."""
    if settings.engine not in ("auto", "ctc"):
        return {}
    from voicemill.model.hub import digest_of

    return {f"models.{language}": digest_of(located(settings, language)[1]) for language in sorted(settings.models)}


STAGE = Stage(
    name="align",
    version=VERSION,
    settings=Settings,
    needs=("decode", "slice", "transcribe"),
    row=Aligned,
    run=run,
    needs_for=lambda settings: inputs_for(settings.listen_to, "transcribe"),
    models=models,
    named_models=lambda settings: {f"align.models.{code}": name for code, name in sorted(settings.models.items())},
)

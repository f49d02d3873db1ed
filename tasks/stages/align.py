"""align: start, end and score of every word, and the split of an upload's text over its segments.

What: forced alignment of the text that `transcribe` gives with the kept segments. Engine `ctc`: a wav2vec 2.0 model for
each language (model/speech/ctc.py), or a small aligner that `voicemill aligner train` makes from the corpus. Engine
`pocketsphinx`: English, and German by the nearest English phones, with the model in its wheel; `phones`: Chinese by
those that Whisper's encoder hears (tasks/contract/embedded_aligners.py). English is aligned as the front end of
training and speaking reads it: `$12.50` spans its five spoken words. A text of a whole upload is aligned with its kept
segments end to end; a word belongs to the segment that holds most of it. A text that does not fit its audio has status
`failed` and a reason (model/speech/text_fit.py). Cost: the emissions of a ctc model; pocketsphinx, 10 x real time a
core; the encoder. On a CPU rows do not depend on the batch.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from voicemill.model.speech.pronunciation import VERSION as PRONUNCIATION
from voicemill.model.speech.text_fit import VERSION as FIT
from voicemill.model.speech.text_fit import FitSettings, check_rate
from voicemill.model.speech.word_placement import Unit, distribute, failed_rows, pair_texts
from voicemill.model.speech.words import Alignment, Unalignable
from voicemill.model.text.versions import VERSIONS as FRONT_END
from voicemill.storage.outcomes import Failure
from voicemill.storage.records import Aligned, Segment, Transcript
from voicemill.storage.units import RATE, Seconds
from voicemill.tasks.contract import embedded_aligners as embedded
from voicemill.tasks.contract.ctc_engine import CtcEngine, gpu_mb, locate, model_digest
from voicemill.tasks.contract.models import Resources
from voicemill.tasks.contract.signal import ListenTo, inputs_for, segment_reader
from voicemill.tasks.contract.stage import Inputs, Stage, StageSettings, guarded

if TYPE_CHECKING:
    from voicemill.model.speech.ctc_path import Emission

VERSION = PRONUNCIATION + FRONT_END["en"] + FRONT_END["zh"] + FIT + embedded.VERSION
"""Grows with the versions of what reads and judges the texts."""

GROUP: Seconds = 300.0
"""Audio whose emissions are held at once: 700 MB for a model with 12,000 characters."""
Engine = Literal["ctc"] | embedded.Engine


class Settings(FitSettings, StageSettings):
    """Engine for each language, and the limits beyond which a text is refused."""

    engine: Literal["auto", "ctc", "pocketsphinx", "off"] = "auto"
    """auto = ctc for the languages in `models`, else what is embedded for en, de, zh; pocketsphinx = of this, it alone;
    others get no word times."""
    models: dict[str, str] = Field(default_factory=dict)
    """Language -> model of engine ctc: a torchaudio bundle, a hub id, a local folder, or the folder that `voicemill
    aligner train` writes. Default none: what is embedded needs no download."""
    batch_s: Seconds = Field(60.0, gt=0.0)
    """Seconds of audio in a GPU batch of a ctc model, padding included; a CPU takes single segments. Default: ours."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of ctc models; auto = the first GPU, else the CPU."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of ctc emissions; auto = bfloat16 where the hardware has it."""
    listen_to: ListenTo = "original"
    """original, or prepared (after denoise and loudness). Default original: denoising raises error rates."""

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.engine == "ctc" and not self.models:
            raise ValueError("align.engine = 'ctc' needs align.models, as {en = 'WAV2VEC2_ASR_BASE_960H'}")
        return self

    @property
    def hears(self) -> bool:
        """Whether texts may be judged by Whisper's encoder."""
        return self.engine == "auto"

    def engine_for(self, language: str) -> Engine | None:
        """Engine that aligns this language; None = there is none."""
        if self.engine in ("auto", "ctc") and language in self.models:
            return "ctc"
        return embedded.engine_for(language, hears=self.hears) if self.engine in ("auto", "pocketsphinx") else None


class Aligner:
    """Aligns the uploads of a batch; a model is loaded when the first text needs it."""

    def __init__(self, inputs: Inputs, settings: Settings) -> None:
        self._inputs, self._settings, self._read = inputs, settings, segment_reader(inputs, settings.listen_to)
        self._segments: dict[str, list[Segment]] = defaultdict(list)
        for segment in inputs.segments():
            self._segments[segment.upload].append(segment)
        self._texts: dict[str, list[Transcript]] = defaultdict(list)
        for row in inputs.rows("transcribe", Transcript):
            self._texts[row.upload].append(row)
        options = settings.model_dump(include={"device", "precision", "batch_s"})
        self._ctc = CtcEngine(inputs, settings.models, **options)
        self._embedded = embedded.EmbeddedAligners(inputs, hears=settings.hears)

    def group(self, uploads: Iterable[str]) -> Iterator[Aligned | Failure]:
        """Rows of some uploads, upload after upload; their emissions are computed together."""
        engine_for = self._settings.engine_for
        pairs = {u: pair_texts(self._segments[u], self._texts[u], engine_for) for u in uploads}
        by_language: dict[str, list[Segment]] = defaultdict(list)
        for unit in (unit for _, units in pairs.values() for unit in units):
            if engine_for(unit.language) == "ctc":
                by_language[unit.language].extend(unit.segments)
        emissions: dict[Segment, Emission] = {}
        for language, segments in by_language.items():
            self._ctc.model(language)  # a missing model ends the stage, whatever the uploads
            try:
                emissions |= self._emissions(language, segments)
            except MemoryError:
                raise
            except Exception:  # one of them breaks the batch: below each upload is on its own
                continue
        for upload, (rows, units) in pairs.items():

            def work(rows: list[Aligned] = rows, units: list[Unit] = units) -> list[Aligned]:
                aligned = [*rows, *(row for unit in units for row in self._align(unit, emissions))]
                return [self._rated(row) for row in sorted(aligned, key=lambda row: row.index)]

            yield from guarded(upload, work)

    def seconds(self, upload: str) -> Seconds:
        """Audio of the kept segments of an upload."""
        return sum(segment.stop - segment.start for segment in self._segments[upload]) / RATE

    def _align(self, unit: Unit, emissions: Mapping[Segment, "Emission"]) -> list[Aligned]:
        is_ctc = self._settings.engine_for(unit.language) == "ctc"

        def align(part: Unit) -> Alignment:
            return self._by_ctc(part, emissions) if is_ctc else self._by_embedded(part)

        try:
            placed = align(unit)
        except Unalignable as error:
            return failed_rows(unit, str(error), None if is_ctc else align)
        return distribute(unit, placed, self._settings.fit_limits(is_ctc=is_ctc, is_recognised=unit.is_recognised))

    def _rated(self, row: Aligned) -> Aligned:
        segment = next(segment for segment in self._segments[row.upload] if segment.index == row.index)
        return check_rate(row, segment.stop - segment.start, self._settings.rate_limits)

    def _by_embedded(self, unit: Unit) -> Alignment:
        wave = np.concatenate([self._read(segment) for segment in unit.segments])
        return self._embedded.align(wave, unit.words, unit.language)

    def _by_ctc(self, unit: Unit, emissions: Mapping[Segment, "Emission"]) -> Alignment:
        if any(segment not in emissions for segment in unit.segments):
            emissions = self._emissions(unit.language, unit.segments)
        return self._ctc.align(unit.language, [emissions[segment] for segment in unit.segments], unit.words)

    def _emissions(self, language: str, segments: Iterable[Segment]) -> dict[Segment, "Emission"]:
        return self._ctc.emissions(language, {segment: self._read(segment) for segment in segments})


def run(inputs: Inputs, settings: Settings) -> Iterator[Aligned | Failure]:
    """One row for each kept segment, in the order of the uploads and of time."""
    aligner, group = Aligner(inputs, settings), list[str]()
    for upload in inputs.batch.uploads:
        group.append(upload.sha256)
        if sum(map(aligner.seconds, group)) > GROUP:
            yield from aligner.group(group)
            group = []
    yield from aligner.group(group)


def _files(settings: Settings) -> dict[str, Path]:
    """Language -> folder or file of its ctc model, for every model that these settings can load."""
    named = settings.models if settings.engine in ("auto", "ctc") else {}
    return {language: locate(name, language) for language, name in sorted(named.items())}


def models(settings: Settings) -> Mapping[str, str]:
    """Digest of every ctc model that these settings can load, and of Whisper where it judges texts."""
    own = {f"models.{language}": model_digest(path, language) for language, path in _files(settings).items()}
    return {**own, **embedded.models(hears=settings.hears)}


def resources(settings: Settings) -> Resources:
    """GPU memory of the largest ctc model: a batch is mostly of one language."""
    files = _files(settings).values() if settings.device != "cpu" else ()
    return Resources(gpu_mb=max(map(gpu_mb, files), default=0))


STAGE = Stage(
    name="align",
    version=VERSION,
    settings=Settings,
    needs=("decode", "slice", "transcribe"),
    row=Aligned,
    run=run,
    needs_for=lambda settings: inputs_for(settings.listen_to, "transcribe"),
    models=models,
    resources=resources,
    named_models=lambda settings: {f"align.models.{code}": name for code, name in sorted(settings.models.items())},
)

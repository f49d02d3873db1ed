"""transcribe: text of every kept segment, given with the upload or recognised, or the reason why it has none.

What: engine `auto` takes the upload's own transcript, else recognises the kept segments where a model for their
language is on this machine; `given` only takes transcripts; `whisperx` needs its model, and generates through whisperx.
A transcript of an upload with several segments is one row with index -1: `align` places it. A text that a guard refuses
(model/speech/guards.py) costs the text, not the segment.
Cost: `given` reads no audio; for whisper see model/speech/whisper.py. ASR reads the original, with the silence around:
denoising raises error rates (wenet#2522). Source: whisperx (Bain et al., Interspeech 2023).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from pydantic import Field

from voicemill.model.embedded import PREFIX, WHISPER
from voicemill.model.speech.guards import Limits, Refusal
from voicemill.model.speech.recogniser import Recogniser, RecogniserModel, SpokenText, find_model, load, refused
from voicemill.storage.errors import ModelMissing
from voicemill.storage.keys import digest
from voicemill.storage.outcomes import Failure, Reason
from voicemill.storage.records import Batch, Segment, Transcript, Upload
from voicemill.storage.units import RATE, Seconds
from voicemill.tasks.contract.given import given_transcripts, with_language
from voicemill.tasks.contract.models import Resources, weights_mb
from voicemill.tasks.contract.signal import ListenTo, inputs_for, segment_reader
from voicemill.tasks.contract.stage import Inputs, Stage, StageSettings, guarded

VERSION = 4
GROUP: Seconds = 120.0
"""Audio that is recognised together: its encoder states take 20 MB with the embedded model."""


class Settings(Limits, StageSettings):
    """Source of the text, the recogniser, and the guards of its texts."""

    engine: Literal["auto", "given", "whisperx"] = "auto"
    """Source of the text: auto, given or whisperx. Default auto: recordings need no transcripts."""
    prefer: Literal["given", "whisperx"] = "given"
    """Text of uploads that have their own: given, or whisperx for the recognised one. Default: people wrote it."""
    model: str = "embedded:whisper-tiny.en"
    """Whisper model for CTranslate2: `embedded:whisper-tiny.en`, hub id or local folder. Default: the embedded one, for
    English; whisperx's best is Systran/faster-whisper-large-v3."""
    language: str = ""
    """ISO 639-1 code of uploads that state none; "" = detected in the text or the sound."""
    batch_size: int = Field(8, ge=1)
    """Windows that a GPU decodes together, 1 or more; a CPU takes one. Default: whisperx's own for a small GPU."""
    beam_size: int = Field(5, ge=1)
    """Hypotheses kept while decoding, 1 or more. Default: whisperx's own."""
    compute_type: str = "default"
    """CTranslate2 compute type: default (float16 on a GPU, int8 on a CPU), float32, int8_float16, ..."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of whisper; auto = the first GPU, else the CPU."""
    context_s: Seconds = Field(0.2, ge=0.0, le=1.0)
    """Seconds of silence around a segment of the original that are recognised with it, 0 to 1. Default: our own."""
    listen_to: ListenTo = "original"
    """original, or prepared (after denoise and loudness). Default original: denoising raises error rates."""


def run(inputs: Inputs, settings: Settings) -> Iterator[Transcript | Failure]:
    """Rows in the order of the uploads: the upload's own text, or one row for each of its segments."""
    segments: dict[str, list[Segment]] = {}
    for segment in inputs.segments():
        segments.setdefault(segment.upload, []).append(segment)
    model = recogniser_model(settings)
    rows: dict[str, list[Transcript | Failure]] = {}
    unnamed: dict[str, list[Transcript]] = {}
    unrecognised: dict[str, Upload] = {}
    for upload in inputs.batch.uploads:
        own, language = segments.get(upload.sha256, []), upload.language or settings.language
        given = given_transcripts(upload, own, language)
        foreign = model is None or (language and model.languages is not None and language not in model.languages)
        if given and (foreign or settings.prefer == "given"):
            rows[upload.sha256] = list(given)
            if model and not given[0].language:  # its sound tells
                unnamed[upload.sha256], unrecognised[upload.sha256] = given, upload
        elif foreign:
            reason = Reason.NO_TRANSCRIPT if settings.engine == "given" else Reason.NO_RECOGNISER
            rows[upload.sha256] = _rows(own, refused(language, Refusal(reason), len(own)), "")
        elif own:
            unrecognised[upload.sha256] = upload
    if model and unrecognised:
        rows |= _recognised(inputs, settings, model, segments, unrecognised)
    rows |= {name: with_language(given, rows[name]) for name, given in unnamed.items()}
    for upload in inputs.batch.uploads:
        yield from rows.get(upload.sha256, [])


def _recognised(
    inputs: Inputs,
    settings: Settings,
    model: RecogniserModel,
    segments: Mapping[str, list[Segment]],
    uploads: Mapping[str, Upload],
) -> dict[str, list[Transcript | Failure]]:
    """Upload -> rows of its segments; one that cannot be recognised fails alone."""
    read, package = segment_reader(inputs, settings.listen_to, settings.context_s), _package(settings)
    options = (settings.device, settings.compute_type, settings.beam_size, package)
    key = ("transcribe", model.digest, *options)
    whisper = inputs.model(key, lambda: load(model, *options), resources(settings).gpu_mb)
    recogniser = Recogniser(model, whisper, settings, settings.batch_size)

    def recognise(group: Iterable[str]) -> dict[str, list[Transcript | Failure]]:
        waves = {name: [read(segment) for segment in segments[name]] for name in group}
        stated = {name: uploads[name].language or settings.language for name in waves}
        made = recogniser.texts(waves, stated)
        return {name: _rows(segments[name], made[name], package) for name in waves}

    rows: dict[str, list[Transcript | Failure]] = {}
    for group in _groups(uploads, segments):
        try:
            rows |= recognise(group)
        except MemoryError:
            raise
        except Exception:  # some upload breaks the group: one by one, so that only that one fails
            rows |= {name: list(guarded(name, lambda name=name: recognise([name])[name])) for name in group}  # type: ignore[misc]
    return rows


def _groups(uploads: Iterable[str], segments: Mapping[str, list[Segment]]) -> Iterator[list[str]]:
    """Uploads in groups of about `GROUP`."""
    group, samples = list[str](), 0
    for name in uploads:
        group.append(name)
        samples += sum(segment.stop - segment.start for segment in segments[name])
        if samples >= GROUP * RATE:
            yield group
            group, samples = [], 0
    if group:
        yield group


def _rows(segments: Iterable[Segment], texts: Iterable[SpokenText], engine: str) -> list[Transcript | Failure]:
    return [
        Transcript(
            upload=segment.upload,
            index=segment.index,
            text=one.text,
            language=one.language,
            engine=engine,
            score=one.score,
            reason=one.refusal.reason.value if one.refusal else "",
            measure=one.refusal.value if one.refusal else None,
            limit=one.refusal.limit if one.refusal else None,
        )
        for segment, one in zip(segments, texts, strict=True)
    ]


def _package(settings: Settings) -> Literal["faster-whisper", "whisperx"]:
    return "whisperx" if settings.engine == "whisperx" else "faster-whisper"


def recogniser_model(settings: Settings) -> RecogniserModel | None:
    """The model that these settings recognise with; None with engine given, or auto without it on this machine."""
    try:
        return find_model(settings.model, "transcribe.model") if settings.engine != "given" else None
    except ModelMissing:
        if settings.engine != "auto" or (settings.model.startswith(PREFIX) and WHISPER.is_installed):  # it differs
            raise
        return None


def models(settings: Settings) -> Mapping[str, str]:
    """Digest of the whisper model, where one is used."""
    model = recogniser_model(settings)
    return {"model": model.digest} if model else {}


def resources(settings: Settings) -> Resources:
    """GPU memory of whisper: weights, and what faster-whisper's README measures for beams of 5 (large-v2, float16)."""
    model = recogniser_model(settings)
    if model is None or settings.device == "cpu" or model.digest == WHISPER.digest:
        return Resources()
    return Resources(gpu_mb=weights_mb(model.folder) + 1400 + 200 * settings.batch_size)


def metadata(batch: Batch) -> str:
    """Digest of the transcripts and languages: the rows follow from them."""
    return digest([[upload.sha256, upload.text, upload.language] for upload in batch.uploads])


STAGE = Stage(
    name="transcribe",
    version=VERSION,
    settings=Settings,
    needs=("decode", "slice"),
    row=Transcript,
    run=run,
    needs_for=lambda settings: ("slice",) if settings.engine == "given" else inputs_for(settings.listen_to),
    metadata=metadata,
    models=models,
    resources=resources,
    named_models=lambda settings: {} if settings.engine == "given" else {"transcribe.model": settings.model},
)

"""transcribe: text of every kept segment, given with the upload or recognised.

What: engine `given` takes the upload's own transcript; `whisperx` recognises the kept segments with a faster-whisper
model through whisperx's batched generation. No voice activity detector runs: each segment of `slice` has one row.
A transcript of a whole upload that has several segments is one row with index -1: `align` places it.
Cost: `given` reads no audio; whisper processes 30 s per segment, see model/speech/whisper.py.
Source: whisperx (Bain et al., Interspeech 2023). ASR reads the original: denoising raises error rates (wenet#2522).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from pydantic import Field

from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.keys import digest
from voicemill.storage.outcomes import Failure
from voicemill.storage.records import Batch, Segment, Transcript, Upload
from voicemill.tasks.contract.models import Resources, weights_mb
from voicemill.tasks.contract.signal import ListenTo, inputs_for, segment_reader
from voicemill.tasks.contract.stage import Inputs, Stage, StageSettings, guarded

VERSION = 1


class Settings(StageSettings):
    """Source of the text, and the recogniser."""

    engine: Literal["given", "whisperx"] = "given"
    """Source of the text. Default given: it needs no model."""
    prefer: Literal["given", "whisperx"] = "given"
    """Text used for uploads that have their own, with engine whisperx. Default given: people wrote it."""
    model: str = "Systran/faster-whisper-large-v3"
    """faster-whisper model of engine whisperx, hub id or local folder. Default: whisperx's best."""
    language: str = ""
    """ISO 639-1 code of uploads that state none; "" = detected by whisperx, unknown with engine given."""
    batch_size: int = Field(8, ge=1)
    """Segments that whisper decodes together, 1 or more. Default: whisperx's own for a CPU or a small GPU."""
    beam_size: int = Field(5, ge=1)
    """Hypotheses kept while decoding, 1 or more. Default: whisperx's own."""
    compute_type: str = "default"
    """CTranslate2 compute type: default (float16 on a GPU, float32 on a CPU), int8, int8_float16, ..."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of whisper; auto = the first GPU, else the CPU."""
    listen_to: ListenTo = "original"
    """original, or prepared (after denoise and loudness). Default original: denoising raises error rates."""


def given_transcripts(upload: Upload, segments: list[Segment], language: str) -> list[Transcript]:
    """Own transcript of an upload: at the index of its only kept segment, or -1 where it has several."""
    text = " ".join(upload.text.split())
    if not text or not segments:
        return []
    index = segments[0].index if len(segments) == 1 else -1
    return [Transcript(upload=upload.sha256, index=index, text=text, language=language, engine="given")]


def run(inputs: Inputs, settings: Settings) -> Iterator[Transcript | Failure]:
    """Rows in the order of the uploads; an upload without text and without a recogniser has none."""
    segments: dict[str, list[Segment]] = {}
    for segment in inputs.segments():
        segments.setdefault(segment.upload, []).append(segment)
    rows: dict[str, list[Transcript | Failure]] = {}
    unrecognised: list[Upload] = []
    for upload in inputs.batch.uploads:
        own = segments.get(upload.sha256, [])
        given = given_transcripts(upload, own, upload.language or settings.language)
        if settings.engine == "whisperx" and own and not (given and settings.prefer == "given"):
            unrecognised.append(upload)
        rows[upload.sha256] = list(given)
    if unrecognised:
        recognise = Recogniser(inputs, settings, segments)
        try:
            recognised: dict[str, list[Transcript | Failure]] = dict(recognise(unrecognised))
        except MemoryError:
            raise
        except Exception:  # some upload breaks the batch: one by one, so that only that one fails
            recognised = {u.sha256: list(guarded(u.sha256, lambda u=u: recognise([u])[u.sha256])) for u in unrecognised}  # type: ignore[misc]
        rows |= recognised
    for upload in inputs.batch.uploads:
        yield from rows[upload.sha256]


class Recogniser:
    """Recognises the kept segments of uploads, those of one language together."""

    def __init__(self, inputs: Inputs, settings: Settings, segments: Mapping[str, list[Segment]]) -> None:
        from voicemill.model.hub import digest_of, resolve
        from voicemill.model.speech.whisper import Whisper

        self._read, self._settings, self._segments = segment_reader(inputs, settings.listen_to), settings, segments
        folder = resolve(settings.model, "transcribe.model")
        options = (settings.device, settings.compute_type, settings.beam_size)
        key = ("transcribe", digest_of(folder), *options)
        self._whisper = inputs.model(key, lambda: Whisper(folder, *options), resources(settings).gpu_mb)

    def __call__(self, uploads: Iterable[Upload]) -> dict[str, list[Transcript | Failure]]:
        """Upload -> one row for each of its segments, in order."""
        rows: dict[str, list[Transcript | Failure]] = {}
        together: dict[str, list[tuple[Segment, Wave]]] = {}
        for upload in uploads:
            pairs = [(segment, self._read(segment)) for segment in self._segments[upload.sha256]]
            stated = upload.language or self._settings.language
            language = stated or self._whisper.language_of([wave for _, wave in pairs])
            together.setdefault(language, []).extend(pairs)
            rows[upload.sha256] = []
        for language, pairs in together.items():
            texts = self._whisper.transcribe([wave for _, wave in pairs], language, self._settings.batch_size)
            for (segment, _), (text, score) in zip(pairs, texts, strict=True):
                row = Transcript(
                    upload=segment.upload,
                    index=segment.index,
                    text=text,
                    language=language,
                    engine="whisperx",
                    score=score,
                )
                rows[segment.upload].append(row)
        return rows


def models(settings: Settings) -> Mapping[str, str]:
    """Digest of the whisper model, where one is used."""
    if settings.engine != "whisperx":
        return {}
    from voicemill.model.hub import digest_of, resolve

    return {"model": digest_of(resolve(settings.model, "transcribe.model"))}


def resources(settings: Settings) -> Resources:
    """GPU memory of whisper: weights, and what faster-whisper's README measures for beams of 5 (large-v2, float16)."""
    if settings.engine != "whisperx" or settings.device == "cpu":
        return Resources()
    from voicemill.model.hub import resolve

    return Resources(gpu_mb=weights_mb(resolve(settings.model, "transcribe.model")) + 1400 + 200 * settings.batch_size)


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
    needs_for=lambda settings: inputs_for(settings.listen_to) if settings.engine == "whisperx" else ("slice",),
    metadata=metadata,
    models=models,
    resources=resources,
    named_models=lambda settings: {"transcribe.model": settings.model} if settings.engine == "whisperx" else {},
)

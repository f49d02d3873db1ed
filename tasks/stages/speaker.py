"""speaker: the voice of every kept segment as a vector, and whether it changes within the segment.

What: float16 [1, 256] of length 1 (`features/voice-...`), on the original signal, which no denoiser has changed.
Method: `model/speaker/encoder.py` in windows of 1.6 s; their mean is the segment's vector. A change of voice between
them filters the segment (`two_speakers`). Whether the voice is the speaker's own is decided by `shards`, which compares
the vectors with those of the speaker's first batches (`tasks/enrolment.py`): the rows here depend on their batch alone.
Cost: 910 times real time on one core, 170 without bfloat16. Rates of errors by language: `tests/bench/speaker.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from voicemill.model.embedded import SPEAKER
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.outcomes import Failure, Outcome, Reason
from voicemill.storage.records import Batch, Screened, Segment, Voice
from voicemill.storage.units import RATE, to_seconds
from voicemill.tasks.contract.prepared import kept_segments
from voicemill.tasks.contract.stage import Inputs, Stage, StageSettings, guarded_groups
from voicemill.tasks.contract.voices import Precision, voice_encoder
from voicemill.tasks.stages.mel import feature_row

VERSION = 2

GROUP = 64
"""Segments in memory at a time."""
SHORT = 0.15
"""Distance that a segment of 1 s may lie further off, one of t s by 1/t of it: vectors of short segments are noisy."""


class Settings(StageSettings):
    """Encoder, and the bounds of a voice."""

    engine: Literal["auto", "ge2e", "none"] = "auto"
    """ge2e: the embedded encoder; none: no voices; auto: ge2e where the extra `models` is installed, else none."""
    precision: Precision = "auto"
    """Precision of the encoder; auto: bfloat16 where the CPU multiplies it, else float32. The cosine between the two
    vectors of a window is .9995 on average, .992 at the least."""
    margin: float = Field(0.10, gt=0, lt=1)
    """Cosine, 0 to 1: a segment of many seconds is of another speaker where its similarity to the speaker's reference
    lies further under the median similarity of the speaker. Default: calibrated by `tests/bench/speaker.py`."""
    margins: dict[str, float] = Field(default_factory=lambda: {"zh": 0.11, "ja": 0.11, "ko": 0.11})
    """Language (ISO 639-1) -> `margin`, where it differs: the encoder was trained on English."""
    max_change: float = Field(0.45, gt=0)
    """Score of a change of voice from which a segment holds two speakers. Default: calibrated by the same benchmark."""


def engine_of(settings: Settings) -> str:
    """`ge2e` or `none`: what `auto` means on this machine."""
    return settings.engine if settings.engine != "auto" else "ge2e" if SPEAKER.is_installed else "none"


def margin_of(settings: Settings, language: str, seconds: float) -> float:
    """Distance under the speaker's median similarity that a segment may have."""
    return settings.margins.get(language, settings.margin) + SHORT / max(seconds, 1.0)


def voice_row(segment: Segment, windows: Any, language: str, settings: Settings) -> Voice:
    """Row of one segment of float32 [windows, 256]."""
    from voicemill.model.speaker.comparison import unit, voice_change

    seconds = to_seconds(segment.stop - segment.start, RATE)
    feature, change = feature_row(segment.upload, segment.index, unit(windows.mean(0))[None]), voice_change(windows)
    changes = change > settings.max_change
    return Voice(
        upload=segment.upload,
        index=segment.index,
        frames=feature.frames,
        dims=feature.dims,
        data=feature.data,
        seconds=seconds,
        margin=margin_of(settings, language, seconds),
        change=change,
        voice=segment.voice,
        outcome=Outcome.FILTERED if changes else Outcome.KEPT,
        reason=Reason.TWO_SPEAKERS.value if changes else "",
        score=change if changes else None,
        threshold=settings.max_change if changes else None,
    )


def run(inputs: Inputs, settings: Settings) -> Iterator[Voice | Failure]:
    """One row for each kept segment, in their order; none without an encoder."""
    rows = kept_segments(inputs)
    if not rows or engine_of(settings) == "none":
        return
    from voicemill.model.audio.resampling import to_16_khz

    encoder = voice_encoder(inputs, settings.precision)
    segments = {(row.upload, row.index): row for row in inputs.segments()}
    languages = {upload.sha256: upload.language for upload in inputs.batch.uploads}
    waves = inputs.waves("decode")

    def voices(group: Sequence[Screened]) -> list[Voice]:
        own = [segments[row.upload, row.index] for row in group]
        audio: list[Wave] = [to_16_khz(waves.read(row.upload, -1, row.start, row.stop)) for row in own]
        found = encoder.embed_windows(audio)
        return [
            voice_row(row, windows, languages[row.upload], settings) for row, windows in zip(own, found, strict=True)
        ]

    yield from guarded_groups(rows, voices, GROUP)


def models(settings: Settings) -> Mapping[str, str]:
    """Digest of the encoder, where these settings use it here."""
    return {"speaker.engine": SPEAKER.digest} if engine_of(settings) == "ge2e" else {}


def _metadata(batch: Batch) -> list[list[str]]:
    return [[upload.sha256, upload.language] for upload in batch.uploads]


STAGE = Stage(
    name="speaker",
    version=VERSION,
    settings=Settings,
    needs=("decode", "slice", "screen"),
    row=Voice,
    run=run,
    metadata=_metadata,
    models=models,
    feature_table=lambda settings: "voice" if engine_of(settings) != "none" else "",
)

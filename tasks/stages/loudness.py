"""loudness: one gain brings each kept segment to the target loudness; no limiter, no compressor.

Method: ITU-R BS.1770-4 with pyloudnorm's K-weighting (`model/audio/loudness_meter.py`). `measure = "upload"` reads the
loudness of all kept segments of an upload together and gives them the same gain, so that quiet and loud sentences keep
their distance; `"segment"` reads each alone. Where the true peak (4x oversampled) would pass `max_peak_db`, the gain of
that segment is as much smaller as it must be, and its row says `bound = "peak"`. Only the gain is written:
`tasks/contract/prepared.py` applies it on reading, and a new target costs no new audio. Cost: 2,600 times real time.

A segment that no gating block of 400 ms of its own passes -70 LUFS is filtered as `too_quiet`. One under 400 ms has no
loudness of its own in the standard: it gets its upload's measure.
"""

from collections.abc import Iterator
from functools import partial
from itertools import groupby
from typing import Literal

import numpy as np
from pydantic import Field

from voicemill.model.audio.loudness_meter import BLOCK, FLOOR, Meter, gated_loudness, true_peak_db
from voicemill.storage.corpus.artifacts import Waves
from voicemill.storage.outcomes import Failure, Outcome, Reason
from voicemill.storage.records import Denoised, Levelled
from voicemill.storage.units import Decibels, Lufs
from voicemill.tasks.contract.stage import Inputs, Stage, StageSettings, guarded

VERSION = 1


class Settings(StageSettings):
    """Level of the corpus."""

    target_lufs: Lufs = Field(-23.0, ge=-60.0, le=-5.0)
    """LUFS, -60 to -5. The level of EBU R 128."""
    measure: Literal["upload", "segment"] = "upload"
    """Loudness that the gain follows from: that of all kept segments of the upload, or of each segment."""
    max_peak_db: Decibels = Field(-1.0, ge=-40.0, le=0.0)
    """Highest true peak, dBTP, -40 to 0. EBU R 128 allows -1."""


def level_upload(waves: Waves, upload: str, indices: list[int], settings: Settings) -> list[Levelled]:
    """Measures and gain of each segment of one upload; `before` is the loudness that the gain follows from."""
    own: dict[int, tuple[Lufs, Decibels, bool]] = {}
    steps = []
    for index in indices:
        wave = waves.read(upload, index)
        meter = Meter()
        meter.push(wave)
        own[index] = meter.integrated(), true_peak_db(wave), len(wave) >= BLOCK
        steps.append(meter.steps)
    whole = gated_loudness(np.concatenate([np.empty(0), *steps]))
    rows = []
    for index, (loudness, peak, measurable) in own.items():
        single = settings.measure == "segment" and measurable
        before = loudness if single or loudness == FLOOR else whole
        rows.append(level(upload, index, before, peak, "segment" if single else "upload", settings))
    return rows


def level(upload: str, index: int, before: Lufs, peak: Decibels, measured: str, settings: Settings) -> Levelled:
    """Gain of one segment whose loudness is `before` and whose true peak is `peak`, both before the gain."""
    if before == FLOOR:
        return Levelled(
            upload=upload,
            index=index,
            before=FLOOR,
            after=FLOOR,
            gain_db=0.0,
            peak_db=peak,
            bound="",
            measured=measured,
            outcome=Outcome.FILTERED,
            reason=Reason.TOO_QUIET.value,
        )
    needed, allowed = settings.target_lufs - before, settings.max_peak_db - peak
    gain = min(needed, allowed)
    bound = "peak" if allowed < needed else ""
    return Levelled(
        upload=upload,
        index=index,
        before=before,
        after=before + gain,
        gain_db=gain,
        peak_db=peak + gain,
        bound=bound,
        measured=measured,
    )


def run(inputs: Inputs, settings: Settings) -> Iterator[Levelled | Failure]:
    """Yield a row for each segment; an error on one fails its upload, whose measure would be incomplete."""
    rows = inputs.rows("denoise", Denoised)
    if not rows:
        return
    waves = inputs.waves("denoise")
    for upload, group in groupby(rows, key=lambda row: row.upload):
        indices = [row.index for row in group]
        yield from guarded(upload, partial(level_upload, waves, upload, indices, settings))


STAGE = Stage(name="loudness", version=VERSION, settings=Settings, needs=("denoise",), row=Levelled, run=run)

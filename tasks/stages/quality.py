"""quality: measures of each kept segment without a reference: opinions, SNR, reverberation, music.

All measures are of the original samples of the segment, so that what `denoise` removes is still heard, and a noise that
comes and goes counts where it sounds. Nothing is filtered here: `screen` applies the rules, so that another threshold
costs no new measurement.

- `engine = "dnsmos"`: SIG, BAK, OVRL and P808 by DNSMOS (`model/quality/dnsmos.py`), 25 times real time with all
  windows of a segment.
- `engine = "none"`, or `"auto"` where the models are not installed: every measure is null, and the row says so.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Literal

import numpy as np
from pydantic import Field

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.embedded import DNSMOS
from voicemill.model.quality.dnsmos import Dnsmos
from voicemill.storage.corpus.artifacts import Waves
from voicemill.storage.outcomes import Failure
from voicemill.storage.records import Quality, Segment
from voicemill.tasks.contract.stage import Inputs, Stage, StageSettings, guarded

VERSION = 1


class Settings(StageSettings):
    """Source of the measures."""

    engine: Literal["auto", "dnsmos", "none"] = "none"
    """`dnsmos`: DNSMOS itself; `auto`: the same where it is installed; `none`: no measures."""
    windows: int = Field(0, ge=0, le=60)
    """Most windows of 9 s of a segment that DNSMOS averages; 0 = all, one second apart, as its package does."""


def engine_of(settings: Settings) -> str:
    """The engine that `auto` stands for on this machine."""
    if settings.engine == "auto":
        return "dnsmos" if DNSMOS.is_installed else "none"
    return settings.engine


def measure_segment(waves: Waves, row: Segment, networks: Dnsmos, windows: int) -> list[Quality]:
    """Row of one segment."""
    wave = to_16_khz(waves.read(row.upload, -1, row.start, row.stop))
    if not np.isfinite(wave).all():
        raise ValueError(f"segment {row.index} has samples that are not finite")
    opinions = networks.opinions(wave, windows)
    return [
        Quality(
            upload=row.upload,
            index=row.index,
            engine="dnsmos",
            sig=opinions.sig,
            bak=opinions.bak,
            ovrl=opinions.ovrl,
            p808=opinions.p808,
        )
    ]


def run(inputs: Inputs, settings: Settings) -> Iterator[Quality | Failure]:
    """Yield a row for each kept segment."""
    segments, engine = inputs.segments(), engine_of(settings)
    if engine == "none":
        yield from (Quality(upload=row.upload, index=row.index, engine=engine) for row in segments)
        return
    if not segments:
        return
    waves, networks = inputs.waves("decode"), inputs.model(("quality", DNSMOS.digest), Dnsmos)
    for row in segments:
        yield from guarded(row.upload, partial(measure_segment, waves, row, networks, settings.windows), row.index)


def models(settings: Settings) -> Mapping[str, str]:
    """Digest of the networks that these settings run."""
    return {"quality.engine": DNSMOS.digest} if engine_of(settings) == "dnsmos" else {}


STAGE = Stage(
    name="quality",
    version=VERSION,
    settings=Settings,
    needs=("decode", "slice"),
    row=Quality,
    run=run,
    models=models,
)

"""quality: measures of each kept segment without a reference: opinions, SNR, reverberation, music.

All measures are of the original samples of the segment, so that what `denoise` removes is still measured, and a noise
that comes and goes counts where it sounds. Nothing is filtered here: `screen` applies the rules and `shards` the tiers,
so that another bound costs no new measurement.

- `engine = "network"`: one small network (`model/quality/network.py`) gives all measures, 730 times real time per
  core. Its opinions imitate DNSMOS: over 48 clips of other speakers, clean and with faults, the correlation is .90 for
  OVRL, .89 for BAK, .83 for SIG, .91 for P808; among clean ones alone .80, .59, .76, .81.
- `engine = "dnsmos"`: SIG, BAK, OVRL and P808 by DNSMOS itself (`model/quality/dnsmos.py`), 25 times real time with all
  windows of a segment; the rest by the network.
- `engine = "none"`: every measure is null, and the row says so.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Literal

import numpy as np
from pydantic import Field

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.embedded import DNSMOS
from voicemill.model.quality.dnsmos import Dnsmos
from voicemill.model.quality.network import QualityNetwork, network_digest
from voicemill.storage.corpus.artifacts import Waves
from voicemill.storage.outcomes import Failure
from voicemill.storage.records import Quality, Segment
from voicemill.tasks.contract.stage import Inputs, Stage, StageSettings, guarded

VERSION = 2


class Settings(StageSettings):
    """Source of the measures."""

    engine: Literal["auto", "network", "dnsmos", "none"] = "auto"
    """`network`: all by a small network; `dnsmos`: opinions by DNSMOS, which needs the extra `models`; `none`: no
    measures; `auto`: `network`."""
    windows: int = Field(0, ge=0, le=60)
    """Most windows of 9 s of a segment that DNSMOS averages; 0 = all, one second apart, as its package does."""


def engine_of(settings: Settings) -> str:
    """The engine that `auto` stands for."""
    return "network" if settings.engine == "auto" else settings.engine


def measure_segment(
    waves: Waves, row: Segment, network: QualityNetwork, full: Dnsmos | None, windows: int
) -> list[Quality]:
    """Row of one segment; with `full` its opinions are DNSMOS's."""
    wave = waves.read(row.upload, -1, row.start, row.stop)
    if not np.isfinite(wave).all():
        raise ValueError(f"segment {row.index} has samples that are not finite")
    measures = network.measure(wave)
    opinions = full.opinions(to_16_khz(wave), windows) if full else measures
    return [
        Quality(
            upload=row.upload,
            index=row.index,
            engine="dnsmos" if full else "network",
            sig=opinions.sig,
            bak=opinions.bak,
            ovrl=opinions.ovrl,
            p808=opinions.p808,
            snr_db=measures.snr_db,
            c50_db=measures.c50_db,
            music=measures.music,
            speech=measures.speech,
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
    waves, network = inputs.waves("decode"), inputs.model(("quality", network_digest()), QualityNetwork)
    full = inputs.model(("quality", DNSMOS.digest), Dnsmos) if engine == "dnsmos" else None
    for row in segments:
        work = partial(measure_segment, waves, row, network, full, settings.windows)
        yield from guarded(row.upload, work, row.index)


def models(settings: Settings) -> Mapping[str, str]:
    """Digests of the networks that these settings run. Raises ModelMissing: DNSMOS is not installed."""
    engine = engine_of(settings)
    digests = {} if engine == "none" else {"quality.network": network_digest()}
    if engine == "dnsmos":
        DNSMOS.folder()
        digests["quality.engine"] = DNSMOS.digest
    return digests


STAGE = Stage(
    name="quality",
    version=VERSION,
    settings=Settings,
    needs=("decode", "slice"),
    row=Quality,
    run=run,
    models=models,
)

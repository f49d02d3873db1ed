"""quality: measures of each kept segment without a reference: opinions, SNR, reverberation, music.

All measures are of the original samples of the segment, so that what `denoise` removes is still measured, and a noise
that comes and goes counts where it sounds. Nothing is filtered here: `screen` applies the rules and `shards` the tiers,
so that another bound costs no new measurement.

- `engine = "network"`: one small network (`model/quality/network.py`) gives all measures, 730 times real time per
  core. Its opinions imitate DNSMOS: over 48 clips of other speakers, clean and with faults, the correlation is .90 for
  OVRL, .89 for BAK, .83 for SIG, .91 for P808; among clean ones alone .80, .59, .76, .81.
- `engine = "auto"`: by the network, and where its OVRL is under `doubt`, opinions by DNSMOS itself, so that no clean
  segment falls to tier C by an error of the network. That is one or two segments in a hundred.
- `engine = "dnsmos"`: SIG, BAK, OVRL and P808 by DNSMOS itself (`model/quality/dnsmos.py`), 25 times real time with all
  windows of a segment; the rest by the network.
- `engine = "none"`: every measure is null, and the row says so.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Literal

import numpy as np
from pydantic import Field

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.embedded import DNSMOS
from voicemill.model.quality.dnsmos import WINDOW, Dnsmos, Opinions
from voicemill.model.quality.network import QualityNetwork, network_digest
from voicemill.storage.corpus.artifacts import Wave, Waves
from voicemill.storage.outcomes import Failure
from voicemill.storage.records import Quality, Segment
from voicemill.tasks.contract.stage import Inputs, Stage, StageSettings, guarded

VERSION = 4

WINDOWS_IN_DOUBT = 2
"""Windows of 9 s that DNSMOS averages where the network is in doubt, one for a segment that fits into it: each takes
0.4 s."""


class Settings(StageSettings):
    """Source of the measures."""

    engine: Literal["auto", "network", "dnsmos", "none"] = "auto"
    """`network`: all by a small network; `dnsmos`: opinions by DNSMOS, which needs the extra `models`; `none`: no
    measures; `auto`: by the network, doubtful opinions by DNSMOS where it is installed."""
    doubt: float = Field(1.9, ge=1.0, le=5.0)
    """OVRL of the network, 1 to 5, under which `auto` asks DNSMOS. Default: the bound of tier B."""
    windows: int = Field(0, ge=0, le=60)
    """Most windows of 9 s of a segment that DNSMOS averages; 0 = all, one second apart, as its package does."""


def doubt_of(settings: Settings) -> float | None:
    """OVRL of the network under which DNSMOS gives the opinions here; None = never."""
    if settings.engine == "auto":
        return settings.doubt if DNSMOS.is_installed else None
    return math.inf if settings.engine == "dnsmos" else None


def measure_segment(
    waves: Waves, row: Segment, network: QualityNetwork, full: Callable[[], Dnsmos], settings: Settings
) -> list[Quality]:
    """Row of one segment; its opinions are those of DNSMOS where the network's are in doubt."""
    wave = waves.read(row.upload, -1, row.start, row.stop)
    if not np.isfinite(wave).all():
        raise ValueError(f"segment {row.index} has samples that are not finite")
    measures = network.measure(wave)
    doubt = doubt_of(settings)
    is_doubtful = doubt is not None and measures.ovrl < doubt
    opinions = _by_dnsmos(wave, full(), settings) if is_doubtful else measures
    return [
        Quality(
            upload=row.upload,
            index=row.index,
            engine="dnsmos" if is_doubtful else "network",
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


def _by_dnsmos(wave: Wave, network: Dnsmos, settings: Settings) -> Opinions:
    x = to_16_khz(wave)
    in_doubt = 1 if len(x) <= WINDOW else WINDOWS_IN_DOUBT
    return network.opinions(x, settings.windows if settings.engine == "dnsmos" else in_doubt)


def run(inputs: Inputs, settings: Settings) -> Iterator[Quality | Failure]:
    """Yield a row for each kept segment."""
    segments = inputs.segments()
    if settings.engine == "none":
        yield from (Quality(upload=row.upload, index=row.index, engine="none") for row in segments)
        return
    if not segments:
        return
    waves, network = inputs.waves("decode"), inputs.model(("quality", network_digest()), QualityNetwork)
    full = partial(inputs.model, ("quality", DNSMOS.digest), Dnsmos)  # loaded at the first doubt
    for row in segments:
        work = partial(measure_segment, waves, row, network, full, settings)
        yield from guarded(row.upload, work, row.index)


def models(settings: Settings) -> Mapping[str, str]:
    """Digests of the networks that these settings run. Raises ModelMissing: DNSMOS is not installed."""
    digests = {} if settings.engine == "none" else {"quality.network": network_digest()}
    if doubt_of(settings) is not None:
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

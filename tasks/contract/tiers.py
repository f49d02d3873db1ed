"""Tiers of quality: A, B or C for each utterance, by fixed bounds that a speaker's own level may lower.

DNSMOS sits half a point lower on Mandarin than on English, and lower on some voices than on others, so a fixed bound of
OVRL is a bound on languages. Here the bound falls to `margin` under the median of the speaker's segments in the batch,
by `relief` at most: a whole batch in noise does not become tier A. A batch is never formed again, so that the median,
and with it the tier, is a function of the batch. SNR, clarity and music have fixed bounds. With the OVRL of
the small network A against B says little among clean recordings; that of DNSMOS itself says more.
"""

from collections.abc import Iterable
from statistics import median
from typing import Literal

from pydantic import Field

from voicemill.storage.records import Quality
from voicemill.storage.units import Decibels
from voicemill.tasks.contract.stage import StageSettings

Tier = Literal["A", "B", "C"]


class TierSettings(StageSettings):
    """Bounds of the tiers A and B, in this order; what is under those of B is C."""

    ovrl: tuple[float, float] = (3.0, 1.9)
    """Least OVRL, 1 to 5. 3.0 is the bound of Emilia (He et al. 2024); 99 % of clean recordings reach 1.9."""
    snr_db: tuple[Decibels, Decibels] = (20.0, 10.0)
    """Least SNR of the segment, dB."""
    c50_db: tuple[Decibels, Decibels] = (12.0, 5.0)
    """Least clarity, dB: 12 is a furnished room at arm's length."""
    music: tuple[float, float] = (0.2, 0.5)
    """Highest probability of music, 0..1."""
    margin: float = Field(0.3, ge=0.0, le=4.0)
    """How far under the speaker's median OVRL a segment may lie for tier A, twice as far for B."""
    relief: float = Field(0.6, ge=0.0, le=4.0)
    """Most by which a speaker's median lowers a bound of OVRL."""
    fewest: int = Field(8, ge=1)
    """Segments of a speaker in the batch from which their median counts."""


def reference_of(rows: Iterable[Quality], fewest: int) -> float | None:
    """Median OVRL of a speaker's segments; None with under `fewest` measured ones."""
    values = [row.ovrl for row in rows if row.ovrl is not None]
    return median(values) if len(values) >= fewest else None


def tier_of(row: Quality, reference: float | None, settings: TierSettings) -> Tier | None:
    """Tier of one segment; `reference`: its speaker's median OVRL. None where nothing was measured."""
    if row.ovrl is None:
        return None
    names: tuple[Tier, Tier] = ("A", "B")
    for place, name in enumerate(names):
        least = settings.ovrl[place]
        if reference is not None:
            own = reference - settings.margin * (place + 1)
            least = max(least - settings.relief, min(least, own))
        passes = (
            row.ovrl >= least
            and (row.snr_db is None or row.snr_db >= settings.snr_db[place])
            and (row.c50_db is None or row.c50_db >= settings.c50_db[place])
            and (row.music is None or row.music <= settings.music[place])
        )
        if passes:
            return name
    return "C"

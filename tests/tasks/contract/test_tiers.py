"""Tiers: the bounds, the speaker's own level, what is not measured."""

from dataclasses import replace

import pytest

from voicemill.storage.records import Quality
from voicemill.tasks.contract.tiers import TierSettings, reference_of, tier_of

GOOD = Quality(
    upload="u", index=0, engine="network", sig=3.6, bak=4.0, ovrl=3.3, p808=3.8, snr_db=35.0, c50_db=25.0, music=0.0,
    speech=1.0,
)  # fmt: skip
SETTINGS = TierSettings()


@pytest.mark.parametrize(
    ("change", "tier"),
    [
        ({}, "A"),
        ({"ovrl": 3.0}, "A"),
        ({"ovrl": 2.99}, "B"),
        ({"ovrl": 1.89}, "C"),
        ({"snr_db": 19.0}, "B"),
        ({"snr_db": 9.0}, "C"),
        ({"c50_db": 11.0}, "B"),
        ({"c50_db": 4.0}, "C"),
        ({"music": 0.3}, "B"),
        ({"music": 0.6}, "C"),
        ({"snr_db": None, "c50_db": None, "music": None}, "A"),
        ({"ovrl": None}, None),
    ],
)
def test_the_worst_measure_decides(change: dict[str, float | None], tier: str | None) -> None:
    assert tier_of(replace(GOOD, **change), None, SETTINGS) == tier


@pytest.mark.parametrize(
    ("ovrl", "reference", "tier"),
    [
        (2.6, 2.9, "A"),  # as good as this voice gets: 0.3 under its median
        (2.59, 2.9, "B"),
        (2.4, 1.5, "A"),  # the bound falls by 0.6 at most
        (2.39, 1.5, "B"),
        (1.31, 1.5, "B"),
        (1.29, 1.5, "C"),
        (3.0, 4.5, "A"),  # a good voice raises no bound
    ],
)
def test_the_speakers_own_level_lowers_the_bound(ovrl: float, reference: float, tier: str) -> None:
    assert tier_of(replace(GOOD, ovrl=ovrl), reference, SETTINGS) == tier


def test_the_reference_is_a_median_of_enough_measured_segments() -> None:
    rows = [replace(GOOD, index=n, ovrl=value) for n, value in enumerate((2.0, 3.0, 4.0, None))]
    assert reference_of(rows, 3) == 3.0
    assert reference_of(rows, 4) is None
    assert reference_of([], 1) is None

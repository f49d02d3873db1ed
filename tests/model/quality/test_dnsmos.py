"""DNSMOS gives the numbers of the package `speechmos`, which made the golden ones here."""

import numpy as np
import pytest
from support.signals import speechlike

from voicemill.model.quality.dnsmos import WINDOW, Dnsmos, window_starts

GOLDEN = {
    (3.0, 1, 0.0): (3.051416, 2.931825, 2.265512, 2.711529),
    (9.01, 2, 0.02): (1.185397, 1.144345, 1.075164, 2.251743),
    (12.5, 3, 0.0): (2.595093, 2.268392, 1.790807, 3.007759),
    (4.9, 4, 0.1): (1.174006, 1.107359, 1.092938, 2.061996),
}
"""(seconds, seed, level of added noise) -> SIG, BAK, OVRL, P808 of `speechmos.dnsmos.run` 0.0.1.1."""


def signal(seconds: float, seed: int, noise: float) -> np.ndarray:
    wave = speechlike(seconds, seed, 16_000)
    added = noise * np.random.default_rng(seed).normal(size=len(wave))
    return np.clip(wave + added, -1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def networks() -> Dnsmos:
    return Dnsmos()


@pytest.mark.slow
@pytest.mark.parametrize("case", GOLDEN, ids=str)
def test_the_numbers_are_those_of_the_package(networks: Dnsmos, case: tuple[float, int, float]) -> None:
    opinions = networks.opinions(signal(*case))
    values = (opinions.sig, opinions.bak, opinions.ovrl, opinions.p808)
    np.testing.assert_allclose(values, GOLDEN[case], atol=5e-5)


def test_windows_are_those_of_the_package() -> None:
    assert window_starts(WINDOW - 1) == [16_000 * n for n in range(9)]  # repeated: nearly 18.02 s
    assert window_starts(WINDOW) == [0]
    assert window_starts(12 * 16_000) == [0, 16_000, 32_000]
    assert window_starts(30 * 16_000, 2) == [5 * 16_000, 15 * 16_000]
    assert window_starts(30 * 16_000, 1) == [10 * 16_000]
    assert window_starts(30 * 16_000, 99) == window_starts(30 * 16_000)


def test_nothing_is_refused_by_name(networks: Dnsmos) -> None:
    with pytest.raises(ValueError, match="0 samples"):
        networks.opinions(np.zeros(0, np.float32))


def test_silence_and_a_single_sample_have_finite_opinions(networks: Dnsmos) -> None:
    for wave in (np.zeros(1, np.float32), np.zeros(WINDOW, np.float32)):
        opinions = networks.opinions(wave, 1)
        assert np.isfinite([opinions.sig, opinions.bak, opinions.ovrl, opinions.p808]).all()

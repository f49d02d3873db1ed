"""The network: it runs on any length, depends on nothing but the signal, and ranks what is worse lower."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from support.signals import speechlike

from voicemill.model.audio.spectrum import mel_power, power_of
from voicemill.model.quality.network import Measures, QualityNetwork, features
from voicemill.storage.units import RATE

SPEECH = Path(__file__).resolve().parents[4] / "shared" / "speech"


@pytest.fixture(scope="module")
def network() -> QualityNetwork:
    return QualityNetwork()


@pytest.mark.parametrize("samples", [1, 320, 1024, RATE, 15 * RATE])
def test_any_length_has_finite_measures(network: QualityNetwork, samples: int) -> None:
    measures = network.measure(speechlike(16.0)[:samples])
    assert np.isfinite(list(vars(measures).values())).all()
    assert all(1.0 <= value <= 5.0 for value in (measures.sig, measures.bak, measures.ovrl, measures.p808))
    assert 0.0 <= measures.music <= 1.0
    assert 0.0 <= measures.speech <= 1.0


def test_the_measures_depend_on_the_signal_alone(network: QualityNetwork) -> None:
    wave = speechlike(3.0)
    first = network.measure(wave)
    network.measure(np.zeros(RATE, np.float32))
    assert network.measure(wave) == first == QualityNetwork().measure(wave)


def test_features_are_the_log_mel_of_the_screen() -> None:
    wave = speechlike(1.0)
    mel = features(wave)
    assert (mel.shape, mel.dtype) == ((97, 80), np.float32)
    np.testing.assert_allclose(
        10.0 ** (2.0 * mel.astype(np.float64)) - 1e-7, mel_power(power_of(wave)), rtol=1e-4, atol=1e-7
    )


def real(name: str) -> np.ndarray:
    """The first 8 s of a recording whose speaker the network was not trained on."""
    wave, rate = soundfile.read(SPEECH / "recordings" / name, dtype="float32")
    return soxr.resample(wave, rate, RATE)[: 8 * RATE]


@pytest.mark.realdata
@pytest.mark.skipif(not SPEECH.exists(), reason="../shared/speech is not there")
def test_noise_is_seen_under_real_speech(network: QualityNetwork) -> None:
    file = sorted((SPEECH / "recordings/kerstin").glob("*.flac"))[0]
    clean = real(f"kerstin/{file.name}")
    noise = np.random.default_rng(0).normal(size=len(clean)).astype(np.float32) * clean.std()
    measures: dict[str, Measures] = {
        "clean": network.measure(clean),
        "20 dB": network.measure(clean + 0.1 * noise),
        "0 dB": network.measure(clean + noise),
    }
    assert measures["clean"].ovrl > measures["20 dB"].ovrl > measures["0 dB"].ovrl
    assert abs(measures["20 dB"].snr_db - 20.0) < 7.5  # nine in ten errors are smaller
    assert abs(measures["0 dB"].snr_db) < 7.5
    assert measures["clean"].music < 0.2
    assert measures["clean"].speech > 0.9

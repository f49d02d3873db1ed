"""The embedded judges: equal to the packages whose weights they read, used without a setting, named, or missing."""

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from support.signals import speechlike

from voicemill.model.device import place
from voicemill.model.embedded import DISTILL_MOS, SPEAKER, WHISPER
from voicemill.model.judging.judges import JudgeSettings, judges
from voicemill.model.judging.metrics.distill_mos import DistillMosPredictor, load_distill_mos
from voicemill.model.judging.metrics.recognition import plain, wer
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ModelMissing
from voicemill.storage.units import RATE

REAL = Path(__file__).parents[4] / "shared" / "speech" / "recordings"
MOS_FILE = "weights/distill_mos_v7.pt"


def buzz(seconds: float, noise: float = 0.0) -> Wave:
    """Nineteen harmonics of a voice that rises and falls, 16 kHz, with white noise."""
    time = np.arange(int(seconds * 16_000)) / 16_000
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * time + 1)) / 16_000
    tone = sum(np.sin(number * phase) / number for number in range(1, 20)) * (0.5 + 0.5 * np.sin(6 * np.pi * time))
    return (0.1 * tone + noise * np.random.default_rng(1).standard_normal(len(time))).astype(np.float32)


def test_distill_mos_equals_the_package() -> None:
    """Scores of distillmos 0.9.1 on these signals: shorter than its window, and several windows."""
    network = load_distill_mos(DISTILL_MOS.path(MOS_FILE))
    expected = {(2.0, 0.0): 1.202848, (2.0, 0.05): 2.093206, (9.0, 0.05): 1.240803}
    with torch.inference_mode():
        for (seconds, noise), score in expected.items():
            wave = torch.from_numpy(buzz(seconds))[None]
            if noise:
                drawn = np.random.default_rng(1).standard_normal(wave.shape[1]).astype(np.float32)
                wave = wave + noise * torch.from_numpy(drawn)
            assert float(network(wave)) == pytest.approx(score, abs=1e-3)


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/speech")
def test_distill_mos_equals_the_package_on_speech_and_hears_noise() -> None:
    network = load_distill_mos(DISTILL_MOS.path(MOS_FILE))
    expected = {
        "aishell_S0150/BAC009S0150W0061": 2.9409,
        "aishell_S0150/BAC009S0150W0001": 3.9398,
        "aishell_S0150/BAC009S0150W0385": 4.0030,
    }
    for name, score in expected.items():
        wave, rate = soundfile.read(REAL / f"{name}.flac", dtype="float32")
        assert rate == 16_000
        with torch.inference_mode():
            assert float(network(torch.from_numpy(wave)[None])) == pytest.approx(score, abs=1e-3)
    judge = DistillMosPredictor(DISTILL_MOS.path(MOS_FILE), place("cpu", "float32"))
    clean = np.repeat(wave, 2)  # 32 kHz; the images above 8 kHz are filtered out again
    drawn = np.random.default_rng(0).standard_normal(len(clean)).astype(np.float32) * clean.std()
    scores = [judge.score(clean + drawn * np.float32(10 ** (-snr / 20))) for snr in (0, 10, 20, 30)]
    assert scores == sorted(scores)
    assert scores[0] < 2.5 < 3 < judge.score(clean)


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/speech")
def test_the_recogniser_judges_a_text_that_it_repeats_by_a_second_attempt() -> None:
    """Its first text of this recording is the sentence three times over: 200 % of errors for perfect speech."""
    settings = JudgeSettings(speaker_encoder="none", opinion="none", f0_engine="autocorrelation")
    recogniser = judges(settings, {}).recogniser
    assert recogniser is not None
    with (REAL / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["text"] == "you don't mean that you thought me so silly"]
    wave, rate = soundfile.read(REAL / rows[0]["file"], dtype="float32")
    ((text, _),) = recogniser.transcribe([soxr.resample(wave, rate, RATE)], "en")
    assert wer(plain(rows[0]["text"], "en"), plain(text, "en"), "en") == 0


@pytest.mark.slow
def test_without_a_setting_the_embedded_models_judge_and_are_named() -> None:
    found = judges(JudgeSettings(f0_engine="autocorrelation"), {"transcribe": {"engine": "given"}})
    assert found.missing == {}
    assert found.models == {
        "pitch": "autocorrelation",
        "speaker": f"ge2e {SPEAKER.digest[:12]}",
        "recogniser": f"whisper-tiny.en {WHISPER.digest[:12]}",
        "opinion": f"distill-mos {DISTILL_MOS.digest[:12]}",
    }
    assert found.speaker is not None
    assert found.recogniser is not None
    assert (found.recogniser.knows("en"), found.recogniser.knows("de")) == (True, False)
    rows = found.speaker.embed([speechlike(3.0, seed) for seed in (1, 2)])
    assert rows.shape == (2, 256)
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert found.speaker.embed([speechlike(3.0, 2)])[0] == pytest.approx(rows[1], abs=1e-5)


def test_where_the_wheels_are_missing_their_figures_are_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs each; a model that is named must be there."""
    packages, find = {model.package for model in (SPEAKER, WHISPER, DISTILL_MOS)}, importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name in packages else find(name, *more))
    found = judges(JudgeSettings(f0_engine="autocorrelation"), {})
    assert set(found.missing) == {"similarity", "identified", "cer", "wer", "mos"}
    for metric, model in (("similarity", SPEAKER), ("wer", WHISPER), ("mos", DISTILL_MOS)):
        assert model.install_command in found.missing[metric]
    with pytest.raises(ModelMissing, match=r"distillmos==0.9.1 is not installed"):
        judges(JudgeSettings(opinion="embedded:distill-mos", recogniser="none"), {})

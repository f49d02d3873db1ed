"""Checkpoints of our own in small sizes, MFCC as content, and adapters: from files to speech."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_voice import SPEAKING_S1, SPEAKING_S2, with_random_factors, write_adapter, write_s1, write_s2

from voicemill.model.adapters.adapting import adapt
from voicemill.model.adapters.files import load
from voicemill.model.adapters.lora import merged_state
from voicemill.model.checkpoints.checkpoint import read
from voicemill.model.checkpoints.loading import load_s1, load_s2
from voicemill.model.checkpoints.writing import write
from voicemill.model.content.mfcc import Mfcc
from voicemill.model.settings.training import Adaptation
from voicemill.model.speaking.bank import VoiceBank
from voicemill.model.speaking.loading import load_bank, load_voice
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.speaking.voice import Voice
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import CheckpointError, ConfigError, ModelMissing

OPTIONS = SpeakOptions(max_codes=20, watermark=None, language="en", seed=2)
TEXT = "Good morning to all of you."


@dataclass(frozen=True)
class Files:
    """A base and the adapters of two voices on it."""

    s1: Path
    s2: Path
    anna: tuple[Path, Path]
    otto: tuple[Path]
    """Of s2 alone."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    root = tmp_path_factory.mktemp("own")
    s1, s2 = write_s1(root / "s1.safetensors"), write_s2(root / "s2.safetensors")
    anna = write_adapter(load_s1(s1), root / "anna-s1", 1), write_adapter(load_s2(s2), root / "anna-s2", 2)
    return Files(s1, s2, anna, (write_adapter(load_s2(s2), root / "otto-s2", 3),))


def speech(voice: Voice, recording: Wave) -> Wave:
    reference = voice.reference([recording], "She had your dark suit", "en")
    return voice.speak(TEXT, reference, OPTIONS).wave


def loaded(files: Files, **options: Any) -> Voice:
    return load_voice(files.s1, files.s2, precision="float32", **options)


def alike(actual: Wave, expected: Wave) -> None:
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_a_voice_with_adapters_is_the_voice_of_the_merged_checkpoints(
    files: Files, recording: Wave, tmp_path: Path
) -> None:
    for path, folder, module in (
        (files.s1, files.anna[0], load_s1(files.s1)),
        (files.s2, files.anna[1], load_s2(files.s2)),
    ):
        load(module, folder, "anna")
        write(tmp_path / path.name, replace(read(path), weights=merged_state(module)))
    merged = load_voice(tmp_path / files.s1.name, tmp_path / files.s2.name, precision="float32")
    with_adapters, plain = loaded(files, adapters=files.anna), loaded(files)
    expected = speech(merged, recording)
    alike(speech(with_adapters, recording), expected)
    other = speech(plain, recording)
    assert len(other) != len(expected) or np.abs(other - expected).max() > 1e-2


def test_a_voice_of_a_bank_is_the_one_loaded_alone(files: Files, recording: Wave) -> None:
    expected = {
        "": speech(loaded(files), recording),
        "anna": speech(loaded(files, adapters=files.anna), recording),
        "otto": speech(loaded(files, adapters=files.otto), recording),
    }
    bank = load_bank(files.s1, files.s2, precision="float32")
    bank.add("anna", files.anna)
    bank.add("otto", files.otto)
    assert bank.names == ["anna", "otto"]
    for name in ("anna", "", "otto", "anna", "otto", ""):
        alike(speech(bank.voice(name), recording), expected[name])
    bank.remove("anna")
    alike(speech(bank.voice("otto"), recording), expected["otto"])
    assert bank.names == ["otto"]


def bank_of(files: Files, keep: int) -> VoiceBank:
    bank = load_bank(files.s1, files.s2, precision="float32", keep=keep)
    bank.add("anna", files.anna)
    bank.add("otto", files.otto)
    return bank


def test_engines_are_kept_shared_and_bounded(files: Files) -> None:
    bank = bank_of(files, keep=2)
    anna, otto, plain = bank.voice("anna"), bank.voice("otto"), bank.voice()
    assert otto.s1 is plain.s1, "no adapter of s1: the base's"
    assert otto.s2 is not plain.s2
    assert bank.voice("otto").s2 is otto.s2
    assert bank.voice("anna").s1 is anna.s1
    assert bank.voice("anna").s2 is not anna.s2, "two others came since"
    single = bank_of(files, keep=1)
    first = single.voice("anna")
    assert single.voice("anna").s2 is first.s2
    single.voice()
    assert single.voice("anna").s2 is not first.s2


def test_a_reference_serves_all_voices_of_a_bank(files: Files, recording: Wave) -> None:
    bank = bank_of(files, keep=2)
    references = [bank.voice(name).reference([recording], "She had your dark suit", "en") for name in ("", "anna")]
    torch.testing.assert_close(references[0].ge, references[1].ge)
    assert torch.equal(references[0].codes, references[1].codes)


def test_a_bank_refuses_invalid_requests(files: Files) -> None:
    bank = bank_of(files, keep=1)
    with pytest.raises(ConfigError, match="is already in the bank"):
        bank.add("anna", files.anna)
    with pytest.raises(ConfigError, match="both adapters of s2"):
        bank.add("two", [files.anna[1], files.otto[0]])
    with pytest.raises(ConfigError, match="one of s1, one of s2, or both"):
        bank.add("none", [])
    with pytest.raises(ConfigError, match="no voice 'none' in the bank, which has: anna, otto"):
        bank.voice("none")
    with pytest.raises(ConfigError, match="no voice '' to remove"):
        bank.remove("")
    with pytest.raises(ConfigError, match="keep = 0"):
        load_bank(files.s1, files.s2, keep=0)
    assert bank.names == ["anna", "otto"]


def test_an_adapter_of_another_base_changes_nothing_in_a_bank(files: Files, tmp_path: Path) -> None:
    other = write_adapter(load_s1(write_s1(tmp_path / "s1.safetensors", prefix="other.")), tmp_path / "s1", 1)
    bank = load_bank(files.s1, files.s2, precision="float32")
    with pytest.raises(CheckpointError, match="made for another base of s1"):
        bank.add("mixed", [files.anna[1], other])
    assert bank.names == []
    bank.add("mixed", files.anna)
    with pytest.raises(CheckpointError, match="made for another base of s1"):
        loaded(files, adapters=[other])


def test_the_content_encoder_is_the_one_that_s2_names(
    files: Files, hubert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEMILL_MODELS", str(tmp_path))
    assert isinstance(loaded(files).content, Mfcc)
    assert isinstance(loaded(files, content="mfcc").content, Mfcc)
    named = write_s2(tmp_path / "named.safetensors", replace(SPEAKING_S2, ssl_dim=32), {"content": str(hubert)})
    assert load_voice(files.s1, named).content.dims == 32
    assert isinstance(load_voice(files.s1, named, content="mfcc").content, Mfcc)
    unnamed = write_s2(tmp_path / "unnamed.safetensors", replace(SPEAKING_S2, ssl_dim=32))
    with pytest.raises(ModelMissing, match="voicemill models fetch TencentGameMate/chinese-hubert-base"):
        load_voice(files.s1, unnamed)


@pytest.mark.parametrize("codes", [3, 77, 1500])
@pytest.mark.parametrize("precision", ["auto", "reference"])
def test_any_number_of_codes_is_spoken(codes: int, precision: str, recording: Wave, tmp_path: Path) -> None:
    s1 = write_s1(tmp_path / "s1.safetensors", replace(SPEAKING_S1, codes=codes))
    s2 = write_s2(tmp_path / "s2.safetensors", replace(SPEAKING_S2, codebook=codes))
    wave = speech(load_voice(s1, s2, precision=precision), recording)
    assert np.isfinite(wave).all()
    assert len(wave) >= 11 * 1280


def test_an_s1_of_another_s2_is_refused(files: Files, tmp_path: Path) -> None:
    other = write_s2(tmp_path / "s2.safetensors", replace(SPEAKING_S2, codebook=5))
    with pytest.raises(ConfigError, match=r"predicts 64 codes, .* has 5: give an s1 that was trained with this s2"):
        load_voice(files.s1, other)


def test_speech_from_adapters_of_a_training(files: Files, recording: Wave, tmp_path: Path) -> None:
    """An adapter beside a network with the parts of a training is the one of the network that speaks."""
    module = load_s2(files.s2)
    assert hasattr(module, "enc_q")
    adapt(module, "s2", Adaptation(kind="lora", rank=2))
    with_random_factors(module, "default", 4)
    checkpoint = replace(read(files.s2), weights=merged_state(module))
    write(tmp_path / "s2.safetensors", checkpoint)
    folder = write_adapter(load_s2(files.s2), tmp_path / "adapter", 4, rank=2)
    merged = load_voice(files.s1, tmp_path / "s2.safetensors", precision="float32")
    alike(speech(merged, recording), speech(loaded(files, adapters=[folder]), recording))

"""The one file of the light system: a round trip, and files that are damaged or made to harm."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny_voice import tiny_single

from voicemill.model.checkpoints.checkpoint import METADATA, Checkpoint
from voicemill.model.checkpoints.writing import write, write_official
from voicemill.model.light.config import BANDS, VocoderConfig
from voicemill.model.light.ge2e import Ge2e
from voicemill.model.light.system import PARTS, LightSystem, load_light
from voicemill.storage.errors import CheckpointError, ConfigError


@pytest.fixture
def path(system: LightSystem, tmp_path: Path) -> Path:
    write(tmp_path / "light.safetensors", system.checkpoint({"phase": "light"}))
    return tmp_path / "light.safetensors"


def test_a_file_gives_the_system_that_was_written(system: LightSystem, path: Path) -> None:
    before = torch.random.get_rng_state()
    actual = load_light(path)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert [getattr(actual, name).config for name in PARTS] == [getattr(system, name).config for name in PARTS]
    assert actual.trained == system.trained
    assert not actual.training
    weights = system.state_dict()
    assert actual.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[key]) for key, value in actual.state_dict().items())


def test_the_default_sizes_are_those_that_are_stated() -> None:
    with torch.device("meta"):
        system = LightSystem()
    counts = [sum(weight.numel() for weight in getattr(system, name).parameters()) for name in PARTS]
    assert counts == [646_448, 778_369, 645_728]
    assert sum(counts) == 2_070_545


def test_a_speaker_encoder_trained_anew_makes_the_acoustic_model_a_stranger() -> None:
    system = LightSystem(trained=PARTS)
    assert system.with_trained("speaker") == {"speaker", "vocoder"}
    assert LightSystem().with_trained("acoustic") == {"acoustic"}


VOICE = [1.0, *[0.0] * 255]


def test_the_embedded_encoder_is_named_and_has_no_weights(tmp_path: Path) -> None:
    system = tiny_single(1, ("acoustic", "vocoder"), VOICE)
    assert system.trained == set(PARTS)
    assert not any(name.startswith("speaker") for name in system.state_dict())
    write(tmp_path / "light.safetensors", system.checkpoint())
    actual = load_light(tmp_path / "light.safetensors")
    assert isinstance(actual.speaker, Ge2e)
    assert actual.default_voice is not None
    assert actual.default_voice.tolist() == VOICE
    assert all(torch.equal(value, actual.state_dict()[key]) for key, value in system.state_dict().items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda about: about["config"].update(default_voice=[2.0] * 256), "default voice is .* -1 to 1"),
        (lambda about: about["config"].update(default_voice="joe"), "default voice"),
        (lambda about: about["config"].update(default_voice=[0.5]), "default voice has 1 dimensions"),
        (lambda about: about["config"]["speaker"].update(network="ear"), "its speaker is 'ear'"),
        (lambda about: about["config"]["speaker"]["sizes"].update(embedding=192), "256 dimensions"),
    ],
)
def test_a_header_of_the_embedded_encoder_that_was_tampered_with(tmp_path: Path, change: Any, words: str) -> None:
    write(tmp_path / "light.safetensors", tiny_single(1, default_voice=VOICE).checkpoint())
    with pytest.raises(CheckpointError, match=words):
        load_light(changed(tmp_path / "light.safetensors", change))


def test_an_untrained_part_is_refused(system: LightSystem, tmp_path: Path) -> None:
    write(tmp_path / "part.safetensors", system.checkpoint(trained=["speaker"]))
    assert load_light(tmp_path / "part.safetensors", needs=("speaker",)).trained == {"speaker"}
    with pytest.raises(CheckpointError, match=r"its acoustic was never trained .trained: speaker."):
        load_light(tmp_path / "part.safetensors")


def changed(path: Path, change: Any) -> Path:
    """The file with another header."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()[METADATA])
    change(about)
    save_file(load_file(path), path, {METADATA: json.dumps(about)})
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda about: about["config"].pop("acoustic"), "does not give the sizes of the acoustic"),
        (lambda about: about["config"].update(speaker=7), "does not give the sizes of the speaker"),
        (lambda about: about["config"].update(trained="all"), "list of trained parts"),
        (lambda about: about["config"].update(trained=["speaker", "soul"]), "list of trained parts"),
        (lambda about: about["config"]["acoustic"]["sizes"].update(width=1 << 20), "of another shape"),
        (lambda about: about["config"]["acoustic"]["sizes"].update(recurrent_layers=10**9), "recurrent_layers"),
        (lambda about: about["config"]["acoustic"]["sizes"].update(kernel=4), "odd"),
        (lambda about: about["config"]["acoustic"]["sizes"].update(embedding=8), "the same embedding"),
        (lambda about: about["config"]["speaker"]["sizes"].update(scale=10**9), "scale"),
        (lambda about: about["config"]["speaker"]["sizes"].update(scale=3), "multiple of scale"),
        (lambda about: about["config"]["vocoder"]["sizes"].update(hidden=BANDS + 1), "bands"),
        (
            lambda about: about["config"]["vocoder"]["sizes"].update(upsample_rates=[10, 8, 4, 4]),
            "renders 1280 samples",
        ),
        (lambda about: about["config"]["vocoder"]["sizes"].update(resblock_kernels=[3] * 250), "resblock_dilations"),
        (lambda about: about["config"]["vocoder"]["sizes"].update(colour="blue"), "colour"),
        (lambda about: about["config"]["acoustic"]["sizes"].update(phones=322), "has 322 phones, .* 732"),
        (lambda about: about.update(kind="s2"), "a checkpoint of s2"),
        (lambda about: about.update(kind="dark"), "kind dark"),
    ],
)
def test_a_header_that_was_tampered_with(path: Path, change: Any, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as error:
        load_light(changed(path, change))
    assert str(path) in str(error.value)


def test_tensors_that_are_missing_or_of_another_shape(system: LightSystem, path: Path) -> None:
    weights = dict(system.state_dict())
    weights.pop("speaker.last.bias")
    weights["acoustic.leave.bias"] = torch.zeros(3)
    config = system.checkpoint().config
    with pytest.raises(CheckpointError, match=r"1 missing: speaker.last.bias; 1 of another shape: acoustic.leave.bias"):
        load_light(Checkpoint("light", "v2", weights, config))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged or cut off"):
        load_light(path)


def test_it_has_no_official_form(system: LightSystem, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="GPT-SoVITS does not have"):
        write_official(tmp_path / "light.pth", system.checkpoint())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"upsample_rates": (10, 8, 4)}, "upsample_kernels"),
        ({"upsample_kernels": (9, 16, 8, 4)}, "upsample_kernels"),
        ({"upsample_channels": 20}, "upsample_channels"),
        ({"resblock_kernels": (4,)}, "resblock_kernels"),
    ],
)
def test_sizes_of_a_vocoder_that_contradict_each_other(wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} contradict"):
        VocoderConfig(**wrong)


def test_a_vocoder_of_another_frame_is_refused() -> None:
    with pytest.raises(ConfigError, match="renders 320 samples"):
        LightSystem(vocoder=VocoderConfig(upsample_rates=(10, 8, 4), upsample_kernels=(20, 16, 8)))

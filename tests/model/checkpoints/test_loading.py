"""From files to modules: every tensor where it belongs, small sizes and real ones, and what does not fit."""

import dataclasses
from pathlib import Path

import pytest
import torch
from support.checkpoint_files import weights_of_layout, without_posterior

from voicemill.model.checkpoints.checkpoint import Checkpoint, read
from voicemill.model.checkpoints.layout import VERSIONS, Kind, layout
from voicemill.model.checkpoints.loading import fill, load_discriminators, load_s1, load_s2
from voicemill.model.checkpoints.writing import write, write_official
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.losses import Discriminators
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.storage.errors import CheckpointError

TINY = S1Config(phonemes=40, codes=16, dim=64, heads=4, layers=2)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_layout_is_that_of_the_modules(version: str) -> None:
    """The list and the modules were written apart."""
    with torch.device("meta"):
        config = S2Config.of(version)
        modules: dict[tuple[Kind, str], torch.nn.Module] = {
            ("s2", version): Synthesizer(config),
            ("s2_discriminator", "v2" if version == "v2" else "v2Pro"): Discriminators(config),
        }
    for (kind, name), module in modules.items():
        assert {key: tuple(t.shape) for key, t in module.state_dict().items()} == dict(layout(kind, name))


def test_the_layout_of_s1_is_that_of_the_module() -> None:
    with torch.device("meta"):
        module = Text2Semantic(S1Config())
    assert {key: tuple(t.shape) for key, t in module.state_dict().items()} == dict(layout("s1", "v2"))


def filled(module: torch.nn.Module, checkpoint: Checkpoint) -> None:
    state = module.state_dict()
    assert state.keys() == checkpoint.weights.keys()
    for key, tensor in checkpoint.weights.items():
        assert state[key].dtype == torch.float32
        assert torch.equal(state[key], tensor.float()), key
    assert not module.training


def test_s1_of_an_official_file(tmp_path: Path) -> None:
    torch.save({"weight": weights_of_layout("s1"), "config": S1Config().official(), "info": ""}, tmp_path / "s1.ckpt")
    module = load_s1(tmp_path / "s1.ckpt")
    assert module.config == S1Config()
    filled(module, read(tmp_path / "s1.ckpt"))


@pytest.mark.parametrize("posterior", [True, False])
def test_s2_with_and_without_posterior_encoder(posterior: bool, tmp_path: Path) -> None:
    weights = weights_of_layout("s2") if posterior else without_posterior(weights_of_layout("s2"))
    torch.save({"weight": weights, "config": {}, "info": ""}, tmp_path / "s2.pth")
    module = load_s2(tmp_path / "s2.pth")
    assert hasattr(module, "enc_q") is posterior
    filled(module, read(tmp_path / "s2.pth"))


@pytest.mark.slow
def test_s2_of_v2pro_and_its_discriminators(tmp_path: Path) -> None:
    torch.save({"weight": weights_of_layout("s2", "v2Pro")}, tmp_path / "s2.pth")
    filled(load_s2(tmp_path / "s2.pth"), read(tmp_path / "s2.pth"))
    torch.save({"weight": weights_of_layout("s2_discriminator", "v2Pro")}, tmp_path / "D.pth")
    filled(load_discriminators(tmp_path / "D.pth"), read(tmp_path / "D.pth"))


@pytest.mark.slow
def test_a_module_through_an_official_file_speaks_the_same_to_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(5)
    module = load_s1(Checkpoint("s1", "v2", Text2Semantic(S1Config()).state_dict()))
    write_official(tmp_path / "s1.ckpt", Checkpoint("s1", "v2", module.state_dict(), module.config.official()))
    again = load_s1(tmp_path / "s1.ckpt")
    phones, codes = torch.arange(9)[None], torch.arange(5)[None]
    with torch.inference_mode():
        before, after = module(phones, None, codes), again(phones, None, codes)
    assert before.std() > 0.1
    torch.testing.assert_close(after, before, atol=2e-2, rtol=0)


def test_a_small_model_through_our_own_file_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    torch.manual_seed(6)
    module = Text2Semantic(TINY).eval()
    write(tmp_path / "tiny.safetensors", Checkpoint("s1", "v2", module.state_dict(), TINY.official()))
    again = load_s1(tmp_path / "tiny.safetensors")
    assert again.config == dataclasses.replace(TINY, dropout=again.config.dropout)
    phones, codes = torch.arange(9)[None], torch.arange(5)[None]
    with torch.inference_mode():
        assert torch.equal(again(phones, None, codes), module(phones, None, codes))


def test_loading_moves_no_seed_and_shares_no_memory() -> None:
    checkpoint = Checkpoint("s1", "v2", Text2Semantic(TINY).state_dict(), TINY.official())
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    module = load_s1(checkpoint)
    assert torch.equal(torch.rand(3), expected)
    before = checkpoint.weights["bert_proj.bias"].clone()
    with torch.no_grad():
        module.bert_proj.bias.add_(1)
    assert torch.equal(checkpoint.weights["bert_proj.bias"], before)


def test_weights_that_do_not_fit_are_refused() -> None:
    weights = Text2Semantic(TINY).state_dict()
    checkpoint = Checkpoint("s1", "v2", weights, source=Path("voice.safetensors"))
    with pytest.raises(
        CheckpointError, match=r"voice\.safetensors: the s1 of v2 does not fit Text2Semantic: 264 missing"
    ):
        load_s1(checkpoint)  # without a config the sizes are those of v2
    with pytest.raises(CheckpointError, match="a checkpoint of s1, expected one of s2"):
        load_s2(checkpoint)
    with pytest.raises(CheckpointError, match="1 unknown: more"):
        fill(Text2Semantic(TINY), dataclasses.replace(checkpoint, weights={**weights, "more": torch.zeros(1)}))

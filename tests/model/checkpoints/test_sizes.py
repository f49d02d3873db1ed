"""Sizes in the header of our own files: any size comes back, and what is no size is refused by name."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import tiny_voice

from voicemill.model.checkpoints.checkpoint import Checkpoint
from voicemill.model.checkpoints.layout import Kind
from voicemill.model.checkpoints.loading import load_discriminators, load_s1, load_s2, s2_sizes
from voicemill.model.checkpoints.sizes import KEY, from_header, header
from voicemill.model.checkpoints.writing import write
from voicemill.model.s1.config import S1Config
from voicemill.model.s1.decoder import Text2Semantic
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.losses import Discriminators
from voicemill.model.s2.synthesizer import Synthesizer
from voicemill.storage.errors import CheckpointError

S1 = replace(tiny_voice.S1, dropout=0.3)
S2 = tiny_voice.TRAINED_S2


@given(st.integers(1, 8), st.sampled_from([1, 2, 4]), st.integers(1, 300), st.floats(0, 0.9))
def test_any_s1_comes_back(layers: int, heads: int, codes: int, dropout: float) -> None:
    config = S1Config(codes=codes, dim=8 * heads, heads=heads, layers=layers, dropout=dropout)
    assert from_header(S1Config, json.loads(json.dumps(header(config)))) == config


@pytest.mark.parametrize("config", [S2, S2Config(), S2Config.of("v2Pro"), S2Config.of("v2ProPlus")])
def test_any_s2_comes_back(config: S2Config) -> None:
    assert from_header(S2Config, json.loads(json.dumps(header(config)))) == config


def test_a_header_without_sizes_gives_none_and_a_missing_field_its_default() -> None:
    assert from_header(S1Config, {"model": {}}) is None
    assert from_header(S1Config, {KEY: {"layers": 3}}) == S1Config(layers=3)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("layer", 3, "sizes that S2Config does not have: layer"),
        ("layers", "3", "size layers = 3: expected a whole number from 1 to 256"),
        ("layers", True, "size layers = True"),
        ("layers", 10**9, "from 1 to 256"),
        ("hidden", 10**30, "size hidden"),
        ("hidden", 0, "from 1 to"),
        ("heads", 0, "from 1 to"),
        ("hidden", 8.0, "size hidden = 8.0"),
        ("hidden", 7, "hidden contradict"),
        ("version", 2, "expected a text"),
        ("masked_reference", 1, "expected true or false"),
        ("dropout", 1, "size dropout = 1: expected a number from 0 to 1"),
        ("dropout", float("nan"), "size dropout"),
        ("upsample_rates", 10, "expected a list"),
        ("upsample_rates", [], "expected a list"),
        ("upsample_rates", [10, 0], "expected a list"),
        ("upsample_rates", [10, 8], "upsample_kernels"),
        ("periods", [2] * 300, "expected a list of 1 to 256"),
    ],
)
def test_invalid_sizes_are_refused_by_name(field: str, value: Any, words: str) -> None:
    given = {KEY: header(S2)[KEY] | {field: value}}
    with pytest.raises(CheckpointError, match="mine") as error:
        from_header(S2Config, given, "mine.safetensors")
    assert words in str(error.value)


def test_sizes_that_are_no_table() -> None:
    with pytest.raises(CheckpointError, match="its sizes are a list"):
        from_header(S1Config, {KEY: [1]})


def own(kind: Kind, module: torch.nn.Module, config: Any, version: str = "v2") -> Checkpoint:
    return Checkpoint(kind, version, module.state_dict(), header(config))


def test_our_own_files_of_any_size_are_loaded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    networks = (Text2Semantic(S1), Synthesizer(S2), Discriminators(S2))
    loaders = (load_s1, load_s2, load_discriminators)
    kinds: tuple[Kind, ...] = ("s1", "s2", "s2_discriminator")
    for kind, module, load in zip(kinds, networks, loaders, strict=True):
        write(tmp_path / kind, own(kind, module, S1 if kind == "s1" else S2))
        again = load(tmp_path / kind)
        state = again.state_dict()
        assert all(torch.equal(state[key], tensor) for key, tensor in module.state_dict().items())
        if kind != "s2_discriminator":
            assert again.config == (S1 if kind == "s1" else S2)


def test_without_the_posterior_encoder(tmp_path: Path) -> None:
    module = Synthesizer(S2, posterior=False)
    write(tmp_path / "s2", own("s2", module, S2))
    assert not hasattr(load_s2(tmp_path / "s2"), "enc_q")


def test_sizes_that_are_not_those_of_the_tensors_build_nothing() -> None:
    """Two terabytes, if they were built."""
    large = replace(S1, dim=1 << 18, layers=8)
    with pytest.raises(CheckpointError, match="does not fit Text2Semantic: 72 missing"):
        load_s1(own("s1", Text2Semantic(S1), large))
    wide = replace(S2, hidden=1 << 18)
    with pytest.raises(CheckpointError, match="does not fit Synthesizer"):
        load_s2(own("s2", Synthesizer(S2), wide))
    with pytest.raises(CheckpointError, match="a checkpoint of v2Pro with the sizes of v2"):
        load_s2(own("s2", Synthesizer(S2), S2, "v2Pro"))


def test_an_official_file_is_not_asked_for_sizes() -> None:
    """Entries of that name in an official file are not sizes of ours."""
    ours = own("s2", Synthesizer(S2), S2)
    assert s2_sizes(ours) == S2
    assert s2_sizes(replace(ours, form="small")) is None

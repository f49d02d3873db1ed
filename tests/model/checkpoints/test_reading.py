"""Official files of every sort are read; what the original would load is what was written; ours round trip."""

import dataclasses
import json
from collections import OrderedDict
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from support.checkpoint_files import hparams, weights_of_layout, with_first_bytes, without_posterior

from voicemill.model.checkpoints.checkpoint import Checkpoint, plain, read
from voicemill.model.checkpoints.layout import Kind, layout
from voicemill.model.checkpoints.writing import official_config, write, write_official
from voicemill.storage.errors import CheckpointError

VERSIONS = ("v2", "v2Pro", "v2ProPlus")


def same(checkpoint: Checkpoint, weights: "OrderedDict[str, torch.Tensor]", prefix: str = "") -> None:
    assert checkpoint.weights.keys() == {key.removeprefix(prefix) for key in weights}
    for key, tensor in weights.items():
        actual = checkpoint.weights[key.removeprefix(prefix)]
        assert actual.dtype == tensor.dtype
        assert torch.equal(actual, tensor), key


# -- official files


def test_s1(tmp_path: Path) -> None:
    weights, path = weights_of_layout("s1"), tmp_path / "voice-e15.ckpt"
    torch.save({"weight": weights, "config": {"model": {"head": 16}, "top": (1, 2)}, "info": "GPT-e15"}, path)
    actual = read(path)
    assert (actual.kind, actual.version, actual.form, actual.info, actual.source) == (
        "s1",
        "v2",
        "small",
        "GPT-e15",
        path,
    )
    assert actual.config == {"model": {"head": 16}, "top": [1, 2]}
    same(actual, weights, "model.")
    assert not any(key.startswith("model.") for key in actual.weights)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("posterior", [True, False])
def test_s2_of_every_version(version: str, posterior: bool, tmp_path: Path) -> None:
    weights, path = weights_of_layout("s2", version), tmp_path / "any_name.bin"
    weights = weights if posterior else without_posterior(weights)
    with hparams() as cls:  # what the original's trainer pickles: an object of a class that is not there when reading
        config = cls(model={"gin_channels": 512, "inner": {"rates": [10, 8]}}, data={"hop_length": 640})
        torch.save({"weight": weights, "config": config, "info": "8epoch_123iteration"}, path)
    actual = read(path)
    assert (actual.kind, actual.version, actual.posterior) == ("s2", version, posterior)
    assert actual.config == {"model": {"gin_channels": 512, "inner": {"rates": [10, 8]}}, "data": {"hop_length": 640}}
    assert json.loads(json.dumps(actual.config)) == actual.config
    assert type(actual.config) is dict
    same(actual, weights)


@pytest.mark.parametrize(("digits", "version"), [(b"05", "v2Pro"), (b"06", "v2ProPlus")])
def test_the_two_bytes_for_the_version(digits: bytes, version: str, tmp_path: Path) -> None:
    path = tmp_path / "voice.pth"
    weights = without_posterior(weights_of_layout("s2", version))
    torch.save({"weight": weights, "config": {}, "info": ""}, path)
    actual = read(with_first_bytes(path, digits))
    assert actual.version == version
    same(actual, weights)
    assert path.read_bytes()[:2] == digits


@pytest.mark.parametrize("version", ["v2", "v2Pro"])
def test_discriminators(version: str, tmp_path: Path) -> None:
    weights, path = weights_of_layout("s2_discriminator", version), tmp_path / "s2D.pth"
    torch.save({"weight": weights}, path)
    actual = read(path)
    assert (actual.kind, actual.version, actual.config, actual.info) == ("s2_discriminator", version, {}, "")
    same(actual, weights)


def test_resume_file_of_s2_with_its_optimizer(tmp_path: Path) -> None:
    weights, path = weights_of_layout("s2", dtype=torch.float32), tmp_path / "G_233333333333.pth"
    state = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(4)}}, "param_groups": [{"lr": 1e-4}]}
    torch.save({"model": weights, "iteration": 8, "optimizer": state, "learning_rate": 1e-4}, path)
    actual = read(path)
    assert (actual.kind, actual.form, actual.info, actual.posterior) == ("s2", "resume", "iteration 8", True)
    same(actual, weights)


def test_resume_file_of_s1_by_lightning(tmp_path: Path) -> None:
    weights, path = weights_of_layout("s1", dtype=torch.float32), tmp_path / "epoch=1-step=2.ckpt"
    hyper = {"config": {"model": {"n_layer": 24}}, "output_dir": PurePosixPath("logs/x"), "is_train": True}
    loops = {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 2}}}}
    torch.save({"epoch": 1, "state_dict": weights, "loops": loops, "hyper_parameters": hyper}, path)
    actual = read(path)
    assert (actual.kind, actual.form, actual.config) == ("s1", "lightning", {"model": {"n_layer": 24}})
    same(actual, weights, "model.")


def test_parameters_transposed_tensors_and_state_dicts_of_modules(tmp_path: Path) -> None:
    """What torch itself puts around tensors: Parameter, `_metadata`, strides that are not those of a fresh tensor."""
    weights, path = weights_of_layout("s1"), tmp_path / "s1.ckpt"
    weights["model.bert_proj.weight"] = torch.randn(1024, 512).half().t()
    weights["model.bert_proj.bias"] = torch.nn.Parameter(torch.ones(512).half())
    weights._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    torch.save({"weight": weights, "config": {}, "info": "x"}, path)
    assert not weights["model.bert_proj.weight"].is_contiguous()
    same(read(path), weights, "model.")


def test_the_files_of_torch_are_read_without_torch_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s1.ckpt"
    torch.save({"weight": weights_of_layout("s1"), "config": {}, "info": ""}, path)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch.load was called"))
    assert read(path).kind == "s1"


# -- files for the original


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "version", "head"),
    [("s1", "v2", b"PK"), ("s2", "v2", b"PK"), ("s2", "v2Pro", b"05"), ("s2", "v2ProPlus", b"06"),
     ("s2_discriminator", "v2", b"PK"), ("s2_discriminator", "v2Pro", b"PK")],
)  # fmt: skip
def test_small_files_are_as_the_original_writes_them(kind: Kind, version: str, head: bytes, tmp_path: Path) -> None:
    path, prefix = tmp_path / "small.pth", "model." if kind == "s1" else ""
    run = torch.linspace(-2, 2, 25_000_000)
    weights = {key: run[: torch.Size(shape).numel()].view(shape) for key, shape in layout(kind, version).items()}
    own = {"model": {"n_speakers": 1}, "train": {"seed": 7}}
    write_official(path, Checkpoint(kind, version, weights, config=own, info="e8"), info="")
    assert path.read_bytes()[:2] == head
    loaded = torch.load(with_first_bytes(path, b"PK"), weights_only=True)
    kept = {key: tensor.half() for key, tensor in weights.items() if not key.startswith("enc_q.")}
    assert loaded["weight"].keys() == {prefix + key for key in kept}
    assert all(torch.equal(loaded["weight"][prefix + key], tensor) for key, tensor in kept.items())
    if kind == "s2_discriminator":
        assert loaded.keys() == {"weight"}
        return
    assert type(loaded["config"]) is dict
    assert loaded["info"] == "e8"
    assert loaded["config"]["model"] == official_config(kind, version)["model"] | {"n_speakers": 1}
    assert loaded["config"]["train"]["seed"] == 7


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "version"), [("s1", "v2"), ("s2", "v2Pro")])
def test_an_official_file_is_read_back_bit_for_bit(kind: Kind, version: str, tmp_path: Path) -> None:
    first, second = tmp_path / "1.pth", tmp_path / "2.pth"
    weights = {key.removeprefix("model."): t for key, t in without_posterior(weights_of_layout(kind, version)).items()}
    write_official(first, Checkpoint(kind, version, weights, info="a"))
    actual = read(first)
    same(actual, OrderedDict(weights))
    write_official(second, actual)
    again = read(second)
    same(again, OrderedDict(weights))
    assert (again.config, again.info) == (actual.config, actual.info) == (official_config(kind, version), "a")


def test_a_weight_that_float16_cannot_hold_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    weights = {key: tensor.float() for key, tensor in weights_of_layout("s2").items()}
    weights["enc_p.proj.bias"] = torch.full((384,), 7e4)
    with pytest.raises(CheckpointError, match=r"enc_p\.proj\.bias reaches 70000"):
        write_official(tmp_path / "x.pth", Checkpoint("s2", "v2", weights))
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_all_there_are_not_written(tmp_path: Path) -> None:
    weights = dict(list(weights_of_layout("s2").items())[:-2])
    with pytest.raises(CheckpointError, match=r"2 missing: flow\.flows\.6\.post\.weight, flow\.flows\.6\.post\.bias"):
        write_official(tmp_path / "x.pth", Checkpoint("s2", "v2", weights))


# -- our own files


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_our_own_file_round_trips_bit_for_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(3)
    weights = {
        "a.weight": torch.randn(7, 5, generator=generator).to(dtype),
        "a.transposed": torch.randn(7, 5, generator=generator).to(dtype).t(),
        "b.odd": torch.tensor([0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e-7]).to(dtype),
        "c.empty": torch.zeros(0, 3, dtype=dtype),
    }
    weights["a.alias"] = weights["a.weight"]
    lineage = {"corpus": 3, "parent": "s1.ckpt", "speakers": ["zoë"]}
    made = Checkpoint(
        kind="s1", version="v2", weights=weights, config={"layers": [1, 2], "rate": 0.5}, info="e3", lineage=lineage
    )
    path = tmp_path / "voice.safetensors"
    wrote, actual = write(path, made), read(path)
    assert dataclasses.replace(actual, weights={}) == dataclasses.replace(wrote, weights={})
    assert (actual.config, actual.info, actual.lineage, actual.source) == (made.config, "e3", lineage, path)
    bits = torch.int32 if dtype is torch.float32 else torch.int16
    for key, tensor in weights.items():
        assert actual.weights[key].dtype == dtype
        assert torch.equal(actual.weights[key].view(bits), tensor.contiguous().view(bits)), key
    assert [entry.name for entry in tmp_path.iterdir()] == ["voice.safetensors"]


def test_official_to_own_and_back(tmp_path: Path) -> None:
    official, own = tmp_path / "s2.pth", tmp_path / "s2.safetensors"
    torch.save({"weight": weights_of_layout("s2"), "config": {"a": 1}, "info": "i"}, official)
    write(own, read(official))
    actual = read(own)
    same(actual, weights_of_layout("s2"))
    assert (actual.kind, actual.version, actual.form, actual.config) == ("s2", "v2", "own", {"a": 1})
    with safe_open(own, framework="pt") as file:
        assert json.loads(file.metadata()["voicemill"])["format"] == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=20,
    )
)
def test_what_json_has_is_plain(value: Any) -> None:
    assert plain(value, None) == value == json.loads(json.dumps(plain(value, None)))


@pytest.mark.parametrize("value", [{1, 2}, object(), torch.zeros(1), b"x", 2**70])
def test_what_json_lacks_is_refused_in_a_config(value: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="in the config"):
        write(tmp_path / "x.safetensors", Checkpoint("s1", "v2", {}, {"a": [value]}))
    assert list(tmp_path.iterdir()) == []


def test_safetensors_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="not of voicemill"):
        read(path)
    later = '{"format": 2, "kind": "s1", "version": "v2", "config": {}, "info": "", "lineage": {}}'
    odd = '{"format": 1, "kind": [], "version": {}, "config": {}, "info": "", "lineage": {}}'
    for said in ("no JSON", "[]", "{}", later, odd):
        save_file({"a": torch.zeros(3)}, path, {"voicemill": said})
        with pytest.raises(CheckpointError, match=r"damaged|format"):
            read(path)


def test_our_own_file_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write(path, Checkpoint("s1", "v2", {"a": torch.zeros(300)}))
    data = path.read_bytes()
    for length in (9, 40, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="damaged or cut off"):
            read(path)

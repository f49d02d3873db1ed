"""Adapters as folders: a round trip, and refusal of adapters of another base."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.adapter_bases import assert_same, base, output
from support.tiny_voice import with_random_factors

from voicemill.model.adapters.adapting import adapt
from voicemill.model.adapters.files import ABOUT, CONFIG, PREFIX, WEIGHTS, base_digest, load, read, save
from voicemill.model.adapters.lora import active, names, switch
from voicemill.model.settings.training import Adaptation
from voicemill.storage.errors import CheckpointError, ConfigError

LORA = Adaptation(kind="lora", rank=3, alpha=6)
LINEAGE = {"corpus_version": 7, "speakers": ["anna"], "start": "s1.ckpt"}


def saved(network: Any, folder: Path, seed: int = 1) -> torch.Tensor:
    """Speech of the voice that is in the folder now."""
    module = base(network)
    adapt(module, network, LORA)
    with_random_factors(module, "default", seed)
    save(module, folder, LINEAGE)
    return output(module)


def test_a_saved_adapter_speaks_as_before(network: Any, tmp_path: Path) -> None:
    expected = saved(network, tmp_path / "anna")
    module = base(network)
    adapter = load(module, tmp_path / "anna", "anna")
    assert_same(output(module), expected)
    assert (adapter.network, adapter.rank, adapter.alpha, adapter.lineage) == (network, 3, 6.0, LINEAGE)
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert {path.name for path in tmp_path.iterdir()} == {"anna"}, "nothing half written stays"


def test_a_switched_adapter_is_a_freshly_loaded_one(network: Any, tmp_path: Path) -> None:
    expected = {name: saved(network, tmp_path / name, seed) for seed, name in enumerate(("anna", "otto"))}
    module = base(network)
    for name in expected:
        load(module, tmp_path / name, name)
    assert active(module) == "otto"
    for name in ("anna", "otto", "anna"):
        switch(module, name)
        assert_same(output(module), expected[name])


def test_a_loaded_adapter_can_be_saved_again(network: Any, tmp_path: Path) -> None:
    saved(network, tmp_path / "first")
    module = base(network)
    load(module, tmp_path / "first", "anna")
    save(module, tmp_path / "second", LINEAGE, "anna")
    for name in (CONFIG, ABOUT):
        assert json.loads((tmp_path / "first" / name).read_text()) == json.loads(
            (tmp_path / "second" / name).read_text()
        )
    first, second = (load_file(tmp_path / name / WEIGHTS) for name in ("first", "second"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    saved("s1", tmp_path / "voice", 1)
    (tmp_path / "voice" / "other").write_text("")
    expected = saved("s1", tmp_path / "voice", 2)
    module = base("s1")
    load(module, tmp_path / "voice", "anna")
    assert_same(output(module), expected)
    assert {path.name for path in (tmp_path / "voice").iterdir()} == {WEIGHTS, CONFIG, ABOUT, "README.md"} & {
        path.name for path in (tmp_path / "voice").iterdir()
    }


def test_peft_itself_reads_what_was_saved(tmp_path: Path) -> None:
    from peft import PeftModel

    expected = saved("s1", tmp_path / "anna")
    model = PeftModel.from_pretrained(base("s1"), str(tmp_path / "anna"))
    torch.testing.assert_close(output(model.base_model.model), expected)


def test_the_digest_is_that_of_the_base_whatever_lies_beside_it(network: Any) -> None:
    module = base(network)
    before = base_digest(module)
    adapt(module, network, LORA)
    with_random_factors(module, "default", 1)
    assert base_digest(module) == before
    other = base(network)
    with torch.no_grad():
        next(other.parameters()).flatten()[0] += 1e-3
    assert base_digest(other) != before


def test_a_base_without_the_posterior_encoder_is_the_same_base(tmp_path: Path) -> None:
    expected = saved("s2", tmp_path / "anna")
    module = base("s2")
    del module.enc_q
    load(module, tmp_path / "anna", "anna")
    assert_same(output(module), expected)


def test_an_adapter_of_another_base_or_network_is_refused(network: Any, tmp_path: Path) -> None:
    saved(network, tmp_path / "anna")
    module = base(network)
    with torch.no_grad():
        list(module.parameters())[-1].add_(0.01)
    before = output(module)
    with pytest.raises(CheckpointError, match=f"made for another base of {network} .* use it with s1.ckpt"):
        load(module, tmp_path / "anna", "anna")
    assert_same(output(module), before)
    assert names(module) == []
    other = "s2" if network == "s1" else "s1"
    with pytest.raises(CheckpointError, match=f"an adapter of {network}, expected one of {other}"):
        load(base(other), tmp_path / "anna", "anna")


def changed(name: str, **values: Any) -> Callable[[Path], None]:
    """Fields of a JSON file set; None takes one away."""

    def change(folder: Path) -> None:
        actual = json.loads((folder / name).read_text()) | values
        (folder / name).write_text(json.dumps({key: value for key, value in actual.items() if value is not None}))

    return change


def tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def changes(folder: Path) -> None:
        actual = load_file(folder / WEIGHTS)
        change(actual)
        save_file(actual, folder / WEIGHTS)

    return changes


def linked(name: str, target: str = "") -> Callable[[Path], None]:
    """A file replaced by a link: to `target`, or to a file outside the folder that is none of its owner's business."""

    def change(folder: Path) -> None:
        secret = folder.parent / "secret.txt"
        secret.write_text(f"{SECRET}\n" * 99)
        (folder / name).unlink()
        (folder / name).symlink_to(target or secret)

    return change


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


SECRET = "password is swordfish"
KEY = f"{PREFIX}h.layers.0.linear1.lora_A.weight"
HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), f"it lacks {WEIGHTS}"),
    "no folder": (shutil.rmtree, "not the folder of an adapter"),
    "cut off": (lambda folder: (folder / WEIGHTS).write_bytes(b"\x09" * 30), "damaged or cut off"),
    "no JSON": (lambda folder: (folder / ABOUT).write_text("{"), "damaged"),
    "deep JSON": (lambda folder: (folder / ABOUT).write_text("[" * 100_000), "damaged"),
    "not UTF-8": (lambda folder: (folder / CONFIG).write_bytes(b"\xff\xfe"), "damaged"),
    "a list": (lambda folder: (folder / CONFIG).write_text("[]"), "holds a list, expected a table"),
    "format": (changed(ABOUT, format=2), "format 2, network s1; expected format 1"),
    "network": (changed(ABOUT, network="s3"), "network s3"),
    "base": (changed(ABOUT, base=None), "base or lineage is missing"),
    "rank": (changed(CONFIG, r=0), "r = 0: expected a whole number from 1 to 1024"),
    "huge rank": (changed(CONFIG, r=10**12), "expected a whole number from 1 to 1024"),
    "other rank": (changed(CONFIG, r=4), "does not fit this s1: 18 of another shape"),
    "alpha": (changed(CONFIG, lora_alpha=float("nan")), "lora_alpha = nan"),
    "huge alpha": (changed(CONFIG, lora_alpha=10**400), "lora_alpha = 1000"),
    "targets": (changed(CONFIG, target_modules="all-linear"), "target_modules = all-linear"),
    "no target": (changed(CONFIG, target_modules=[]), "the full names of the layers"),
    "other targets": (changed(CONFIG, target_modules=["h.layers.9.linear1"]), "are not in this s1"),
    "a table of words": (
        changed(CONFIG, target_modules=["ar_text_embedding.word_embeddings"]),
        "are not in this s1",
    ),
    "dora": (changed(CONFIG, use_dora=True), "use_dora = True: expected False, other kinds"),
    "rslora": (changed(CONFIG, use_rslora=True), "use_rslora = True"),
    "patterns": (changed(CONFIG, alpha_pattern={"linear1": 99}), "alpha_pattern"),
    "kind": (changed(CONFIG, peft_type="LOHA"), "peft_type = LOHA: expected 'LORA'"),
    "a module to import": (changed(CONFIG, megatron_core="os"), "megatron_core = os"),
    "a later setting": (changed(CONFIG, use_something_new=True), "use_something_new = True"),
    "missing": (tensors(lambda actual: actual.pop(KEY)), "1 missing: h.layers.0.linear1.lora_A.weight"),
    "unknown": (tensors(lambda actual: actual.update(more=torch.ones(1))), "1 unknown: more"),
    "shape": (tensors(lambda actual: actual.update({KEY: torch.ones(3, 5)})), "1 of another shape"),
    "not a number": (tensors(lambda actual: actual[KEY].fill_(float("nan"))), "something else than finite numbers"),
    "a link to another file": (linked(CONFIG), "damaged: Expecting value"),
    "a link to other weights": (linked(WEIGHTS), "damaged"),
    "a link to nothing": (linked(ABOUT, "nowhere"), f"it lacks {ABOUT}"),
    "a link to a device": (linked(WEIGHTS, "/dev/zero"), f"it lacks {WEIGHTS}"),
    "a pipe": (lambda folder: pipe(folder / WEIGHTS), f"it lacks {WEIGHTS}"),
    "integers": (tensors(lambda actual: actual.update({KEY: actual[KEY].int()})), "something else than finite numbers"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "anna"
    saved("s1", folder)
    return folder


@pytest.mark.parametrize("case", HOSTILE)
def test_a_folder_that_is_damaged_or_hostile_is_refused(case: str, good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "anna"
    shutil.copytree(good, folder)
    module = base("s1")
    before = output(module)
    load(module, folder, "first")
    switch(module, "")
    change, words = HOSTILE[case]
    change(folder)
    with pytest.raises(CheckpointError) as error:
        load(module, folder, "second")
    assert words in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert len(str(error.value)) < 600
    assert SECRET[:4] not in str(error.value)
    assert names(module) == ["first"]
    assert_same(output(module), before)


def test_saving_a_missing_adapter_is_refused(tmp_path: Path) -> None:
    module = base("s1")
    with pytest.raises(ConfigError, match="no adapter '' to save; this Text2Semantic has none"):
        save(module, tmp_path / "anna", {})
    adapt(module, "s1", Adaptation(kind="last"))
    with pytest.raises(ConfigError, match="no adapter"):
        save(module, tmp_path / "anna", {})
    adapt(base("s1"), "s1", LORA)
    with pytest.raises(CheckpointError, match="where values belong"):
        trained = base("s1")
        adapt(trained, "s1", LORA)
        save(trained, tmp_path / "anna", {"when": object()})
    assert not list(tmp_path.iterdir())


def test_a_folder_states_its_lineage(good: Path) -> None:
    adapter = read(good)
    assert adapter.network == "s1"
    assert adapter.base == base_digest(base("s1"))
    assert len(adapter.targets) == 9

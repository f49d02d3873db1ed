"""Models trained on a speaker: directly, through another voice, or by the weights they started from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import factories as f
from support.model_cards import make_card, make_training

from voicemill.storage.errors import Retired
from voicemill.storage.files import write_bytes
from voicemill.storage.forgetting import forget
from voicemill.storage.forgetting.forget import forget_speaker, retire_if_forgotten
from voicemill.storage.forgetting.receipts import receipts
from voicemill.storage.store import Store
from voicemill.storage.voices import registry, status
from voicemill.storage.voices.cards import Entry, Kind, WeightsFile
from voicemill.storage.voices.lineage import FORGOTTEN, ancestors, models_trained_on
from voicemill.storage.voices.status import read_status

WHO = "zoe"
BATCHES = [f.make_batch(1, f.upload("ann")), f.make_batch(2, f.upload(WHO), f.upload("bob"))]
Add = Callable[..., Entry]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with version 1 of ann, and version 2 of ann, bob and zoe."""
    store = Store.open(tmp_path / "store", create=True)
    f.corpus(store, BATCHES[:1])
    f.corpus(store, BATCHES)
    return store


@pytest.fixture
def add(store: Store, tmp_path: Path) -> Add:
    def write(
        voice: str,
        version: int = 2,
        kind: Kind = "trained",
        heard: tuple[str, ...] = (),
        parent: str = "",
        base: dict[str, WeightsFile] | None = None,
        weights: str = "s2.safetensors",
        speakers: tuple[str, ...] = (),
    ) -> Entry:
        (tmp_path / "s2").write_bytes(f"{voice} {version} {kind} {heard} {parent}".encode())
        number = len(registry.entries(store, voice))
        card = make_card(
            voice=voice,
            corpus_version=version,
            speakers=speakers,
            trainings=(make_training(folder=f"{voice}-{number}"),),
            base=base or {},
            kind=kind,
            heard=heard,
            parent=parent,
            weights={"s2": weights},
        )
        return registry.add(store, card, {} if Path(weights).is_absolute() else {"s2": tmp_path / "s2"})

    return write


def used(store: Store) -> list[str]:
    return models_trained_on(store, {2}, WHO.__eq__)


def test_models_trained_on_the_speech_itself(store: Store, add: Add) -> None:
    add("base", 1)
    add("base", 2)
    add("ann", 2, heard=("ann",), speakers=("ann",))
    add("zoe", 2, heard=("zoe",), speakers=("zoe",))
    add("both", 2, heard=("bob", "zoe"))
    add("old", 9, speakers=("zoe",))
    assert used(store) == ["base/0002", "both/0001", "old/0001", "zoe/0001"]


def test_models_made_from_others_however_far(store: Store, add: Add) -> None:
    base = add("base", 2)
    student = add("base", 2, "student", ("ann",), base.name)
    add("base", 2, "compressed", (), student.name)
    clean = add("ann", 2, heard=("ann",), speakers=("ann",))
    add("ann", 2, "compressed", (), clean.name)
    assert used(store) == ["base/0001", "base/0002", "base/0003"]


@pytest.mark.parametrize("how", ["copied elsewhere", "by its path", "as it lies there"])
def test_models_that_started_from_the_weights_of_others(store: Store, add: Add, tmp_path: Path, how: str) -> None:
    base = add("base", 2)
    path = base.path("s2")
    if how == "copied elsewhere":
        file = WeightsFile(str(tmp_path / "copy"), WeightsFile.of(path).sha256)
    else:
        file = WeightsFile(str(path), "0" * 64)
    if how == "as it lies there":
        add("ann", 1, heard=("ann",), weights=str(path))
    else:
        add("ann", 1, heard=("ann",), base={"s2": file})
    add("bob", 1, heard=("ann",), base={"s2": WeightsFile("elsewhere", "1" * 64)})
    assert used(store) == ["ann/0001", "base/0001"]


def test_ancestors_reach_as_far_as_forgetting_does(store: Store, add: Add, tmp_path: Path) -> None:
    """Nearest first, the parent before others; forgetting a speaker of an ancestor retires all its descendants."""
    base, other = add("base", 2), add("other", 1)
    teacher = add(
        "ann",
        1,
        heard=("ann",),
        base={"s2": WeightsFile(str(tmp_path / "copy"), WeightsFile.of(base.path("s2")).sha256)},
    )
    student = add("ann", 1, "student", ("ann",), teacher.name, {"light": WeightsFile(str(other.path("s2")), "0" * 64)})
    small = add("ann", 1, "compressed", (), student.name)
    assert ancestors(store, small.name, "weights") == [student.name, teacher.name, other.name, base.name]
    assert ancestors(store, base.name, "weights") == ancestors(store, "nobody/0001", "weights") == []
    every = [entry.name for entry in (base, other, teacher, student, small)]
    for name in every:
        heirs = {each for each in every if name in (each, *ancestors(store, each, "weights"))}
        version = 2 if name == base.name else 1
        if name in (base.name, other.name):
            raw = json.loads((store.models / name / "card.json").read_text())
            write_bytes(store.models / name / "card.json", json.dumps(raw | {"speakers": [WHO]}).encode())
            assert set(models_trained_on(store, {version + 10}, WHO.__eq__)) >= heirs
    orphan = add("ann", 1, "student", ("ann",), "ann/0099")
    assert ancestors(store, orphan.name, "weights") == ["ann/0099"]


def test_forgetting_retires_models_and_names_the_lanes_to_retrain(store: Store, add: Add) -> None:
    def champion(entry: Entry) -> None:
        folder, kind = entry.folder.parent, entry.card.kind
        status.promote(folder, entry.number, kind, instead_of=0, who="eve", when=f.WHEN, why="first")

    first, base = add("base", 1), add("base", 2)
    champion(base)
    student = add("base", 2, "student", (), base.name)
    ann, zoe = add("ann", 2, heard=("ann",), speakers=("ann",)), add("zoe", 2, heard=("zoe",), speakers=("zoe",))
    champion(ann)
    champion(zoe)
    add("more", 1)
    add("more", 2)
    receipt = forget_speaker(store, WHO, created=f.WHEN)
    assert receipt.models == ("base/0002", "base/0003", "more/0002", "zoe/0001")
    assert receipt.retrain == ("base/student", "base/trained")  # more has 1 left, and zoe is nobody's any more
    assert receipt.sealed(WHO) == receipts(store)[-1]
    standing = read_status(base.folder.parent)
    assert [standing.of(entry.number) for entry in (first, base, student)] == ["candidate", "retired", "retired"]
    assert standing.champions == {}
    assert {change.why for change in standing.history[1:]} == {FORGOTTEN}
    assert registry.find(store, "ann") == ann
    assert registry.find(store, "base") == first
    with pytest.raises(Retired, match="was forgotten"):
        registry.find(store, "zoe")
    assert registry.find(store, "zoe", allow_retired=True) == zoe


def test_an_entry_added_while_a_forgetting_starts_is_retired(
    store: Store, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training ends after the models were collected and before the mark can be seen."""
    early, note, late = add("base", 2), forget._note, []

    def noted(*args: Any) -> None:
        if not late:
            late.append(add("base", 2))
            assert not retire_if_forgotten(store, late[0].name, when=f.WHEN)
        note(*args)

    monkeypatch.setattr(forget, "_note", noted)
    receipt = forget_speaker(store, WHO, created=f.WHEN)
    assert receipt.models == (early.name, late[0].name)
    assert receipt.retrain == ("base/trained",)
    assert read_status(early.folder.parent).retired == {early.number, late[0].number}


def test_graphs_are_erased_with_their_entry(store: Store, add: Add) -> None:
    first, base = add("base", 1), add("base", 2)
    graphs = base.folder.parent / "graphs"
    status.retire(base.folder.parent, base.number, "trained", who="eve", when=f.WHEN, why="before")
    for name in (first.folder.name, base.folder.name):
        write_bytes(graphs / name / "0a1b" / "s1.onnx", b"graph")
    write_bytes(graphs / ("ab" * 12) / "s1.onnx", b"of nobody knows whom")
    forget_speaker(store, WHO, created=f.WHEN)
    assert [path.name for path in graphs.iterdir()] == [first.folder.name]
    assert (graphs / first.folder.name / "0a1b" / "s1.onnx").read_bytes() == b"graph"


def test_a_training_that_ends_after_the_forgetting_gives_a_retired_entry(store: Store, add: Add) -> None:
    forget_speaker(store, WHO, created=f.WHEN)
    late, mine, other = add("base", 2), add("ann", 2, heard=("ann",)), add("base", 1)
    assert [retire_if_forgotten(store, entry.name, when=f.WHEN) for entry in (late, mine, other)] == [
        True,
        False,
        False,
    ]
    assert not retire_if_forgotten(store, late.name, when=f.WHEN)
    child = add("base", 1, "student", (), late.name)
    assert retire_if_forgotten(store, child.name, when=f.WHEN)
    assert read_status(late.folder.parent).retired == {late.number, child.number}


def test_files_that_are_no_card_are_passed_over(store: Store) -> None:
    write_bytes(store.models / "odd" / "0001" / "card.json", b"not JSON")
    write_bytes(store.models / "odd" / "0002" / "card.json", json.dumps([1]).encode())
    assert used(store) == []

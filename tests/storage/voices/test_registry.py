"""Entries of voices: whole or absent, numbered, never changed."""

import hashlib
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import kill_points
from support.model_cards import make_card, make_training

from voicemill.storage.errors import ConfigError, Retired, StoreError
from voicemill.storage.store import Store
from voicemill.storage.voices import registry, status
from voicemill.storage.voices.cards import Card, Entry, Kind, WeightsFile, check_voice_name, voice_name_of

WEIGHTS = hashlib.sha256(b"weights").hexdigest()


def card(folder: str, weights: dict[str, str] | None = None) -> Card:
    training = make_training(
        adapt="lora",
        outcome="early",
        detail="patience",
        steps=90,
        best_step=50,
        losses={"loss": 1.5, "kl": None},
        seconds=12.5,
        folder=folder,
    )
    base = {"s1": WeightsFile("base.ckpt", "ab" * 32)}
    names = {"s2": "s2.safetensors", "s2_adapter": "s2_adapter", "s1": "base.ckpt"} if weights is None else weights
    return make_card(
        corpus_version=3,
        trainings=(training,),
        base=base,
        created="2026-01-01T00:00:00+00:00",
        reason="why",
        weights=names,
    )


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    (tmp_path / "s2.safetensors").write_bytes(b"weights")
    return {"s2": tmp_path / "s2.safetensors", "s2_adapter": tmp_path / "adapter"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def test_an_entry_reads_as_it_was_written(store: Store, files: dict[str, Path]) -> None:
    assert registry.latest(store, "ann") is None
    entry = registry.add(store, card("run-1"), files)
    assert (entry.folder, entry.number) == (store.models / "ann" / "0001", 1)
    digests = {"s2.safetensors": WEIGHTS, "s2_adapter/adapter_config.json": hashlib.sha256(b"{}").hexdigest()}
    assert registry.latest(store, "ann") == entry == Entry(entry.folder, replace(card("run-1"), files=digests))
    assert (entry.name, registry.voice_names(store)) == ("ann/0001", ["ann"])
    assert entry.path("s2").read_bytes() == b"weights"
    assert (entry.path("s2_adapter") / "adapter_config.json").read_text() == "{}"
    assert entry.path("s1") == entry.folder / "base.ckpt"  # relative ones lie in the entry; absolute ones stay
    files["s2"].write_bytes(b"trained further")
    assert entry.path("s2").read_bytes() == b"weights"


def test_the_same_trainings_make_one_entry(store: Store, files: dict[str, Path]) -> None:
    first = registry.add(store, card("run-1"), files)
    second = registry.add(store, card("run-2"), files)
    again = registry.add(store, replace(card("run-1"), created="later"), files)
    assert (first.number, second.number, again) == (1, 2, first)
    assert [entry.number for entry in registry.entries(store, "ann")] == [1, 2]


def test_entries_of_many_writers_are_all_there(store: Store, files: dict[str, Path]) -> None:
    threads = [threading.Thread(target=registry.add, args=(store, card(f"run-{n}"), files)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = registry.entries(store, "ann")
    assert [entry.number for entry in entries] == list(range(1, 9))
    assert {entry.card.trainings[0].folder for entry in entries} == {f"run-{n}" for n in range(8)}
    assert len(list((store.models / "ann").iterdir())) == 8


def _add(root: Path, files: dict[str, Path]) -> None:
    registry.add(Store.open(root), card("run-1"), files)


def test_a_kill_leaves_no_half_entry(files: dict[str, Path], tmp_path: Path) -> None:
    """Killed at any moment, the next attempt completes it; temporaries are removed when they are a day old."""
    root = Store.open(tmp_path / "undisturbed", create=True).root
    events = kill_points.run(_add, root, files, root=root)
    assert events > 5
    for at in range(1, events + 1):
        store = Store.open(tmp_path / f"killed-{at}", create=True)
        kill_points.run(_add, store.root, files, root=store.root, at=at)
        for entry in registry.entries(store, "ann"):
            assert entry.path("s2").read_bytes() == b"weights"
        for path in (store.models / "ann").glob(".*"):
            os.utime(path, (0, 0))
        assert registry.add(store, card("run-1"), files).number == 1
        registry.add(store, card("run-2"), files)
        assert sorted(path.name for path in (store.models / "ann").iterdir()) == ["0001", "0002"]


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "a/b", "../x", "a b", "x" * 65, "-x", "a\n"])
def test_names_that_are_no_folder_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="a name is 1 to 64"):
        check_voice_name(name)


@given(st.lists(st.text(max_size=80), unique=True, max_size=5))
def test_every_speaker_gives_a_name(speakers: list[str]) -> None:
    assert check_voice_name(voice_name_of(speakers))
    assert (voice_name_of(speakers) == "base") == (not speakers or speakers == ["base"])


def test_names_are_readable_and_tell_groups_apart() -> None:
    assert voice_name_of(["ann"]) == check_voice_name("ann") == "ann"
    assert voice_name_of(["张伟"]) == "张伟"
    groups = [voice_name_of(each) for each in (["ann", "bob"], ["ann", "cid"], ["ann", "bob", "cid"])]
    assert len(set(groups)) == 3
    assert all(name.startswith("ann-and-") for name in groups)


# -- cards and lanes


def test_older_cards_still_read(store: Store, files: dict[str, Path]) -> None:
    entry = registry.add(store, card("run-1"), files)
    raw = json.loads((entry.folder / "card.json").read_text())
    for name in ("kind", "parent", "files", "heard"):
        del raw[name]
    (entry.folder / "card.json").write_text(json.dumps(raw))
    (old,) = registry.entries(store, "ann")
    assert (old.card.kind, old.card.parent, old.card.files, old.card.heard) == ("trained", "", {}, ())
    assert registry.find(store, "ann") == old


def child(kind: Kind, parent: str = "ann/0001", weights: dict[str, str] | None = None) -> Card:
    """Card of an entry made from another one: with its trainings, or without any."""
    return replace(card("run-1", weights or {"s2": "s2.safetensors"}), kind=kind, parent=parent)


def test_the_same_origin_and_files_make_one_entry(store: Store, files: dict[str, Path]) -> None:
    """A compressed entry has the trainings of its parent, and is another entry."""
    alone = {"s2": files["s2"]}
    first = registry.add(store, card("run-1"), files)
    packed = registry.add(store, child("compressed"), alone)
    assert registry.add(store, child("compressed"), alone) == packed
    assert registry.add(store, child("student"), alone).number == 3
    assert registry.add(store, child("compressed", "ann/0003"), alone).number == 4
    files["s2"].write_bytes(b"weights of 16 bits")
    assert registry.add(store, child("compressed"), alone).number == 5
    assert registry.add(store, card("run-1"), files) == first
    assert sorted(path.name for path in (store.models / "ann").iterdir()) == [f"000{n}" for n in range(1, 6)]


def test_changed_files_of_an_entry_are_found(store: Store, files: dict[str, Path]) -> None:
    entry = registry.add(store, card("run-1"), files)
    registry.check_files(entry)
    same = registry.add(store, replace(card("run-2")), files)
    assert entry.digest == same.digest
    (entry.folder / "s2.safetensors").write_bytes(b"weightz")
    with pytest.raises(StoreError, match=r"entry ann/0001 is damaged: .*s2\.safetensors was changed"):
        registry.find(store, "ann", number=1)
    (same.folder / "s2_adapter" / "adapter_config.json").unlink()
    with pytest.raises(StoreError, match=r"adapter_config\.json is missing"):
        registry.find(store, "ann", number=2)
    files["s2"].write_bytes(b"other")
    assert registry.add(store, card("run-3"), files).digest != entry.digest


WHO = {"who": "eve", "when": "2026-02-01T00:00:00+00:00", "why": "heard it"}


def test_find_takes_the_champion_of_the_first_lane_with_one(store: Store, files: dict[str, Path]) -> None:
    alone, voice = {"s2": files["s2"]}, store.models / "ann"
    registry.add(store, card("run-1"), files)
    registry.add(store, child("compressed"), alone)
    registry.add(store, child("student"), alone)
    registry.add(store, card("run-2"), files)
    assert registry.find(store, "ann").number == 4  # none is champion: the newest
    assert registry.find(store, "ann", "compressed").number == 2
    status.promote(voice, 2, "compressed", instead_of=0, **WHO)
    assert registry.find(store, "ann").number == 2
    status.promote(voice, 3, "student", instead_of=0, **WHO)
    assert registry.find(store, "ann").number == 3
    status.promote(voice, 1, "trained", instead_of=0, **WHO)
    assert (registry.find(store, "ann").number, registry.find(store, "ann", "trained").number) == (1, 1)
    assert registry.find(store, "ann", "trained", 4).number == 4
    assert registry.find(store, "ann", number=2).number == 2


def test_errors_name_what_is_missing(store: Store, files: dict[str, Path]) -> None:
    with pytest.raises(StoreError, match="has no voice 'ann'; it has none"):
        registry.find(store, "ann")
    registry.add(store, card("run-1"), files)
    with pytest.raises(StoreError, match="has no voice 'bob'; it has ann"):
        registry.find(store, "bob")
    with pytest.raises(StoreError, match=r"no entry number 7; it has 1 \(trained\)"):
        registry.find(store, "ann", number=7)
    with pytest.raises(StoreError, match="no entry of kind light"):
        registry.find(store, "ann", "light")
    with pytest.raises(ConfigError, match="expected trained, student"):
        registry.find(store, "ann", "heavy")


def test_a_retired_entry_is_found_only_where_that_is_allowed(store: Store, files: dict[str, Path]) -> None:
    one, two = (registry.add(store, card(f"run-{n}"), files) for n in (1, 2))
    registry.check_usable(two.path("s2"))
    status.retire(store.models / "ann", 2, "trained", **WHO)
    assert registry.find(store, "ann") == registry.latest(store, "ann", "trained") == one
    assert registry.latest(store, "ann", "student") is None
    graphs = two.folder.parent / "graphs"
    for path in (two.path("s2"), two.folder, two.path("s2_adapter") / "adapter_config.json", graphs / "0002" / "ab"):
        with pytest.raises(Retired, match=r"entry 2 of ann was retired on 2026-02-01.* \(heard it\).*--allow-retired"):
            registry.check_usable(path)
        registry.check_usable(path, allow_retired=True)
    registry.check_usable(one.path("s2"))
    registry.check_usable(graphs / "0001" / "ab" / "manifest.json")
    registry.check_usable(files["s2"])
    with pytest.raises(Retired):
        registry.find(store, "ann", number=2)
    assert registry.find(store, "ann", number=2, allow_retired=True) == two
    status.retire(store.models / "ann", 1, "trained", **WHO)
    with pytest.raises(Retired, match="--allow-retired"):
        registry.find(store, "ann")
    assert registry.find(store, "ann", allow_retired=True) == two


def test_scores_stay_with_their_entry(store: Store, files: dict[str, Path]) -> None:
    entry = registry.add(store, card("run-1"), files)
    evaluation = {"testset": "ab" * 32, "voice": "ann/0001", "items": {"cer": {"a": 0.25}}, "totals": {"cer": 0.25}}
    path = registry.add_scores(entry, evaluation)
    assert path.parent == entry.folder / "evaluations"
    assert path.name.startswith("abababababab-")
    assert registry.add_scores(entry, evaluation) == path
    other = evaluation | {"testset": "cd" * 32}
    registry.add_scores(entry, other)
    registry.add_scores(entry, evaluation | {"totals": {"cer": 0.5}})
    assert [each["totals"]["cer"] for each in registry.scores(entry, "ab" * 32)] == [0.25, 0.5]
    assert registry.scores(entry, "cd" * 32) == [other]
    assert len(registry.scores(entry)) == 3
    registry.check_files(entry)
    with pytest.raises(ConfigError, match="do not belong to entry 'ann/0001'"):
        registry.add_scores(entry, evaluation | {"voice": "ann/0002"})


def test_the_only_voice_of_a_store_needs_no_name(store: Store, files: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=r"name a voice by --voice: .* has none yet: `voicemill train` makes one"):
        registry.only_voice(store)
    registry.add(store, card("run-1"), files)
    assert registry.only_voice(store) == "ann"
    registry.add(store, replace(card("run-2"), voice="bob"), files)
    with pytest.raises(ConfigError, match="has 2: ann, bob"):
        registry.only_voice(store)

"""Entries of voices: whole or not there, numbered, never changed."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import killing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import voices
from storage.errors import ConfigError
from storage.store import Store
from storage.voices import Card, Entry, File, Training


def card(folder: str, weights: dict[str, str] | None = None) -> Card:
    losses = {"loss": 1.5, "kl": None}
    training = Training("s2", "finetune", "lora", "early", "patience", 90, 50, None, losses, 12.5, folder)
    base = {"s1": File("base.ckpt", "ab" * 32)}
    given = {"s2": "s2.safetensors", "s2_adapter": "s2_adapter", "s1": "base.ckpt"} if weights is None else weights
    when = "2026-01-01T00:00:00+00:00"
    return Card("ann", 3, "r" * 64, ("ann",), (training,), "c" * 64, base, "mfcc", "0.1+x", when, "why", given)


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
    assert voices.latest(store, "ann") is None
    entry = voices.add(store, card("run-1"), files)
    assert (entry.folder, entry.number) == (store.models / "ann" / "0001", 1)
    assert voices.latest(store, "ann") == entry == Entry(entry.folder, card("run-1"))
    assert entry.path("s2").read_bytes() == b"weights"
    assert (entry.path("s2_adapter") / "adapter_config.json").read_text() == "{}"
    assert entry.path("s1") == entry.folder / "base.ckpt"  # relative ones lie in the entry; absolute ones stay
    files["s2"].write_bytes(b"trained further")
    assert entry.path("s2").read_bytes() == b"weights"


def test_the_same_trainings_make_one_entry(store: Store, files: dict[str, Path]) -> None:
    first = voices.add(store, card("run-1"), files)
    second = voices.add(store, card("run-2"), files)
    again = voices.add(store, replace(card("run-1"), created="later"), files)
    assert (first.number, second.number, again) == (1, 2, first)
    assert [entry.number for entry in voices.entries(store, "ann")] == [1, 2]


def test_entries_of_many_writers_are_all_there(store: Store, files: dict[str, Path]) -> None:
    threads = [threading.Thread(target=voices.add, args=(store, card(f"run-{n}"), files)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = voices.entries(store, "ann")
    assert [entry.number for entry in found] == list(range(1, 9))
    assert {entry.card.trainings[0].folder for entry in found} == {f"run-{n}" for n in range(8)}
    assert len(list((store.models / "ann").iterdir())) == 8


def _add(root: Path, files: dict[str, Path]) -> None:
    voices.add(Store.open(root), card("run-1"), files)


def test_a_kill_leaves_no_half_entry(files: dict[str, Path], tmp_path: Path) -> None:
    """Wherever it falls; the next attempt makes up for it, and what was left is removed when it is a day old."""
    root = Store.open(tmp_path / "undisturbed", create=True).root
    events = killing.run(_add, root, files, root=root)
    assert events > 5
    for at in range(1, events + 1):
        store = Store.open(tmp_path / f"killed-{at}", create=True)
        killing.run(_add, store.root, files, root=store.root, at=at)
        for entry in voices.entries(store, "ann"):
            assert entry.path("s2").read_bytes() == b"weights"
        for path in (store.models / "ann").glob(".*"):
            os.utime(path, (0, 0))
        assert voices.add(store, card("run-1"), files).number == 1
        voices.add(store, card("run-2"), files)
        assert sorted(path.name for path in (store.models / "ann").iterdir()) == ["0001", "0002"]


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "a/b", "../x", "a b", "x" * 65, "-x", "a\n"])
def test_what_is_no_name_of_a_folder_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="a name is 1 to 64"):
        voices.check_name(name)


@given(st.lists(st.text(max_size=80), unique=True, max_size=5))
def test_every_speaker_gives_a_name(speakers: list[str]) -> None:
    assert voices.check_name(voices.name_of(speakers))
    assert (voices.name_of(speakers) == "base") == (not speakers or speakers == ["base"])


def test_names_are_readable_and_tell_groups_apart() -> None:
    assert voices.name_of(["ann"]) == voices.check_name("ann") == "ann"
    assert voices.name_of(["张伟"]) == "张伟"
    groups = [voices.name_of(each) for each in (["ann", "bob"], ["ann", "cid"], ["ann", "bob", "cid"])]
    assert len(set(groups)) == 3
    assert all(name.startswith("ann-and-") for name in groups)

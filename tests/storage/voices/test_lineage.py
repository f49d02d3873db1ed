"""Parents of entries, and champions made from an entry."""

from pathlib import Path

import pytest
from support.model_cards import make_card, make_training

from voicemill.storage.store import Store
from voicemill.storage.voices import registry, status
from voicemill.storage.voices.cards import Entry, Kind
from voicemill.storage.voices.lineage import ancestors, champions_made_from
from voicemill.storage.voices.status import read_status


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def added(store: Store, kind: Kind, parent: str = "") -> Entry:
    """Add the next entry of ann."""
    run = f"run-{len(registry.entries(store, 'ann'))}"
    card = make_card(trainings=(make_training(folder=run),), kind=kind, parent=parent)
    return registry.add(store, card, {})


def champion(entry: Entry) -> None:
    before = read_status(entry.folder.parent).champions.get(entry.card.kind, 0)
    given = {"who": "eve", "when": "2026-01-01", "why": "better"}
    status.promote(entry.folder.parent, entry.number, entry.card.kind, instead_of=before, **given)


def test_the_parents_end_with_an_entry_that_is_not_in_the_store(store: Store) -> None:
    first = added(store, "trained", "eve/0007")
    student = added(store, "student", first.name)
    graphs = added(store, "compressed", student.name)
    assert ancestors(store, graphs.name, "parents") == ["ann/0002", "ann/0001", "eve/0007"]
    assert ancestors(store, first.name, "parents") == ["eve/0007"]


def test_entries_that_name_each_other_end_the_line(store: Store) -> None:
    added(store, "student", "ann/0002")
    second = added(store, "student", "ann/0001")
    assert ancestors(store, second.name, "parents") == ["ann/0001"]


def test_champions_made_from_an_entry(store: Store) -> None:
    old, new = added(store, "trained"), added(store, "trained")
    outdated = added(store, "student", old.name)
    student = added(store, "student", new.name)
    graphs = added(store, "compressed", student.name)
    beside = added(store, "light", new.name)
    for entry in (old, outdated, new, graphs):
        champion(entry)
    assert [entry.name for entry in champions_made_from(store, new)] == [graphs.name]  # though its parent is none
    for entry in (student, beside):
        champion(entry)
    assert [entry.name for entry in champions_made_from(store, new)] == [student.name, graphs.name, beside.name]
    assert champions_made_from(store, old) == []
    assert [entry.name for entry in champions_made_from(store, student)] == [graphs.name]
    status.retire(store.models / "ann", graphs.number, "compressed", who="eve", when="2026-01-02", why="hisses")
    assert [entry.name for entry in champions_made_from(store, new)] == [student.name, beside.name]

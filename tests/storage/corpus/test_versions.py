"""Corpus versions: one of two writers makes version N, the other fails."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from support import factories as f

from voicemill.storage.corpus import tables, versions
from voicemill.storage.corpus.versions import CorpusVersion, Version
from voicemill.storage.errors import StoreError
from voicemill.storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def first(store: Store) -> Version:
    version = f.corpus(store, [f.make_batch(1, f.upload("ann"))])
    assert version is not None
    return version


def test_only_one_writer_makes_a_number(store: Store) -> None:
    version, results = first(store), []
    gate = threading.Barrier(6)

    def write(who: int) -> None:
        successor = replace(version, number=2, parent=1, created=f"writer {who}")
        gate.wait()
        try:
            versions.append(store, successor)
            results.append(successor.created)
        except StoreError:
            results.append("refused")

    threads = [threading.Thread(target=write, args=(who,)) for who in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results)[:5] == ["refused"] * 5
    assert [v.number for v in versions.history(store)] == [1, 2]
    assert versions.get(store, 2).created == sorted(results)[5]  # the loser did not write over the winner


def test_numbers_leave_no_gap(store: Store) -> None:
    version = first(store)
    for number in (0, 1, 3):
        with pytest.raises(StoreError, match=f"version {number} cannot follow"):
            versions.append(store, replace(version, number=number))


def test_round_trip(store: Store) -> None:
    version = first(store)
    assert versions.latest(store) == version
    assert versions.pins(store) == {table: {number} for table, number in version.pins.items()}
    assert set(version.pins) == {"uploads", "utterances", "ledger", "fingerprints", *f.FEATURE_TABLES.values()}


def test_a_store_without_versions(store: Store) -> None:
    assert versions.latest(store) is None
    assert versions.history(store) == []
    with pytest.raises(StoreError, match="it has none yet"):
        CorpusVersion.open(store)


def test_errors_name_what_is_missing(store: Store) -> None:
    first(store)
    corpus = CorpusVersion.open(store)
    with pytest.raises(StoreError, match="no corpus version 2; it has versions 1 to 1"):
        CorpusVersion.open(store, 2)
    with pytest.raises(StoreError, match="no features of stage 'pitch'; it has content, f0, mel"):
        corpus.features("pitch")
    with pytest.raises(StoreError, match="has no table 'words'"):
        corpus.files("words")
    with pytest.raises(StoreError, match="has no version 9; its head is 1"):
        tables.active(store, "ledger", 9)
    corpus.files("utterances")[0].unlink()
    with pytest.raises(StoreError, match="is missing: restore it from a backup"):
        corpus.utterances(["id"])


def test_files_of_all_tables_zip(store: Store) -> None:
    batches = [f.make_batch(n, *(f.upload(who, n) for who in "abc")) for n in range(1, 4)]
    f.corpus(store, batches)
    corpus = CorpusVersion.open(store)
    columns = [corpus.scan(table, ["id"]) for table in ("utterances", *f.FEATURE_TABLES.values())]
    shards = list(zip(*columns, strict=True))
    assert len(shards) == 9
    for utterances, *features in shards:
        assert all(part["id"] == utterances["id"] for part in features)

"""Tables: safe folders, deterministic shards of bounded row groups, a log without text."""

import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st
from support import factories as f

from voicemill.storage.corpus import deltalog, tables
from voicemill.storage.corpus.delta_root import CONFIGURATION
from voicemill.storage.corpus.rows import to_table
from voicemill.storage.corpus.table_rows import LedgerRow
from voicemill.storage.corpus.tables import File, ShardWriter, folder_of
from voicemill.storage.errors import StoreError
from voicemill.storage.outcomes import Outcome
from voicemill.storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@given(st.lists(st.text(), unique=True))
def test_folders_are_safe_and_never_collide(speakers: list[str]) -> None:
    folders = [folder_of(speaker) for speaker in speakers]
    assert len(set(folders)) == len(speakers)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in folders)
    assert all(len(name) <= 53 for name in folders)


def test_folders_of_look_alikes_differ() -> None:
    names = ["Zoë", unicodedata.normalize("NFD", "Zoë"), "zoë", "zo-", "a b", "a=b", "a%20b", "x" * 500, "x" * 501]
    assert len({folder_of(name).lower() for name in names}) == len(names)
    assert folder_of("Ann Lee").startswith("ann-lee-")


def features(count: int, size: int) -> pa.Table:
    data = np.random.default_rng(0).bytes(size)
    columns = {"id": [f"id{n}" for n in range(count)], "frames": [1] * count, "dims": [1] * count}
    return pa.table(columns | {"data": pa.array([data] * count, pa.large_binary())})


def write(store: Store, rows: list[pa.Table]) -> File:
    with ShardWriter(store, "features/x-1", "ann", "k") as writer:
        for part in rows:
            writer.write(part)
        return writer.finish()


def test_shards_are_named_by_their_bytes(store: Store) -> None:
    one, same, other = (write(store, [features(n, 1000)]) for n in (5, 5, 6))
    assert one == same
    assert one.key == other.key == "k"
    assert one.path != other.path
    assert len(list((store.tables / "features/x-1").rglob("*.parquet"))) == 2


def test_nothing_is_visible_before_the_end(store: Store) -> None:
    with ShardWriter(store, "features/x-1", "ann", "k") as writer:
        writer.write(features(1, 10))
    assert [path for path in store.tables.rglob("*") if path.is_file()] == []


def test_row_groups_are_bounded(store: Store) -> None:
    rows = features(70, 2**20)
    file = write(store, [rows.slice(n, 1) for n in range(70)])
    source = pq.ParquetFile(store.tables / "features/x-1" / file.path)
    sizes = [source.metadata.row_group(n).total_byte_size for n in range(source.num_row_groups)]
    assert sum(source.metadata.row_group(n).num_rows for n in range(len(sizes))) == file.rows == 70
    assert len(sizes) == 3
    assert max(sizes) < 34 * 2**20


def test_commit_makes_the_head_the_given_files(store: Store) -> None:
    one, two = write(store, [features(1, 10)]), write(store, [features(2, 10)])
    name = "features/x-1"
    assert tables.active(store, name) == {}
    assert tables.commit(store, name, [one]) == 1
    assert tables.commit(store, name, [one]) == 1
    assert tables.commit(store, name, [two]) == 2
    assert tables.active(store, name) == {two.path: two}
    assert tables.active(store, name, 1) == {one.path: one}
    assert tables.commit(store, name, []) == 3
    assert tables.active(store, name) == {}


def test_a_log_with_a_missing_commit_is_an_error(store: Store) -> None:
    name = "features/x-1"
    for count in (1, 2, 3):
        tables.commit(store, name, [write(store, [features(count, 10)])])
    (store.tables / name / "_delta_log" / f"{1:020}.json").unlink()
    with pytest.raises(StoreError, match="commit 1 of the table"):
        deltalog.referenced(store.tables / name, {0})


def test_the_log_holds_no_text(store: Store) -> None:
    f.corpus(store, [f.make_batch(1, f.upload("ann", text="antidisestablishment"))])
    logs = b"".join(path.read_bytes() for path in store.tables.glob("*/_delta_log/*"))
    assert b"utterances" in logs or b"numRecords" in logs
    assert b"antidisestablishment" not in logs


def test_a_table_without_a_newer_column_gets_it_and_reads_null(store: Store) -> None:
    old = [field for field in tables.schema("ledger") if field.name != "detail"]
    root = tables.folder(store, "ledger")
    DeltaTable.create(root, pa.schema(old), partition_by=["speaker"], configuration=CONFIGURATION)
    row = LedgerRow(
        upload="a",
        speaker="ann",
        path="a.wav",
        start=0,
        stop=10,
        outcome=Outcome.KEPT,
        reason="",
        stage="",
        score=None,
        threshold=None,
        detail="new",
    )
    (root / folder_of("ann")).mkdir()
    earlier = root / folder_of("ann") / "k-1.parquet"
    pq.write_table(to_table([row], LedgerRow).drop_columns(["detail", "speaker"]), earlier)
    first = File(f"{folder_of('ann')}/k-1.parquet", "ann", earlier.stat().st_size, 1)
    with ShardWriter(store, "ledger", "ann", "n") as writer:
        writer.write(to_table([row], LedgerRow))
        second = writer.finish()
    tables.commit(store, "ledger", [first, second])
    rows = tables.read_all(store, "ledger", tables.active(store, "ledger").values())
    assert rows.column_names == tables.schema("ledger").names
    assert rows["detail"].to_pylist() == [None, "new"]
    assert sorted(DeltaTable(root).to_pyarrow_table()["detail"].to_pylist(), key=str) == [None, "new"]
    before = tables.head(store, "ledger")
    tables.commit(store, "ledger", [first, second])
    assert tables.head(store, "ledger") == before

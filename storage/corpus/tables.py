"""The store's tables: Delta tables of Parquet shards written by our own workers.

`<store>/tables/<table>/<speaker folder>/<key>-<digest>.parquet`: `key` is the content key of the shard, `digest` 16 hex
of the sha256 of the file's bytes. Equal rows give equal bytes, so a retry writes the same name; and a name never gets
other bytes, so what an old version pins cannot change under it.

The log names the speaker of each file (the partition value is the true name; the folder is a safe slug of it) and its
number of rows, and no more: minima and maxima of text columns would put text into the log. All commits are retained (no
log cleanup, no vacuum of files that were removed from the head), because corpus versions pin old table versions.

`commit` turns the head of a table into a given set of files, so it repeats without effect, and repairs what a killed
publish left. `sweeping.sweep` deletes files that no version and no head refers to.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from voicemill.storage.corpus import deltalog
from voicemill.storage.corpus.delta_root import CONFIGURATION, delta_root
from voicemill.storage.corpus.rows import completed, reading, schema_of
from voicemill.storage.corpus.table_rows import FeatureRow, FingerprintRow, LedgerRow, UploadRow, Utterance
from voicemill.storage.errors import StoreDamaged, StoreError
from voicemill.storage.files import put, temporary_path
from voicemill.storage.flushing import sync_files
from voicemill.storage.keys import file_digest
from voicemill.storage.records import ShardFile
from voicemill.storage.store import Store

if TYPE_CHECKING:
    from deltalake import DeltaTable

RECORDS: Mapping[str, type] = {
    "uploads": UploadRow,
    "utterances": Utterance,
    "ledger": LedgerRow,
    "fingerprints": FingerprintRow,
}
"""Record of each table; all under `features/` are `FeatureRow`."""

ROW_GROUP = 32 * 2**20
"""Bytes of a row group: reading one clip reads no more than this."""
"""Old table versions stay readable, also after a VACUUM with default arguments."""


@dataclass(frozen=True, order=True)
class File:
    """One Parquet file of a table, as in the log."""

    path: str
    """Relative to the table's folder."""
    speaker: str
    size: int
    rows: int

    @property
    def key(self) -> str:
        """The content key of the shard, as in the file's name."""
        return key_of(self.path)


def record_of(table: str) -> type:
    """The record of a table's rows."""
    return FeatureRow if table.startswith("features/") else RECORDS[table]


def schema(table: str) -> pa.Schema:
    """Columns of a table, the partition column `speaker` last."""
    return _file_schema(table).append(pa.field("speaker", pa.string()))


def folder_of(speaker: str) -> str:
    """Folder name for any speaker: readable, plain ASCII, and different for names that differ in any character."""
    slug = re.sub(r"[^a-z0-9]+", "-", speaker.lower()).strip("-")[:40]
    tail = hashlib.sha256(speaker.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{slug}-{tail}" if slug else tail


def folder(store: Store, table: str) -> Path:
    """Folder of a table."""
    return store.tables / table


def names(store: Store) -> list[str]:
    """Names of the tables that have a folder, without `versions`; one may hold shards and no log yet."""
    paths = [path.relative_to(store.tables).as_posix() for path in store.tables.glob("*")]
    paths += [path.relative_to(store.tables).as_posix() for path in store.tables.glob("features/*")]
    return sorted(name for name in paths if name not in ("versions", "features"))


class ShardWriter:
    """Writer of one shard, row group by row group; `finish` makes it visible, under the name of its bytes."""

    def __init__(self, store: Store, table: str, speaker: str, key: str = "") -> None:
        self.table, self.speaker, self._key = table, speaker, key
        self._folder = folder(store, table) / folder_of(speaker)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._temporary = temporary_path(self._folder / key)
        self._schema = _file_schema(table)
        text = [f.name for f in self._schema if not pa.types.is_large_binary(f.type)]
        self._writer = pq.ParquetWriter(
            self._temporary,
            self._schema,
            # zstd takes 30 % off the log-mel and still reads 1.1 GB/s; off FLAC it takes 0.2 %
            compression={f.name: "none" if f.name == "audio" else "zstd" for f in self._schema},
            use_dictionary=text,
            write_statistics=text,
        )
        self._waiting: list[pa.Table] = []
        self._bytes = self._rows = 0

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.close()
        self._temporary.unlink(missing_ok=True)

    def write(self, rows: pa.Table) -> None:
        """Append rows (columns of the table's record; `speaker` is left out)."""
        rows = rows.select(self._schema.names).cast(self._schema)
        step = max(1, rows.num_rows * ROW_GROUP // max(rows.nbytes, 1))
        for start in range(0, rows.num_rows, step):
            part = rows.slice(start, step)
            self._waiting.append(part)
            self._rows += part.num_rows
            self._bytes += part.nbytes
            if self._bytes >= ROW_GROUP:
                self._flush()

    def _flush(self) -> None:
        group = pa.concat_tables(self._waiting)
        self._writer.write_table(group, row_group_size=max(1, group.num_rows))
        self._waiting, self._bytes = [], 0

    def finish(self) -> File:
        """Close the file and give it its name."""
        if self._waiting:
            self._flush()
        self._writer.close()
        digest, size = file_digest(self._temporary), self._temporary.stat().st_size
        name = f"{self._key}-{digest[:16]}.parquet" if self._key else f"{digest}.parquet"
        path = self._folder / name
        # `commit` flushes new files together; a file that is there may be published, and keeps its bytes at all times
        put(self._temporary, path, durable=path.exists())
        return File(f"{self._folder.name}/{name}", self.speaker, size, self._rows)


def shard_file(table: str, file: File) -> ShardFile:
    """Record of a file in the output of the stage `shards`."""
    return ShardFile(table=table, speaker=file.speaker, path=file.path, size=file.size, rows=file.rows)


def missing_shards(store: Store, files: Iterable[ShardFile]) -> list[ShardFile]:
    """Files that are not on disk with their size: the stage `shards` must make them again."""
    return [file for file in files if not _whole(folder(store, file.table) / file.path, file.size)]


def require_files(store: Store, table: str, files: Iterable[File]) -> None:
    """Check that files are on disk with their sizes.

    Raises:
        StoreError: one is not; the message names the command that writes it again.
    """
    root = folder(store, table)
    if lost := [file.path for file in files if not _whole(root / file.path, file.size)]:
        raise StoreError(
            f"{len(lost)} files of table {table} are not in {root} or were cut short, the first is {lost[0]}: delete "
            f"{store.stages / 'shards'} and run `voicemill refresh` again, which writes them again"
        )


def head(store: Store, table: str) -> int:
    """Delta version of the table's head; -1 without a table."""
    return deltalog.head(folder(store, table))


def active(store: Store, table: str, version: int | None = None) -> dict[str, File]:
    """Path -> file of a table, sorted by path: at its head, or at a Delta version.

    Raises:
        StoreError: that version does not exist.
        StoreDamaged: the log cannot be read.
    """
    last = head(store, table)  # Delta's own head may be a torn commit
    version = last if version is None else version
    if version < 0:
        return {}
    if last < version:
        raise StoreError(f"table {table} of {store.root} has no version {version}; its head is {last}")
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        with delta_root(folder(store, table)) as address:
            actions = pa.table(DeltaTable(address, version=version).get_add_actions(flatten=True))
    except DeltaError as error:
        raise StoreDamaged(folder(store, table) / "_delta_log", f"cannot be read ({error})") from error
    none = pa.nulls(len(actions), pa.string())  # `versions` is not partitioned
    speakers = actions["partition.speaker"] if "partition.speaker" in actions.column_names else none
    columns = (actions["path"], speakers, actions["size_bytes"], actions["num_records"])
    files = zip(*(column.to_pylist() for column in columns), strict=True)
    return {path: File(path, speaker or "", size, rows) for path, speaker, size, rows in sorted(files)}


def commit(store: Store, table: str, files: Iterable[File]) -> int:
    """Make `files` those of the table's head, in one commit, or none if they are already. Returns the Delta version.

    The caller holds the store's lock.

    Raises:
        StoreError: a file is not on disk with its size, or another process wrote to the table meanwhile.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError
    from deltalake.transaction import AddAction, CommitProperties, RemoveAction

    root, present, target = folder(store, table), active(store, table), {file.path: file for file in files}
    added = [target[path] for path in sorted(target.keys() - present.keys())]
    removed = sorted(present.keys() - target.keys())
    require_files(store, table, added)
    sync_files((root / file.path for file in added), store.root)
    try:
        with delta_root(root) as address:
            if head(store, table) < 0:
                DeltaTable.create(address, schema(table), partition_by=["speaker"], configuration=CONFIGURATION)
            if not added and not removed:
                deltalog.sync_log(root, store.root)  # a process may have been killed before it did
                return head(store, table)
            actions: list[AddAction | RemoveAction] = [
                AddAction(f.path, f.size, {"speaker": f.speaker}, 0, True, json.dumps({"numRecords": f.rows}))
                for f in added
            ]
            gone = [present[path] for path in removed]
            actions += [RemoveAction(f.path, True, 0, f.size, {"speaker": f.speaker}) for f in gone]
            delta = DeltaTable(address)
            if added:
                _widen(delta, table)
            once = CommitProperties(max_commit_retries=0)  # never rebased on another's commit
            delta.create_write_transaction(actions, "append", delta.schema(), ["speaker"], commit_properties=once)
    except DeltaError as error:
        raise StoreError(f"table {table} of {store.root} could not be written: {error}") from error
    deltalog.sync_log(root, store.root)
    return head(store, table)


def _widen(delta: "DeltaTable", table: str) -> None:
    """Give a table of an older store the columns that its records have by now, in a commit of their own."""
    from deltalake import Schema

    present = {field.name for field in delta.schema().fields}
    if new := [field for field in Schema.from_arrow(schema(table)).fields if field.name not in present]:
        delta.alter.add_columns(new)


def read(
    store: Store, table: str, files: Iterable[File], columns: Sequence[str] | None = None
) -> Iterator[tuple[File, pa.Table]]:
    """Yield each file with its rows, `speaker` filled in, in the order given; only `columns` where stated.

    A column that came after the file was written is null.

    Raises:
        StoreDamaged: a file is missing or damaged.
    """
    selected = schema(table) if columns is None else pa.schema([schema(table).field(name) for name in columns])
    stored = [name for name in selected.names if name != "speaker"]
    for file in files:
        path = folder(store, table) / file.path
        with reading(path), pq.ParquetFile(path) as source:
            rows = source.read(columns=stored, use_threads=False)
        if "speaker" in selected.names:
            rows = rows.append_column("speaker", pa.repeat(pa.scalar(file.speaker), file.rows))
        yield file, completed(rows, selected)


def read_all(store: Store, table: str, files: Iterable[File], columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of several files as one table."""
    selected = schema(table) if columns is None else pa.schema([schema(table).field(name) for name in columns])
    return pa.concat_tables([selected.empty_table(), *(rows for _, rows in read(store, table, files, columns))])


def key_of(path: str) -> str:
    """Content key of the shard at `path`, as in its name; "" without one."""
    return Path(path).stem.partition("-")[0]


def _whole(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _file_schema(table: str) -> pa.Schema:
    return pa.schema([field for field in schema_of(record_of(table)) if field.name != "speaker"])

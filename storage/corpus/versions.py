"""Corpus versions: immutable, numbered pins of table versions; what training reads.

The table `versions` has one row each. A publish writes it last, so a version exists or it does not. Two writers cannot
both make version N: the commit carries the transaction (`corpus`, N) and is never rebased, so that the second fails.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from voicemill.storage.corpus import deltalog, tables
from voicemill.storage.corpus.delta_root import CONFIGURATION, delta_root
from voicemill.storage.corpus.rows import from_table, reading, schema_of, to_table
from voicemill.storage.errors import StoreDamaged, StoreError
from voicemill.storage.files import whole_file
from voicemill.storage.keys import digest
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Seconds of one outcome, decided by one stage for one reason."""

    outcome: str
    stage: str
    reason: str
    seconds: Seconds
    lost: int
    """Number of uploads lost whole to it."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Totals of a corpus version."""

    uploads: Mapping[str, int]
    """State -> number of uploads."""
    seconds: Mapping[str, Seconds]
    """Outcome -> seconds."""
    reasons: Mapping[str, Seconds]
    """Reason -> seconds; without kept audio."""
    causes: tuple[Cause, ...]
    """Seconds by outcome, stage and reason."""
    accounted: int
    """Number of uploads covered by the ledger."""
    speakers: int
    """Number of speakers with an utterance."""
    utterances: int
    hours: float
    """Hours of kept audio."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """One corpus version."""

    number: int
    created: str
    """ISO 8601."""
    recipe: str
    """sha256."""
    config: Mapping[str, Any]
    pins: Mapping[str, int]
    """Table -> Delta version."""
    shards: Mapping[str, str] = field(repr=False)
    """Batch id -> key of its shards."""
    features: Mapping[str, str]
    """Stage -> table."""
    counts: Counts
    parent: int
    """Number of the version before; 0 for the first."""


@dataclass(frozen=True, kw_only=True)
class VersionRow:
    """Table `versions`: mappings as JSON."""

    version: int
    created: str
    recipe: str
    config: str
    pins: str
    shards: str
    features: str
    counts: str
    parent: int


def append(store: Store, version: Version) -> None:
    """Append a version, which makes it exist. The caller holds the store's lock; without it, one of two writers fails.

    Raises:
        StoreError: its number does not follow the latest, or another writer has just made it.
    """
    from deltalake import DeltaTable, Transaction
    from deltalake.exceptions import DeltaError
    from deltalake.transaction import AddAction, CommitProperties

    root = _root(store)
    with delta_root(root) as address:
        if tables.head(store, "versions") < 0:
            DeltaTable.create(address, schema_of(VersionRow), configuration=CONFIGURATION, mode="ignore")
            deltalog.sync_log(root, store.root)  # from here on, rows without a log are damage
        table = DeltaTable(address)
        last = _numbers(table)[-1:]
        if version.number != (last[0] if last else 0) + 1:
            raise StoreError(f"version {version.number} cannot follow version {last} of {store.root}")
        row = _row(version)
        path = root / f"{version.number:08}-{digest(asdict(row))[:16]}.parquet"
        with whole_file(path) as temporary:
            pq.write_table(to_table([row], VersionRow), temporary, compression="zstd")
        action = AddAction(path.name, path.stat().st_size, {}, 0, True, json.dumps({"numRecords": 1}))
        properties = CommitProperties(max_commit_retries=0, app_transactions=[Transaction("corpus", version.number)])
        try:
            table.create_write_transaction([action], "append", table.schema(), commit_properties=properties)
        except DeltaError as error:
            raise StoreError(
                f"version {version.number} of {store.root} was made by another process: {error}. Run the command again"
            ) from error
    deltalog.sync_log(root, store.root)


def latest(store: Store) -> Version | None:
    """The newest corpus version; None in a store without one."""
    paths = _paths(store)
    return _read(paths[-1]) if paths else None


def history(store: Store) -> list[Version]:
    """All corpus versions, oldest first."""
    return [_read(path) for path in _paths(store)]


def get(store: Store, number: int) -> Version:
    """One corpus version.

    Raises:
        StoreError: the store has no version of this number.
    """
    paths = _paths(store)
    if not 1 <= number <= len(paths):
        known = f"it has versions 1 to {len(paths)}" if paths else "it has none yet: run `voicemill refresh`"
        raise StoreError(f"{store.root} has no corpus version {number}; {known}")
    return _read(paths[number - 1])


def pins(store: Store) -> dict[str, set[int]]:
    """Table -> the Delta versions that any corpus version pins."""
    pinned: dict[str, set[int]] = {}
    for version in history(store):
        for table, number in version.pins.items():
            pinned.setdefault(table, set()).add(number)
    return pinned


@dataclass(frozen=True)
class CorpusVersion:
    """Reader of one corpus version, unaffected by later changes of the tables."""

    store: Store
    version: Version

    @classmethod
    def open(cls, store: Store, number: int | None = None) -> "CorpusVersion":
        """Open a version, the latest one by default.

        Raises:
            StoreError: the store has no version of this number.
        """
        return cls(store, get(store, len(_paths(store)) if number is None else number))

    def shards(self, table: str, speaker: str | None = None) -> list[tables.File]:
        """The files of a table ("utterances", "ledger", "uploads", "features/..."), sorted by folder and key.

        The n-th file of the utterances and the n-th of each feature table hold the same utterances in the same order.
        """
        active = tables.active(self.store, table, self._pin(table)).values()
        return [file for file in active if speaker is None or file.speaker == speaker]

    def files(self, table: str, speaker: str | None = None) -> list[Path]:
        """Paths of `shards` on this machine."""
        return [tables.folder(self.store, table) / file.path for file in self.shards(table, speaker)]

    def scan(self, table: str, columns: Sequence[str] | None = None, speaker: str | None = None) -> Iterator[pa.Table]:
        """The rows of a table, one shard at a time."""
        for _, rows in tables.read(self.store, table, self.shards(table, speaker), columns):
            yield rows

    def utterances(self, columns: Sequence[str] | None = None, speaker: str | None = None) -> pa.Table:
        """Rows of `Utterance`. Without `columns` the audio comes along: state them, or use `scan`."""
        return self._read("utterances", columns, speaker)

    def features(self, stage: str, columns: Sequence[str] | None = None, speaker: str | None = None) -> pa.Table:
        """Rows of `FeatureRow` of "content", "f0" or "mel", in the order of `utterances`.

        Raises:
            StoreError: the version has no features of this stage.
        """
        if stage not in self.version.features:
            known = ", ".join(sorted(self.version.features))
            raise StoreError(f"version {self.version.number} has no features of stage {stage!r}; it has {known}")
        return self._read(self.version.features[stage], columns, speaker)

    def ledger(self, columns: Sequence[str] | None = None, speaker: str | None = None) -> pa.Table:
        """Rows of `LedgerRow`."""
        return self._read("ledger", columns, speaker)

    def uploads(self, columns: Sequence[str] | None = None, speaker: str | None = None) -> pa.Table:
        """Rows of `UploadRow`."""
        return self._read("uploads", columns, speaker)

    def _read(self, table: str, columns: Sequence[str] | None, speaker: str | None) -> pa.Table:
        return tables.read_all(self.store, table, self.shards(table, speaker), columns)

    def _pin(self, table: str) -> int:
        if table not in self.version.pins:
            known = ", ".join(sorted(self.version.pins))
            raise StoreError(f"version {self.version.number} has no table {table!r}; it has {known}")
        return self.version.pins[table]


def _root(store: Store) -> Path:
    return tables.folder(store, "versions")


def _paths(store: Store) -> list[Path]:
    """The files of the versions, oldest first.

    A version whose commit a power cut tore is among them: its row was flushed before, and so was all that it pins.
    `recovery.recover` writes the commit again.

    Raises:
        StoreDamaged: the log lacks versions that have a row.
    """
    root = _root(store)
    paths = [root / path for path in tables.active(store, "versions")]
    beyond = sorted((path for path in root.glob("[0-9]*.parquet") if _number(path) > len(paths)), key=_number)
    torn = deltalog.torn(root)
    following = [path for path in beyond if _number(path) == len(paths) + 1]
    lost = any(int(path.stem) > 0 for path in torn) and not following
    if lost or len(following) < len(beyond) or (beyond and not torn and tables.head(store, "versions") < 0):
        log = f"{len(paths)} versions, and rows {[_number(path) for path in beyond]} lie beside it"
        raise StoreDamaged(root / "_delta_log", f"lacks corpus versions; it holds {log}")
    return [*paths, max(following, key=lambda path: path.stat().st_mtime_ns)] if torn and following else paths


def _numbers(table: Any) -> list[int]:
    paths = pa.table(table.get_add_actions(flatten=True))["path"].to_pylist()
    return sorted(_number(Path(path)) for path in paths)


def _number(path: Path) -> int:
    return int(path.name.partition("-")[0])


def _row(version: Version) -> VersionRow:
    def text(value: Any) -> str:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    return VersionRow(
        version=version.number,
        created=version.created,
        recipe=version.recipe,
        config=text(version.config),
        pins=text(version.pins),
        shards=text(version.shards),
        features=text(version.features),
        counts=text(asdict(version.counts)),
        parent=version.parent,
    )


def _read(path: Path) -> Version:
    with reading(path):
        (row,) = from_table(pq.ParquetFile(path).read(use_threads=False), VersionRow)
        config, pinned, shards, features, raw = (
            json.loads(text) for text in (row.config, row.pins, row.shards, row.features, row.counts)
        )
        raw["causes"] = tuple(Cause(**{f.name: cause[f.name] for f in fields(Cause)}) for cause in raw["causes"])
        counts = Counts(**raw)
    return Version(
        number=row.version,
        created=row.created,
        recipe=row.recipe,
        config=config,
        pins=pinned,
        shards=shards,
        features=features,
        counts=counts,
        parent=row.parent,
    )

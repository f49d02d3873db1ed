"""publish: one Delta commit for each table, then the row of the corpus version. A version exists or it does not.

Each commit is flushed to the disk before the next. The required and present sets of files are compared, so a publish
can be repeated without effect, and the next one completes table heads that a killed one left half changed; until the
last commit, readers see the version before. A circuit breaker stops a publish when far more was dropped or failed than
in the version before: then nothing is written.

Cost: reading columns of the ledger, about a millisecond for each of its files, and one commit for each table; it grows
with the number of files (`tests/bench/tables.py`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from voicemill.storage.corpus import tables, versions
from voicemill.storage.corpus.recovery import recover
from voicemill.storage.corpus.rows import to_table
from voicemill.storage.corpus.sweeping import compact_seals, sweep
from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.corpus.tables import File
from voicemill.storage.corpus.versions import Cause, Counts, Version
from voicemill.storage.errors import StoreError
from voicemill.storage.flushing import sync_files
from voicemill.storage.forgetting.receipts import forgotten_versions
from voicemill.storage.outcomes import Outcome, UploadState
from voicemill.storage.records import ShardFile
from voicemill.storage.store import Store
from voicemill.storage.units import RATE
from voicemill.tasks.publishing.breaker import Settings, check_breaker, check_vanished

Shards = Mapping[str, tuple[str, Sequence[ShardFile] | None]]
"""Batch id -> key of its shards, and their files; None = as in the latest version."""


def publish(
    store: Store,
    *,
    uploads: Iterable[UploadRow],
    shards: Shards,
    recipe: str,
    config: Mapping[str, Any],
    feature_tables: Mapping[str, str],
    created: str,
    settings: Settings,
    force: bool = False,
) -> Version | None:
    """Publish the next corpus version; None where it would equal the latest one.

    The caller holds the store's lock, and no worker writes. `feature_tables` is stage -> table, `created` ISO 8601.

    Raises:
        BreakerOpen: far more was dropped, failed or vanished than before, and `force` is off.
        StoreError: a shard is not on disk, or a batch without files is not in the latest version.
    """
    recover(store)
    rows = sorted(uploads, key=lambda row: (row.speaker, row.path, row.sha256))
    last = versions.latest(store)
    required = required_files(store, shards, feature_tables, last)
    required["uploads"] = _write_uploads(store, rows)
    if last is not None and _same(store, last, required, recipe, feature_tables):
        made = {key for key, files in shards.values() if files is not None}  # again, of a damaged store
        for table, files in required.items():
            again = (file.path for file in files if table == "uploads" or file.key in made)
            sync_files((tables.folder(store, table) / path for path in again), store.root)
        _commit(store, required)
        return None
    counts = count(store, required, rows)
    if not force:
        check_breaker(last.counts if last else None, counts, settings)
        if last is not None:
            check_vanished(versions.CorpusVersion(store, last), rows, settings)
    keys = {batch: key for batch, (key, _) in sorted(shards.items())}
    number = last.number if last else 0
    version = Version(
        number=number + 1,
        created=created,
        recipe=recipe,
        config=config,
        pins=_commit(store, required),
        shards=keys,
        features=dict(feature_tables),
        counts=counts,
        parent=number,
    )
    versions.append(store, version)
    sweep(store, versions.pins(store))
    compact_seals(store)
    return version


def required_files(
    store: Store, shards: Shards, feature_tables: Mapping[str, str], last: Version | None
) -> dict[str, list[File]]:
    """Table -> the files that its head must have, for all tables but `uploads`.

    Raises:
        StoreError: a file is not on disk; or a batch has no files, and the latest version does not hold its key.
    """
    names = ("utterances", "ledger", "fingerprints", *feature_tables.values())
    required: dict[str, list[File]] = {name: [] for name in names}
    unchanged: set[str] = set()
    for batch, (key, files) in shards.items():
        if files is not None:
            for file in files:
                if file.table not in required:
                    raise StoreError(f"shards {key} of batch {batch}: this recipe makes no table {file.table}")
                required[file.table].append(File(file.path, file.speaker, file.size, file.rows))
        elif last is not None and last.shards.get(batch) == key:
            unchanged.add(key)
        else:
            raise StoreError(f"batch {batch} has no files, and the latest version does not hold its shards {key}")
    for table, new in required.items():
        tables.require_files(store, table, new)
    if last is not None and unchanged:
        if dict(last.features) != dict(feature_tables):
            raise StoreError(f"batches {sorted(unchanged)[:3]} are unchanged, but have no features in {feature_tables}")
        for table in required.keys() & last.pins.keys():
            found = tables.active(store, table, last.pins[table]).values()
            required[table] += [file for file in found if file.key in unchanged]
    return required


def count(store: Store, required: Mapping[str, Iterable[File]], uploads: Iterable[UploadRow]) -> Counts:
    """Sums over the ledger and the utterances of these files."""
    columns = ["upload", "start", "stop", "outcome", "stage", "reason"]
    ledger = tables.read_all(store, "ledger", required["ledger"], columns).combine_chunks()
    causes: dict[tuple[str, str, str], int] = defaultdict(int)
    by_upload: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    for upload, start, stop, *cause in zip(*(ledger[name].to_pylist() for name in columns), strict=True):
        outcome, stage, reason = cause
        causes[outcome, stage, reason] += stop - start
        by_upload[upload].add((outcome, stage, reason))
    lost: dict[tuple[str, str, str], int] = defaultdict(int)
    for found in by_upload.values():
        if len(found) == 1:
            lost[next(iter(found))] += 1
    seconds: dict[str, int] = {outcome.value: 0 for outcome in Outcome}
    reasons: dict[str, int] = defaultdict(int)
    states: dict[str, int] = {state.value: 0 for state in UploadState}
    for (outcome, _, reason), samples in causes.items():
        seconds[outcome] += samples
        if outcome != Outcome.KEPT:
            reasons[reason] += samples
    for row in uploads:
        states[row.state.value] += 1
    reasons.pop("", None)
    utterances = list(required["utterances"])
    return Counts(
        uploads=states,
        seconds={name: samples / RATE for name, samples in seconds.items()},
        reasons={name: samples / RATE for name, samples in sorted(reasons.items())},
        causes=tuple(
            Cause(outcome=cause[0], stage=cause[1], reason=cause[2], seconds=samples / RATE, lost=lost[cause])
            for cause, samples in sorted(causes.items())
        ),
        accounted=len(by_upload),
        speakers=len({file.speaker for file in utterances if file.rows}),
        utterances=sum(file.rows for file in utterances),
        hours=seconds[Outcome.KEPT] / RATE / 3600,
    )


def _commit(store: Store, required: Mapping[str, Iterable[File]]) -> dict[str, int]:
    """Commit the files of every table; table -> Delta version."""
    return {table: tables.commit(store, table, files) for table, files in sorted(required.items())}


def _same(
    store: Store, last: Version, required: Mapping[str, Iterable[File]], recipe: str, feature_tables: Mapping[str, str]
) -> bool:
    """Whether the latest version equals the one to publish; never if it holds a speaker who was forgotten since."""
    if last.number in forgotten_versions(store):
        return False
    if (last.recipe, dict(last.features), last.pins.keys()) != (recipe, dict(feature_tables), required.keys()):
        return False
    return all(
        tables.active(store, table, last.pins[table]).keys() == {file.path for file in files}
        for table, files in required.items()
    )


def _write_uploads(store: Store, rows: Sequence[UploadRow]) -> list[File]:
    """Write one file for each speaker, named by its bytes: the file of an unchanged speaker exists already."""
    by_speaker: dict[str, list[UploadRow]] = defaultdict(list)
    for row in rows:
        by_speaker[row.speaker].append(row)
    files = []
    for speaker, mine in by_speaker.items():
        with tables.ShardWriter(store, "uploads", speaker) as writer:
            writer.write(to_table(mine, UploadRow))
            files.append(writer.finish())
    return files

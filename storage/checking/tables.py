"""Check of the tables: their logs, the shards that these name, and the corpus versions that pin them.

Every file that a version or the head of a table refers to is read whole, and compared with its size in the log and with
the digest in its name. No commit may be missing or cut off, and a log reaches as far as the versions pin it; the rows
of a version are compared with its counts and with its ledger, and no upload of it may have a tombstone.

Cost: reading and hashing all shards.
"""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from voicemill.storage.checking.damage import Findings
from voicemill.storage.corpus import deltalog, tables, versions
from voicemill.storage.corpus.rows import from_table, reading
from voicemill.storage.corpus.versions import CorpusVersion, Version, VersionRow
from voicemill.storage.errors import StoreDamaged, StoreError
from voicemill.storage.forgetting import tombstones
from voicemill.storage.forgetting.receipts import forgotten_versions
from voicemill.storage.keys import digest, file_digest
from voicemill.storage.outcomes import Outcome
from voicemill.storage.store import Store
from voicemill.storage.units import RATE

_DIGEST = re.compile(r"[0-9a-f]{16}|[0-9a-f]{64}")


def published_files(findings: Findings) -> dict[Path, int]:
    """Path -> size in the log, of all files that a version or a head refers to; damage of the logs is reported."""
    store, history = findings.store, list[Version]()
    try:
        history = versions.history(store)
    except StoreDamaged as error:
        findings.report(error.path, error.problem)
    except StoreError as error:
        findings.report(tables.folder(store, "versions"), str(error))
    states: dict[tuple[str, int], str] = {}
    files: dict[Path, int] = {}
    for table in sorted({*tables.names(store), "versions", *(name for version in history for name in version.pins)}):
        root = tables.folder(store, table)
        pins = {version.pins[table]: version.number for version in history if table in version.pins}
        try:
            for number, live in enumerate(deltalog.replay(root)):
                if number in pins or number == deltalog.head(root):
                    files |= {root / path: int(add["size"]) for path, add in live.items()}
                    states[table, number] = _state(live)
        except StoreDamaged as error:
            findings.report(error.path, error.problem)
            continue
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # JSON, and no action of Delta
            findings.report(root / "_delta_log", f"holds an action that cannot be read ({error!r})")
            continue
        for path in deltalog.torn(root):
            findings.report(path, "is empty or cut off")
        for pin in sorted(pin for pin in pins if pin > deltalog.head(root)):
            findings.report(root / "_delta_log", f"ends before commit {pin}, which version {pins[pin]} pins")
    for path in _uncommitted(store):
        findings.report(path, "has no commit: a publish was killed before it, or the commit is lost")
    for version in history:
        pinned = {table: states.get((table, pin)) for table, pin in version.pins.items()}
        for table in version.features.values():
            if pinned.get(table) != pinned.get("utterances"):
                findings.report(
                    tables.folder(store, table), f"has other rows than the utterances in version {version.number}"
                )
    return files


def check_shards(findings: Findings, files: dict[Path, int]) -> None:
    """Compare published files with the log and with the digests in their names."""
    with ThreadPoolExecutor(4) as pool:
        for path, problem in zip(files, pool.map(_problem, files, files.values()), strict=True):
            if problem:
                findings.report(path, problem)


def check_rows(findings: Findings) -> None:
    """Compare the rows of every version with its counts, its ledger and the tombstones. Damaged files are left out."""
    store = findings.store
    try:
        graves, forgotten = tombstones.read(store).content, forgotten_versions(store)
        history = versions.history(store)
    except StoreError:
        return  # reported already
    for version in history:
        corpus = CorpusVersion(store, version)
        try:
            problems = list(_row_problems(corpus, graves, frozen=version.number not in forgotten))
        except StoreError:
            continue  # reported already, with the file
        for problem in problems:
            findings.report(tables.folder(store, "versions"), f"version {version.number} {problem}")


def _row_problems(corpus: CorpusVersion, graves: frozenset[str], *, frozen: bool) -> Iterator[str]:
    uploads = corpus.uploads(["sha256"])["sha256"].to_pylist()
    if returned := graves.intersection(uploads):
        yield f"holds {len(returned)} uploads that were forgotten"
    ledger = corpus.ledger(["upload", "start", "stop", "outcome"])
    ledger = ledger.sort_by([(name, "ascending") for name in ("upload", "start", "stop")])
    names = ledger["upload"].to_numpy()
    starts, stops = ledger["start"].to_numpy(), ledger["stop"].to_numpy()
    expected = np.where(names[1:] == names[:-1], stops[:-1], 0)
    if torn := len({*names[:1][starts[:1] != 0], *names[1:][starts[1:] != expected]}):
        yield f"has {torn} uploads whose ledger has gaps or overlaps"
    kept = int((stops - starts)[ledger["outcome"].to_numpy() == Outcome.KEPT.value].sum())
    utterances, counts = corpus.utterances(["id"]).num_rows, corpus.version.counts
    if frozen and utterances != counts.utterances:
        yield f"has {utterances} utterances and states {counts.utterances}"
    if frozen and kept != round(counts.seconds.get(Outcome.KEPT.value, 0.0) * RATE):
        yield f"has {kept / RATE:.3f} s of kept audio in its ledger and states other sums"


def _state(live: dict[str, dict[str, Any]]) -> str:
    """Digest of the folders, keys and numbers of rows of a table's files: equal for tables with the same rows."""
    rows = ((path.partition("/")[0], tables.key_of(path), add.get("stats") or "{}") for path, add in live.items())
    return digest(sorted([folder, key, json.loads(stats).get("numRecords")] for folder, key, stats in rows))


def _uncommitted(store: Store) -> Iterator[Path]:
    """Rows of versions that no commit names."""
    root = tables.folder(store, "versions")
    try:
        known = deltalog.referenced(root, set())
    except StoreDamaged:
        return
    yield from (path for path in sorted(root.glob("[0-9]*.parquet")) if path.name not in known)


def _problem(path: Path, size: int) -> str:
    """Difference of a file from what the log and its name state; "" without one."""
    try:
        actual = path.stat().st_size
        if actual != size:
            return f"has {actual} bytes, and {size} in the log"
        stated = path.stem.rpartition("-")[2]
        if _DIGEST.fullmatch(stated) and not _digest(path).startswith(stated):
            return "has other bytes than its name states"
    except FileNotFoundError:
        return "is missing"
    except StoreDamaged as error:
        return error.problem
    return ""


def _digest(path: Path) -> str:
    if path.parent.name != "versions":
        return file_digest(path)
    with reading(path):  # named by its content: the bytes hold the release of the writer too
        (row,) = from_table(pq.ParquetFile(path).read(use_threads=False), VersionRow)
    return digest(asdict(row))

"""A store after a refresh, copied for each test that goes on from it, and what a refresh did."""

import os
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicemill.storage.corpus.ledger import check_tiling
from voicemill.storage.corpus.rows import from_table
from voicemill.storage.corpus.table_rows import LedgerRow
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.outcomes import LedgerInterval
from voicemill.storage.store import Store
from voicemill.tasks.registry import STAGES

STAGE_NAMES = tuple(stage.name for stage in STAGES)


@dataclass(frozen=True)
class RefreshedStore:
    """An inbox, the store that was refreshed from it, its config, and the JSON summary of that refresh."""

    inbox: Path
    store: Path
    config: Path
    summary: dict[str, Any]

    def copy_to(self, folder: Path) -> "RefreshedStore":
        """A copy of all three to go on from; files keep their times."""
        inbox, store = (Path(shutil.copytree(path, folder / path.name)) for path in (self.inbox, self.store))
        return RefreshedStore(inbox, store, Path(shutil.copy2(self.config, folder)), self.summary)

    def version(self, number: int | None = None) -> CorpusVersion:
        """A corpus version, the latest by default."""
        return CorpusVersion.open(Store.open(self.store), number)

    def paths(self, number: int | None = None, state: str = "prepared") -> set[str]:
        """Paths of the uploads in this state."""
        rows = self.version(number).uploads(["path", "state"]).to_pylist()
        return {row["path"] for row in rows if row["state"] == state}

    def paths_with_utterances(self, number: int | None = None) -> set[str]:
        """Paths of the uploads from which a version has utterances."""
        return set(self.version(number).utterances(["path"])["path"].to_pylist())


def stages_run(summary: dict[str, Any]) -> dict[str, int]:
    """Stage -> number of task runs that worked, for the stages that had any."""
    return {name: count["run"] for name, count in summary["stages"].items() if count["run"]}


def file_bytes(folder: Path) -> dict[str, bytes]:
    """Relative path -> content of every file under a folder; links are left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not os.path.islink(path)
    }


def check_ledger(corpus: CorpusVersion) -> dict[str, int]:
    """Check that the rows of every decoded upload tile it, to the sample. Returns samples by outcome."""
    rows: dict[str, list[LedgerInterval]] = defaultdict(list)
    for row in from_table(corpus.ledger(), LedgerRow):
        rows[row.upload].append(
            LedgerInterval(upload=row.upload, start=row.start, stop=row.stop, outcome=row.outcome, reason=row.reason)
        )
    uploads = [row for row in corpus.uploads(["sha256", "samples", "batch"]).to_pylist() if row["batch"]]
    assert rows.keys() == {upload["sha256"] for upload in uploads}
    sums: dict[str, int] = defaultdict(int)
    for upload in uploads:
        found = sorted(rows[upload["sha256"]], key=lambda row: row.start)
        check_tiling(found, upload["samples"])
        assert sum(row.stop - row.start for row in found) == upload["samples"]
        for row in found:
            sums[row.outcome.value] += row.stop - row.start
    return sums

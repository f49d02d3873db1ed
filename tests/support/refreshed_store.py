"""A store that was refreshed once, copied for each test that goes on from it."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.store import Store
from voicemill.tasks.config import STAGES

NAMES = tuple(stage.name for stage in STAGES)


@dataclass(frozen=True)
class Standing:
    """An inbox, the store that was refreshed from it, and what that refresh printed."""

    inbox: Path
    store: Path
    config: Path
    summary: dict[str, Any]

    def copied(self, folder: Path) -> "Standing":
        """A copy to go on from; files keep their times."""
        inbox, store = (Path(shutil.copytree(path, folder / path.name)) for path in (self.inbox, self.store))
        return Standing(inbox, store, Path(shutil.copy2(self.config, folder)), self.summary)

    def version(self, number: int | None = None) -> CorpusVersion:
        """The latest version, or one of them."""
        return CorpusVersion.open(Store.open(self.store), number)

    def paths(self, number: int | None = None, state: str = "prepared") -> set[str]:
        """Uploads of a state, by path."""
        rows = self.version(number).uploads(["path", "state"]).to_pylist()
        return {row["path"] for row in rows if row["state"] == state}

    def heard(self, number: int | None = None) -> set[str]:
        """Uploads of which a version has utterances, by path."""
        return set(self.version(number).utterances(["path"])["path"].to_pylist())


def ran(summary: dict[str, Any]) -> dict[str, int]:
    """Stage -> task runs that worked, for those that did."""
    return {name: count["run"] for name, count in summary["stages"].items() if count["run"]}


def each(stages: Iterable[str], number: int) -> dict[str, int]:
    """What `ran` gives when each of these stages worked on so many batches."""
    return dict.fromkeys(stages, number)


def files(folder: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not os.path.islink(path)
    }

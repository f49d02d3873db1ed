"""The JSON log of a Delta table, read and edited directly: one file for each commit, all of them retained.

Delta itself never changes a commit. We do, in one case: when a speaker is forgotten, every line about the speaker's
files is removed from every commit (`erase`), so that old table versions read without them in any Delta reader, and the
log no longer names them. Commits keep their numbers, so the pins of corpus versions stay valid.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from voicemill.storage.errors import StoreError
from voicemill.storage.files import write_text

_COMMIT = re.compile(r"\d{20}\.json")
_CHECKPOINT = re.compile(r"\d{20}\.checkpoint.*\.parquet|_last_checkpoint")


def commits(root: Path) -> list[Path]:
    """The commits of the table at `root`, oldest first.

    Raises:
        StoreError: one is missing.
    """
    paths = sorted(path for path in (root / "_delta_log").glob("*.json") if _COMMIT.fullmatch(path.name))
    for number, path in enumerate(paths):
        if int(path.stem) != number:
            raise StoreError(
                f"commit {number} of the table {root} is missing: its old versions cannot be read. Restore "
                f"{root / '_delta_log'} from a backup of the store"
            )
    return paths


def head(root: Path) -> int:
    """Number of the last commit; -1 without any."""
    return max((int(path.stem) for path in commits(root)), default=-1)


def replay(root: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """Yield the state after each commit: path -> `add` action of the table's files. One dict, changed in place."""
    live: dict[str, dict[str, Any]] = {}
    for path in commits(root):
        for line in path.read_text("utf-8").splitlines():
            action = json.loads(line)
            if "add" in action:
                live[action["add"]["path"]] = action["add"]
            elif "remove" in action:
                live.pop(action["remove"]["path"], None)
        yield live


def referenced(root: Path, versions: set[int]) -> set[str]:
    """Paths of the files that are in the head or in one of `versions`."""
    known: set[str] = set()
    live: dict[str, dict[str, Any]] = {}
    for number, live in enumerate(replay(root)):
        if number in versions:
            known |= live.keys()
    return known | live.keys()


def strays(root: Path) -> list[Path]:
    """Files in the log's folder that are not part of the log: leftovers of killed commits."""
    files = sorted((root / "_delta_log").glob("*"))
    return [path for path in files if not _COMMIT.fullmatch(path.name) and not _CHECKPOINT.fullmatch(path.name)]


def erase(root: Path, doomed: Callable[[dict[str, Any]], bool]) -> int:
    """Remove the file actions that `doomed` selects from every commit; returns their number.

    Oldest first: a kill in between leaves `remove` lines without their `add`, which Delta ignores, never a file that
    comes back. Checkpoints repeat the log, so they are deleted before and one is made anew. Times of the commits stay.
    The caller holds the store's lock.
    """
    log, erased = root / "_delta_log", 0
    checkpoints = [path for path in log.glob("*") if _CHECKPOINT.fullmatch(path.name)]
    for path in [*checkpoints, *strays(root)]:
        path.unlink()
    for path in commits(root):
        lines = path.read_text("utf-8").splitlines()
        actions = [json.loads(line) for line in lines]
        drop = [any(name in a and doomed(a[name]) for name in ("add", "remove")) for a in actions]
        if any(drop):
            times = path.stat()
            text = "\n".join(line for line, out in zip(lines, drop, strict=True) if not out)
            write_text(path, text)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            erased += sum(drop)
    if checkpoints:
        from deltalake import DeltaTable

        DeltaTable(root).create_checkpoint()
    return erased

"""The JSON log of a Delta table, read and edited directly: one file for each commit, all of them retained.

Delta itself never changes a commit. We do, in two cases. When a speaker is forgotten, every line about the speaker's
files is removed from every commit (`erase`), so that old table versions read without them in any Delta reader, and the
log no longer names them. Commits keep their numbers, so the pins of corpus versions stay valid. And Delta flushes
nothing to the disk: a power cut may leave the last commits empty or cut off (`torn`), which are ignored and dropped.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from voicemill.storage import seals
from voicemill.storage.corpus.delta_root import delta_root
from voicemill.storage.errors import StoreDamaged
from voicemill.storage.files import whole_file
from voicemill.storage.flushing import sync, sync_files

TAIL = 8
"""Number of commits at the end of a log that may not be on the disk yet."""
_COMMIT = re.compile(r"\d{20}\.json")
_CHECKPOINT = re.compile(r"\d{20}\.checkpoint.*\.parquet|_last_checkpoint")


def commits(root: Path) -> list[Path]:
    """The commits of the table at `root`, oldest first, without those at the end that a power cut tore (`torn`).

    Raises:
        StoreDamaged: one is missing.
    """
    paths = _named(root)
    for number, path in enumerate(paths):
        if int(path.stem) != number:
            missing = root / "_delta_log" / f"{number:020}.json"
            raise StoreDamaged(missing, f"is missing, commit {number} of the table: its old versions cannot be read")
    return paths[: len(paths) - len(_torn(paths))]


def torn(root: Path) -> list[Path]:
    """The last commits of the log from the first one on that is empty or cut off, oldest first.

    A process makes at most three commits before it flushes them (`sync_log`), so only the last ones are read. Delta
    reads an empty commit as one without changes, and so loses its files without a word.
    """
    return _torn(_named(root))


def _torn(paths: list[Path]) -> list[Path]:
    last = paths[-TAIL:]
    return next((last[at:] for at, path in enumerate(last) if not _whole(path)), [])


def _named(root: Path) -> list[Path]:
    return sorted(path for path in (root / "_delta_log").glob("*.json") if _COMMIT.fullmatch(path.name))


def _whole(path: Path) -> bool:
    facts = path.stat()
    return _parses(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)


@lru_cache(4096)
def _parses(path: Path, *_: int) -> bool:
    try:
        return bool([json.loads(line) for line in path.read_bytes().splitlines()])
    except ValueError:
        return False


def head(root: Path) -> int:
    """Number of the last commit; -1 without any."""
    return max((int(path.stem) for path in commits(root)), default=-1)


def replay(root: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """Yield the state after each commit: path -> `add` action of the table's files. One dict, changed in place."""
    live: dict[str, dict[str, Any]] = {}
    for path in commits(root):
        for action in _actions(path):
            if "add" in action:
                live[action["add"]["path"]] = action["add"]
            elif "remove" in action:
                live.pop(action["remove"]["path"], None)
        yield live


def _actions(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except ValueError:
        raise StoreDamaged(path, "holds a line that is not JSON") from None


def referenced(root: Path, versions: set[int]) -> set[str]:
    """Paths of the files that are in the head or in one of `versions`."""
    known: set[str] = set()
    live: dict[str, dict[str, Any]] = {}
    for number, live in enumerate(replay(root)):
        if number in versions:
            known |= live.keys()
    return known | live.keys()


def sync_log(root: Path, top: Path) -> None:
    """Flush the last commits and all checkpoints of the table at `root`, and the folders up to `top`, to the disk.

    More than the last commit: a process may have been killed between its commits and this call.
    """
    checkpoints = [path for path in (root / "_delta_log").iterdir() if _CHECKPOINT.fullmatch(path.name)]
    sync_files([*_named(root)[-TAIL:], *checkpoints], top)
    new = seals.seal_new([*_named(root)[-TAIL:], *checkpoints])
    if any(path in checkpoints for path in new) and (pointer := root / "_delta_log" / "_last_checkpoint").exists():
        seals.seal(pointer)  # Delta writes it again for each checkpoint


def drop_torn(root: Path) -> list[Path]:
    """Delete the torn commits of a table, the last first, and torn checkpoints. The caller holds the store's lock.

    Checkpoints repeat the log, so nothing is lost with them. Returns the deleted paths.
    """
    log = root / "_delta_log"
    doomed = torn(root)[::-1]
    checkpoints = [path for path in log.glob("*") if _CHECKPOINT.fullmatch(path.name)]
    if doomed or not all(_readable(path) for path in checkpoints):
        doomed += checkpoints  # one may repeat a commit that is dropped
    seals.lift(doomed)
    for path in doomed:
        path.unlink()
    if doomed:
        sync(log)
    return doomed


def _readable(checkpoint: Path) -> bool:
    try:
        if checkpoint.suffix != ".parquet":
            return isinstance(json.loads(checkpoint.read_bytes()), dict)
        pq.read_metadata(checkpoint)
    except (ValueError, pa.ArrowException, OSError):
        return False
    return True


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
    seals.lift(checkpoints)
    for path in [*checkpoints, *strays(root)]:
        path.unlink()
    for path in commits(root):
        lines = path.read_text("utf-8").splitlines()
        actions = [json.loads(line) for line in lines]
        drop = [any(name in a and doomed(a[name]) for name in ("add", "remove")) for a in actions]
        if any(drop):
            times = path.stat()
            text = "\n".join(line for line, out in zip(lines, drop, strict=True) if not out)
            with whole_file(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
                os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))
            erased += sum(drop)
    if checkpoints:
        from deltalake import DeltaTable

        with delta_root(root) as address:
            DeltaTable(address).create_checkpoint()
    sync_log(root, root)
    return erased

"""Deletion of table files that nothing refers to, and of lines in the logs of seals that no check needs."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from voicemill.storage import seals
from voicemill.storage.corpus import deltalog, tables
from voicemill.storage.files import write_text
from voicemill.storage.flushing import locked_file
from voicemill.storage.store import Store


def sweep(store: Store, pins: Mapping[str, Iterable[int]]) -> list[Path]:
    """Delete files that no version (`pins`: table -> Delta versions) and no head refers to, and temporary files.

    With a shard that was never published, the cached output of the stage `shards` that lists it is deleted. The caller
    holds the store's lock, and no worker is writing. Returns the deleted paths.
    """
    deleted: list[Path] = []
    keys: set[str] = set()
    for table in [*tables.names(store), "versions"]:
        root = tables.folder(store, table)
        known = deltalog.referenced(root, set(pins.get(table, ())))
        keys |= {tables.key_of(path) for path in known}
        deleted += deltalog.strays(root)
        shards = (path for path in root.rglob("*") if path.is_file() and path.parent.name != "_delta_log")
        deleted += sorted(path for path in shards if path.relative_to(root).as_posix() not in known)
    seals.lift(path for path in deleted if path.parent.name == "versions")
    for path in deleted:
        if (key := tables.key_of(path.name)) not in keys:
            (store.stages / "shards" / f"{key}.arrow").unlink(missing_ok=True)
        path.unlink()
    return deleted


def compact_seals(store: Store) -> None:
    """Drop from the logs the seals that are lifted, of deleted caches, and earlier ones of a file.

    After an erasure no line holds the digest of a name whose files are gone. A log with a line that is no seal stays as
    it is, for `check` to find. Processes that append meanwhile wait. Cost: names of all files of the store.
    """
    files = seals.sealable_files(store.root)
    for log in seals.logs_of(store.root):
        with locked_file(log):
            known = seals.read(store.root)
            if any(path == log for path, _ in known.problems):
                continue
            kept = {
                name: states
                for name, states in known.of.items()
                if states and (name in files or not seals.may_be_missing(name))
            }
            text = seals.text_of(log, kept, known.present)
            if len(text) != log.stat().st_size:
                write_text(log, text)

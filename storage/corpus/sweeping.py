"""Deletion of table files that nothing refers to."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from voicemill.storage import seals
from voicemill.storage.corpus import deltalog, tables
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

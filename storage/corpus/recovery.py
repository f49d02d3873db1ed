"""Recovery of the tables' logs after a power cut.

A commit counts when it has been flushed, which the process that made it does before it goes on. A commit that was cut
off before is empty or torn: one of a table is dropped, since no version pins it and the next publish makes it again;
one of `versions` is written again, since its row was flushed before, and all that it pins.

Cost where nothing is torn: reading the last commits of each log, about a millisecond for each table.
"""

from pathlib import Path

from voicemill.storage.corpus import deltalog, tables, versions
from voicemill.storage.errors import StoreDamaged
from voicemill.storage.store import Store


def recover(store: Store) -> list[Path]:
    """Drop or rewrite torn commits; returns their paths. The caller holds the store's lock.

    Raises:
        StoreDamaged: one is pinned by a corpus version, so it was flushed once and damaged since.
    """
    history = versions.history(store)
    recovered: list[Path] = []
    for table in tables.names(store):
        root = tables.folder(store, table)
        pinned = max((version.pins.get(table, -1) for version in history), default=-1)
        for path in deltalog.torn(root):
            if int(path.stem) <= pinned:
                raise StoreDamaged(path, "is pinned by a corpus version, and is empty or cut off")
        recovered += deltalog.drop_torn(root)
    root = tables.folder(store, "versions")
    if torn := deltalog.drop_torn(root):
        recovered += torn
        if history and history[-1].number > len(tables.active(store, "versions")):
            versions.append(store, history[-1])
    return recovered

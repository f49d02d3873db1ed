"""What a corpus version holds, as plain values that two stores can be compared by."""

from pathlib import Path
from typing import Any

from voicemill.storage.corpus import versions
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.store import Store

Rows = list[dict[str, Any]]


def contents(store: Path) -> dict[str, Rows]:
    """Table -> every row of the latest version, audio and features with their bytes, in an order that rows decide."""
    corpus = CorpusVersion.open(Store.open(store))
    found = {"uploads": corpus.uploads(), "ledger": corpus.ledger(), "utterances": corpus.utterances()}
    found |= {name: corpus.features(name) for name in corpus.version.features}
    return {name: sorted(table.to_pylist(), key=_place) for name, table in found.items()}


def _place(row: dict[str, Any]) -> tuple[str, int]:
    return row.get("id") or row.get("upload") or row["path"], row.get("start", 0)


def differences(one: dict[str, Rows], other: dict[str, Rows]) -> list[str]:
    """Where two contents differ: table, row, column and both values, cut short."""
    found = [f"tables {sorted(one)} and {sorted(other)}"] if one.keys() != other.keys() else []
    for table in sorted(one.keys() & other.keys()):
        if len(one[table]) != len(other[table]):
            found.append(f"{table}: {len(one[table])} and {len(other[table])} rows")
        for a, b in zip(one[table], other[table], strict=False):
            names = [name for name in a.keys() | b.keys() if a.get(name) != b.get(name)]
            found += [f"{table} {_place(a)} {name}: {a.get(name)!r:.200} and {b.get(name)!r:.200}" for name in names]
    return found


def numbers(store: Path) -> list[int]:
    """The corpus versions of a store."""
    return [version.number for version in versions.history(Store.open(store))]


def strays(store: Path) -> list[str]:
    """Shards that no version and no head refers to, and temporary files anywhere but in the server's folder."""
    from voicemill.storage.corpus import deltalog, tables

    opened = Store.open(store)
    pins = versions.pins(opened)
    found = []
    for table in [*tables.names(opened), "versions"]:
        root = tables.folder(opened, table)
        known = deltalog.referenced(root, set(pins.get(table, ())))
        files = (path for path in root.rglob("*.parquet") if "_delta_log" not in path.parts)
        found += [str(path) for path in files if path.relative_to(root).as_posix() not in known]
    temporary = (path for path in opened.root.rglob("*.tmp") if opened.prefect not in path.parents)
    return sorted([*found, *map(str, temporary)])


def processes(store: Path, *, but: int = 0) -> list[str]:
    """Command lines of living processes that name the store, or have a file of it open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == but or process.name == "self":
            continue
        try:
            if "\nState:\tZ" in (process / "status").read_text():
                continue
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            held = any(str(file.readlink()).startswith(str(store)) for file in (process / "fd").iterdir())
            told = f"VOICEMILL_TEST={store}\0".encode() in (process / "environ").read_bytes()
        except OSError:
            continue
        if str(store) in words or held or told:
            found.append(f"{process.name}: {words}")
    return found

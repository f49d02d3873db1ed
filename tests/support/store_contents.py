"""Contents of a store as plain values, to compare two stores by, and what a run left behind."""

from pathlib import Path
from typing import Any

from voicemill.storage.corpus import versions
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.store import Store

Rows = list[dict[str, Any]]


def contents(store: Path) -> dict[str, Rows]:
    """Table -> every row of the latest version, bytes of audio and features included, sorted by the rows themselves."""
    corpus = CorpusVersion.open(Store.open(store))
    tables = {"uploads": corpus.uploads(), "ledger": corpus.ledger(), "utterances": corpus.utterances()}
    tables |= {name: corpus.features(name) for name in corpus.version.features}
    return {name: sorted(table.to_pylist(), key=_place) for name, table in tables.items()}


def _place(row: dict[str, Any]) -> tuple[str, int]:
    return row.get("id") or row.get("upload") or row["path"], row.get("start", 0)


def differences(one: dict[str, Rows], other: dict[str, Rows]) -> list[str]:
    """One line per difference of two contents: table, row, column and both values, shortened."""
    lines = [f"tables {sorted(one)} and {sorted(other)}"] if one.keys() != other.keys() else []
    for table in sorted(one.keys() & other.keys()):
        if len(one[table]) != len(other[table]):
            lines.append(f"{table}: {len(one[table])} and {len(other[table])} rows")
        for a, b in zip(one[table], other[table], strict=False):
            names = [name for name in a.keys() | b.keys() if a.get(name) != b.get(name)]
            lines += [f"{table} {_place(a)} {name}: {a.get(name)!r:.200} and {b.get(name)!r:.200}" for name in names]
    return lines


def numbers(store: Path) -> list[int]:
    """Numbers of the corpus versions of a store."""
    return [version.number for version in versions.history(Store.open(store))]


def strays(store: Path) -> list[str]:
    """Shards that neither a version nor a table's head refers to, and temporary files outside the server's folder."""
    from voicemill.storage.corpus import deltalog, tables

    opened = Store.open(store)
    pins = versions.pins(opened)
    paths = []
    for table in [*tables.names(opened), "versions"]:
        root = tables.folder(opened, table)
        known = deltalog.referenced(root, set(pins.get(table, ())))
        files = (path for path in root.rglob("*.parquet") if "_delta_log" not in path.parts)
        paths += [str(path) for path in files if path.relative_to(root).as_posix() not in known]
    temporary = (path for path in opened.root.rglob("*.tmp") if opened.prefect not in path.parents)
    return sorted([*paths, *map(str, temporary)])


def processes(store: Path, *, but: int = 0) -> list[str]:
    """Command lines of running processes that name the store, have one of its files open or were started with
    VOICEMILL_TEST set to it; the process `but` is left out."""
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == but or process.name == "self":
            continue
        try:
            if "\nState:\tZ" in (process / "status").read_text():
                continue
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            opened = any(str(file.readlink()).startswith(str(store)) for file in (process / "fd").iterdir())
            marked = f"VOICEMILL_TEST={store}\0".encode() in (process / "environ").read_bytes()
        except OSError:
            continue
        if str(store) in words or opened or marked:
            lines.append(f"{process.name}: {words}")
    return lines

"""What an erasure must remove: bytes that only one speaker's data has, and a search of every byte under a folder."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.ipc
import pyarrow.parquet as pq

from support.refreshed_store import RefreshedStore


def needles(refreshed: RefreshedStore, speaker: str) -> dict[str, bytes]:
    """Bytes of a speaker's uploads, utterances, features and stage outputs that no other speaker has."""
    corpus, found = refreshed.version(), {}
    for row in corpus.utterances(speaker=speaker).to_pylist():
        at = len(row["audio"]) // 2
        found[f"FLAC of {row['path']}"] = row["audio"][at : at + 32]
        found[f"text of {row['path']}"] = row["text"].encode()
        found[f"words of {row['path']}"] = row["text"][: len(row["text"]) // 2].encode()
        for name in ("content", "f0", "mel"):
            matrix = next(r for r in corpus.features(name, speaker=speaker).to_pylist() if r["id"] == row["id"])
            values = np.frombuffer(matrix["data"], "<f2")
            at = next(i for i in range(len(values) // 2, len(values)) if len(set(values[i : i + 16])) > 8)
            found[f"{name} of {row['path']}"] = values[at : at + 16].tobytes()
    uploads = {row["sha256"]: row["path"] for row in corpus.uploads(["sha256", "path"], speaker).to_pylist()}
    for stage in ("decode", "denoise"):
        for path in (refreshed.store / "stages" / stage).glob("*.audio.arrow"):
            rows = pyarrow.ipc.open_file(path.with_name(path.name.replace(".audio", ""))).read_all()
            if set(rows["upload"].to_pylist()) <= uploads.keys():
                raw = path.read_bytes()
                found[f"{stage} of {path.name[:8]}"] = raw[len(raw) // 2 : len(raw) // 2 + 32]
    for path in (refreshed.inbox / speaker).glob("*.wav"):
        raw = path.read_bytes()
        found[f"bytes of {path.name}"] = raw[len(raw) // 2 : len(raw) // 2 + 32]
    return found


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Contents of all files, tables decoded."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()
            if path.suffix == ".parquet":
                table = pq.ParquetFile(path).read()
                buffers = [b for column in table.columns for chunk in column.chunks for b in chunk.buffers() if b]
                yield f"{path.relative_to(folder).as_posix()} unpacked", b"".join(map(bytes, buffers))


def traces(folder: Path, wanted: dict[str, bytes]) -> dict[str, list[str]]:
    """Trace -> files under a folder that hold it."""
    found: dict[str, list[str]] = {}
    for place, raw in everything(folder):
        for name, needle in wanted.items():
            if needle in raw:
                found.setdefault(name, []).append(place)
    return found

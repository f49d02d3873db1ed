"""Finding and erasing what belongs to one speaker outside the tables: stage outputs, registries, copies, inbox."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from voicemill.storage.corpus.artifacts import audio_path
from voicemill.storage.corpus.tables import folder_of
from voicemill.storage.files import erase_folder, read_loose, write_bytes
from voicemill.storage.keys import file_digest
from voicemill.storage.store import Store
from voicemill.storage.voices.registry import EVALUATIONS

PHONES = "phones"
"""Folder of the stage cache with the phones that training reads: a folder for each speaker, nothing of anybody else."""


@dataclass(frozen=True)
class Traces:
    """By what a speaker's files and rows are known."""

    speaker: str
    content: frozenset[str] = field(repr=False)
    """sha256 of the bytes of their uploads."""
    pcm: frozenset[str] = field(repr=False)
    """sha256 of the decoded samples."""
    sizes: frozenset[int] = field(repr=False)
    """Bytes of the uploads: only files of such a size in the inbox are hashed."""

    def __or__(self, other: "Traces") -> "Traces":
        parts = (self.content | other.content, self.pcm | other.pcm, self.sizes | other.sizes)
        return Traces(self.speaker, *parts)


def phones_folder(store: Store, speaker: str) -> Path:
    """Where the phones of a speaker's utterances are kept."""
    return store.stages / PHONES / folder_of(speaker)


def erase_cache(store: Store, traces: Traces) -> None:
    """Stage outputs that hold an upload of the speaker, and whatever a killed worker left behind."""
    erase_folder(phones_folder(store, traces.speaker))
    for path in sorted(store.stages.rglob("*")):
        if path.name.endswith(".tmp"):
            path.unlink()
        elif path.suffixes[-2:] == [".audio", ".arrow"]:
            if not path.with_name(path.name.removesuffix(".audio.arrow") + ".arrow").exists():
                path.unlink(missing_ok=True)
        elif path.suffix == ".arrow":
            if _artifact_mentions(path, traces):
                audio_path(path).unlink(missing_ok=True)  # before the rows: they say whose it is
                path.unlink()
        elif path.suffix == ".json":
            _prune_json(path, traces)
        elif path.is_file() and path.suffix == ".parquet" and not path.is_relative_to(store.stages / PHONES):
            path.unlink()  # the memory of a scan: transcripts, by file; it costs one hash of the inbox
        elif path.is_file() and _is_copy(path, traces):
            path.unlink()


def erase_copies(store: Store, traces: Traces) -> None:
    """Quarantined copies, wherever they lie outside the other folders."""
    others = {store.tables, store.stages, store.prefect, store.receipts, store.models, store.training}
    for top in sorted(store.root.iterdir()):
        for path in sorted(top.rglob("*")) if top.is_dir() and top not in others else ():
            if path.is_file() and _is_copy(path, traces):
                path.unlink()


def erase_evaluations(store: Store, versions: Iterable[int], *, unsaid: bool = True) -> None:
    """Evaluations of entries on test sets of these corpus versions, and with `unsaid` those that do not say on which:
    they hold ids of utterances, and what was said of them."""
    gone = set(versions)
    for path in sorted(store.models.glob(f"*/*/{EVALUATIONS}/*")):
        raw = read_loose(path)
        lineage = raw.get("lineage") if isinstance(raw, dict) else None
        number = lineage.get("corpus_version") if isinstance(lineage, dict) else None
        if number in gone or (unsaid and number is None):
            path.unlink(missing_ok=True)


def erase_trainings(store: Store, versions: Iterable[int]) -> None:
    """The working folders of trainings on these corpus versions: they hold sounds to listen to, and names.

    The voices that came of them are not touched, and nothing is trained on these versions again.
    """
    gone = set(versions)
    for path in sorted(store.training.glob("*/run.json")):
        if gone & {part.get("version") for part in objects(read_loose(path))}:
            erase_folder(path.parent)  # renamed first: a kill must not leave it without run.json
    for folder in store.training.glob(".gone-*"):
        shutil.rmtree(folder)


def erase_inbox(inbox: Path, traces: Traces) -> Iterator[str]:
    """Files of the inbox with the bytes of an upload, under whatever name, and the transcripts beside them."""
    for path in sorted(inbox.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size in traces.sizes and _is_copy(path, traces):
            for file in (path, path.with_suffix(".txt"), path.with_suffix(".lab")):
                if file.exists():
                    file.unlink()
                    yield file.relative_to(inbox).as_posix()


def mentions(store: Store, traces: Traces, inbox: Path | None) -> Iterator[str]:
    """Files, other than shards and stage outputs, in which the name stands as a word."""
    name = re.compile(rb"(?<![0-9A-Za-z])" + re.escape(traces.speaker.encode()) + rb"(?![0-9A-Za-z])")
    for path in sorted(store.root.rglob("*")):
        known = path.name.startswith("forgetting-") or path.suffix in (".parquet", ".arrow")
        if path.is_file() and not known and name.search(path.read_bytes()):
            yield path.relative_to(store.root).as_posix()
    for path in sorted(inbox.rglob("*")) if inbox else ():
        listing = path.suffix.lower() in (".csv", ".list", ".scp", ".txt", "") and path.is_file()
        if inbox and listing and name.search(path.read_bytes()):
            yield f"inbox:{path.relative_to(inbox).as_posix()}"


def _artifact_mentions(path: Path, traces: Traces) -> bool:
    rows = read_arrow(path)
    metadata = b" ".join((rows.schema.metadata or {}).values()).decode("utf-8", "replace")
    if any(sha256 in metadata for sha256 in traces.content):
        return True
    uploads = set(rows["upload"].unique().to_pylist()) if "upload" in rows.column_names else set()
    speakers = set(rows["speaker"].unique().to_pylist()) if "speaker" in rows.column_names else set()
    return bool(uploads & traces.content) or traces.speaker in speakers


def _prune_json(path: Path, traces: Traces) -> None:
    """Drop what concerns the speaker out of a JSON file: items of lists, and keys; or the file, if more is left."""

    def mine(value: Any) -> bool:
        if isinstance(value, dict):
            return value.get("speaker") == traces.speaker or any(mine(v) for v in value.values() if isinstance(v, str))
        return isinstance(value, str) and value in traces.content

    def prune(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: prune(item) for key, item in value.items() if key not in traces.content}
        return [prune(item) for item in value if not mine(item)] if isinstance(value, list) else value

    raw = read_loose(path)
    kept = prune(raw)
    text = json.dumps(kept, ensure_ascii=False)
    if any(sha256 in text for sha256 in traces.content) or (isinstance(kept, dict) and kept.get("uploads") == []):
        path.unlink()
    elif kept != raw:
        write_bytes(path, text.encode())


def _is_copy(path: Path, traces: Traces) -> bool:
    return any(sha256 in path.name for sha256 in traces.content) or file_digest(path) in traces.content


def read_arrow(path: Path) -> pa.Table:
    """The rows of a stage output, mapped rather than read: only the columns that are looked at cost anything."""
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(item)

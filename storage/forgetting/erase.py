"""Finding and erasing what belongs to one speaker outside the tables: stage outputs, evaluations, copies."""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from voicemill.storage import seals
from voicemill.storage.corpus import deltalog
from voicemill.storage.corpus.artifacts import audio_path
from voicemill.storage.corpus.tables import folder_of
from voicemill.storage.errors import StoreDamaged
from voicemill.storage.files import erase_folder, read_loose, write_text
from voicemill.storage.keys import file_digest
from voicemill.storage.store import Store
from voicemill.storage.voices.registry import EVALUATIONS

PHONES = "phones"
"""Folder of the stage cache with the phones that training reads: one folder for each speaker, nothing of others."""


@dataclass(frozen=True)
class Traces:
    """Identifiers of a speaker's files and rows."""

    speaker: str
    content: frozenset[str] = field(repr=False)
    """sha256 of the bytes of the speaker's uploads."""
    pcm: frozenset[str] = field(repr=False)
    """sha256 of the decoded samples."""
    sizes: frozenset[int] = field(repr=False)
    """Bytes of the uploads: in the inbox only files of such a size are hashed."""

    def __or__(self, other: "Traces") -> "Traces":
        return Traces(
            speaker=self.speaker,
            content=self.content | other.content,
            pcm=self.pcm | other.pcm,
            sizes=self.sizes | other.sizes,
        )


def phones_folder(store: Store, speaker: str) -> Path:
    """Folder with the phones of a speaker's utterances."""
    return store.stages / PHONES / folder_of(speaker)


def erase_cache(store: Store, traces: Traces) -> None:
    """Delete stage outputs that hold an upload of the speaker, and temporaries of workers killed meanwhile."""
    erase_folder(phones_folder(store, traces.speaker))
    for path in sorted(store.stages.rglob("*")):
        if path.name.endswith(".tmp"):
            path.unlink()
        elif path.suffixes[-2:] == [".audio", ".arrow"]:
            if not path.with_name(path.name.removesuffix(".audio.arrow") + ".arrow").exists():
                path.unlink(missing_ok=True)
        elif path.suffix == ".arrow":
            if _artifact_mentions(path, traces):
                audio_path(path).unlink(missing_ok=True)  # before the rows, which name its speaker
                path.unlink()
        elif path.suffix == ".json":
            _prune_json(path, traces)
        elif path.is_file() and path.suffix == ".parquet" and not path.is_relative_to(store.stages / PHONES):
            path.unlink()  # listing cache of a scan, with transcripts: making it anew costs one hash of the inbox
        elif path.is_file() and _is_copy(path, traces):
            path.unlink()


def erase_copies(store: Store, traces: Traces) -> None:
    """Delete quarantined copies, wherever they lie outside the other folders."""
    others = {store.tables, store.stages, store.prefect, store.receipts, store.models, store.training}
    for top in sorted(store.root.iterdir()):
        for path in sorted(top.rglob("*")) if top.is_dir() and top not in others else ():
            if path.is_file() and _is_copy(path, traces):
                path.unlink()


def erase_evaluations(store: Store, versions: Iterable[int], *, unknown: bool = True) -> None:
    """Delete evaluations of entries on test sets of these corpus versions: they hold utterance ids and transcripts.

    `unknown`: also those that do not name their corpus version.
    """
    doomed = set(versions)
    for path in sorted(store.models.glob(f"*/*/{EVALUATIONS}/*")):
        raw = read_loose(path)
        lineage = raw.get("lineage") if isinstance(raw, dict) else None
        number = lineage.get("corpus_version") if isinstance(lineage, dict) else None
        if number in doomed or (unknown and number is None):
            seals.lift([path])
            path.unlink(missing_ok=True)


def erase_trainings(store: Store, versions: Iterable[int]) -> None:
    """Delete the working folders of trainings on these corpus versions: they hold audio samples and names.

    The voices trained in them stay, and no training runs on these versions again.
    """
    doomed = set(versions)
    for path in sorted(store.training.glob("*/run.json")):
        if doomed & {part.get("version") for part in json_objects(read_loose(path))}:
            erase_folder(path.parent)  # renamed first: after a kill the folder must not lack its run.json
    for folder in store.training.glob(".gone-*"):
        shutil.rmtree(folder)


def _artifact_mentions(path: Path, traces: Traces) -> bool:
    rows = read_arrow(path)
    if rows is None:  # cut off by a power cut: it may hold anything
        return True
    metadata = b" ".join((rows.schema.metadata or {}).values()).decode("utf-8", "replace")
    if any(sha256 in metadata for sha256 in traces.content):
        return True
    uploads = set(rows["upload"].unique().to_pylist()) if "upload" in rows.column_names else set()
    speakers = set(rows["speaker"].unique().to_pylist()) if "speaker" in rows.column_names else set()
    return bool(uploads & traces.content) or traces.speaker in speakers


def _prune_json(path: Path, traces: Traces) -> None:
    """Remove list items and keys that concern the speaker from a JSON file, or delete it where that is not enough."""

    def concerns(value: Any) -> bool:
        if isinstance(value, dict):
            nested = any(concerns(item) for item in value.values() if isinstance(item, str))
            return value.get("speaker") == traces.speaker or nested
        return isinstance(value, str) and value in traces.content

    def prune(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: prune(item) for key, item in value.items() if key not in traces.content}
        return [prune(item) for item in value if not concerns(item)] if isinstance(value, list) else value

    raw = read_loose(path)
    if raw is None:  # cut off by a power cut: it may hold anything
        path.unlink()
        return
    pruned = prune(raw)
    text = json.dumps(pruned, ensure_ascii=False)
    if any(sha256 in text for sha256 in traces.content) or (isinstance(pruned, dict) and pruned.get("uploads") == []):
        path.unlink()
    elif pruned != raw:
        write_text(path, text)


def _is_copy(path: Path, traces: Traces) -> bool:
    return any(sha256 in path.name for sha256 in traces.content) or file_digest(path) in traces.content


def read_arrow(path: Path) -> pa.Table | None:
    """Rows of a stage output, mapped into memory: only the columns that are read cost anything.

    None where the file is incomplete.
    """
    try:
        with pa.memory_map(str(path)) as file:
            return pa.ipc.open_file(file).read_all()
    except (OSError, pa.ArrowException):
        return None


def read_shard(path: Path, names: set[str]) -> dict[str, list[Any]]:
    """Column -> values of a shard, for those of the columns `names` that it has.

    Empty where the file cannot be read and was never published: a power cut may leave that.

    Raises:
        StoreDamaged: it cannot be read, and a commit names it.
    """
    try:
        with pq.ParquetFile(path) as shard:
            columns = names & set(shard.schema_arrow.names)
            values: dict[str, list[Any]] = shard.read(columns=sorted(columns), use_threads=False).to_pydict()
    except (OSError, pa.ArrowException) as error:
        table = path.parents[1]
        if path.relative_to(table).as_posix() in deltalog.referenced(table, set(range(deltalog.head(table) + 1))):
            raise StoreDamaged(path, f"cannot be read ({error})") from error
        return {}
    return values


def json_objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value, the outer ones first."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from json_objects(item)

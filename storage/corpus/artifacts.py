"""Artifacts: the outputs of stages, one for each batch and stage, named by their content key.

`<store>/stages/<stage>/<key>.arrow` holds the rows (Arrow IPC) and, in its schema metadata, what was measured and what
failed. A stage that makes audio writes `<key>.audio.arrow` beside it: float32 samples in blocks of a minute, so that
no long upload is ever in memory whole. Both are written to temporary names; the rows are renamed last. Nothing is
flushed to the disk, since a cache can be made again: after a power cut a file may be empty or cut off. An artifact is
complete when the footers of its files say so, and `complete_artifact` is the one way to ask.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from voicemill.storage.corpus.rows import from_table, to_table
from voicemill.storage.files import whole_file
from voicemill.storage.outcomes import Failure, Reason
from voicemill.storage.units import RATE, Samples

R = TypeVar("R")
Wave = NDArray[np.float32]

BLOCK: Samples = 60 * RATE
_AUDIO = pa.schema([("wave", pa.large_binary())])
_META = b"voicemill"


@dataclass(frozen=True)
class Block:
    """Position of one block of samples: record batch `i` of the audio file holds block `i` of the list."""

    upload: str
    index: int
    start: Samples
    samples: Samples


@dataclass(frozen=True)
class ArtifactMeta:
    """Description of an artifact, in its schema metadata."""

    stage: str
    key: str
    failures: tuple[Failure, ...] = ()
    """Failures of this stage."""
    pending: tuple[str, ...] = ()
    """Uploads whose rows are missing or incomplete, because this stage or an earlier one failed on them."""
    lost: tuple[str, ...] = ()
    """Pending uploads without any row: later stages skip them."""
    blocks: tuple[Block, ...] = field(default=(), repr=False)
    wall_s: float = 0.0


@dataclass(frozen=True)
class Artifact:
    """A finished artifact on disk."""

    path: Path

    @cached_property
    def meta(self) -> ArtifactMeta:
        with pa.OSFile(str(self.path)) as file:
            raw = json.loads(pa.ipc.open_file(file).schema.metadata[_META])
        raw["failures"] = tuple(Failure(**{**f, "reason": Reason(f["reason"])}) for f in raw["failures"])
        raw["pending"], raw["lost"] = tuple(raw["pending"]), tuple(raw["lost"])
        raw["blocks"] = tuple(Block(*block) for block in raw["blocks"])
        return ArtifactMeta(**raw)

    def rows(self, record: type[R]) -> list[R]:
        """All rows as records."""
        return from_table(self.table(), record)

    def table(self) -> pa.Table:
        with pa.OSFile(str(self.path)) as file:
            return pa.ipc.open_file(file).read_all()

    @cached_property
    def _places(self) -> dict[tuple[str, int], list[tuple[int, Block]]]:
        places: dict[tuple[str, int], list[tuple[int, Block]]] = {}
        for number, block in enumerate(self.meta.blocks):
            places.setdefault((block.upload, block.index), []).append((number, block))
        return places

    def waves(self) -> "Waves":
        """Open the audio for reading; close it after use (it is a context manager)."""
        return Waves(audio_path(self.path), self._places)


class Waves:
    """Random access to the audio of an artifact, one block of a minute in memory at a time."""

    def __init__(self, path: Path, places: dict[tuple[str, int], list[tuple[int, Block]]]) -> None:
        self._file = pa.OSFile(str(path))
        self._reader = pa.ipc.open_file(self._file)
        self._places = places
        self._last: tuple[int, Wave] | None = None

    def __enter__(self) -> "Waves":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def samples(self, upload: str, index: int = -1) -> Samples:
        """Length of an upload (index -1) or of a segment."""
        blocks = self._places.get((upload, index), [])
        return sum(block.samples for _, block in blocks)

    def read(self, upload: str, index: int = -1, start: Samples = 0, stop: Samples | None = None) -> Wave:
        """float32 [stop - start], 32 kHz, read-only; positions count from the start of the upload or segment."""
        stop = self.samples(upload, index) if stop is None else stop
        parts = [
            self._block(number)[max(start - block.start, 0) : stop - block.start]
            for number, block in self._places.get((upload, index), [])
            if block.start < stop and block.start + block.samples > start
        ]
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.float32), *parts])

    def stream(self, upload: str, index: int = -1) -> Iterator[Wave]:
        """The samples of an upload in order, in blocks of at most a minute."""
        for number, _ in self._places.get((upload, index), []):
            yield self._block(number)

    def _block(self, number: int) -> Wave:
        if self._last is None or self._last[0] != number:
            raw = self._reader.get_batch(number).column(0)[0].as_buffer()
            self._last = (number, np.frombuffer(raw, dtype="<f4"))
        return self._last[1]


def complete_artifact(path: Path) -> Artifact | None:
    """The artifact at `path`; None where it is missing or incomplete. Cost: reading the footers."""
    artifact = Artifact(path)
    try:
        if blocks := len(artifact.meta.blocks):
            with pa.OSFile(str(audio_path(path))) as file:
                audio = pa.ipc.open_file(file)
                return artifact if audio.num_record_batches == blocks else None
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        return None
    return artifact


def audio_path(path: Path) -> Path:
    """Path of the audio of the artifact at `path`."""
    return path.with_suffix(".audio.arrow")


class ArtifactWriter:
    """Writer of one artifact. Audio is written as it comes, rows at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._audio: pa.ipc.RecordBatchFileWriter | None = None
        self._blocks: list[Block] = []

    def __enter__(self) -> "ArtifactWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        if self._audio is not None:
            self._audio.close()
        self._stack.__exit__(*error)

    def audio(self, upload: str, index: int, wave: Wave) -> None:
        """Append float32 samples to an upload (index -1) or a segment; calls for one of them may be repeated."""
        if self._audio is None:
            temporary = self._stack.enter_context(whole_file(audio_path(self._path), durable=False))
            sink = self._stack.enter_context(pa.OSFile(str(temporary), "wb"))
            self._audio = pa.ipc.new_file(sink, _AUDIO)
        last = self._blocks[-1] if self._blocks else None
        at = last.start + last.samples if last and (last.upload, last.index) == (upload, index) else 0
        for start in range(0, len(wave), BLOCK):
            part = np.ascontiguousarray(wave[start : start + BLOCK], dtype="<f4")
            buffer = pa.py_buffer(part)
            offsets = pa.py_buffer(np.array([0, buffer.size], dtype="<i8"))
            column = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, buffer])
            self._audio.write_batch(pa.record_batch([column], schema=_AUDIO))
            self._blocks.append(Block(upload, index, at + start, len(part)))

    def discard(self, upload: str) -> None:
        """Forget the audio of an upload. Its bytes stay in the file, under no name, until the file is made again."""
        self._blocks = [replace(block, upload="") if block.upload == upload else block for block in self._blocks]

    def finish(self, rows: Iterable[R], record: type[R], meta: ArtifactMeta) -> Artifact:
        """Write the rows and make the artifact visible under its name."""
        raw = asdict(meta) | {"blocks": [[b.upload, b.index, b.start, b.samples] for b in self._blocks]}
        table = to_table(rows, record).replace_schema_metadata({_META: json.dumps(raw).encode()})
        if self._audio is not None:
            self._audio.close()
            self._audio = None
            self._path.unlink(missing_ok=True)  # never old rows beside new audio: a kill here makes the stage run again
        self._stack.close()
        with (
            whole_file(self._path, durable=False) as temporary,
            pa.OSFile(str(temporary), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as writer,
        ):
            writer.write_table(table)
        return Artifact(self._path)

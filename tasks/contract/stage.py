"""What a stage is, and what it may read. Nothing here knows Prefect, Delta or how work is spread over processes.

A stage is a module with a `Settings` class, a `VERSION`, pure functions over arrays, and one `STAGE`. Its `run` is a
generator: it reads its inputs and yields records (rows of its output), `Audio`, and a `Failure` for what it could not
do. Failing on one upload never ends a stage: wrap the work on one upload in `guarded`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from voicemill.storage.corpus.artifacts import Artifact, Wave, Waves
from voicemill.storage.records import Batch, Failure, Outcome, Segment, Upload
from voicemill.storage.store import Store

R = TypeVar("R")
S = TypeVar("S", bound="StageSettings")


class StageSettings(BaseModel):
    """Frozen; unknown names are refused; the line under each field is its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True)


@dataclass(frozen=True)
class Audio:
    """Samples that belong to the output: of an upload (index -1) or of a segment. Yield in order; parts are joined."""

    upload: str
    index: int
    wave: Wave


@dataclass(frozen=True)
class Inputs:
    """What a stage reads: the uploads it shall work on, and the outputs of the stages before it."""

    batch: Batch
    """Only the uploads to work on: all of a batch, or those left over by a failure."""
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    """By stage name."""
    fetch: Callable[[Upload], Path] | None = None
    """Where the bytes of an upload lie on this machine (`decode` alone reads them)."""
    duplicates: frozenset[str] = frozenset()
    """Uploads whose decoded samples an earlier upload already has (`slice` alone reads it)."""
    key: str = ""
    """Content key of the output being made (`shards` names its files by it)."""
    store: Store | None = None
    """Where `shards` writes its Parquet files."""
    recipe: str = ""
    """sha256 of the recipe (`shards` writes it into the rows)."""
    feature_tables: Mapping[str, str] = field(default_factory=dict)
    """Stage name -> table, as {"content": "features/mfcc-0123abcd"} (`shards` reads it)."""
    failed: Mapping[str, Failure] = field(default_factory=dict)
    """Uploads on which this stage itself has failed before (`shards` accounts for them)."""
    _stack: ExitStack = field(default_factory=ExitStack, repr=False)

    @cached_property
    def _wanted(self) -> frozenset[str]:
        return frozenset(upload.sha256 for upload in self.batch.uploads)

    def rows(self, stage: str, record: type[R]) -> list[R]:
        """Rows of an earlier stage for the uploads at hand, in its order."""
        return [row for row in self.artifacts[stage].rows(record) if row.upload in self._wanted]  # type: ignore[attr-defined]

    def segments(self) -> list[Segment]:
        """The kept segments of `slice`, in order of upload and time."""
        return [row for row in self.rows("slice", Segment) if row.outcome is Outcome.KEPT]

    def waves(self, stage: str) -> Waves:
        """Audio of an earlier stage; closed when the stage ends."""
        return self._stack.enter_context(self.artifacts[stage].waves())

    def close(self) -> None:
        self._stack.close()


@dataclass(frozen=True)
class Stage(Generic[S]):
    """One step of the preparation."""

    name: str
    version: int
    """Changes when the output changes for the same input and settings."""
    settings: type[S]
    needs: tuple[str, ...]
    """Stages whose output this one reads."""
    row: type
    """Record of the output."""
    run: Callable[[Inputs, S], Iterable[Any]]
    needs_for: Callable[[S], tuple[str, ...]] | None = None
    """Where the needed stages depend on the settings: overrides `needs`."""
    facts: Callable[[Batch], Any] | None = None
    """What of the uploads' records, besides their bytes, changes the output; JSON-able; becomes part of the key."""
    sealed: bool = False
    """Its output is never repaired in place: what an earlier stage failed on becomes part of its key (`shards`)."""
    models: Callable[[S], Mapping[str, str]] | None = None
    """Setting name -> digest of each model that these settings load; part of the key.
    Raises ModelMissing when one is not on this machine."""

    def inputs_of(self, settings: S) -> tuple[str, ...]:
        """The stages this one reads under these settings."""
        return self.needs_for(settings) if self.needs_for else self.needs


def guarded(upload: str, work: Callable[[], Iterable[R]], index: int = -1) -> Iterator[R | Failure]:
    """Yield what `work` gives for one upload; where it raises, a `Failure` that quotes the error instead.

    Rows come only when all of them could be made. MemoryError and KeyboardInterrupt pass through.
    """
    try:
        rows = list(work())
    except MemoryError:
        raise
    except Exception as error:  # a stage must survive whatever one upload does to it; the outcome carries the reason
        yield Failure(upload, f"{type(error).__name__}: {error}"[:500], index)
    else:
        yield from rows

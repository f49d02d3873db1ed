"""What a stage is, and what it may read. Nothing here knows Prefect, Delta or how work is spread over processes.

A stage is a module with a `Settings` class, a `VERSION`, pure functions over arrays, and one `STAGE`. Its `run` is a
generator: it reads its inputs and yields records (rows of its output), `Audio`, and a `Failure` for what it could not
do. A failure on one upload never ends a stage: wrap the work on one upload in `guarded`. `tasks/registry.py` lists the
stages; everything else about them (order, config sections, feature tables, what a key is made of) follows from `Stage`.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

from voicemill.storage.corpus.artifacts import Artifact, Wave, Waves
from voicemill.storage.outcomes import Failure, Outcome, Repeat
from voicemill.storage.records import Batch, Segment, Upload
from voicemill.storage.settings_file import FrozenSettings
from voicemill.storage.store import Store
from voicemill.tasks.contract.models import MODELS, Megabytes, ModelCache, Resources

NONE: Mapping[str, Any] = MappingProxyType({})
Repeats = Mapping[str, tuple[Repeat, ...]]
"""Upload -> its stretches that earlier uploads have, in time."""
M = TypeVar("M")
R = TypeVar("R")
S = TypeVar("S", bound="StageSettings")


class SegmentRow(Protocol):
    """A row of an earlier stage for one segment."""

    @property
    def upload(self) -> str: ...
    @property
    def index(self) -> int: ...


Row = TypeVar("Row", bound=SegmentRow)


class StageSettings(FrozenSettings):
    """Base of the settings of a stage."""


@dataclass(frozen=True)
class Audio:
    """Samples that belong to the output: of an upload (index -1) or of a segment. Yield in order; parts are joined."""

    upload: str
    index: int
    wave: Wave


@dataclass(frozen=True)
class Discard:
    """Order to forget the `Audio` of an upload so far: it follows once more, from its start."""

    upload: str


@dataclass(frozen=True)
class Inputs:
    """Inputs of a stage: the uploads to work on, and the outputs of the stages before it."""

    batch: Batch
    """Only the uploads to work on: all of a batch, or those that an earlier run failed on."""
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    """Stage name -> its output, for the stages that this one reads."""
    models: ModelCache = MODELS
    """Models of this process, kept from one run to the next."""
    _stack: ExitStack = field(default_factory=ExitStack, repr=False)
    _borrowed: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def _uploads(self) -> frozenset[str]:
        return frozenset(upload.sha256 for upload in self.batch.uploads)

    def rows(self, stage: str, record: type[R]) -> list[R]:
        """Rows of an earlier stage for the uploads to work on, in its order."""
        return [row for row in self.artifacts[stage].rows(record) if row.upload in self._uploads]  # type: ignore[attr-defined]

    def segments(self) -> list[Segment]:
        """The kept segments of `slice`, in order of upload and time."""
        return [row for row in self.rows("slice", Segment) if row.outcome is Outcome.KEPT]

    def waves(self, stage: str) -> Waves:
        """Audio of an earlier stage; closed when the stage ends."""
        return self._stack.enter_context(self.artifacts[stage].waves())

    def model(self, key: Hashable, load: Callable[[], M], gpu_mb: Megabytes = 0) -> M:
        """A model that stays loaded when the stage ends; `load` is called where this process has none of this key. The
        same key gives the same model until `close`.

        The key names all that the model depends on: stage, digest of the weights, settings, device. A model must give
        the same results whatever it worked on before. `gpu_mb`: GPU memory with it at work.
        """
        if key not in self._borrowed:
            self._borrowed[key] = self._stack.enter_context(self.models.borrow(key, load, gpu_mb))
        model: M = self._borrowed[key]
        return model

    def close(self) -> None:
        """Close audio files and give models back."""
        self._borrowed.clear()
        self._stack.close()

    def __enter__(self) -> "Inputs":
        return self

    def __exit__(self, *error: Any) -> None:
        """Close like `close`; models of a run that raised are dropped."""
        self._borrowed.clear()
        self._stack.__exit__(*error)


@dataclass(frozen=True)
class Enrolment:
    """Part of a speaker's reference: the segments of some uploads in one output of the stage `speaker`."""

    speaker: str
    key: str
    """Content key of the output."""
    uploads: tuple[str, ...]
    """The speaker's uploads in its batch."""


@dataclass(frozen=True)
class KeyContext:
    """Facts about a batch, besides its uploads, that are known before any stage runs; a stage may key by them."""

    recipe: str = ""
    """sha256 of the recipe."""
    duplicates: frozenset[str] = frozenset()
    """Uploads of the batch whose decoded samples an earlier upload already has."""
    repeats: Repeats = field(default_factory=dict)
    """Of uploads of the batch."""
    enrolments: tuple[Enrolment, ...] = ()
    """References of the batch's speakers; none where no encoder is used."""

    def repetition(self) -> Any:
        """Part of a key: what earlier uploads have of the batch; of stretches only where they lie."""
        whole = sorted(self.duplicates)
        places = [
            (upload, [(part.start, part.stop) for part in parts]) for upload, parts in sorted(self.repeats.items())
        ]
        return [whole, places] if places else whole


@dataclass(frozen=True)
class RunContext(KeyContext):
    """Facts about one run of a stage that the engine knows; only stages that declare `run_in` receive them."""

    key: str = ""
    """Content key of the output being made."""
    store: Store | None = None
    """The store that the output belongs to."""
    feature_tables: Mapping[str, str] = field(default_factory=dict)
    """Feature stage -> table, as {"content": "features/mfcc-0123abcd"}."""
    failed: Mapping[str, Failure] = field(default_factory=dict)
    """Uploads on which this stage itself has failed before; only `sealed` stages run on them again."""
    voices: Mapping[str, Artifact] = field(default_factory=dict)
    """Content key -> output of the stage `speaker`, for the enrolments that exist."""
    fetch: Callable[[Upload], Path] | None = None
    """Returns the path of an upload's bytes on this machine."""


@dataclass(frozen=True)
class Stage(Generic[S]):
    """One step of the preparation."""

    name: str
    version: int
    """Changes when the output changes for the same input and settings."""
    settings: type[S]
    needs: tuple[str, ...]
    """Stages whose output this one reads; () = it reads the uploads themselves."""
    row: type
    """Record of the output."""
    run: Callable[[Inputs, S], Iterable[Any]] | None = None
    """The work. Give either `run` or `run_in`."""
    run_in: Callable[[Inputs, S, RunContext], Iterable[Any]] | None = None
    """The work of a stage that also reads the `RunContext`."""
    needs_for: Callable[[S], tuple[str, ...]] | None = None
    """Function of the settings that overrides `needs`, where the needed stages depend on them."""
    needs_all: bool = False
    """Reads every other stage; the registry fills in `needs`."""
    metadata: Callable[[Batch], Any] | None = None
    """The part of the uploads' records, besides their bytes, that changes the output; JSON-able; part of the key."""
    key_part: Callable[[KeyContext], Any] | None = None
    """The part of the `KeyContext` that changes the output; JSON-able; part of the key."""
    sealed: bool = False
    """Its output is never repaired in place: uploads that an earlier stage failed on become part of its key."""
    models: Callable[[S], Mapping[str, str]] | None = None
    """Setting name -> digest of each model that these settings load; part of the key.
    Raises ModelMissing when one is not on this machine."""
    named_models: Callable[[S], Mapping[str, str]] | None = None
    """Setting -> hub id or folder of each model that these settings name, for `voicemill models`."""
    resources: Callable[[S], Resources] = lambda settings: Resources()
    """Resources of the machine that one run needs under these settings."""
    feature_table: Callable[[S], str] | None = None
    """Name of the table that holds its rows, one per utterance; None = the stage makes no feature table, and so does
    "" under these settings on this machine."""

    def __post_init__(self) -> None:
        if (self.run is None) == (self.run_in is None):
            raise ValueError(f"stage {self.name!r}: give either run or run_in")

    def inputs_of(self, settings: S) -> tuple[str, ...]:
        """The stages this one reads under these settings."""
        return self.needs_for(settings) if self.needs_for else self.needs

    def records(self, inputs: Inputs, settings: S, context: RunContext) -> Iterable[Any]:
        """Run the stage: its rows, `Audio` and `Failure`s."""
        if self.run_in is not None:
            return self.run_in(inputs, settings, context)
        assert self.run is not None
        return self.run(inputs, settings)


def guarded(upload: str, work: Callable[[], Iterable[R]], index: int = -1) -> Iterator[R | Failure]:
    """Yield what `work` gives for one upload; where it raises, a `Failure` that quotes the error instead.

    Rows come only when all of them could be made. MemoryError, KeyboardInterrupt and ImportError pass through: for a
    library that does not load no upload is to blame.
    """
    try:
        rows = list(work())
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # a stage must survive whatever one upload does to it; the outcome carries the reason
        yield Failure(upload, f"{type(error).__name__}: {error}"[:500], index)
    else:
        yield from rows


def guarded_groups(
    rows: Sequence[Row], work: Callable[[Sequence[Row]], Iterable[R]], size: int
) -> Iterator[R | Failure]:
    """Yield what `work` gives for rows in groups of `size`; a group that raises is worked on row by row, so that only
    the rows at fault become a `Failure`."""
    for start in range(0, len(rows), size):
        group = rows[start : start + size]
        done = list(guarded(group[0].upload, partial(work, group)))
        if any(isinstance(item, Failure) for item in done):
            for row in group:
                yield from guarded(row.upload, partial(work, [row]), row.index)
        else:
            yield from done

"""Minibatches of a corpus version for training and for validation.

    loader = Loader.open(corpus, settings.data, phase, speakers=("ann",), seed=1234)
    objective = objective_of(spec, loader.dims, loader.examples)
    loader = loader.with_needs(objective.needs)
    for batches in loader.training(start_step=0): ...   # each optimiser step: a list of `accumulate` minibatches

The examples of step n are those of `voicemill.model.data.plan`, for any number of devices, rounds and loaders.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from voicemill.model.data.index import Index, LeftOut, index
from voicemill.model.data.minibatch import CONTENT_RATE, Minibatch
from voicemill.model.data.plan import Source, order_of
from voicemill.model.data.reader import READ, Raw, Reader
from voicemill.model.data.sources import masks
from voicemill.model.data.split import Split, split
from voicemill.model.data.stream import ReadingSpec, Share, steps, stream_from_processes
from voicemill.model.settings.training import DataSettings, Phase
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError


@dataclass(frozen=True)
class Description:
    """The data of a training, for its log; `str` gives it in words."""

    version: int
    examples: Mapping[str, int]
    """Source -> number of training examples."""
    hours: float
    """Hours of training speech; what is in two sources counts once."""
    speakers: int
    """Number of speakers in training."""
    languages: Mapping[str, int]
    """Language ("" = unknown) -> number of utterances that can be trained on."""
    held_out: tuple[str, ...]
    """Held-out uploads (sha256) or speakers."""
    validation: int
    """Number of utterances that an evaluation reads."""
    left_out: Mapping[LeftOut, int]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        sources = ", ".join(f"{count} utterances of source {name}" for name, count in self.examples.items())
        lines = [
            f"corpus version {self.version}: {sources}; {self.hours:.2f} h of {self.speakers} speakers",
            f"validation: {self.validation} utterances of {len(self.held_out)} held out whole",
            *(f"left out: {count} {reason} ({reason.meaning})" for reason, count in sorted(self.left_out.items())),
            *self.notes,
        ]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Loader:
    """Reader of one pinned version for one phase."""

    index: Index
    divided: Split
    spec: ReadingSpec
    settings: DataSettings
    _validation: dict[int, Raw] = field(default_factory=dict, repr=False)
    """Cache of the stored validation set: evaluations are frequent, and each would read row groups for single rows."""

    @classmethod
    def open(
        cls,
        corpus: CorpusVersion,
        settings: DataSettings,
        phase: Phase,
        speakers: Sequence[str] = (),
        seed: int = 1234,
        needs: frozenset[str] = READ,
    ) -> "Loader":
        """Read the version's metadata, hold out the validation set and plan the order.

        `speakers`: the targets of `phase.mix`. `needs`: optional fields of `Minibatch` to fill.

        Raises:
            StoreError: a speaker of the version was forgotten, or its files do not match.
            NoData: no utterance of it, or of a source, can be trained on; the message counts the reasons.
            ConfigError: a target is not named or not in the version; a field is needed that no corpus has.
        """
        rows = index(corpus, settings)
        shares: dict[str, float] = {name: share for name, share in phase.mix.items() if share}
        sources = masks(corpus, rows, shares, speakers)
        limits = (settings.validation_share, settings.validation_most)
        divided = split(rows, sources, shares, phase.hold_back, *limits)
        training = [
            Source(name=name, share=shares[name], rows=part, shard=rows.shard[part], frames=rows.frames[part])
            for name, part in divided.training.items()
        ]
        order = order_of(settings, seed)
        needs = _possible(needs, rows)
        spec = ReadingSpec(
            shards=rows.shards,
            sources=tuple(training),
            order=order,
            frames=rows.frames,
            shard=rows.shard,
            row=rows.row,
            needs=needs,
        )
        return cls(rows, divided, spec, settings)

    @property
    def dims(self) -> int:
        """Dimensions of `Minibatch.content`."""
        return self.index.dims

    def with_needs(self, needs: frozenset[str]) -> "Loader":
        """Return a loader that fills other fields of `Minibatch`. Raises ConfigError like `open`."""
        return replace(self, spec=replace(self.spec, needs=_possible(needs, self.index)), _validation={})

    def training(
        self, start_step: int = 0, rank: int = 0, world: int = 1, accumulate: int = 1
    ) -> Iterator[list[Minibatch]]:
        """Endless minibatches of this device from `start_step` on, `accumulate` for each step.

        With `settings.loaders` that many processes read them, into pinned memory where there is a GPU; they end when
        the iterator is closed or this process dies.
        """
        share = Share(rank, world, accumulate)
        if self.settings.loaders:
            return stream_from_processes(self.spec, share, start_step, self.settings.loaders)
        return steps(self.spec, share, start_step)

    def validation(self, rank: int = 0, world: int = 1) -> Iterator[Minibatch]:
        """The validation set once; each device reads every `world`-th minibatch, with the same seeds at every call.

        Totals are those of the minibatch itself. A device may have one minibatch less than others, or none.
        """
        rows, size = self.divided.validation, self.settings.batch
        rows = rows[np.argsort(self.index.frames[rows], kind="stable")]
        reader = Reader(self.spec.shards, self.spec.needs)
        for start in range(rank * size, len(rows), world * size):
            part = rows[start : start + size]
            for row in part.tolist():
                if row not in self._validation:
                    self._validation[row] = self.spec.raw(reader, row).owned()
                    reader.keep(())
            yield self.spec.batch([self._validation[row] for row in part.tolist()], 0, self.spec.totals([part]))

    def examples(self) -> Iterator[Minibatch]:
        """Endless minibatches of the training from its start, read in this process: for the codebook."""
        for batches in steps(self.spec, Share(), 0):
            yield from batches

    def describe(self) -> Description:
        """Describe the data, for the log."""
        rows, divided = self.index, self.divided
        trained = np.unique(np.concatenate(list(divided.training.values())))
        languages = np.bincount(rows.language, minlength=len(rows.languages)).tolist()
        return Description(
            version=rows.version,
            examples={name: len(part) for name, part in divided.training.items()},
            hours=int(rows.frames[trained].sum()) / CONTENT_RATE / 3600,
            speakers=len(np.unique(rows.speaker[trained])),
            languages=dict(zip(rows.languages, languages, strict=True)),
            held_out=divided.units,
            validation=len(divided.validation),
            left_out=dict(rows.left_out),
            notes=divided.notes,
        )

    def describe_alignment(self) -> str:
        """Return a line for the log: the number of training utterances whose words have times."""
        trained = np.unique(np.concatenate(list(self.divided.training.values())))
        placed = int(self.index.placed[trained].sum())
        lacking = f", none for the other {len(trained) - placed}" if placed < len(trained) else ""
        return f"the forced alignment has word times for {placed} of {len(trained)} utterances{lacking}"


def _possible(needs: frozenset[str], rows: Index) -> frozenset[str]:
    if lacking := needs - READ - {"bert"}:
        raise ConfigError(
            f"{', '.join(sorted(lacking))}: no corpus has this field. `speaker_embedding` is needed by v2Pro and "
            "v2ProPlus: set s2.version to v2, and start from a checkpoint of v2"
        )
    if any(not shard.mel for shard in rows.shards):  # a version of an early release: they are computed from the waves
        needs = needs - {"mel"} | ({"wave"} if "mel" in needs else set())
    return needs & READ

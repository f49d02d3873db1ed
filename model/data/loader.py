"""Batches of a corpus version for training and for validation.

    loader = Loader.open(corpus, settings.data, phase, speakers=("ann",), seed=1234)
    objective = objective_of(spec, loader.dims, loader.examples)
    loader = loader.needing(objective.needs)
    for batches in loader.training(start_step=0): ...   # for each optimiser step one list of `accumulate` batches

The examples of step n are those of `voicemill.model.data.plan`, whatever the number of devices, rounds and loaders.
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
from voicemill.model.data.stream import Recipe, Share, steps, stream_from_processes
from voicemill.model.settings.training import DataSettings, Phase
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError


@dataclass(frozen=True)
class Description:
    """What a training reads, for its log; `str` of it is that in words."""

    version: int
    examples: Mapping[str, int]
    """Trained on, by source."""
    hours: float
    """Of speech trained on; what is in two sources counts once."""
    speakers: int
    """Trained on."""
    languages: Mapping[str, int]
    """Utterances that could be trained on, by language ("" = not known)."""
    held_out: tuple[str, ...]
    """Uploads (sha256) or speakers."""
    validation: int
    """Utterances that an evaluation hears."""
    left_out: Mapping[LeftOut, int]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        each = ", ".join(f"{count} utterances of source {name}" for name, count in self.examples.items())
        lines = [
            f"corpus version {self.version}: {each}; {self.hours:.2f} h of {self.speakers} speakers",
            f"validation: {self.validation} utterances of {len(self.held_out)} held out whole",
            *(f"left out: {count} {reason} ({reason.meaning})" for reason, count in sorted(self.left_out.items())),
            *self.notes,
        ]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Loader:
    """Reads one pinned version for one phase."""

    index: Index
    divided: Split
    recipe: Recipe
    settings: DataSettings
    _heard: dict[int, Raw] = field(default_factory=dict, repr=False)
    """The validation set as it is stored: evaluations come often, and each would read row groups for single rows."""

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
        """Read the version's metadata, hold back the validation set, plan.

        `speakers`: the targets of `phase.mix`. `needs`: fields of `Minibatch` beyond those that are always there.

        Raises:
            StoreError: somebody in the version was forgotten, or its files do not fit together.
            NoData: nothing in it can be trained on, or nothing of a source; the message counts the reasons.
            ConfigError: a target is not named or not in the version; something is needed that no corpus has.
        """
        found = index(corpus, settings)
        shares: dict[str, float] = {name: share for name, share in phase.mix.items() if share}
        sources = masks(corpus, found, shares, speakers)
        held = (settings.validation_share, settings.validation_most)
        divided = split(found, sources, shares, phase.hold_back, *held)
        drawn = [
            Source(name=name, share=shares[name], rows=rows, shard=found.shard[rows], frames=found.frames[rows])
            for name, rows in divided.training.items()
        ]
        order = order_of(settings, seed)
        needs = _possible(needs)
        recipe = Recipe(
            shards=found.shards,
            sources=tuple(drawn),
            order=order,
            frames=found.frames,
            shard=found.shard,
            row=found.row,
            needs=needs,
        )
        return cls(found, divided, recipe, settings)

    @property
    def dims(self) -> int:
        """Of `Minibatch.content`."""
        return self.index.dims

    def with_needs(self, needs: frozenset[str]) -> "Loader":
        """The same that reads other fields of `Minibatch`. Raises ConfigError as `open`."""
        return replace(self, recipe=replace(self.recipe, needs=_possible(needs)), _heard={})

    def training(
        self, start_step: int = 0, rank: int = 0, world: int = 1, accumulate: int = 1
    ) -> Iterator[list[Minibatch]]:
        """The batches of this device from a step on, without end: `accumulate` for each step.

        With `settings.loaders` they come from so many processes, in pinned memory where there is a GPU; closing the
        iterator ends those, and they end by themselves when this process dies.
        """
        share = Share(rank, world, accumulate)
        if self.settings.loaders:
            return stream_from_processes(self.recipe, share, start_step, self.settings.loaders)
        return steps(self.recipe, share, start_step)

    def validation(self, rank: int = 0, world: int = 1) -> Iterator[Minibatch]:
        """The validation set once, each device every `world`-th batch: the same batches and seeds at every call.

        Totals are those of the batch itself. Devices may have one batch more or less than others, or none.
        """
        rows, size = self.divided.validation, self.settings.batch
        rows = rows[np.argsort(self.index.frames[rows], kind="stable")]
        reader = Reader(self.recipe.shards, self.recipe.needs)
        for start in range(rank * size, len(rows), world * size):
            part = rows[start : start + size]
            for row in part.tolist():
                if row not in self._heard:
                    self._heard[row] = self.recipe.raw(reader, row).owned()
                    reader.keep(())
            yield self.recipe.batch([self._heard[row] for row in part.tolist()], 0, self.recipe.totals([part]))

    def examples(self) -> Iterator[Minibatch]:
        """The batches of training from its start, without end, read in this process: for a codebook."""
        for batches in steps(self.recipe, Share(), 0):
            yield from batches

    def describe(self) -> Description:
        """What is read, for the log."""
        found, divided = self.index, self.divided
        trained = np.unique(np.concatenate(list(divided.training.values())))
        languages = np.bincount(found.language, minlength=len(found.languages)).tolist()
        return Description(
            version=found.version,
            examples={name: len(rows) for name, rows in divided.training.items()},
            hours=int(found.frames[trained].sum()) / CONTENT_RATE / 3600,
            speakers=len(np.unique(found.speaker[trained])),
            languages=dict(zip(found.languages, languages, strict=True)),
            held_out=divided.units,
            validation=len(divided.validation),
            left_out=dict(found.left_out),
            notes=divided.notes,
        )

    def describe_alignment(self) -> str:
        """Of how many utterances trained on the words have times, a line for the log."""
        trained = np.unique(np.concatenate(list(self.divided.training.values())))
        placed = int(self.index.placed[trained].sum())
        lacking = f"; those of the other {len(trained) - placed} have none" if placed < len(trained) else ""
        return f"the words of {placed} of {len(trained)} utterances have times of the forced alignment{lacking}"


def _possible(needs: frozenset[str]) -> frozenset[str]:
    if lacking := needs - READ - {"bert"}:
        raise ConfigError(
            f"{', '.join(sorted(lacking))}: no corpus has that. `speaker_embedding` is what v2Pro and v2ProPlus need: "
            "set s2.version to v2, and start from a checkpoint of v2"
        )
    return needs & READ

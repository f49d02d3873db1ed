"""The recipe (stages with versions, settings and model digests), and the content keys that follow from it.

A key covers everything that an output is made from, and is known before anything runs: a refresh finds the batches it
must work on by comparing keys.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from voicemill.storage.keys import digest
from voicemill.storage.records import Batch
from voicemill.tasks.config import Config
from voicemill.tasks.contract.stage import NONE, Enrolment, KeyContext, Repeats, Stage
from voicemill.tasks.enrolment import Enrolling, speakers_of
from voicemill.tasks.registry import BY_NAME, STAGES, VOICES, execution_order


@dataclass(frozen=True)
class Recipe:
    """The part of a config that determines the outputs."""

    config: Config

    @cached_property
    def _parts(self) -> dict[str, Any]:
        return {
            stage.name: [
                stage.version,
                self.config.of(stage.name).model_dump(mode="json"),
                self.config.models.get(stage.name, {}),
            ]
            for stage in STAGES
        }

    @cached_property
    def id(self) -> str:
        """sha256 of the recipe: its name."""
        return digest(self._parts)

    @cached_property
    def stages(self) -> tuple[Stage[Any], ...]:
        """Every stage, in the order of execution under this config."""
        return execution_order(self.config.of)

    def before(self, stage: Stage[Any]) -> set[str]:
        """Names of a stage and of all that it reads, directly or through others."""
        inputs = (BY_NAME[name] for name in stage.inputs_of(self.config.of(stage.name)))
        return {stage.name}.union(*(self.before(other) for other in inputs))

    @cached_property
    def feature_tables(self) -> dict[str, str]:
        """Feature stage -> table: a new model or setting gives a new table, never a mixture."""
        tables = {
            stage.name: stage.feature_table(self.config.of(stage.name)) for stage in STAGES if stage.feature_table
        }
        return {stage: f"features/{table}-{digest(self._parts[stage])[:8]}" for stage, table in tables.items() if table}

    @cached_property
    def compares_voices(self) -> bool:
        """Whether segments are compared with their speakers."""
        return VOICES.name in self.feature_tables

    def enrolments(
        self,
        batch: Batch,
        duplicates: Iterable[str] = (),
        enrolling: Enrolling = NONE,
        repeats: Repeats = NONE,
    ) -> tuple[Enrolment, ...]:
        """References of the speakers of a batch, in the outputs of the enrolling batches."""
        if not self.compares_voices:
            return ()
        return tuple(
            Enrolment(
                speaker,
                self._voices_key(source, frozenset(duplicates), repeats),
                tuple(upload.sha256 for upload in source.uploads if upload.speaker == speaker),
            )
            for speaker in speakers_of(batch)
            for source in enrolling.get(speaker, ())
        )

    def _voices_key(self, batch: Batch, duplicates: frozenset[str], repeats: Repeats) -> str:
        uploads = [upload.sha256 for upload in batch.uploads]
        name = (batch, duplicates.intersection(uploads), tuple(repeats.get(sha256, ()) for sha256 in uploads))
        if name not in self._voices_keys:
            self._voices_keys[name] = self.keys(batch, duplicates, repeats=repeats)[VOICES.name]
        return self._voices_keys[name]

    @cached_property
    def _voices_keys(self) -> dict[tuple[Any, ...], str]:
        """Keys computed so far: a batch enrols many speakers."""
        return {}

    def keys(
        self,
        batch: Batch,
        duplicates: Iterable[str] = (),
        enrolling: Enrolling = NONE,
        repeats: Repeats = NONE,
    ) -> dict[str, str]:
        """Stage -> content key of its output for this batch, every stage.

        Args:
            duplicates: uploads, of this batch or others, whose decoded samples an earlier upload already has.
            enrolling: the batches that enrol its speakers; only the key of the shards depends on them.
            repeats: of this batch or others.
        """
        keys: dict[str, str] = {}
        uploads = [upload.sha256 for upload in batch.uploads]
        own = frozenset(uploads) & frozenset(duplicates)
        repeated = {sha256: repeats[sha256] for sha256 in uploads if repeats.get(sha256)}
        enrolments = self.enrolments(batch, duplicates, enrolling, repeats)
        context = KeyContext(recipe=self.id, duplicates=own, repeats=repeated, enrolments=enrolments)
        for stage in self.stages:
            inputs: list[Any] = [keys[name] for name in stage.inputs_of(self.config.of(stage.name))] or [uploads]
            if stage.key_part:
                inputs.append(stage.key_part(context))
            metadata = stage.metadata(batch) if stage.metadata else None
            keys[stage.name] = digest([stage.name, self._parts[stage.name], metadata, inputs])
        return keys

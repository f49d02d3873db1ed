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
from voicemill.tasks.contract.stage import KeyContext, Stage
from voicemill.tasks.registry import STAGES, execution_order


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

    @cached_property
    def feature_tables(self) -> dict[str, str]:
        """Feature stage -> table: a new model or setting gives a new table, never a mixture."""
        tables = {
            stage.name: stage.feature_table(self.config.of(stage.name)) for stage in STAGES if stage.feature_table
        }
        return {stage: f"features/{table}-{digest(self._parts[stage])[:8]}" for stage, table in tables.items()}

    def keys(self, batch: Batch, duplicates: Iterable[str] = ()) -> dict[str, str]:
        """Stage -> content key of its output for this batch, every stage.

        `duplicates`: uploads, of this batch or others, whose decoded samples an earlier upload already has.
        """
        keys: dict[str, str] = {}
        uploads = [upload.sha256 for upload in batch.uploads]
        context = KeyContext(self.id, frozenset(uploads) & frozenset(duplicates))
        for stage in self.stages:
            inputs: list[Any] = [keys[name] for name in stage.inputs_of(self.config.of(stage.name))] or [uploads]
            if stage.key_part:
                inputs.append(stage.key_part(context))
            metadata = stage.metadata(batch) if stage.metadata else None
            keys[stage.name] = digest([stage.name, self._parts[stage.name], metadata, inputs])
        return keys

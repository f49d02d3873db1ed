"""The recipe: the stages with their versions, settings and model digests; and the content keys that follow from it.

A key says everything an output was made from, so it is known before anything runs: which batches a refresh must work on
is a comparison of keys, and takes no stage.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from voicemill.storage.keys import digest
from voicemill.storage.records import Batch
from voicemill.tasks.config import FEATURES, STAGES, Config
from voicemill.tasks.stages import content


@dataclass(frozen=True)
class Recipe:
    """A config seen as what it does to audio."""

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
        """sha256 that names the recipe."""
        return digest(self._parts)

    @cached_property
    def feature_tables(self) -> dict[str, str]:
        """Stage -> table: a new model or setting gives a new table, never a mixture."""
        names = {name: name for name in FEATURES} | {"content": content.feature_name(self.config.content)}
        return {name: f"features/{names[name]}-{digest(self._parts[name])[:8]}" for name in FEATURES}

    def keys(self, batch: Batch, duplicates: Iterable[str] = ()) -> dict[str, str]:
        """Stage -> content key of its output for this batch, every stage."""
        keys: dict[str, str] = {}
        mine = {upload.sha256 for upload in batch.uploads}
        for stage in STAGES:
            inputs = stage.inputs_of(self.config.of(stage.name))
            known: list[Any] = [keys[name] for name in inputs]
            if not inputs:
                known.append([upload.sha256 for upload in batch.uploads])
            if stage.name == "slice":
                known.append(sorted(mine & set(duplicates)))
            if stage.name == "shards":
                known.append(self.id)
            facts = stage.facts(batch) if stage.facts else None
            keys[stage.name] = digest([stage.name, self._parts[stage.name], facts, known])
        return keys

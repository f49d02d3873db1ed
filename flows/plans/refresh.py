"""Plan of a refresh: content keys are compared before any stage runs, so that only changed batches do."""

import json
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydantic import TypeAdapter

from voicemill.flows.plans.repeats import known_repeats
from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.corpus.versions import Version
from voicemill.storage.files import write_bytes
from voicemill.storage.outcomes import Repeat
from voicemill.storage.records import Batch
from voicemill.storage.store import Store
from voicemill.tasks.config import Config
from voicemill.tasks.enrolment import enrolling_batches, speakers_of
from voicemill.tasks.recipe import Recipe
from voicemill.tasks.registry import SINK


@dataclass(frozen=True)
class RefreshPlan:
    """Batches to run, cut into lots, and batches whose shards are up to date."""

    inbox: str
    store: str
    config: str
    """The `Config`, as JSON."""
    lots: tuple[tuple[Batch, ...], ...]
    unchanged: dict[str, str]
    """Batch id -> key of its shards in the last version, which the recipe still gives."""
    samples_of: dict[str, str] = field(default_factory=dict)
    """Upload -> sha256 of its decoded samples, as recorded by the last version."""
    version: int = 0
    """The last corpus version; 0 = none."""
    known: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Upload of the last version, or of an earlier lot -> sample rate of its file, and decoded length."""
    repeats: dict[str, tuple[Repeat, ...]] = field(default_factory=dict)
    """Upload -> its stretches that earlier uploads have, of those that were searched for."""
    decoded: dict[str, str] = field(default_factory=dict)
    """Batch id -> key of its `decode` output, of the lots that ran."""
    order: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Upload -> (batch number, place in the batch); of uploads with equal samples the lowest is kept."""
    enrolling: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Speaker of a batch to run -> ids of the batches that are the speaker's reference."""
    enrolled: tuple[Batch, ...] = ()
    """Those of these batches that are unchanged."""

    @property
    def settings(self) -> Config:
        """The config, parsed."""
        return Config.model_validate_json(self.config)

    @cached_property
    def enrolling_batches(self) -> dict[str, tuple[Batch, ...]]:
        """Speaker -> the batches that are the speaker's reference."""
        by_id = {batch.id: batch for batch in (*self.batches, *self.enrolled)}
        return {speaker: tuple(by_id[id_] for id_ in ids) for speaker, ids in self.enrolling.items()}

    @property
    def batches(self) -> tuple[Batch, ...]:
        """Batches to run, of all lots."""
        return tuple(batch for lot in self.lots for batch in lot)


def plan_refresh(
    inbox: str,
    store: Store,
    recipe: Recipe,
    batches: Iterable[Batch],
    last: Version | None,
    rows: Iterable[UploadRow],
    damaged: Collection[str] = (),
) -> RefreshPlan:
    """Compare the key that the recipe gives the shards of each batch with the key that the last version pins.

    Args:
        rows: uploads of the last version, with the digests of their decoded samples: by these, duplicates with other
            bytes are known before anything is decoded.
        damaged: keys of shards that are missing or cut short. Their batches run again, and those without rows.
    """
    batches = sorted(batches, key=lambda batch: batch.number)
    order = {upload.sha256: (batch.number, place) for batch in batches for place, upload in enumerate(batch.uploads)}
    rows = list(rows)
    known = {row.sha256: row.pcm for row in rows if row.batch}
    samples_of = {sha256: pcm for sha256, pcm in known.items() if pcm and sha256 in order}
    duplicates = find_duplicates(samples_of, order)
    repeats = known_repeats(rows, order)
    enrolling = enrolling_batches(batches) if recipe.compares_voices else {}
    pinned = last.shards if last else {}
    unchanged = {
        batch.id: pinned[batch.id]
        for batch in batches
        if batch.id in pinned
        and pinned[batch.id] not in damaged
        and all(upload.sha256 in known for upload in batch.uploads)
        and recipe.keys(batch, duplicates, enrolling, repeats)[SINK.name] == pinned[batch.id]
    }
    changed = [batch for batch in batches if batch.id not in unchanged]
    enrolling = {who: enrolling[who] for batch in changed for who in speakers_of(batch) if who in enrolling}
    sources = {batch.id: batch for group in enrolling.values() for batch in group}
    size = recipe.config.run.lot_batches
    lots = tuple(tuple(changed[at : at + size]) for at in range(0, len(changed), size))
    return RefreshPlan(
        inbox=inbox,
        store=str(store.root),
        config=json.dumps(recipe.config.recorded()),
        lots=lots,
        unchanged=unchanged,
        samples_of=samples_of,
        version=last.number if last else 0,
        known={row.sha256: (row.rate, row.samples) for row in rows if row.batch and row.sha256 in order},
        repeats=repeats,
        order=order,
        enrolling={who: tuple(batch.id for batch in group) for who, group in enrolling.items()},
        enrolled=tuple(batch for id_, batch in sources.items() if id_ in unchanged),
    )


def find_duplicates(samples_of: Mapping[str, str], order: Mapping[str, tuple[int, int]]) -> set[str]:
    """Uploads whose decoded samples equal those of an upload before them in `order`."""
    first: dict[str, str] = {}
    for upload in sorted(samples_of, key=lambda sha256: order[sha256]):
        if samples_of[upload]:
            first.setdefault(samples_of[upload], upload)
    return {upload for upload, pcm in samples_of.items() if pcm and first[pcm] != upload}


_ADAPTER = TypeAdapter(RefreshPlan)


def write_plan(store: Store, plan: RefreshPlan, name: str) -> Path:
    """Write the plan for the subflows to read, since flow parameters are limited to 512 KiB; return its path.

    It is flushed to the disk: until a publish it alone links the stage outputs of a speaker to the name, for erasure.
    """
    path = store.stages / "plans" / f"{name}.json"
    write_bytes(path, _ADAPTER.dump_json(plan))
    return path


def read_plan(path: str | Path) -> RefreshPlan:
    """Read a plan that `write_plan` wrote."""
    return _ADAPTER.validate_json(Path(path).read_bytes())


def drop_plans(store: Store) -> None:
    """Delete the plans of this refresh and of earlier ones that broke."""
    shutil.rmtree(store.stages / "plans", ignore_errors=True)

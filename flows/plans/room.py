"""Disk space of a refresh: compared with what is free before anything starts."""

import shutil

from voicemill.flows.plans.refresh import RefreshPlan
from voicemill.storage.errors import StoreError
from voicemill.storage.filesystem import free_inodes
from voicemill.storage.store import Store
from voicemill.storage.units import RATE
from voicemill.tasks.execute import artifact_path
from voicemill.tasks.recipe import Recipe
from voicemill.tasks.registry import SOURCE
from voicemill.tasks.stages.decode import MOST_GROWTH


def bytes_needed(store: Store, plan: RefreshPlan, recipe: Recipe) -> int:
    """Bytes of the decoded samples that a refresh has yet to write: the least that it needs, about half of all.

    Uploads over the limits of `decode` count nothing, and none counts more than what is stored of it unseen.
    """
    limits = recipe.config.decode
    total = 0
    for batch in plan.batches:
        key = recipe.keys(batch, set(), {})[SOURCE.name]
        if not artifact_path(store, SOURCE.name, key).exists():
            uploads = (
                u for u in batch.uploads if u.seconds <= limits.max_hours * 3600 and u.size <= limits.max_gb * 1e9
            )
            total += sum(min(round(u.seconds * RATE * 4), MOST_GROWTH * u.size) for u in uploads)
    return total


def check_room(store: Store, plan: RefreshPlan, recipe: Recipe) -> None:
    """Refuse a refresh that plainly does not fit on the disk.

    Raises:
        StoreError: more is needed than is free.
    """
    needed, free = bytes_needed(store, plan, recipe), shutil.disk_usage(store.root).free
    if needed > free:
        raise StoreError(
            f"no room for this refresh: the samples of its new uploads alone take {needed / 1e9:.2f} GB, and "
            f"{store.root} has {free / 1e9:.2f} GB free. Nothing was started; make room, or move the store, and run "
            "the command again"
        )
    files, most = len(plan.batches) * len(recipe.stages), free_inodes(store.root)
    if files > most:
        raise StoreError(
            f"no room for this refresh: its {len(plan.batches)} batches take {files} files or more, and the disk of "
            f"{store.root} has {most} inodes free (df -i). Nothing was started; make room, or move the store, and run "
            "the command again"
        )

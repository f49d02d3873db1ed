"""A disk without room: refused before the start where that is plain, one line where it runs full, and then it goes on.

The disk is a small tmpfs, which takes root to mount.
"""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.small_disk import Disk

from voicemill.flows.plans.refresh import plan_refresh
from voicemill.flows.plans.room import bytes_needed, check_room
from voicemill.storage.corpus import versions
from voicemill.storage.errors import StoreError
from voicemill.storage.keys import file_digest
from voicemill.storage.records import Batch, Upload
from voicemill.storage.store import Store
from voicemill.tasks.config import load
from voicemill.tasks.recipe import Recipe


def sound(path: Path, seconds: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(0).normal(0, 0.05, round(seconds * 8000))
    soundfile.write(path, wave, 8000, format="FLAC")
    return path


def upload(path: Path, seconds: float) -> Upload:
    return Upload(file_digest(path), "ann", f"ann/{path.name}", path.stat().st_size, seconds=seconds)


def test_the_estimate_counts_what_is_to_be_decoded(tmp_path: Path, disk: Disk) -> None:
    folder, resize = disk.folder, disk.resize
    store, recipe = Store.open(folder / "store", create=True), Recipe(load("plain"))
    honest = upload(sound(tmp_path / "a.flac", 60), 60)
    bomb = Upload("b" * 64, "ann", "ann/b.flac", 46_000, seconds=14_000.0)
    long = Upload("c" * 64, "ann", "ann/c.flac", 10_000_000, seconds=20 * 3600.0)
    batches = [Batch("1" * 16, 1, (honest, bomb, long))]
    plan = plan_refresh(str(tmp_path), store, recipe, batches, None, [])
    assert bytes_needed(store, plan, recipe) == 60 * 32_000 * 4 + 256 * 46_000
    with pytest.raises(
        StoreError, match=r"its new uploads alone take 0\.02 GB, and .* 0\.01 GB free. Nothing was started"
    ):
        check_room(store, plan, recipe)
    resize("64m")
    check_room(store, plan, recipe)


@pytest.mark.slow
def test_a_disk_that_is_too_small_and_one_that_runs_full(cli, inbox, tmp_path: Path, disk: Disk) -> None:
    """Both end in one line; the store reads, and with room the same command ends as if nothing had been."""
    folder, resize = disk.folder, disk.resize
    samples = sum(4 * 32_000 * soundfile.info(path).duration for path in inbox.root.rglob("*.wav"))
    words = ("refresh", "--inbox", inbox.root, "--config", "plain", "--store")
    resize(f"{round(samples * 0.7) // 1024}k")
    refused = cli(*words, folder / "store", status=2)
    assert refused.err.startswith("voicemill: no room for this refresh: ")
    assert len(refused.err.splitlines()) == 1
    resize(f"{round(samples * 1.3) // 1024}k")  # the samples fit, and what is made of them does not
    full = cli(*words, folder / "store", status=2)
    assert "No space left on device" in full.err
    assert len(full.err.splitlines()) == 1
    assert versions.latest(Store.open(folder / "store")) is None
    resize("500m")
    cli(*words, folder / "store")
    cli(*words, tmp_path / "calm")
    made, calm = versions.latest(Store.open(folder / "store")), versions.latest(Store.open(tmp_path / "calm"))
    assert made is not None
    assert calm is not None
    assert (made.number, made.counts, made.shards) == (calm.number, calm.counts, calm.shards)

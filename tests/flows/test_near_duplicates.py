"""A recording that comes again in another encoding, at another level, cut or joined is counted once."""

import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from support.configs import plain
from support.refreshed_store import RefreshedStore, check_ledger, stages_run

pytestmark = pytest.mark.slow


def seconds_of(found: RefreshedStore) -> dict[str, dict[str, float]]:
    """Path -> reason ("kept" for what is kept) -> seconds."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in found.version().ledger().to_pylist():
        name = row["outcome"] if row["outcome"] == "kept" else row["reason"]
        sums[row["path"]][name] += (row["stop"] - row["start"]) / 32_000
    return sums


def test_copies_that_arrive_later_are_counted_once(cli: Any, refreshed: RefreshedStore, tmp_path: Path) -> None:
    found = refreshed.copy_to(tmp_path)
    ann = found.inbox / "ann"
    wave, rate = soundfile.read(ann / "0.wav", dtype="float32")
    other, other_rate = soundfile.read(found.inbox / "bob" / "0.wav", dtype="float32")
    other = soxr.resample(other, other_rate, rate)
    before = found.paths()
    soundfile.write(ann / "copy.mp3", 0.3 * wave, rate)
    soundfile.write(ann / "rate.wav", soxr.resample(wave, rate, 16_000), 16_000)
    soundfile.write(ann / "cut.flac", wave[rate // 2 :], rate)
    new = np.random.default_rng(1).normal(0, 1e-3, 2 * rate).astype(np.float32)
    soundfile.write(ann / "joined.flac", np.concatenate([wave, new, other]), rate)
    config = tmp_path / "near.toml"
    config.write_text(plain("[batches]\nminutes = 0.2\n"))
    words = (found.inbox, found.store, "--assume-consent", "test", "--config", config)
    done = cli.refresh(*words)
    check_ledger(found.version())
    assert done["published"]
    rows = {row["path"]: row for row in found.version().uploads().to_pylist()}
    for name in ("copy.mp3", "rate.wav", "cut.flac"):
        row = rows[f"ann/{name}"]
        assert (row["state"], row["reason"]) == ("duplicate", "near_duplicate"), (name, row)
        assert "s are in ann/0.wav" in row["detail"]
    assert rows["ann/joined.flac"]["state"] == "duplicate"
    assert "s are in ann/0.wav" in rows["ann/joined.flac"]["detail"]
    assert "s are in an upload of another speaker" in rows["ann/joined.flac"]["detail"]
    assert found.paths() == before
    again = cli.refresh(*words)
    assert (stages_run(again), again["published"]) == ({}, False)
    # without the original, the earliest copy is the recording
    (ann / "0.wav").unlink()
    shutil.rmtree(found.store / "stages" / "scan")
    cli.refresh(*words, "--force-publish")
    check_ledger(found.version())
    kept = {path for path, sums in seconds_of(found).items() if sums["kept"] and path.startswith("ann/")}
    assert len(kept & {"ann/copy.mp3", "ann/rate.wav", "ann/cut.flac", "ann/joined.flac"}) == 1

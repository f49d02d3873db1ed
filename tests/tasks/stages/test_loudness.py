"""Outputs measured again, with pyloudnorm itself: at the target, or held back by the peak as their row says."""

from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.model.audio.loudness_meter import FLOOR, true_peak_db
from voicemill.storage.corpus.artifacts import Artifact, ArtifactMeta, ArtifactWriter, Wave
from voicemill.storage.outcomes import Outcome, Reason
from voicemill.storage.records import Batch, Denoised, Levelled, Upload
from voicemill.storage.units import RATE
from voicemill.tasks.contract.prepared import Prepared
from voicemill.tasks.contract.stage import Inputs
from voicemill.tasks.stages.loudness import Settings, level, run


def write(folder: Path, stage: str, rows: list[object], record: type, waves: dict[tuple[str, int], Wave]) -> Artifact:
    with ArtifactWriter(folder / f"{stage}.arrow") as writer:
        for (upload, index), wave in waves.items():
            writer.audio(upload, index, wave)
        return writer.finish(rows, record, ArtifactMeta(stage, "k"))


def go(folder: Path, waves: dict[tuple[str, int], Wave], settings: Settings) -> tuple[list[Levelled], dict[int, Wave]]:
    """Rows, and the prepared waves of upload "a" by index."""
    batch = Batch("b", 1, tuple(Upload(name, "s", "p", 1) for name in dict.fromkeys(upload for upload, _ in waves)))
    denoise = write(folder, "denoise", [Denoised(u, i, 40.0, False) for u, i in waves], Denoised, waves)
    inputs = Inputs(batch, {"denoise": denoise})
    rows = list(run(inputs, settings))
    loudness = write(folder, "loudness", rows, Levelled, {})
    prepared = Prepared(Inputs(batch, {"denoise": denoise, "loudness": loudness}))
    return rows, {row.index: prepared.read(row.upload, row.index) for row in rows if row.upload == "a"}


def murmur(seconds: float, level: float, seed: int, crest: float = 1.0) -> Wave:
    """Low-passed noise under a syllable envelope; `crest` times its level at one click."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    smooth = np.convolve(rng.normal(size=n), np.hanning(12), "same")
    wave = level * smooth / smooth.std() * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * np.arange(n) / RATE))
    wave[n // 2 : n // 2 + 3] += crest * level * (crest > 1.0)
    return wave.astype(np.float32)


def measured(*waves: Wave) -> float:
    return float(pyloudnorm.Meter(RATE).integrated_loudness(np.concatenate(waves).astype(np.float64)))


@pytest.mark.parametrize("target", [-30.0, -23.0, -18.0])
def test_an_upload_reaches_the_target_and_keeps_its_dynamics(tmp_path: Path, target: float) -> None:
    waves = {("a", 0): murmur(3.0, 0.02, 0), ("a", 1): murmur(2.3, 0.035, 1), ("b", 0): murmur(2.0, 0.001, 2)}
    rows, out = go(tmp_path, waves, Settings(target_lufs=target))
    assert [(row.upload, row.index, row.outcome, row.bound, row.measured) for row in rows] == [
        (upload, index, Outcome.KEPT, "", "upload") for upload, index in waves
    ]
    assert measured(out[0], out[1]) == pytest.approx(target, abs=0.1)
    assert rows[0].gain_db == rows[1].gain_db
    for row in rows:
        assert row.after == pytest.approx(target, abs=1e-9)


def test_each_segment_reaches_the_target_alone(tmp_path: Path) -> None:
    waves = {("a", 0): murmur(3.0, 0.02, 0), ("a", 1): murmur(2.3, 0.08, 1), ("a", 2): murmur(0.35, 0.02, 2)}
    rows, out = go(tmp_path, waves, Settings(measure="segment"))
    assert measured(out[0]) == pytest.approx(-23.0, abs=0.1)
    assert measured(out[1]) == pytest.approx(-23.0, abs=0.1)
    assert [row.measured for row in rows] == ["segment", "segment", "upload"]  # under 400 ms: its upload's measure


def test_the_peak_bound_holds_back_its_segment_alone_and_the_row_says_so(tmp_path: Path) -> None:
    waves = {("a", 0): murmur(3.0, 0.005, 0, crest=80.0), ("a", 1): murmur(3.0, 0.005, 1)}
    rows, out = go(tmp_path, waves, Settings())
    assert [row.bound for row in rows] == ["peak", ""]
    assert rows[0].peak_db == pytest.approx(-1.0, abs=1e-6)
    assert rows[0].after == pytest.approx(rows[0].before + rows[0].gain_db)
    assert rows[0].after < -23.0
    for row in rows:
        assert true_peak_db(out[row.index]) == pytest.approx(row.peak_db, abs=1e-3)
        assert true_peak_db(out[row.index]) <= -1.0 + 1e-3


def test_silence_is_an_outcome(tmp_path: Path) -> None:
    hush = murmur(2.0, 1e-5, 0)
    waves = {("a", 0): np.zeros(2 * RATE, np.float32), ("a", 1): murmur(2.0, 0.05, 1), ("a", 2): hush, ("b", 0): hush}
    rows, _ = go(tmp_path, waves, Settings())
    assert [row.outcome for row in rows] == [Outcome.FILTERED, Outcome.KEPT, Outcome.FILTERED, Outcome.FILTERED]
    for row in (rows[0], rows[2], rows[3]):
        assert (row.before, row.gain_db, row.reason) == (FLOOR, 0.0, Reason.TOO_QUIET)
    assert rows[1].after == pytest.approx(-23.0)


@given(
    before=st.floats(-70, 10), peak=st.floats(-60, 20), target=st.floats(-60, -5), bound=st.floats(-40, 0)
)  # fmt: skip
def test_at_the_target_or_at_the_bound_never_over_either(
    before: float, peak: float, target: float, bound: float
) -> None:
    row = level("a", 0, before, peak, "upload", Settings(target_lufs=target, max_peak_db=bound))
    assert row.after <= target + 1e-9
    assert row.peak_db <= bound + 1e-9
    assert row.after == pytest.approx(target) or (row.bound == "peak" and row.peak_db == pytest.approx(bound))

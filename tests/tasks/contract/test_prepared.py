"""The prepared waveform is gain * stored samples, to the sample; `kept_segments` follows the batch."""

from pathlib import Path

import numpy as np
import pytest

from voicemill.storage.corpus.artifacts import Artifact, ArtifactMeta, ArtifactWriter, Wave
from voicemill.storage.outcomes import Outcome
from voicemill.storage.records import Batch, Denoised, Levelled, Screened, Upload
from voicemill.tasks.contract.prepared import Prepared, kept_segments
from voicemill.tasks.contract.stage import Inputs


def _upload(name: str) -> Upload:
    return Upload(sha256=name, speaker="s", path=f"s/{name}.wav", size=1)


def _levelled(upload: str, index: int, gain_db: float) -> Levelled:
    return Levelled(
        upload=upload,
        index=index,
        before=-30.0,
        after=-30.0 + gain_db,
        gain_db=gain_db,
        peak_db=-6.0,
        bound="",
        measured="upload",
    )


def _screened(upload: str, index: int, outcome: Outcome = Outcome.KEPT) -> Screened:
    return Screened(
        upload=upload, index=index, entropy=3.0, snr_db=40.0, clipped=0.0, bandwidth_hz=16_000.0, outcome=outcome
    )


def _write(folder: Path, stage: str, rows: list[object], record: type, waves: dict[tuple[str, int], Wave]) -> Artifact:
    with ArtifactWriter(folder / f"{stage}.arrow") as writer:
        for (upload, index), wave in waves.items():
            writer.audio(upload, index, wave)
        return writer.finish(rows, record, ArtifactMeta(stage, "k"))


def test_prepared_is_the_gain_times_the_stored_samples(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    waves = {("a", 0): rng.normal(size=70_000).astype(np.float32), ("a", 1): np.ones(32_000, np.float32)}
    denoise = _write(tmp_path, "denoise", [Denoised("a", 0, 20.0, True)], Denoised, waves)
    loudness = _write(tmp_path, "loudness", [_levelled("a", 0, -20.0), _levelled("a", 1, 6.0)], Levelled, {})
    inputs = Inputs(Batch("b", 1, (_upload("a"),)), {"denoise": denoise, "loudness": loudness})
    prepared = Prepared(inputs)
    np.testing.assert_array_equal(prepared.read("a", 0), np.float32(0.1) * waves["a", 0])
    second = prepared.read("a", 1)
    assert second.dtype == np.float32
    assert second.flags.writeable
    np.testing.assert_allclose(20 * np.log10(second), 6.0, atol=1e-5)
    with pytest.raises(KeyError):
        prepared.read("a", 2)
    inputs.close()


def test_kept_follows_the_batch_and_leaves_out_what_was_filtered(tmp_path: Path) -> None:
    rows = [_screened("b", 1), _screened("b", 0), _screened("a", 0, Outcome.FILTERED), _screened("a", 1)]
    screen = _write(tmp_path, "screen", [*rows, _screened("gone", 0)], Screened, {})
    inputs = Inputs(Batch("x", 1, (_upload("a"), _upload("b"))), {"screen": screen})
    assert [(row.upload, row.index) for row in kept_segments(inputs)] == [("a", 1), ("b", 0), ("b", 1)]


def test_a_batch_without_a_segment_has_no_audio_and_needs_none(tmp_path: Path) -> None:
    artifacts = {
        "denoise": _write(tmp_path, "denoise", [], Denoised, {}),
        "loudness": _write(tmp_path, "loudness", [], Levelled, {}),
        "screen": _write(tmp_path, "screen", [], Screened, {}),
    }
    inputs = Inputs(Batch("x", 1, (_upload("a"),)), artifacts)
    Prepared(inputs)
    assert kept_segments(inputs) == []

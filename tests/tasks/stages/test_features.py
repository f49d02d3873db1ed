"""The feature stages on outputs of the stages before them: rows, order, failures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from voicemill.model.audio.mel import LogMel
from voicemill.storage.corpus.artifacts import ArtifactMeta, ArtifactWriter
from voicemill.storage.corpus.tensors import decode
from voicemill.storage.outcomes import Failure, Outcome
from voicemill.storage.records import Batch, Denoised, Feature, Levelled, Screened, Upload
from voicemill.storage.units import RATE
from voicemill.tasks.contract.stage import Inputs, Stage
from voicemill.tasks.stages import content, f0, mel

Wave = NDArray[np.float32]
STAGES = {
    "mel": (mel.STAGE, mel.Settings()),
    "f0": (f0.STAGE, f0.Settings()),
    "f0-autocorrelation": (f0.STAGE, f0.Settings(engine="autocorrelation")),
    "content": (content.STAGE, content.Settings(engine="whisper")),
    "cepstra": (content.STAGE, content.Settings(engine="mfcc-cmvn")),
    "cepstra-plain": (content.STAGE, content.Settings(engine="mfcc")),
}
GAIN_DB = -6.0


def voice(seconds: float, hertz: float) -> Wave:
    t = np.arange(int(seconds * RATE)) / RATE
    return sum(0.2 / k * np.sin(2 * np.pi * k * hertz * t) for k in range(1, 12)).astype(np.float32)


@pytest.fixture
def inputs(tmp_path: Path) -> Callable[[dict[tuple[str, int], Wave | None]], Inputs]:
    """Inputs of two uploads; a segment whose wave is None was filtered by `screen`."""

    def make(waves: dict[tuple[str, int], Wave | None]) -> Inputs:
        segments: dict[str, list[Any]] = {"denoise": [], "loudness": [], "screen": []}
        with ArtifactWriter(tmp_path / "denoise.arrow") as writer:
            for (upload, index), wave in waves.items():
                samples = voice(1.0, 100) if wave is None else wave
                outcome = Outcome.FILTERED if wave is None else Outcome.KEPT
                writer.audio(upload, index, samples)
                segments["denoise"].append(Denoised(upload, index, 40.0, False))
                segments["loudness"].append(
                    Levelled(
                        upload=upload,
                        index=index,
                        before=-20.0,
                        after=-26.0,
                        gain_db=GAIN_DB,
                        peak_db=-3.0,
                        bound="",
                        measured="segment",
                    )
                )
                segments["screen"].append(
                    Screened(
                        upload=upload,
                        index=index,
                        entropy=3.0,
                        snr_db=40.0,
                        clipped=0.0,
                        bandwidth_hz=16e3,
                        outcome=outcome,
                    )
                )
            artifacts = {"denoise": writer.finish(segments["denoise"], Denoised, ArtifactMeta("denoise", "k"))}
        for name, record in (("loudness", Levelled), ("screen", Screened)):
            with ArtifactWriter(tmp_path / f"{name}.arrow") as writer:
                artifacts[name] = writer.finish(segments[name], record, ArtifactMeta(name, "k"))
        uploads = dict.fromkeys(upload for upload, _ in waves)
        batch = Batch("b", 1, tuple(Upload(name, "s", f"{name}.wav", 1) for name in uploads))
        return Inputs(batch, artifacts)

    return make


def result(stage: Stage[Any], settings: Any, given: Inputs) -> list[Any]:
    try:
        return list(stage.run(given, settings))
    finally:
        given.close()


@pytest.mark.parametrize("name", STAGES)
def test_one_row_for_each_kept_segment_in_their_order(name: str, inputs: Any) -> None:
    waves = {("a", 0): voice(1.5, 120), ("a", 1): None, ("a", 2): voice(1.1, 180), ("b", 0): voice(2.0, 240)}
    rows = result(*STAGES[name], inputs(waves))
    assert [(row.upload, row.index) for row in rows] == [("a", 0), ("a", 2), ("b", 0)]
    for row in rows:
        samples = len(waves[row.upload, row.index])
        frames, dims = {
            "mel": (samples // 640, 128),
            "f0": (samples // 320, 1),
            "content": ((samples // 2 - 400) // 320 + 1, 384),
            "cepstra": ((samples // 2 - 400) // 320 + 1, 39),
        }[name.split("-")[0]]
        assert (row.frames, row.dims) == (frames, dims)
        assert np.isfinite(decode(row.data, row.frames, row.dims)).all()


@pytest.mark.parametrize("name", STAGES)
def test_what_breaks_on_one_segment_fails_that_segment_alone(name: str, inputs: Any) -> None:
    bad = voice(1.2, 100)
    bad[5000:5100] = np.nan
    rows = result(*STAGES[name], inputs({("a", 0): voice(1.5, 120), ("b", 0): bad, ("b", 1): voice(1.1, 180)}))
    assert [(type(row), row.upload, row.index) for row in rows] == [
        (Feature, "a", 0),
        (Failure, "b", 0),
        (Feature, "b", 1),
    ]


@pytest.mark.parametrize("name", STAGES)
def test_the_same_bytes_alone_and_together(name: str, inputs: Any) -> None:
    wave = voice(1.3, 150)
    (alone,) = result(*STAGES[name], inputs({("b", 0): wave}))
    *_, together = result(*STAGES[name], inputs({("a", 0): voice(3.0, 90), ("a", 1): voice(1.0, 300), ("b", 0): wave}))
    assert together == alone


@pytest.mark.parametrize("name", STAGES)
def test_a_batch_without_a_kept_segment_gives_nothing(name: str, inputs: Any) -> None:
    assert result(*STAGES[name], inputs({("a", 0): None})) == []


def test_mel_is_that_of_the_levelled_wave(inputs: Any) -> None:
    wave = voice(1.5, 120)
    (row,) = result(mel.STAGE, mel.Settings(), inputs({("a", 0): wave}))
    expected = LogMel().frames(wave * np.float32(10 ** (GAIN_DB / 20)))
    np.testing.assert_array_equal(
        decode(row.data, row.frames, row.dims), expected.astype(np.float16).astype(np.float32)
    )


def test_f0_is_that_of_the_voice(inputs: Any) -> None:
    (row,) = result(f0.STAGE, f0.Settings(), inputs({("a", 0): voice(1.5, 120)}))
    hertz = decode(row.data, row.frames, row.dims)[5:-5, 0]
    assert np.median(hertz) == pytest.approx(120, rel=0.01)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"fmin": 10}, "f0.fmin"),
        ({"fmax": 9000}, "f0.fmax"),
        ({"fmin": 200, "fmax": 250}, "f0.fmin"),
        ({"engine": "pyin", "threshold": 0.5}, "f0.threshold"),
        ({"threshold": 2}, "f0.threshold"),
        ({"engine": "crepe"}, "engine"),
    ],
)
def test_f0_settings_that_contradict_are_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        f0.Settings(**wrong)


def test_f0_counts_the_digest_of_its_network() -> None:
    assert f0.STAGE.models is not None
    assert len(f0.STAGE.models(f0.Settings())["f0.engine"]) == 64
    assert f0.STAGE.models(f0.Settings(engine="autocorrelation")) == {}

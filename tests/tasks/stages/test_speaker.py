"""speaker: a vector for each kept segment; two voices in one segment are found; without the encoder there is no row."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from support.signals import speechlike

from voicemill.storage.corpus.artifacts import ArtifactMeta, ArtifactWriter, Wave
from voicemill.storage.corpus.tensors import decode
from voicemill.storage.outcomes import Failure, Outcome, Reason
from voicemill.storage.records import Batch, Screened, Segment, Upload, Voice
from voicemill.storage.units import RATE
from voicemill.tasks.contract.stage import Inputs
from voicemill.tasks.stages import speaker
from voicemill.tasks.stages.speaker import STAGE, Settings, margin_of, models, run

SPEECH = Path(__file__).resolve().parents[3] / "../shared/speech/recordings"


def inputs_of(folder: Path, waves: dict[str, Wave], dropped: str = "") -> Inputs:
    """One segment for each upload, the whole of it; `dropped` was filtered by `screen`."""
    segments, scores = [], []
    with ArtifactWriter(folder / "decode.arrow") as writer:
        for name, wave in waves.items():
            writer.audio(name, -1, wave)
            segments.append(Segment(upload=name, index=0, start=0, stop=len(wave), outcome=Outcome.KEPT))
            scores.append(
                Screened(
                    upload=name,
                    index=0,
                    entropy=3.5,
                    snr_db=40.0,
                    clipped=0.0,
                    bandwidth_hz=12_000.0,
                    outcome=Outcome.FILTERED if name == dropped else Outcome.KEPT,
                )
            )
        decoded = writer.finish([], Segment, ArtifactMeta("decode", "k"))
    artifacts = {"decode": decoded}
    for stage, rows, record in (("slice", segments, Segment), ("screen", scores, Screened)):
        with ArtifactWriter(folder / f"{stage}.arrow") as writer:
            artifacts[stage] = writer.finish(rows, record, ArtifactMeta(stage, "k"))
    return Inputs(Batch("b", 1, tuple(Upload(u, "ann", u, 1, language="en") for u in waves)), artifacts)


def test_a_vector_for_each_kept_segment(tmp_path: Path) -> None:
    waves = {name: speechlike(2.0, seed) for seed, name in enumerate("uvw")}
    with inputs_of(tmp_path, waves, dropped="v") as inputs:
        rows = list(run(inputs, Settings(engine="ge2e")))
    assert all(isinstance(row, Voice) for row in rows)
    voices = [row for row in rows if isinstance(row, Voice)]
    assert [row.upload for row in voices] == ["u", "w"]
    assert [(row.frames, row.dims, row.seconds) for row in voices] == [(1, 256, 2.0)] * 2
    assert [row.margin for row in voices] == [pytest.approx(margin_of(Settings(), "en", 2.0))] * 2
    vectors = np.concatenate([decode(row.data, row.frames, row.dims) for row in voices]).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3)


def test_a_segment_that_is_not_finite_fails_alone(tmp_path: Path) -> None:
    waves = {name: speechlike(2.0, seed) for seed, name in enumerate("uv")}
    waves["u"][:] = np.nan
    with inputs_of(tmp_path, waves) as inputs:
        bad, good = run(inputs, Settings(engine="ge2e"))
    assert isinstance(bad, Failure)
    assert isinstance(good, Voice)
    assert (bad.upload, bad.index, good.upload) == ("u", 0, "v")


@pytest.mark.parametrize("engine", ["none", "auto"])
def test_without_the_encoder_there_is_no_row_and_no_table(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaker, "SPEAKER", replace(speaker.SPEAKER, package="no_such_package"))
    settings = Settings.model_validate({"engine": engine})
    with inputs_of(tmp_path, {"u": speechlike(2.0, 0)}) as inputs:
        assert list(run(inputs, settings)) == []
    assert models(settings) == {}
    assert STAGE.feature_table is not None
    assert STAGE.feature_table(settings) == ""


def test_the_margin_depends_on_language_and_length() -> None:
    settings = Settings(margin=0.1, margins={"zh": 0.2})
    assert margin_of(settings, "en", 10.0) == pytest.approx(0.115)
    assert margin_of(settings, "zh", 10.0) == pytest.approx(0.215)
    assert margin_of(settings, "en", 1.0) > margin_of(settings, "en", 2.0)


@pytest.mark.realdata
@pytest.mark.skipif(not SPEECH.exists(), reason="no recordings here")
def test_two_voices_in_one_segment_are_found_and_one_is_left_alone(tmp_path: Path) -> None:
    def read(name: str, number: int) -> Wave:
        wave, rate = soundfile.read(sorted((SPEECH / name).glob("*.flac"))[number], dtype="float32")
        return np.asarray(soxr.resample(wave, rate, RATE)[: 4 * RATE], np.float32)

    one, two = read("libri_1688", 0), read("libri_1998", 0)
    waves = {"one": one, "two": two, "joined": np.concatenate([one, two])}
    with inputs_of(tmp_path, waves) as inputs:
        rows = [row for row in run(inputs, Settings()) if isinstance(row, Voice)]
    assert [row.reason for row in rows] == ["", "", Reason.TWO_SPEAKERS.value]
    assert rows[2].score == rows[2].change > Settings().max_change == rows[2].threshold

"""quality: one row for each kept segment, of its original samples; without the models a row that says so."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.signals import speechlike

from voicemill.storage.corpus.artifacts import ArtifactMeta, ArtifactWriter, Wave
from voicemill.storage.outcomes import Failure, Outcome
from voicemill.storage.records import Batch, Decoded, Quality, Segment, Upload
from voicemill.storage.units import RATE
from voicemill.tasks.contract.stage import Inputs
from voicemill.tasks.stages import quality
from voicemill.tasks.stages.quality import Settings, engine_of, models, run

SPANS = [("u", 0, 0, 2 * RATE), ("u", 1, 3 * RATE, 5 * RATE), ("v", 0, RATE, 3 * RATE)]


def inputs_of(folder: Path, waves: dict[str, Wave]) -> Inputs:
    segments = [
        Segment(upload=upload, index=index, start=start, stop=stop, outcome=Outcome.KEPT)
        for upload, index, start, stop in SPANS
    ]
    gap = {"index": -1, "start": 2 * RATE, "stop": 3 * RATE, "outcome": Outcome.SILENCE, "reason": "no_speech"}
    silence = replace(segments[0], **gap)
    with ArtifactWriter(folder / "decode.arrow") as writer:
        rows = []
        for upload, wave in waves.items():
            writer.audio(upload, -1, wave)
            rows.append(Decoded(upload=upload, samples=len(wave), pcm=upload, codec="", rate=RATE, channels=1))
        decoded = writer.finish(rows, Decoded, ArtifactMeta("decode", "k"))
    with ArtifactWriter(folder / "slice.arrow") as writer:
        cut = writer.finish([segments[0], silence, *segments[1:]], Segment, ArtifactMeta("slice", "k"))
    batch = Batch("b", 1, tuple(Upload(name, "s", f"{name}.wav", 1) for name in waves))
    return Inputs(batch, {"decode": decoded, "slice": cut})


@pytest.fixture
def inputs(tmp_path: Path) -> Iterator[Inputs]:
    with inputs_of(tmp_path, {name: speechlike(5.0, seed) for seed, name in enumerate("uv")}) as inputs:
        yield inputs


@pytest.mark.slow
def test_a_row_for_each_kept_segment(inputs: Inputs) -> None:
    rows = list(run(inputs, Settings(engine="dnsmos", windows=1)))
    assert [(row.upload, row.index) for row in rows] == [span[:2] for span in SPANS]
    assert all(isinstance(row, Quality) and row.engine == "dnsmos" for row in rows)
    assert len({row.ovrl for row in rows}) == 3
    assert all(1.0 <= value <= 5.0 for row in rows for value in (row.sig, row.bak, row.ovrl, row.p808))


@pytest.mark.parametrize("engine", ["none", "auto"])
def test_without_the_models_the_measures_are_null_and_the_row_says_so(
    inputs: Inputs, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "DNSMOS", replace(quality.DNSMOS, package="no_such_package"))
    settings = Settings(engine=engine)
    assert models(settings) == {}
    assert list(run(inputs, settings)) == [Quality(upload=u, index=i, engine="none") for u, i, _, _ in SPANS]


def test_auto_is_dnsmos_where_it_is_installed() -> None:
    assert engine_of(Settings(engine="auto")) == "dnsmos"
    assert (
        models(Settings(engine="auto"))
        == models(Settings(engine="dnsmos"))
        == {"quality.engine": quality.DNSMOS.digest}
    )


@pytest.mark.slow
def test_what_breaks_on_one_segment_fails_that_segment_alone(tmp_path: Path) -> None:
    broken = speechlike(5.0)
    broken[RATE] = np.nan
    with inputs_of(tmp_path, {"u": broken, "v": speechlike(5.0, 1)}) as inputs:
        rows = list(run(inputs, Settings(engine="dnsmos", windows=1)))
    assert [(type(row), row.upload, row.index) for row in rows] == [
        (Failure, "u", 0), (Quality, "u", 1), (Quality, "v", 0)
    ]  # fmt: skip
    assert "finite" in rows[0].error

"""quality: one row for each kept segment, of its original samples; without the models a row that says so."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.signals import speechlike

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.quality.dnsmos import Dnsmos
from voicemill.model.quality.network import QualityNetwork, network_digest
from voicemill.storage.corpus.artifacts import ArtifactMeta, ArtifactWriter, Wave
from voicemill.storage.errors import ModelMissing
from voicemill.storage.outcomes import Failure, Outcome
from voicemill.storage.records import Batch, Decoded, Quality, Segment, Upload
from voicemill.storage.units import RATE
from voicemill.tasks.contract.stage import Inputs
from voicemill.tasks.stages import quality
from voicemill.tasks.stages.quality import WINDOWS_IN_DOUBT, Settings, models, run

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


def test_a_row_for_each_kept_segment_of_its_original_samples(inputs: Inputs) -> None:
    rows = list(run(inputs, Settings(engine="network")))
    assert [(row.upload, row.index) for row in rows] == [span[:2] for span in SPANS]
    network = QualityNetwork()
    for row, (upload, _, start, stop) in zip(rows, SPANS, strict=True):
        measures = network.measure(speechlike(5.0, "uv".index(upload))[start:stop])
        assert row == Quality(upload=upload, index=row.index, engine="network", **vars(measures))


@pytest.mark.slow
def test_dnsmos_gives_the_opinions_where_it_is_chosen(inputs: Inputs) -> None:
    rows, other = (
        list(run(inputs, settings)) for settings in (Settings(engine="dnsmos", windows=1), Settings(engine="network"))
    )
    wave = to_16_khz(speechlike(5.0)[: 2 * RATE])
    opinions = Dnsmos().opinions(wave, 1)
    assert rows[0] == replace(other[0], engine="dnsmos", **vars(opinions))
    assert len({row.ovrl for row in rows}) == 3


@pytest.mark.slow
def test_by_default_dnsmos_gives_the_opinions_that_are_in_doubt(inputs: Inputs) -> None:
    network = list(run(inputs, Settings(engine="network")))
    full = list(run(inputs, Settings(engine="dnsmos", windows=WINDOWS_IN_DOUBT)))
    levels = sorted(float(row.ovrl or 0) for row in network)
    rows = list(run(inputs, Settings(doubt=levels[1])))
    assert [row.engine for row in rows].count("dnsmos") == 1
    loads = inputs.models.loads
    assert [row.engine for row in run(inputs, Settings(doubt=5.0))] == ["dnsmos"] * 3
    assert inputs.models.loads <= loads + 2, "the network and DNSMOS, once each"
    for row, quick, slow in zip(rows, network, full, strict=True):
        assert row == (slow if quick.ovrl == levels[0] else quick)


def test_no_engine_leaves_null_measures_and_says_so(inputs: Inputs) -> None:
    settings = Settings(engine="none")
    assert models(settings) == {}
    assert list(run(inputs, settings)) == [Quality(upload=u, index=i, engine="none") for u, i, _, _ in SPANS]


def test_only_dnsmos_itself_needs_its_wheel(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    for settings in (Settings(), Settings(engine="dnsmos")):
        assert set(models(settings)) == {"quality.network", "quality.engine"}
    monkeypatch.setattr(quality, "DNSMOS", replace(quality.DNSMOS, package="no_such_package"))
    assert models(Settings()) == models(Settings(engine="network")) == {"quality.network": network_digest()}
    assert {row.engine for row in run(inputs, Settings())} == {"network"}
    with pytest.raises(ModelMissing, match=r"speechmos==0\.0\.1\.1 is not installed"):
        models(Settings(engine="dnsmos"))


def test_what_breaks_on_one_segment_fails_that_segment_alone(tmp_path: Path) -> None:
    broken = speechlike(5.0)
    broken[RATE] = np.nan
    with inputs_of(tmp_path, {"u": broken, "v": speechlike(5.0, 1)}) as inputs:
        rows = list(run(inputs, Settings()))
    assert [(type(row), row.upload, row.index) for row in rows] == [
        (Failure, "u", 0), (Quality, "u", 1), (Quality, "v", 0)
    ]  # fmt: skip
    assert "finite" in rows[0].error

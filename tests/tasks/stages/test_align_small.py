"""align with a small aligner: word times in a language without another engine, and what its content key depends on."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soxr

from voicemill.flows.demo.voice import RATE as VOICE_RATE
from voicemill.flows.demo.voice import Line, speak
from voicemill.model.aligner import recipe
from voicemill.model.aligner.measuring import Spoken
from voicemill.model.speech.pronunciation import pronounce
from voicemill.storage.corpus.artifacts import ArtifactMeta, ArtifactWriter, Wave
from voicemill.storage.errors import ConfigError
from voicemill.storage.outcomes import Failure, Outcome
from voicemill.storage.records import Aligned, Batch, Decoded, Segment, Transcript, Upload
from voicemill.storage.units import RATE
from voicemill.tasks.contract.stage import Inputs
from voicemill.tasks.stages.align import STAGE, Settings, resources, run

pytestmark = pytest.mark.slow
PLACES = ("am Bahnhof", "hinter dem Haus", "in der Küche", "auf dem Markt", "neben der Schule")
PEOPLE = ("Der alte Mann", "Meine Schwester", "Unser Lehrer", "Ein Kind")
SENTENCES = tuple(f"{person} findet den Schlüssel {place}." for person in PEOPLE for place in PLACES)


def waves(texts: tuple[str, ...], voice: str) -> list[Wave]:
    spoken = speak([Line(text, voice) for text in texts])
    return [soxr.resample(wave, VOICE_RATE, RATE).astype(np.float32) for wave in spoken]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a German aligner of three synthetic voices."""
    clips = []
    for voice in ("de+m1", "de+f4", "de+m7"):
        for text, wave in zip(SENTENCES, waves(SENTENCES, voice), strict=True):
            words = tuple(text.split())
            clips.append(Spoken(voice, wave, words, pronounce(words, "de")))
    aligner, parts = recipe.make(clips, "de")
    path = tmp_path_factory.mktemp("aligner")
    recipe.write(path, aligner, {"parts": len(parts.train)}, speakers=["a"], version=1, recipe="r")
    return path


def inputs(folder: Path, pieces: dict[str, tuple[str, list[Wave]]], language: str = "de") -> Inputs:
    """Uploads by name: their text, and the speech of their segments, between which there is a pause."""
    decoded, segments, texts, artifacts = [], [], [], {}
    pause = np.zeros(RATE // 2, np.float32)
    with ArtifactWriter(folder / "decode.arrow") as writer:
        for name, (text, parts) in pieces.items():
            at = 0
            for index, part in enumerate(parts):
                stop = at + len(part)
                segments.append(Segment(upload=name, index=index, start=at, stop=stop, outcome=Outcome.KEPT))
                at = stop + len(pause)
            whole = np.concatenate([piece for part in parts for piece in (part, pause)])
            writer.audio(name, -1, whole)
            decoded.append(Decoded(upload=name, samples=len(whole), pcm="", codec="wav", rate=RATE, channels=1))
            texts.append(Transcript(upload=name, index=-1, text=text, language=language, engine="given"))
        artifacts["decode"] = writer.finish(decoded, Decoded, ArtifactMeta("decode", "k"))
    for stage, rows, record in (("slice", segments, Segment), ("transcribe", texts, Transcript)):
        with ArtifactWriter(folder / f"{stage}.arrow") as writer:
            artifacts[stage] = writer.finish(rows, record, ArtifactMeta(stage, "k"))  # type: ignore[type-var]
    uploads = tuple(Upload(sha256=name, speaker="s", path=f"{name}.wav", size=1) for name in pieces)
    return Inputs(Batch("b", 1, uploads), artifacts)


def test_texts_find_their_segments_and_wrong_ones_fail(folder: Path, tmp_path: Path) -> None:
    first, second = (
        "Meine Schwester findet den Lehrer hinter dem Haus.",
        "Der alte Lehrer findet die Küche neben dem Markt.",
    )
    spoken = waves((first, second), "de+m3")
    pieces = {
        "right": (f"{first} {second}", spoken),
        "wrong": ("Der Schlüssel in der Küche neben dem Kind.", spoken[:1]),
        "long": (f"{first} {second} " * 4, spoken[:1]),
    }
    rows = list(run(inputs(tmp_path, pieces), Settings(models={"de": str(folder)})))
    assert not [row for row in rows if isinstance(row, Failure)]
    found = {(row.upload, row.index): row for row in rows if isinstance(row, Aligned)}
    assert {key: row.status for key, row in found.items()} == {
        ("right", 0): "aligned", ("right", 1): "aligned", ("wrong", 0): "failed", ("long", 0): "failed",
    }  # fmt: skip
    assert [found["right", index].text for index in (0, 1)] == [first, second]
    offset = len(spoken[0]) + RATE // 2
    for index, start, length in ((0, 0, len(spoken[0])), (1, offset, len(spoken[1]))):
        words = found["right", index].words
        assert [word.text for word in words] == [first, second][index].split()
        assert all(0 < word.score <= 1 for word in words)
        assert abs(words[0].start - start) <= RATE // 20
        assert abs(words[-1].stop - (start + length)) <= RATE // 10
        assert all(before.stop <= after.start for before, after in pairwise(words))
    assert "not the text of this audio" in found["wrong", 0].detail
    assert "do not fit" in found["long", 0].detail


def test_the_key_follows_the_aligner_and_not_its_figures(folder: Path, tmp_path: Path) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "metrics.json").write_text("{}")
    assert STAGE.models is not None
    one, two = (STAGE.models(Settings(models={"de": str(path)})) for path in (folder, other))
    assert one == two
    weights = other / "aligner.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert STAGE.models(Settings(models={"de": str(other)})) != one
    assert resources(Settings(models={"de": str(folder)})).gpu_mb == 0


def test_an_aligner_of_another_language_is_refused(folder: Path, tmp_path: Path) -> None:
    pieces = {"u": ("uno dos", waves(("uno dos",), "es"))}
    with pytest.raises(ConfigError, match=r"aligner of another language, 'de'"):
        list(run(inputs(tmp_path, pieces, "es"), Settings(models={"es": str(folder)})))

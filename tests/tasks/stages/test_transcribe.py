"""transcribe: given text goes to the segments, whisper recognises the others once, and a missing text has a reason."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from support.tiny_speech_models import tiny_whisper

from voicemill.model.embedded import WHISPER
from voicemill.storage.corpus.artifacts import ArtifactMeta, ArtifactWriter, Wave
from voicemill.storage.errors import ModelMissing
from voicemill.storage.outcomes import Failure, Outcome
from voicemill.storage.records import Batch, Decoded, Segment, Transcript, Upload
from voicemill.storage.units import RATE
from voicemill.tasks.contract.stage import Inputs
from voicemill.tasks.stages.transcribe import STAGE, Settings, metadata, models, run


def upload(name: str, text: str = "", language: str = "") -> Upload:
    return Upload(sha256=name, speaker="s", path=f"s/{name}.wav", size=1, language=language, text=text)


def noise(seconds: float, seed: int) -> Wave:
    rng = np.random.default_rng(seed)
    tone = np.sin(np.arange(round(seconds * RATE)) * (0.01 + 0.05 * seed))
    return ((tone + 0.3 * rng.standard_normal(len(tone))) * 0.1).astype(np.float32)


def made(folder: Path, uploads: list[Upload], pieces: Mapping[str, list[float]], absent: str = "") -> Inputs:
    """Uploads that are segments of these lengths (s), with 0.5 s between them."""
    gap = np.zeros(RATE // 2, np.float32)
    decoded, segments = [], []
    with ArtifactWriter(folder / "decode.arrow") as writer:
        for name, lengths in pieces.items():
            at, parts = 0, []
            for index, seconds in enumerate(lengths):
                wave = noise(seconds, index + len(name))
                segments.append(Segment(upload=name, index=index, start=at, stop=at + len(wave), outcome=Outcome.KEPT))
                parts += [wave, gap]
                at += len(wave) + len(gap)
            whole = np.concatenate([*parts, gap])
            segments.append(
                Segment(
                    upload=name, index=-1, start=at, stop=at + len(gap), outcome=Outcome.SILENCE, reason="no_speech"
                )
            )
            if name != absent:
                writer.audio(name, -1, whole)
            decoded.append(Decoded(upload=name, samples=len(whole), pcm="", codec="wav", rate=RATE, channels=1))
        artifacts = {"decode": writer.finish(decoded, Decoded, ArtifactMeta("decode", "k"))}
    with ArtifactWriter(folder / "slice.arrow") as writer:
        artifacts["slice"] = writer.finish(segments, Segment, ArtifactMeta("slice", "k"))
    return Inputs(Batch("b", 1, tuple(uploads)), artifacts)


def test_given_text(tmp_path: Path) -> None:
    uploads = [upload("a", "  one  two ", "en"), upload("b", "all of it", "de"), upload("c"), upload("d", "unheard")]
    inputs = made(tmp_path, uploads, {"a": [1.0], "b": [1.0, 2.0], "c": [1.0], "d": []})
    assert list(run(inputs, Settings(engine="given", language="fr"))) == [
        Transcript(upload="a", index=0, text="one two", language="en", engine="given"),
        Transcript(upload="b", index=-1, text="all of it", language="de", engine="given"),
        Transcript(upload="c", index=0, text="", language="fr", engine="", reason="no_transcript"),
    ]
    assert STAGE.inputs_of(Settings(engine="given")) == ("slice",)
    assert models(Settings(engine="given")) == {}


def test_a_given_text_without_a_language_has_the_one_it_is_written_in(tmp_path: Path) -> None:
    uploads = [upload("a", "This is what they said of it."), upload("b", "Das ist nicht das, was ich will.")]
    rows = list(run(made(tmp_path, uploads, {"a": [1.0], "b": [1.0]}), Settings(engine="given")))
    assert [row.language for row in rows if isinstance(row, Transcript)] == ["en", "de"]


def test_what_changes_the_key() -> None:
    plain = metadata(Batch("b", 1, (upload("a", "one", "en"),)))
    assert plain == metadata(Batch("c", 2, (upload("a", "one", "en"),)))
    assert plain != metadata(Batch("b", 1, (upload("a", "two", "en"),)))
    assert plain != metadata(Batch("b", 1, (upload("a", "one", "de"),)))


def test_settings() -> None:
    with pytest.raises(ValidationError, match="batch_size"):
        Settings(batch_size=0)
    assert STAGE.inputs_of(Settings(engine="whisperx")) == ("decode", "slice")
    assert STAGE.inputs_of(Settings(engine="whisperx", listen_to="prepared")) == (
        "decode",
        "slice",
        "denoise",
        "loudness",
    )


def test_a_missing_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEMILL_MODELS", str(tmp_path))
    with pytest.raises(ModelMissing, match=r"transcribe\.model.*voicemill models fetch"):
        models(Settings(engine="whisperx", model="Systran/faster-whisper-large-v3"))


def test_without_its_model_auto_says_so_for_each_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEMILL_MODELS", str(tmp_path / "models"))
    settings = Settings(engine="auto", model="Systran/faster-whisper-large-v3")
    uploads = [upload("a", "given", "en"), upload("b", language="en")]
    rows = list(run(made(tmp_path, uploads, {"a": [1.0], "b": [1.0, 2.0]}), settings))
    assert models(settings) == {}
    assert rows == [
        Transcript(upload="a", index=0, text="given", language="en", engine="given"),
        Transcript(upload="b", index=0, text="", language="en", engine="", reason="no_recogniser"),
        Transcript(upload="b", index=1, text="", language="en", engine="", reason="no_recogniser"),
    ]


def test_a_wheel_that_is_missing_is_an_outcome_and_one_that_differs_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert models(Settings()) == {"model": WHISPER.digest}
    with monkeypatch.context() as patch:
        patch.setattr("voicemill.model.embedded.importlib.util.find_spec", lambda name: None)
        assert models(Settings()) == {}
    monkeypatch.setattr("voicemill.model.embedded.cached_file_digest", lambda file: "0" * 64)
    with pytest.raises(ModelMissing, match="is not the file that voicemill was measured with"):
        models(Settings())


def test_an_english_recogniser_is_not_loaded_for_other_languages(tmp_path: Path) -> None:
    settings = Settings(engine="auto")
    inputs = made(tmp_path, [upload("a", language="de")], {"a": [1.0]})
    loads = inputs.models.loads
    assert list(run(inputs, settings)) == [
        Transcript(upload="a", index=0, text="", language="de", engine="", reason="no_recogniser")
    ]
    assert inputs.models.loads == loads
    assert models(settings) == {"model": WHISPER.digest}


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper(tmp_path_factory.mktemp("whisper"))


UNGUARDED = {
    "min_score": -100.0,
    "max_no_speech": 1.0,
    "max_compression": 1000.0,
    "max_repeated": 1.0,
    "min_chars_per_s": 0.0,
    "max_chars_per_s": 1e6,
}
"""Limits that pass the texts of a model with random weights."""
PIECES = {"a": [1.0, 2.5], "b": [1.5], "c": [1.0, 1.2, 31.0], "d": []}


@pytest.mark.slow
def test_whisper_hears_every_segment_once(tmp_path: Path, whisper: Path) -> None:
    settings = Settings(engine="auto", model=str(whisper), beam_size=1, compute_type="float32", **UNGUARDED)
    uploads = [upload("a", "given", "en"), upload("b", language="de"), upload("c", language="en"), upload("d")]
    heard = list(run(made(tmp_path / "all", uploads, PIECES), settings))
    assert [(r.upload, r.index, r.engine) for r in heard if isinstance(r, Transcript)] == [
        ("a", -1, "given"),
        ("b", 0, "faster-whisper"),
        ("c", 0, "faster-whisper"),
        ("c", 1, "faster-whisper"),
        ("c", 2, "faster-whisper"),
    ]
    rows = [row for row in heard if isinstance(row, Transcript) and row.engine == "faster-whisper"]
    assert (rows[0].language, rows[0].text, rows[0].reason) == ("de", "", "no_recogniser")  # it only knows English
    assert all(row.text and row.score is not None and row.score < 0 for row in rows[1:])
    assert len({row.text for row in rows[1:]}) > 1

    alone = [row for u in uploads for row in run(made(tmp_path / u.sha256, [u], PIECES), settings)]
    small = list(run(made(tmp_path / "small", uploads, PIECES), settings.model_copy(update={"batch_size": 2})))
    assert [(row.text, row.language) for row in alone if isinstance(row, Transcript)] == [
        (row.text, row.language) for row in heard if isinstance(row, Transcript)
    ]
    assert [row.text for row in small if isinstance(row, Transcript)] == [
        row.text for row in heard if isinstance(row, Transcript)
    ]
    assert set(models(settings)) == {"model"}


@pytest.mark.slow
def test_what_wins_and_what_breaks(tmp_path: Path, whisper: Path) -> None:
    settings = Settings(engine="auto", prefer="whisperx", model=str(whisper), beam_size=1, language="en", **UNGUARDED)
    uploads = [upload("a", "given"), upload("b", "given"), upload("c")]
    rows = list(run(made(tmp_path, uploads, PIECES, absent="b"), settings))
    assert [(type(row), row.upload, row.index) for row in rows] == [
        (Transcript, "a", 0),
        (Transcript, "a", 1),
        (Failure, "b", -1),
        (Transcript, "c", 0),
        (Transcript, "c", 1),
        (Transcript, "c", 2),
    ]
    assert all(row.engine == "faster-whisper" and row.language == "en" for row in rows if isinstance(row, Transcript))

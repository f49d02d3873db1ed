"""Given transcripts: their language is the stated one, else that of the text, else that of the sound."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voicemill.storage.corpus.artifacts import ArtifactMeta, ArtifactWriter
from voicemill.storage.outcomes import Failure, Outcome
from voicemill.storage.records import Batch, Decoded, Segment, Transcript, Upload
from voicemill.storage.units import RATE
from voicemill.tasks.contract.given import given_transcripts, with_language
from voicemill.tasks.contract.stage import Inputs
from voicemill.tasks.stages import transcribe

SPEECH = Path(__file__).parents[3] / "../shared/speech/recordings"


def upload(name: str, text: str, language: str = "") -> Upload:
    return Upload(sha256=name, speaker="s", path=f"s/{name}.wav", size=1, language=language, text=text)


def segments(name: str, *stops: int) -> list[Segment]:
    starts = (0, *stops)
    return [
        Segment(upload=name, index=at, start=starts[at], stop=stop, outcome=Outcome.KEPT)
        for at, stop in enumerate(stops)
    ]


def test_a_stated_language_counts_then_the_text() -> None:
    german = "Das ist nicht das, was ich wollte."
    assert [row.language for row in given_transcripts(upload("a", german), segments("a", 9), "en")] == ["en"]
    assert [row.language for row in given_transcripts(upload("a", german), segments("a", 9), "")] == ["de"]
    assert [row.index for row in given_transcripts(upload("a", german), segments("a", 9, 20), "")] == [-1]
    assert given_transcripts(upload("a", " "), segments("a", 9), "") == []
    assert given_transcripts(upload("a", german), [], "") == []


def test_the_sound_names_the_language_only_where_it_is_known() -> None:
    given = given_transcripts(upload("a", "Zau al Makan"), segments("a", 9), "")
    assert [row.language for row in given] == [""]

    def heard(language: str, reason: str = "") -> Transcript:
        return Transcript(upload="a", index=0, text="x", language=language, engine="w", reason=reason)

    def languages(*rows: Transcript | Failure) -> list[str]:
        return [row.language for row in with_language(given, rows) if isinstance(row, Transcript)]

    assert languages(heard("en")) == ["en"]
    assert languages(heard("en", "doubtful_text")) == ["en"]  # a doubtful text says nothing against its language
    assert languages(heard("", "unknown_language")) == [""]
    assert languages(heard("de", "no_recogniser")) == [""]
    assert languages(Failure("a", "broken")) == [""]
    assert languages(heard("", "no_words"), heard("en")) == ["en"]


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.skipif(not SPEECH.is_dir(), reason="no ../shared/speech")
def test_real_speech_names_the_language_of_a_text_that_does_not(tmp_path: Path) -> None:
    """A name is no English text, but the recording is English: so an aligner checks it; German stays unknown."""
    files = {"english": "libri_1688/1688-142285-0000.flac", "german": "kerstin/de_rhasspy-1594.flac"}
    decoded, cut = [], []
    with ArtifactWriter(tmp_path / "decode.arrow") as writer:
        for name, file in files.items():
            wave, rate = soundfile.read(SPEECH / file, dtype="float32")
            wave = np.asarray(soxr.resample(wave, rate, RATE), np.float32)
            writer.audio(name, -1, wave)
            decoded.append(Decoded(upload=name, samples=len(wave), pcm="", codec="flac", rate=rate, channels=1))
            cut += segments(name, len(wave))
        artifacts = {"decode": writer.finish(decoded, Decoded, ArtifactMeta("decode", "k"))}
    with ArtifactWriter(tmp_path / "slice.arrow") as writer:
        artifacts["slice"] = writer.finish(cut, Segment, ArtifactMeta("slice", "k"))
    batch = Batch("b", 1, tuple(upload(name, "Zau al Makan") for name in files))
    with Inputs(batch, artifacts) as inputs:
        rows = [row for row in transcribe.run(inputs, transcribe.Settings()) if isinstance(row, Transcript)]
        silent = [row.language for row in transcribe.run(inputs, transcribe.Settings(engine="given"))]  # type: ignore[union-attr]
    assert [(row.upload, row.text, row.language, row.engine) for row in rows] == [
        ("english", "Zau al Makan", "en", "given"),
        ("german", "Zau al Makan", "", "given"),
    ]
    assert silent == ["", ""]

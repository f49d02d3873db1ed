"""From a test set to figures: each sentence is said once, judged, and what cannot be judged is named."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voicemill.model.judging.judge import Judge
from voicemill.model.judging.judges import Judges, JudgeSettings, judges
from voicemill.model.judging.metrics.speaker import Embeddings, unit
from voicemill.model.judging.testset import testset
from voicemill.model.judging.testset.speech import Speech, SpokenSentence, synthesise
from voicemill.model.judging.testset.testset import GallerySettings, TestSetSettings, gallery
from voicemill.model.pitch.autocorrelation import Autocorrelation
from voicemill.model.speaking.options import SpeakOptions
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError, ModelMissing
from voicemill.storage.units import RATE
from voicemill.storage.voices.notice import read_notice

OPTIONS = SpeakOptions(pause_s=0.0)
OTHERS = TestSetSettings(sentences=3, texts=("A sentence without a recording.",))


class FirstSamples:
    """An embedding that tells every recording from every other: the spectrum of its beginning."""

    def embed(self, waves: Sequence[Wave]) -> Embeddings:
        return unit(np.stack([np.abs(np.fft.rfft(wave[: RATE // 2])) for wave in waves]).astype(np.float32))


class Reads:
    """An English recogniser that hears one text in everything."""

    def __init__(self, text: str) -> None:
        self.text = text

    def knows(self, language: str) -> bool:
        return language == "en"

    def transcribe(self, waves: Sequence[Wave], language: str, batch_size: int = 8) -> list[tuple[str, float]]:
        assert language == "en"
        return [(self.text, -0.1) for _ in waves]


class Likes:
    def score(self, wave: Wave) -> float:
        return 1 + 4 * min(1.0, len(wave) / RATE / 10)


def said(made: testset.TestSet, voice: Any, folder: Path) -> Speech:
    return synthesise(made, lambda: voice, folder, OPTIONS, threads=1)


@pytest.fixture(scope="module")
def made(corpus: CorpusVersion) -> testset.TestSet:
    return testset.make(corpus, ["ann"], OTHERS)


def test_each_sentence_is_said_once_and_kept(made: testset.TestSet, echo: Any, tmp_path: Path) -> None:
    speech = said(made, echo, tmp_path)
    texts = [sentence.text for sentence in made.sentences]
    assert echo.said == [texts[0], *texts]  # the first one warms up
    assert len(echo.heard) == len({s.reference.id for s in made.sentences})
    for sentence in made.sentences:
        wave, spoken = speech.wave(sentence.id), speech.spoken[sentence.id]
        assert wave is not None
        assert len(wave) / RATE == pytest.approx(spoken.seconds, abs=1e-3)
        assert spoken.took > 0
        notice = read_notice(speech.path(sentence.id))
        assert notice is not None
        assert notice.synthetic

    def refuse() -> Any:
        raise AssertionError("nothing is left to say")

    again = synthesise(made, refuse, tmp_path, OPTIONS)
    assert again.spoken == speech.spoken


def test_what_was_killed_goes_on_where_it_was(made: testset.TestSet, echo: Any, tmp_path: Path) -> None:
    """A sound without its account, and an account without its sound, are made again."""
    whole = said(made, echo, tmp_path)
    first, second, *_ = made.sentences
    (tmp_path / f"{first.id}.json").unlink()
    whole.path(second.id).unlink()
    echo.said.clear()
    again = said(made, echo, tmp_path)
    assert echo.said[1:] == [first.text, second.text]
    assert {name: spoken.seconds for name, spoken in again.spoken.items()} == {
        name: spoken.seconds for name, spoken in whole.spoken.items()
    }


def test_the_recordings_themselves_are_flawless(made: testset.TestSet, tmp_path: Path) -> None:
    """A voice that says exactly the recording: no distortion, no difference of length, similarity 1."""
    from voicemill.storage.voices.notice import write_speech

    recorded = [s for s in made.sentences if s.recording is not None]
    for sentence in recorded:
        assert sentence.recording is not None
        write_speech(tmp_path / f"{sentence.id}.flac", sentence.recording, RATE)
    spoken = {s.id: SpokenSentence(len(s.recording) / RATE, 1.0) for s in recorded if s.recording is not None}
    judge = Judge(
        replace(made, sentences=tuple(recorded)),
        Judges(Autocorrelation(), FirstSamples(), Reads(recorded[0].text), Likes()),
        {},
    )
    found = judge.speech(Speech(tmp_path, spoken))
    assert found.totals["mcd"] == pytest.approx(0, abs=0.01)  # 16 bits
    assert found.totals["duration_error"] == 0
    assert found.totals["similarity"] == pytest.approx(1, abs=1e-4)
    assert found.totals["cer"] == found.totals["wer"] == 0
    assert found.items["rtf"] == {name: pytest.approx(1 / spoken.seconds) for name, spoken in spoken.items()}
    assert judge.real.totals["wer"] == 0
    assert judge.real.items["similarity"] == {
        s.id: pytest.approx(float(FirstSamples().embed([s.recording])[0] @ FirstSamples().embed([s.reference.wave])[0]))
        for s in recorded
        if s.recording is not None
    }  # that of two recordings of one speaker
    assert 0 < judge.real.totals["similarity"] < 1


def test_the_right_speaker_is_identified_by_what_was_enrolled(
    corpus: CorpusVersion, made: testset.TestSet, echo: Any, tmp_path: Path
) -> None:
    """The voice plays its reference. Among waves of which one speaker's is that reference, it is his."""
    speech = said(made, echo, tmp_path)
    mine = made.sentences[0].reference.wave
    real = gallery(corpus, made, GallerySettings())
    right, wrong = {"ann": [mine], "bob": real["bob"]}, {"ann": real["ann"][:1], "bob": [mine]}
    if np.array_equal(wrong["ann"][0], mine):
        wrong["ann"] = real["ann"][1:2]
    shares = [Judge(made, Judges(Autocorrelation(), FirstSamples()), who).speech(speech) for who in (right, wrong)]
    assert [found.items["identified"][made.sentences[0].id] for found in shares] == [1.0, 0.0]
    alone = Judge(made, Judges(Autocorrelation(), FirstSamples()), {"ann": [mine]}).speech(speech)
    assert "one speaker" in alone.missing["identified"]


def test_what_nobody_can_judge_is_missing_with_a_reason(made: testset.TestSet, echo: Any, tmp_path: Path) -> None:
    off = {"speaker_encoder": "none", "recogniser": "none", "opinion": "none"}
    nobody = judges(JudgeSettings(f0_engine="autocorrelation", **off), {})  # type: ignore[arg-type]
    found = Judge(made, nobody, {}).speech(said(made, echo, tmp_path))
    assert {"mcd", "duration_error", "rtf"} <= set(found.items)
    assert {"similarity", "identified", "cer", "wer", "mos"} <= set(found.missing)
    assert not set(found.items) & set(found.missing)
    assert all(len(why) > 20 for why in found.missing.values())
    assert set(found.items["mcd"]) == {s.id for s in made.sentences if s.recording is not None}
    only = replace(made, sentences=made.sentences[-1:])
    text = Judge(only, nobody, {}).speech(said(only, echo, tmp_path))
    assert text.missing["mcd"] == "no sentence of the test set has a recording"


def test_a_sentence_that_cannot_be_said_has_the_figures_of_silence(
    made: testset.TestSet, echo: Any, tmp_path: Path
) -> None:
    first, *rest = made.sentences
    mute = replace(made, sentences=(replace(first, text="hush hush"), *rest))
    speech = said(mute, echo, tmp_path)
    assert speech.spoken[first.id].error == "nothing to say"
    assert speech.wave(first.id) is None
    found = Judge(mute, Judges(Autocorrelation(), None, Reads("hush hush")), {}).speech(speech)
    assert found.items["wer"][first.id] == found.items["cer"][first.id] == found.items["duration_error"][first.id] == 1
    assert first.id not in found.items["mcd"] | found.items["rtf"]
    assert json.loads((tmp_path / f"{first.id}.json").read_text())["error"] == "nothing to say"


def test_a_model_that_is_named_must_be_there() -> None:
    for settings in ({"speaker_encoder": "./none"}, {"recogniser": "./none"}, {"opinion": "./none"}):
        with pytest.raises(ModelMissing, match="no folder"):
            judges(JudgeSettings(**settings), {})  # type: ignore[arg-type]
    own = JudgeSettings(speaker_encoder="light", recogniser="corpus", opinion="none")
    lost = judges(own, {"transcribe": {"engine": "whisperx", "model": "./none"}})
    assert "no folder" in lost.missing["wer"]  # the corpus's own is not here: missing, with the reason
    assert "no recogniser transcribed the corpus" in judges(own, {"transcribe": {"engine": "given"}}).missing["wer"]
    assert "distill --which light" in lost.missing["similarity"]
    with pytest.raises(ConfigError, match=r"expected embedded:ge2e"):
        judges(JudgeSettings(speaker_encoder="embedded:dnsmos", recogniser="none", opinion="none"), {})


def test_a_recogniser_judges_the_languages_that_it_knows(made: testset.TestSet, echo: Any, tmp_path: Path) -> None:
    """Never the error rate of an English recogniser on German, not even that of silence."""
    first, second, *rest = made.sentences
    german = [replace(s, language="de", text="hush, das ist Deutsch") for s in (first, second)]
    mixed = replace(made, sentences=(*german, *rest))
    speech = said(mixed, echo, tmp_path / "mixed")
    named = Judges(Autocorrelation(), None, Reads("whatever"), models={"recogniser": "small.en 0123"})
    judge = Judge(mixed, named, {})
    found = judge.speech(speech)
    assert set(found.items["wer"]) == set(found.items["cer"]) == {s.id for s in rest}
    (note,) = judge.notes
    assert note.startswith(
        f"2 of {len(mixed.sentences)} sentences have no cer and wer: small.en 0123 does not recognise de"
    )
    only = replace(made, sentences=tuple(german))
    judge = Judge(only, named, {})
    found = judge.speech(said(only, echo, tmp_path / "only"))
    assert not {"wer", "cer"} & set(found.items)
    assert "small.en 0123 does not recognise de" in found.missing["wer"]
    assert judge.notes == ()
    assert "wer" not in judge.real.items


def test_a_voice_is_compared_with_the_speakers_that_sound_like_it(
    corpus: CorpusVersion, made: testset.TestSet, echo: Any, tmp_path: Path
) -> None:
    real = gallery(corpus, made, GallerySettings())
    judge = Judge(made, Judges(Autocorrelation(), FirstSamples()), real)
    speech = said(made, echo, tmp_path)
    judge.speech(speech)
    for source in (None, speech):
        (row,) = judge.likeness(source, most=2).values()
        assert next(iter(row)) == "ann"
        assert len(row) == 2
        assert all(0 < value <= 1 for value in row.values())
    assert Judge(made, Judges(Autocorrelation()), real).likeness(speech) == {}

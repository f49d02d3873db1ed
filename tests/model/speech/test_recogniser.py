"""The embedded recogniser on real speech: English gets its text, all else the reason why it has none."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voicemill.model.embedded import WHISPER
from voicemill.model.judging.metrics.recognition import plain, wer
from voicemill.model.speech.guards import Limits
from voicemill.model.speech.recogniser import Recogniser, SpokenText, find_model, load
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ModelMissing
from voicemill.storage.outcomes import Reason
from voicemill.storage.units import RATE

SPEECH = Path(__file__).parents[3] / "../shared/speech"
real = pytest.mark.skipif(not SPEECH.is_dir(), reason="no ../shared/speech")

ENGLISH = {
    "libri_1688/1688-142285-0000.flac": "there's iron they say in all our blood and a grain or two perhaps is good but "
    "his he makes me harshly feel has got a little too much of steel anon",
    "ljspeech/LJ001-0011.flac": "It is of the first importance that the letter used should be fine in form",
}
OTHERS = ("aishell_S0150/BAC009S0150W0015.flac", "kerstin/de_rhasspy-1594.flac", "mls_13697/13697_11991_000000.flac")


def read(name: str) -> Wave:
    """float32 [samples], 32 kHz, at most 15 s."""
    wave, rate = soundfile.read(SPEECH / name, dtype="float32")
    return np.asarray(soxr.resample(wave, rate, RATE), np.float32)[: 15 * RATE]


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    model = find_model("embedded:whisper-tiny.en", "transcribe.model")
    return Recogniser(model, load(model, "auto", "default", 5, "faster-whisper"), Limits(), 8)


def only(texts: dict[str, list[SpokenText]]) -> SpokenText:
    ((text,),) = texts.values()
    return text


@pytest.mark.slow
@pytest.mark.realdata
@real
def test_english_is_written_down_and_other_languages_are_not(recogniser: Recogniser) -> None:
    waves = {name: [read(f"recordings/{name}")] for name in (*ENGLISH, *OTHERS)}
    together = recogniser.texts(waves, dict.fromkeys(waves, ""))
    for name, given in ENGLISH.items():
        (text,) = together[name]
        assert (text.language, text.refusal) == ("en", None)
        assert wer(plain(given, "en"), plain(text.text, "en"), "en") <= 0.25
    for name in OTHERS:
        (text,) = together[name]
        assert (text.text, text.language) == ("", "")
        assert text.refusal is not None
        assert text.refusal.reason is Reason.UNKNOWN_LANGUAGE
    alone = {name: recogniser.texts({name: waves[name]}, {name: ""})[name] for name in reversed(waves)}
    assert alone == together  # whatever is recognised with it or before it
    lied = only(recogniser.texts({"u": waves[OTHERS[1]]}, {"u": "en"}))
    assert (lied.text, lied.refusal and lied.refusal.reason) == ("", Reason.OTHER_LANGUAGE)
    stated = only(recogniser.texts({"u": waves[OTHERS[1]]}, {"u": "de"}))
    assert (stated.text, stated.language, stated.score) == ("", "de", None)
    assert stated.refusal is not None
    assert stated.refusal.reason is Reason.NO_RECOGNISER


def sounds() -> dict[str, Wave]:
    times = np.arange(3 * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal(len(times))
    chord = sum(np.sin(2 * np.pi * hertz * times) for hertz in (220.0, 277.2, 329.6, 440.0))
    beat = np.exp(-6 * (times % 0.5))
    waves = {
        "silence": 0 * times,
        "noise": 0.1 * noise,
        "tone": 0.3 * np.sin(880 * np.pi * times),
        "chord": 0.1 * chord * beat,
    }
    return {name: wave.astype(np.float32) for name, wave in waves.items()}


@pytest.mark.slow
@pytest.mark.parametrize("stated", ["", "en"])
def test_what_is_no_speech_gets_no_text(recogniser: Recogniser, stated: str) -> None:
    for name, wave in sounds().items():
        text = only(recogniser.texts({"u": [wave]}, {"u": stated}))
        assert (name, text.text) == (name, "")
        assert text.refusal is not None


def test_models_are_named() -> None:
    model = find_model("embedded:whisper-tiny.en", "transcribe.model")
    assert (model.digest, model.languages) == (WHISPER.digest, {"en"})
    with pytest.raises(ModelMissing, match="is no recogniser"):
        find_model("embedded:ge2e", "transcribe.model")

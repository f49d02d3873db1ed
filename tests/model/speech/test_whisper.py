"""Whisper: windows follow from the segment alone, doubtful texts are decoded again, whisperx makes the same call."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voicemill.model.embedded import WHISPER
from voicemill.model.speech.guards import Limits, repeats_itself
from voicemill.model.speech.whisper import TAIL, WHISPER_RATE, WINDOW, Whisper, window_length
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE

SPEECH = Path(__file__).parents[3] / "../shared/speech/recordings"
real = pytest.mark.skipif(not SPEECH.is_dir(), reason="no ../shared/speech")


def read(name: str) -> Wave:
    """float32 [samples], 32 kHz."""
    wave, rate = soundfile.read(SPEECH / name, dtype="float32")
    return np.asarray(soxr.resample(wave, rate, RATE), np.float32)


@pytest.fixture(scope="module")
def whisper() -> Whisper:
    return Whisper(WHISPER.folder(), "cpu")


def test_the_length_of_a_window() -> None:
    second = WHISPER_RATE
    assert [window_length(n) // second for n in (1, second, second + 1, 24 * second, 25 * second, WINDOW)] == [
        6,
        6,
        7,
        29,
        30,
        30,
    ]
    assert all(window_length(n) >= n + TAIL for n in range(1, 25 * second, 997))


@pytest.mark.slow
def test_an_encoded_segment(whisper: Whisper) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 33 * RATE).astype(np.float32)
    encoded = whisper.encode(noise)
    assert (encoded.seconds, [len(part) for part in encoded.parts]) == (33.0, [264_000, 264_000])
    assert [np.array(state).shape for state in encoded.states] == [(1, 1100, 384)] * 2
    assert encoded.mean().shape == (384,)
    assert (whisper.is_multilingual, whisper.knows("en"), whisper.knows("de"), whisper.knows("")) == (
        False,
        True,
        False,
        False,
    )


@pytest.mark.slow
@pytest.mark.realdata
@real
def test_a_text_that_repeats_itself_is_decoded_again(whisper: Whisper) -> None:
    encoded = [whisper.encode(read("ljspeech/LJ001-0011.flac"))]
    (first,), (again,) = whisper.decode(encoded, "en"), whisper.decode(encoded, "en", limits=Limits())
    assert repeats_itself(first.text.split())
    assert again.text == "It is of the first importance that the letter used should be fine and form."


@pytest.mark.slow
@pytest.mark.nightly  # the import of whisperx takes 12 s; a push runs the same generation without it
@pytest.mark.realdata
@real
def test_whisperx_makes_the_same_call(whisper: Whisper) -> None:
    wave = read("ljspeech/LJ001-0011.flac")
    (part,) = whisper.encode(wave).parts
    features = whisper._features(part, WINDOW)
    (ours,) = whisper._generate(whisper._model.encode(features), 1, "en", whisper._options)
    ((text, score),) = Whisper(WHISPER.folder(), "cpu", package="whisperx").transcribe([wave], "en")
    assert (ours.text, ours.score) == (text, pytest.approx(score, abs=1e-6))

"""Whisper: windows follow from the segment alone, doubtful texts are decoded again, whisperx makes the same call."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voicemill.model.embedded import WHISPER
from voicemill.model.speech.guards import Limits, repeats_itself
from voicemill.model.speech.whisper import STEP, TAIL, WHISPER_RATE, WINDOW, Whisper, window_length
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
    lengths = [window_length(n) for n in (1, STEP, STEP + 1, 24 * second, 29 * second, WINDOW)]
    assert lengths == [second + STEP, second + STEP, second + 2 * STEP, 25 * second, WINDOW, WINDOW]
    assert all(window_length(n) >= n + TAIL for n in range(1, 29 * second, 997))


@pytest.mark.slow
def test_an_encoded_segment(whisper: Whisper) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 33 * RATE).astype(np.float32)
    encoded = whisper.encode(noise)
    assert (encoded.seconds, [len(part) for part in encoded.parts]) == (33.0, [264_000, 264_000])
    assert [np.array(state).shape for state in encoded.states] == [(1, 875, 384)] * 2
    assert encoded.mean().shape == (384,)
    assert (whisper.is_multilingual, whisper.knows("en"), whisper.knows("de"), whisper.knows("")) == (
        False,
        True,
        False,
        False,
    )


@pytest.mark.slow
def test_the_decoder_reads_silence_behind_the_speech(whisper: Whisper) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    (state,) = whisper.encode(noise).states
    followed, silence = np.array(whisper._followed(state)), np.array(whisper._silence)
    assert (np.array(state).shape, followed.shape, silence.shape) == ((1, 150, 384), (1, 650, 384), (1, 1500, 384))
    assert np.array_equal(followed[:, :150], np.array(state))
    assert np.array_equal(followed[:, 150:], silence[:, 150:650])
    (state,) = whisper.encode(np.resize(noise, 25 * RATE)).states
    assert np.array(whisper._followed(state)).shape == (1, 1500, 384)  # no longer than a window of 30 s


@pytest.mark.slow
@pytest.mark.realdata
@real
def test_a_text_that_repeats_itself_is_decoded_again(whisper: Whisper) -> None:
    encoded = [whisper.encode(read("libri_2414/2414-128291-0008.flac"))]
    (first,), (again,) = whisper.decode(encoded, "en"), whisper.decode(encoded, "en", limits=Limits())
    assert repeats_itself(first.text.split())
    assert again.text == "That was so. That was so."  # Thou also! Thou also!


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

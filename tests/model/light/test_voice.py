"""Speaking with a small light system of random weights: what is promised of a voice whatever its weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from voicemill.model.audio.watermark import detect
from voicemill.model.checkpoints.writing import write
from voicemill.model.light.system import LightSystem
from voicemill.model.light.voice import LightReference, LightVoice
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.voices.opening import AnyVoice, open_voice
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import CheckpointError, ConfigError
from voicemill.storage.units import RATE

TEXT = "Good morning. The quick brown fox jumps over the lazy dog, and nobody minds! 早上好，朋友。"
pytestmark = pytest.mark.filterwarnings("ignore:Chinese text without BERT features")


@pytest.fixture
def voice(system: LightSystem) -> LightVoice:
    return LightVoice(system, "float32", "cpu")


@pytest.fixture(scope="module")
def recording() -> Wave:
    rng = np.random.default_rng(5)
    wave = np.sin(np.arange(4 * RATE) * 0.03) * 0.2 + rng.normal(0, 0.02, 4 * RATE)
    return np.asarray(wave, np.float32)


@pytest.fixture
def reference(voice: LightVoice, recording: Wave) -> LightReference:
    return voice.reference([recording])


def test_every_piece_is_synthesised_with_pauses_between(voice: LightVoice, reference: LightReference) -> None:
    speech = voice.speak(TEXT, reference)
    assert [piece.text for piece in speech.pieces] == [
        "Good morning.",
        "The quick brown fox jumps over the lazy dog, and nobody minds!",
        "早上好，朋友。",
    ]
    assert len(speech.wave) == sum(round((p.stop - p.start) * RATE) for p in speech.pieces) + 3 * round(0.3 * RATE)
    assert np.isfinite(speech.wave).all()
    assert np.abs(speech.wave).max() <= 1.05
    assert all((p.codes, p.ended) == (0, "every phone was said") for p in speech.pieces)
    assert all(p.stop - p.start >= p.phones * 0.02 - 1e-9 for p in speech.pieces)


@pytest.mark.parametrize("chunk_s", [0.1, 0.33, 10.0])
def test_the_stream_is_the_speech(voice: LightVoice, reference: LightReference, chunk_s: float) -> None:
    options = SpeakOptions(chunk_s=chunk_s)
    stream = voice.stream(TEXT, reference, options)
    chunks = list(stream)
    speech = voice.speak(TEXT, reference, options)
    joined = np.concatenate(chunks)
    assert len(joined) == len(speech.wave)
    assert np.abs(joined - speech.wave).max() < 1e-4
    assert stream.pieces == speech.pieces


def test_speed_changes_the_length(voice: LightVoice, reference: LightReference) -> None:
    options = [SpeakOptions(speed=speed) for speed in (0.5, 1, 2)]
    slow, plain, fast = (voice.speak("Good morning, my friends.", reference, each).pieces[0] for each in options)
    assert slow.stop == pytest.approx(2 * plain.stop, rel=0.1)
    assert plain.stop == pytest.approx(2 * fast.stop, rel=0.1)


def test_a_piece_depends_on_nothing_around_it_and_on_no_seed(voice: LightVoice, reference: LightReference) -> None:
    bare = SpeakOptions(watermark=None)
    short, long = (voice.speak(text, reference, bare).wave for text in ("Good morning.", TEXT))
    assert np.array_equal(short, long[: len(short)])
    assert np.array_equal(voice.speak("Good morning.", reference, replace(bare, seed=9, noise_scale=2)).wave, short)


def test_speech_is_marked_unless_it_is_asked_not_to(voice: LightVoice, reference: LightReference) -> None:
    long = SpeakOptions(watermark=4711, speed=0.4)
    assert detect(voice.speak(TEXT, reference, long).wave, RATE).payload == 4711
    assert not detect(voice.speak(TEXT, reference, replace(long, watermark=None)).wave, RATE).present


def test_several_references_are_averaged(voice: LightVoice, recording: Wave) -> None:
    other = np.ascontiguousarray(recording[::-1] ** 3)
    one, two, both = (voice.reference(waves).embedding for waves in ([recording], [other], [recording, other]))
    assert torch.allclose(both, torch.nn.functional.normalize(one + two, dim=0), atol=1e-5)
    assert float(both.norm()) == pytest.approx(1, abs=1e-5)


def test_a_reference_or_a_text_that_will_not_do(voice: LightVoice, reference: LightReference, recording: Wave) -> None:
    with pytest.raises(ConfigError, match="no reference"):
        voice.reference([])
    with pytest.raises(ConfigError, match="3 to 10 s"):
        voice.reference([recording[:RATE]])
    with pytest.raises(ConfigError, match="nothing to say"):
        voice.speak("...", reference)
    with pytest.raises(ConfigError, match="nothing to say"):
        voice.stream("", reference)
    with pytest.raises(ConfigError, match="precision = 'much'"):
        LightVoice(LightSystem(), "much")


def test_it_is_opened_as_every_voice_is(system: LightSystem, recording: Wave, tmp_path: Path) -> None:
    path = tmp_path / "light.safetensors"
    write(path, system.checkpoint())
    opened: AnyVoice = open_voice({"light": path}, precision="float32", device="cpu")
    voice = LightVoice(system, "float32", "cpu")
    ours, official = (each.speak("Good morning.", each.reference([recording])).wave for each in (voice, opened))
    assert np.array_equal(ours, official)
    rounded = open_voice({"light": path}, precision="bfloat16", device="cpu")
    close = rounded.speak("Good morning.", rounded.reference([recording])).wave
    assert len(close) == len(ours)
    assert np.abs(close - ours).max() < 0.05
    write(path, system.checkpoint(trained=["speaker", "acoustic"]))
    with pytest.raises(CheckpointError, match="vocoder was never trained"):
        open_voice({"light": path})
    with pytest.raises(ConfigError, match="no weights of s2"):
        open_voice({"s1": path})

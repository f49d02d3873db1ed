"""Speaking, with small random networks: what is promised of a voice whatever its weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from voicemill.model.audio.watermark import detect
from voicemill.model.s1.generate import Sampling, Stop
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.speaking.pieces import line_of
from voicemill.model.speaking.reference import Reference, reference_codes
from voicemill.model.speaking.voice import Voice
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import AudioError, ConfigError
from voicemill.storage.units import RATE

# zeros stand in for the BERT features that GPT-SoVITS adds to Chinese
pytestmark = pytest.mark.filterwarnings("ignore:Chinese text without BERT features")

TEXT = "Good morning. The quick brown fox jumps over the lazy dog, and nobody minds! 早上好，朋友。"
OPTIONS = SpeakOptions(max_codes=40, seed=3)


@pytest.fixture(scope="module")
def reference(voice: Voice, recording: Wave) -> Reference:
    return voice.reference([recording], "She had your dark suit in greasy wash water", "en")


def test_every_piece_is_synthesised_with_pauses_between(voice: Voice, reference: Reference) -> None:
    speech = voice.speak(TEXT, reference, OPTIONS)
    assert [piece.text for piece in speech.pieces] == [
        "Good morning.",
        "The quick brown fox jumps over the lazy dog, and nobody minds!",
        "早上好，朋友。",
    ]
    assert len(speech.wave) == sum(piece.codes * 1280 for piece in speech.pieces) + 3 * round(0.3 * RATE)
    assert np.isfinite(speech.wave).all()
    assert np.abs(speech.wave).max() <= 1.05
    for before, after in zip(speech.pieces, speech.pieces[1:], strict=False):
        assert after.start == pytest.approx(before.stop + 0.3)
    assert all(11 <= piece.codes <= 40 for piece in speech.pieces)


@pytest.mark.parametrize("chunk_s", [0.1, 0.33, 10.0])
def test_the_stream_is_the_speech(voice: Voice, reference: Reference, chunk_s: float) -> None:
    options = replace(OPTIONS, chunk_s=chunk_s)
    chunks = list(voice.stream(TEXT, reference, options))
    whole = voice.speak(TEXT, reference, options).wave
    joined = np.concatenate(chunks)
    assert len(joined) == len(whole)
    assert np.abs(joined - whole).max() < 1e-4
    if chunk_s < 1:
        assert len(chunks[0]) <= chunk_s * RATE + 1023
        assert len(chunks) > 6


def test_the_first_chunk_comes_before_the_rest_is_computed(
    voice: Voice, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[int] = []
    generator = voice.s2.dec.forward

    def counted(*args: Any, **options: Any) -> Any:
        rendered.append(1)
        return generator(*args, **options)

    monkeypatch.setattr(voice.s2.dec, "forward", counted)
    stream = voice.stream(TEXT, reference, replace(OPTIONS, chunk_s=0.2))
    next(stream)
    first = len(rendered)
    rest = sum(1 for _ in stream)
    assert first == 1
    assert len(rendered) > 4
    assert rest > 4


def test_a_stream_leaves_the_mode_of_its_caller_alone(voice: Voice, reference: Reference) -> None:
    stream = voice.stream("Good morning.", reference, SpeakOptions(language="en", max_codes=20, chunk_s=0.1))
    next(stream)
    assert not torch.is_inference_mode_enabled()


def test_the_stream_tells_of_its_pieces_what_the_speech_tells(voice: Voice, reference: Reference) -> None:
    options = replace(OPTIONS, max_codes=12, chunk_s=0.2)
    text = "Good morning. She saw the \U0001f600 fox."
    stream = voice.stream(text, reference, options)
    assert stream.pieces == ()
    next(stream)
    assert stream.pieces == ()
    assert sum(1 for _ in stream) > 1
    assert stream.pieces == voice.speak(text, reference, options).pieces
    assert {piece.ended for piece in stream.pieces} == {Stop.LIMIT.value}


def test_a_seed_repeats_and_another_one_differs(voice: Voice, reference: Reference) -> None:
    once, again = (voice.speak(TEXT, reference, OPTIONS).wave for _ in range(2))
    assert np.array_equal(once, again)
    other = voice.speak(TEXT, reference, replace(OPTIONS, seed=4)).wave
    assert len(other) != len(once) or not np.allclose(other, once, atol=1e-3)


def test_a_piece_does_not_depend_on_those_behind_it(voice: Voice, reference: Reference) -> None:
    plain = replace(OPTIONS, watermark=None)
    short, long = (voice.speak(text, reference, plain) for text in ("Good morning.", TEXT))
    assert np.array_equal(short.wave, long.wave[: len(short.wave)])


def test_speed_changes_the_length_and_nothing_else_of_the_codes(voice: Voice, reference: Reference) -> None:
    plain, fast = (voice.speak("Good morning.", reference, replace(OPTIONS, speed=speed)) for speed in (1.0, 2.0))
    assert fast.pieces[0].codes == plain.pieces[0].codes
    frames = int(2 * plain.pieces[0].codes / 2) + 1
    assert len(fast.wave) == frames * 640 + round(0.3 * RATE)


def test_greedy_speech_without_noise_needs_no_seed(voice: Voice, reference: Reference) -> None:
    still = replace(OPTIONS, noise_scale=0, sampling=Sampling(top_k=1))
    one, two = (voice.speak("Good morning.", reference, replace(still, seed=seed)).wave for seed in (1, 2))
    assert np.array_equal(one, two)


def test_without_a_text_there_is_no_example(voice: Voice, recording: Wave, reference: Reference) -> None:
    free = voice.reference([recording])
    assert len(free.codes) == len(free.phones) == 0
    assert torch.equal(free.ge, reference.ge)
    assert voice.speak("Good morning.", free, OPTIONS).seconds > 0.4


def test_several_references_are_averaged(voice: Voice, recording: Wave) -> None:
    other = np.ascontiguousarray(recording[::-1] * 0.5)
    one, two, both = (voice.reference(waves).ge for waves in ([recording], [other], [recording, other]))
    assert torch.allclose(both, (one + two) / 2, atol=1e-6)


def test_codes_of_a_reference_are_25_a_second_and_hear_the_tail(voice: Voice, recording: Wave) -> None:
    codes = reference_codes(voice.s2, voice.content, recording)
    assert codes.dtype == torch.int64
    assert len(codes) == ((len(recording) // 2 + 9600 - 400) // 320 + 1) // 2


def test_speech_is_marked_unless_it_is_asked_not_to(voice: Voice, reference: Reference) -> None:
    long = replace(OPTIONS, max_codes=120, watermark=4711)
    marked = detect(voice.speak(TEXT, reference, long).wave, RATE)
    bare = detect(voice.speak(TEXT, reference, replace(long, watermark=None)).wave, RATE)
    assert (marked.present, marked.payload) == (True, 4711)
    assert not bare.present


def test_a_file_is_read_in_any_format(voice: Voice, recording: Wave, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", recording, RATE, subtype="PCM_24")
    from_file, given = voice.reference([tmp_path / "a.flac"]).ge, voice.reference([recording]).ge
    assert torch.allclose(from_file, given, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda wave: wave[: 2 * RATE], "2.00 s long: a reference is 3 to 10 s"),
        (lambda wave: np.tile(wave, 3), "12.00 s long"),
        (lambda wave: wave * 0, "digital silence"),
        (lambda wave: np.where(np.arange(len(wave)) == 9, np.nan, wave), "finite"),
        (lambda wave: np.stack([wave, wave]), "expected finite float32 [samples]"),
    ],
)
def test_a_reference_that_will_not_do(voice: Voice, recording: Wave, change: Any, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        voice.reference([np.asarray(change(recording), np.float32)])
    assert words in str(error.value)


def test_a_reference_that_is_no_sound(voice: Voice, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a file"):
        voice.reference([tmp_path / "none.wav"])
    with pytest.raises(ConfigError, match="no reference"):
        voice.reference([])
    (tmp_path / "text.wav").write_text("this is text")
    with pytest.raises(AudioError):
        voice.reference([tmp_path / "text.wav"])


@pytest.mark.parametrize("text", ["", "  ", "...", "？！"])
def test_a_text_without_words(voice: Voice, reference: Reference, text: str) -> None:
    """The error does not quote the text: errors are stored with evaluations."""
    with pytest.raises(ConfigError, match=f"nothing to say: the text of {len(text)} characters") as caught:
        voice.stream(text, reference, OPTIONS)
    assert not text.strip() or text not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [{"speed": 0.1}, {"noise_scale": -1}, {"seed": -1}, {"pause_s": 9}, {"max_codes": 0}, {"chunk_s": 0}],
    ids=str,
)
def test_an_option_out_of_its_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SpeakOptions(**wrong)  # type: ignore[arg-type]


def test_short_texts_get_a_dot_in_front(voice: Voice) -> None:
    line = line_of("Hi.", "en", voice.bert)
    assert line.phones[0] == 3  # "."
    assert len(line.phones) == len(line.reading.phones) + 1 == line.bert.shape[1]

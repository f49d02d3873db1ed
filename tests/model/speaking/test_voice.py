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


LONG = replace(OPTIONS, max_codes=100, language="en", watermark=None)
SENTENCE = "The quick brown fox jumps over the lazy dog and nobody minds"


@pytest.mark.parametrize(("chunk_s", "look_ahead_s"), [(0.1, 0.32), (0.5, 0.0), (10.0, 0.32)])
def test_the_stream_with_a_look_ahead_is_the_speech_with_it(
    silent_eos: Voice, reference: Reference, chunk_s: float, look_ahead_s: float
) -> None:
    options = replace(LONG, chunk_s=chunk_s, look_ahead_s=look_ahead_s)
    text = f"{SENTENCE}. Good morning."
    stream = silent_eos.stream(text, reference, options)
    joined = np.concatenate(list(stream))
    speech = silent_eos.speak(text, reference, options)
    assert len(joined) == len(speech.wave)
    assert np.abs(joined - speech.wave).max() < 1e-4
    assert stream.pieces == speech.pieces
    assert {piece.codes for piece in speech.pieces} == {100}


def test_a_stream_with_a_look_ahead_begins_before_s1_has_ended(
    silent_eos: Voice, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first half second needs 34 codes and the look-ahead, 8 codes here; s1 generates 100."""
    options = replace(LONG, look_ahead_s=0.32)
    steps: list[int] = []
    begin = silent_eos.s1.begin

    def counted(prefixes: Any, room: int) -> Any:
        decoding: Any = begin(prefixes, room)
        advance = decoding.advance
        decoding.advance = lambda codes: (steps.append(1), advance(codes))[1]
        return decoding

    monkeypatch.setattr(silent_eos.s1, "begin", counted)
    stream = silent_eos.stream(SENTENCE, reference, options)
    first = next(stream)
    assert len(first) == options.chunk_s * RATE
    assert len(steps) == 41  # the first of the 42 codes needs no step
    assert sum(len(chunk) for chunk in stream) + len(first) == 100 * 1280 + round(0.3 * RATE)
    assert len(steps) == 99


def test_a_look_ahead_beyond_the_piece_reads_all_of_it(silent_eos: Voice, reference: Reference) -> None:
    """Then one block is the whole piece; without noise both ways give the same."""
    quiet = replace(LONG, noise_scale=0.0)
    whole, ahead = (
        silent_eos.speak(SENTENCE, reference, replace(quiet, look_ahead_s=look_ahead_s)).wave
        for look_ahead_s in (None, 10.0)
    )
    np.testing.assert_allclose(ahead, whole, atol=1e-5)


def test_pauses_in_the_text(voice: Voice, reference: Reference) -> None:
    text = "[pause:0.25s] Good morning.[PAUSE: 750 ms] The fox jumps, [pause:1s] ... [pause:.5s] and [pause:0s] sleeps."
    options = replace(OPTIONS, max_codes=12, language="en", watermark=None)
    speech = voice.speak(text, reference, options)
    assert [piece.text for piece in speech.pieces] == ["Good morning.", "The fox jumps,", "and", "sleeps."]
    starts = [piece.start for piece in speech.pieces]
    before = [0.0, *(piece.stop for piece in speech.pieces)]
    assert [start - stop for start, stop in zip(starts, before, strict=False)] == pytest.approx([0.25, 0.75, 1.5, 0])
    assert speech.seconds == pytest.approx(speech.pieces[-1].stop + 0.3)
    for piece in speech.pieces:
        assert speech.wave[round(piece.start * RATE) : round(piece.stop * RATE)].any()
    assert not speech.wave[: RATE // 4].any()
    stream = voice.stream(text, reference, options)
    np.testing.assert_allclose(np.concatenate(list(stream)), speech.wave, atol=1e-4)
    assert stream.pieces == speech.pieces


@pytest.mark.parametrize("tag", ["[pause:]", "[pause:2]", "[pause:-1s]", "[pause:61s]", "[pause:soon]"])
def test_a_pause_that_cannot_be_read(voice: Voice, reference: Reference, tag: str) -> None:
    with pytest.raises(ConfigError, match=r"expected \[pause:0.5s\] or \[pause:500ms\], 0 to 60 s"):
        voice.speak(f"Good {tag} morning.", reference, OPTIONS)


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
    [
        {"speed": 0.1},
        {"noise_scale": -1},
        {"seed": -1},
        {"pause_s": 9},
        {"max_codes": 0},
        {"chunk_s": 0},
        {"look_ahead_s": 11},
        {"look_ahead_s": 0.4, "speed": 1.5},
    ],
    ids=str,
)
def test_an_option_out_of_its_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SpeakOptions(**wrong)  # type: ignore[arg-type]


def test_short_texts_get_a_dot_in_front(voice: Voice) -> None:
    line = line_of("Hi.", "en", voice.bert)
    assert line.phones[0] == 3  # "."
    assert len(line.phones) == len(line.reading.phones) + 1 == line.bert.shape[1]

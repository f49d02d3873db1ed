"""The aligner of Chinese by the phones that Whisper's encoder hears: inventories, paths, and speech."""

import numpy as np
import pytest
import soxr

from voicemill.flows.demo.voice import RATE as VOICE_RATE
from voicemill.flows.demo.voice import Line, speak_timed
from voicemill.model.aligner import hmm
from voicemill.model.aligner.hmm import Floats
from voicemill.model.aligner.phone_aligner import FRAME, Heard, PhoneAligner, placed
from voicemill.model.aligner.phone_network import LANGUAGES, WEIGHTS, Inventory, state_scores
from voicemill.model.speech.arpabet import TABLES
from voicemill.model.speech.pronunciation import pronounce
from voicemill.model.speech.text_fit import quality, worst_run
from voicemill.model.speech.words import Unalignable, split
from voicemill.storage.units import RATE

SPOKEN = {"zh": ("今天下午我们一起去公园散步吧", "cmn+m7")}
OTHER = {"zh": "他昨天晚上没有吃完那碗面条啊"}


@pytest.fixture(scope="module")
def aligner() -> PhoneAligner:
    return PhoneAligner()


def clear(phones: list[int], count: int, frames: int = 5) -> Floats:
    """`state_scores` of a recording in which each phone (0 = silence) is heard clearly for some frames of 20 ms."""
    logs = np.full((frames * len(phones), 1 + count), np.log(0.02 / count), np.float32)
    logs[np.arange(len(logs)), np.repeat(phones, frames)] = np.log(0.98)
    return state_scores(logs, np.zeros(1 + count, np.float32))


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_phone_of_a_language_has_its_place(language: str) -> None:
    inventory = Inventory.of(language)
    assert set(inventory.parts) == set(TABLES[language])
    assert {part for parts in inventory.parts.values() for part in parts} == set(inventory.alike)
    assert all(inventory.alike.values())
    with np.load(WEIGHTS) as file:
        assert file[f"{language}/weights"].shape[1] == 1 + len(inventory.alike)
    words = split(SPOKEN[language][0], language)
    numbers = inventory.numbers(words, language)
    assert all(len(own) >= len(phones) for own, phones in zip(numbers, pronounce(words, language), strict=True))
    assert all(0 <= number < len(inventory.alike) for own in numbers for number in own)


def test_a_phone_of_no_language_is_unknown() -> None:
    inventory = Inventory.of("zh")
    (known, unknown) = inventory.numbers(["好", "MAPS"], "zh")
    assert max(known) < len(inventory.alike)
    assert set(unknown) == {len(inventory.alike)}


def test_words_lie_where_their_phones_are_heard() -> None:
    inventory = Inventory.of("zh")
    words = ["好", "!", "大"]
    good, _, big = inventory.numbers(words, "zh")
    said = [0, 0, *(n + 1 for n in good), 0, 0, *(n + 1 for n in big), 0]
    heard = Heard.of(clear(said, len(inventory.alike)))
    found = placed(heard, words, "zh", 10 * FRAME * len(said))
    (first, sign, last) = found.spans
    assert sign is None
    assert first is not None
    assert last is not None
    assert (first.start, first.stop) == (20 * FRAME, (20 + 10 * len(good)) * FRAME)
    assert (last.start, last.stop) == (first.stop + 20 * FRAME, first.stop + (20 + 10 * len(big)) * FRAME)
    assert (first.phones, last.phones) == (len(good), len(big))
    assert min(first.score, last.score) > 0.9
    assert found.uncovered == ()
    assert found.phones is not None
    assert len(found.phones) == len(good) + len(big)


def test_speech_that_the_text_lacks_is_uncovered() -> None:
    inventory = Inventory.of("zh")
    good, big = inventory.numbers(["好", "大"], "zh")
    said = [0, 0, *(n + 1 for n in good), 0, 0, *[n + 1 for n in big] * 8, 0]
    heard = Heard.of(clear(said, len(inventory.alike)))
    ((start, stop),) = placed(heard, ["好"], "zh", 10 * FRAME * len(said)).uncovered
    assert stop - start > 10 * FRAME * len(big) * 7


def test_what_cannot_be_placed() -> None:
    heard = Heard.of(clear([0, 1, 0], len(Inventory.of("zh").alike)))
    with pytest.raises(Unalignable, match="no word that can be spoken"):
        placed(heard, ["..."], "zh", 30 * FRAME)
    with pytest.raises(Unalignable, match=r"phones of the text do not fit into 0\.30 s"):
        placed(heard, list("今天下午我们一起去公园"), "zh", 30 * FRAME)


def test_an_audio_too_short_for_the_encoder(aligner: PhoneAligner) -> None:
    with pytest.raises(Unalignable, match=r"0\.010 s of audio are too short"):
        aligner.align(np.zeros(320, np.float32), ["好"], "zh")


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_right_and_wrong_words_of_a_voice_that_did_not_teach(language: str, aligner: PhoneAligner) -> None:
    text, voice = SPOKEN[language]
    ((wave, marks),) = speak_timed([Line(text, voice)])
    wave = soxr.resample(wave, VOICE_RATE, RATE).astype(np.float32)
    words = split(text, language)
    right = [span for span in aligner.align(wave, words, language).spans if span]
    wrong = [span for span in aligner.align(wave, split(OTHER[language], language), language).spans if span]
    assert quality([span.score for span in right]) > 0.4
    assert worst_run(right)[0] > 0.26
    assert quality([span.score for span in wrong]) < 0.33
    assert worst_run(wrong)[0] < 0.2
    starts = {mark.at: mark.start * RATE / VOICE_RATE for mark in marks}
    at, errors = 0, []
    for word, span in zip(words, right, strict=True):
        at = text.index(word, at)
        errors += [abs(span.start - starts[at]) / RATE] if at in starts else []
    assert np.median(errors) < 0.04, f"{len(errors)} words begin a median of {np.median(errors):.3f} s away"


def test_results_do_not_depend_on_earlier_calls(aligner: PhoneAligner) -> None:
    waves = [np.random.default_rng(seed).standard_normal(RATE).astype(np.float32) * 0.1 for seed in (0, 1)]
    first = aligner.align(waves[0], ["好", "大"], "zh")
    aligner.align(waves[1], ["好", "大"], "zh")
    assert aligner.align(waves[0], ["好", "大"], "zh") == first


def test_the_scores_of_an_unknown_phone_are_under_the_best_one() -> None:
    scores = clear([0, 3, 1], 4)
    assert scores.shape == (30, 1 + hmm.STATES * 5)
    assert np.allclose(scores[:, -1], scores[:, 1 : -hmm.STATES].max(1) - 1)


def test_the_weights_are_small() -> None:
    assert WEIGHTS.stat().st_size < 500_000

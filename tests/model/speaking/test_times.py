"""Times of words in speech whose words are known, and subtitles."""

import numpy as np
import pytest
import soxr

from voicemill.flows.demo.voice import RATE as ESPEAK_RATE
from voicemill.flows.demo.voice import Line, speak
from voicemill.model.speaking.pieces import Piece, Speech
from voicemill.model.speaking.times import Timed, character_times, srt, word_times
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.units import RATE

SENTENCES = ("The old lighthouse stood above the harbour.", "Nobody answered for 3 weeks.", "Какая хорошая погода.")


def piece(text: str, start: float, stop: float) -> Piece:
    return Piece(
        text=text, normalised=text, phones=1, codes=0, start=start, stop=stop, ended="every phone was said", unknown=()
    )


@pytest.fixture(scope="module")
def speech() -> Speech:
    """Sentences of a synthesiser with half a second of silence behind each; the last text is no language of ours."""
    waves: list[Wave] = []
    pieces: list[Piece] = []
    at = 0.0
    for text, spoken in zip(
        SENTENCES, speak([Line(text, "en-us") for text in (*SENTENCES[:2], "Hello.")]), strict=True
    ):
        wave = np.asarray(soxr.resample(spoken, ESPEAK_RATE, RATE), np.float32)
        pieces.append(piece(text, at, at + len(wave) / RATE))
        waves += [wave, np.zeros(RATE // 2, np.float32)]
        at += len(wave) / RATE + 0.5
    return Speech(np.concatenate(waves), tuple(pieces))


def test_words_lie_in_their_piece_in_order(speech: Speech) -> None:
    first, second, third = word_times(speech, "en")
    assert [word.text for word in first] == ["The", "old", "lighthouse", "stood", "above", "the", "harbour."]
    assert [word.text for word in second] == ["Nobody", "answered", "for", "3", "weeks."]
    assert third == ()
    for words, within in zip((first, second), speech.pieces, strict=False):
        edges = [edge for word in words for edge in (word.start, word.stop)]
        assert edges == sorted(edges)
        assert within.start <= edges[0] + 0.001
        assert edges[-1] <= within.stop + 0.001
        assert all(word.stop - word.start >= 0.03 for word in words)
    lighthouse, the = first[2], first[5]
    assert lighthouse.stop - lighthouse.start > 2 * (the.stop - the.start)


def test_characters_share_the_time_of_their_word() -> None:
    words = (Timed("abcd", 1.0, 2.0), Timed("好", 2.5, 2.75))
    assert character_times(words) == (
        Timed("a", 1.0, 1.25),
        Timed("b", 1.25, 1.5),
        Timed("c", 1.5, 1.75),
        Timed("d", 1.75, 2.0),
        Timed("好", 2.5, 2.75),
    )


def test_subtitles() -> None:
    cues = (Timed("Good\nmorning.", 0.0, 1.2345), Timed("早上好。", 59.9996, 3725.5))
    assert srt(cues) == (
        "1\n00:00:00,000 --> 00:00:01,234\nGood morning.\n\n2\n00:01:00,000 --> 01:02:05,500\n早上好。\n"
    )
    assert srt(()) == ""

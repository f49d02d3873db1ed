"""Times of words and characters in synthesised speech, and subtitles in SubRip format (SRT).

Words are placed by forced alignment of each piece with its text (`model.speech.pocketsphinx_aligner`: English, Chinese,
German), the aligner of the preparation, so they hold for every kind of voice. Cost: about a tenth of real time. Words
are split as there: at spaces, in Chinese every character is one. A piece in another language, or one whose speech does
not say its text, has no word times; the times of pieces are exact in every language.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from voicemill.model.speaking.pieces import Piece, Speech
from voicemill.model.speech.arpabet import LANGUAGES
from voicemill.model.speech.words import Unalignable, split
from voicemill.model.text.frontend import language_of
from voicemill.storage.units import RATE, Seconds


@dataclass(frozen=True)
class Timed:
    """A piece, word or character with its place in the speech."""

    text: str
    start: Seconds
    stop: Seconds


def word_times(speech: Speech, language: str = "auto") -> tuple[tuple[Timed, ...], ...]:
    """Words of each piece of a speech with their times; () for a piece that cannot be aligned.

    `language`: that of `SpeakOptions`. Words without sound, as dashes, are left out.

    Raises ModelMissing where the wheel with the dictionary of the language is not installed.
    """
    from voicemill.model.speech.pocketsphinx_aligner import PocketsphinxAligner

    aligner = PocketsphinxAligner()

    def times_of(piece: Piece) -> tuple[Timed, ...]:
        spoken = language_of(piece.text, language)
        if spoken not in LANGUAGES:
            return ()
        words = split(piece.text, spoken)
        wave = speech.wave[round(piece.start * RATE) : round(piece.stop * RATE)]
        try:
            spans = aligner.align(wave, words, spoken).spans
        except Unalignable:
            return ()
        return tuple(
            Timed(word, round(piece.start + span.start / RATE, 3), round(piece.start + span.stop / RATE, 3))
            for word, span in zip(words, spans, strict=True)
            if span
        )

    return tuple(times_of(piece) for piece in speech.pieces)


def character_times(words: Iterable[Timed]) -> tuple[Timed, ...]:
    """Characters of words with their times: the time of a word is shared equally among its characters, an estimate."""
    return tuple(
        Timed(character, round(word.start + number * share, 3), round(word.start + (number + 1) * share, 3))
        for word in words
        for share in [(word.stop - word.start) / len(word.text)]
        for number, character in enumerate(word.text)
    )


def srt(cues: Iterable[Timed]) -> str:
    """Subtitles in SubRip format, one for each cue, in order; line breaks in a text become spaces."""
    blocks = (
        f"{number}\n{_clock(cue.start)} --> {_clock(cue.stop)}\n{' '.join(cue.text.split())}\n"
        for number, cue in enumerate(cues, 1)
    )
    return "\n".join(blocks)


def _clock(seconds: Seconds) -> str:
    """Time as hours:minutes:seconds,milliseconds."""
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"

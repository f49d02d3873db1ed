"""Speech of a text from the speech of its pieces, for every kind of voice: cut, synthesise each piece, join, mark.

The pieces are synthesised one by one, with a pause behind each; `[pause:0.5s]` in the text ends a piece and sets its
pause. A voice passes a function that synthesises one piece to `speak_pieces` and `stream_pieces`; both give the same
samples, the watermark included.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from voicemill.model.audio.watermark import Embedder
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.text.bert import CHANNELS, BertFeatures, features
from voicemill.model.text.frontend import Phonemes, language_of, phonemes
from voicemill.model.text.sentences import cut
from voicemill.model.text.symbols import ids
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError
from voicemill.storage.units import RATE, Seconds

FEWEST = 6
"""Number of phones below which a text gets a dot in front, which keeps s1 from swallowing it."""
ENDS = ".!?…,;:。！？，；："
PAUSE = re.compile(r"\[pause:([^\]]*)\]", re.IGNORECASE)
PAUSE_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(s|ms)\s*", re.IGNORECASE)
LONGEST_PAUSE: Seconds = 60.0


@dataclass(frozen=True)
class Piece:
    """Record of one piece of the text."""

    text: str
    normalised: str
    phones: int
    codes: int
    """Number of codes, 25 a second; 0 for a voice without codes."""
    start: Seconds
    stop: Seconds
    """End of the piece in the speech, without the pause behind it."""
    ended: str
    """Reason why the piece ended, in words."""
    unknown: tuple[str, ...]
    """Phones or characters without a pronunciation."""


@dataclass(frozen=True, eq=False)
class Speech:
    """Synthesised speech of a text."""

    wave: Wave
    """float32 [samples], -1..1, 32 kHz."""
    pieces: tuple[Piece, ...]
    rate: int = RATE

    @property
    def seconds(self) -> Seconds:
        return len(self.wave) / self.rate


class SpeechStream(Iterator[Wave]):
    """Speech of a text in chunks float32 [samples], -1..1, 32 kHz, each computed on demand."""

    def __init__(self, chunks: Iterator[Wave], pieces: list[Piece]) -> None:
        self._chunks, self._pieces = chunks, pieces

    def __next__(self) -> Wave:
        return next(self._chunks)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Pieces rendered to their end so far; all of them once the stream has ended."""
        return tuple(self._pieces)


@dataclass(frozen=True, eq=False)
class Line:
    """Input of the models for one piece of the text."""

    text: str
    reading: Phonemes
    phones: Tensor
    """int64 [phones]."""
    bert: Tensor
    """float32 [1024, phones]."""
    before_s: Seconds = 0.0
    """Silence before the piece: a pause that the text begins with."""
    after_s: Seconds | None = None
    """Silence behind it that the text states; None = that of the options."""


@dataclass(eq=False)
class PieceAudio:
    """Speech of one piece."""

    chunks: Iterator[Wave]
    """float32 [samples] each, 32 kHz, in order, each computed on demand."""
    codes: int = 0
    """See `Piece`; set when `chunks` has ended, at the latest. So is `ended`."""
    ended: str = ""


SpeakPiece: TypeAlias = Callable[[int, Line], PieceAudio]
"""Function of the piece's number, from 0, and the piece."""


def lines_of(text: str, options: SpeakOptions, bert: BertFeatures | None = None) -> list[Line]:
    """Pieces of a text as model input. Raises ConfigError where nothing in it can be read."""
    language = language_of(PAUSE.sub(" ", text), options.language)
    lines: list[Line] = []
    before = 0.0
    for part, pause in _stretches(text):
        own = [line_of(piece, language, bert) for piece in cut(part, options.cutting) if piece.strip()]
        own = [line for line in own if any(phone not in ENDS for phone in line.reading.phones)]
        if own and before:
            own[0], before = replace(own[0], before_s=before), 0.0
        lines += own
        if pause is None:
            continue
        if lines:
            stated = 0.0 if own else lines[-1].after_s or 0.0
            lines[-1] = replace(lines[-1], after_s=stated + pause)
        else:
            before += pause
    if not lines:
        raise ConfigError(  # the message is stored, so it leaves out the text, which may be a speaker's own
            f"nothing to say: the text of {len(text)} characters has no word that can be read in {language}"
        )
    return lines


def _stretches(text: str) -> Iterator[tuple[str, Seconds | None]]:
    """Stretches of a text between its pauses, each with the pause behind it, None behind the last.

    Raises ConfigError for a pause that is not written as in `PAUSE`, or is longer than `LONGEST_PAUSE`.
    """
    at = 0
    for match in PAUSE.finditer(text):
        stated = PAUSE_LENGTH.fullmatch(match[1])
        seconds = float(stated[1]) / (1000 if stated[2].lower() == "ms" else 1) if stated else -1.0
        if not 0 <= seconds <= LONGEST_PAUSE:
            raise ConfigError(
                f"the text has {match[0][:40]!r}: expected [pause:0.5s] or [pause:500ms], 0 to {LONGEST_PAUSE:g} s"
            )
        yield text[at : match.start()], seconds
        at = match.end()
    yield text[at:], None


def line_of(text: str, language: str, bert: BertFeatures | None = None) -> Line:
    """Model input of one piece; without `bert` its BERT features are zeros."""
    reading = phonemes(text, language)
    phones, channels = torch.from_numpy(reading.ids), features(reading, bert)
    if 0 < len(phones) < FEWEST:
        phones = torch.cat([torch.from_numpy(ids(["."]).ids), phones])
        channels = torch.cat([torch.zeros(CHANNELS, 1), channels], 1)
    return Line(text, reading, phones, channels)


def with_end_mark(text: str, language: str) -> str:
    """Text with a punctuation mark at its end: without one it sounds unfinished."""
    if text[-1] in ENDS:
        return text
    return text + ("。" if language_of(text, language) in ("zh", "ja", "yue") else ".")


def speak_pieces(lines: list[Line], options: SpeakOptions, speak: SpeakPiece) -> Speech:
    """Synthesise all pieces, join them and add the watermark."""
    waves: list[Wave] = []
    pieces: list[Piece] = []
    at = 0
    for number, line in enumerate(lines):
        audio = speak(number, line)
        wave = np.concatenate(list(audio.chunks))
        before, after = _pauses(line, options)
        pieces.append(_piece(line, audio, at + len(before), len(wave)))
        waves += [before, wave, after]
        at += sum(map(len, waves[-3:]))
    joined = np.concatenate(waves)
    if options.watermark is not None:
        marker = Embedder(options.watermark)
        joined = np.concatenate([marker.push(joined), marker.finish()])
    return Speech(joined, tuple(pieces))


def stream_pieces(lines: list[Line], options: SpeakOptions, speak: SpeakPiece) -> SpeechStream:
    """Speech of `speak_pieces`, chunk by chunk."""
    pieces: list[Piece] = []
    return SpeechStream(_chunks(lines, options, speak, pieces), pieces)


def _chunks(lines: list[Line], options: SpeakOptions, speak: SpeakPiece, pieces: list[Piece]) -> Iterator[Wave]:
    marker = None if options.watermark is None else Embedder(options.watermark)
    at = 0
    for number, line in enumerate(lines):
        before, after = _pauses(line, options)
        yield from _mark(marker, before)
        start = at = at + len(before)
        audio = speak(number, line)
        for chunk in audio.chunks:
            at += len(chunk)
            yield from _mark(marker, chunk)
        pieces.append(_piece(line, audio, start, at - start))
        at += len(after)
        yield from _mark(marker, after)
    if marker and len(rest := marker.finish()):
        yield rest


def _piece(line: Line, audio: PieceAudio, at: int, samples: int) -> Piece:
    return Piece(
        text=line.text.strip(),
        normalised=line.reading.normalised,
        phones=len(line.phones),
        codes=audio.codes,
        start=at / RATE,
        stop=(at + samples) / RATE,
        ended=audio.ended,
        unknown=line.reading.unknown,
    )


def _pauses(line: Line, options: SpeakOptions) -> tuple[Wave, Wave]:
    """Silence before and behind a piece."""
    after = options.pause_s if line.after_s is None else line.after_s
    return np.zeros(round(line.before_s * RATE), np.float32), np.zeros(round(after * RATE), np.float32)


def _mark(marker: Embedder | None, wave: Wave) -> Iterator[Wave]:
    out = marker.push(wave) if marker else wave
    if len(out):
        yield out

"""What every kind of voice does with a text, whatever its networks are: cut it, say each piece, join, mark.

Text is cut into pieces, each said by itself, with a pause behind it. A voice gives `spoken` and `streamed` a function
that says one piece; both give the same samples, the watermark included.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from voicemill.model.audio.watermark import Embedder
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.text.bert import CHANNELS, BertFeatures, features
from voicemill.model.text.frontend import Phonemes, guess_language, phonemes
from voicemill.model.text.sentences import cut
from voicemill.model.text.symbols import ids
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError
from voicemill.storage.units import RATE, Seconds

FEWEST = 6
"""Phones: shorter texts get a dot in front, which keeps s1 from swallowing them."""
ENDS = ".!?…,;:。！？，；："


@dataclass(frozen=True)
class Piece:
    """What became of one piece of the text."""

    text: str
    normalised: str
    phones: int
    codes: int
    """25 a second; 0 of a voice that makes no codes."""
    start: Seconds
    stop: Seconds
    """Where it is in the speech, without the pause behind it."""
    ended: str
    """Why it ended where it does, in words."""
    unknown: tuple[str, ...]
    """Phones or characters that could not be said."""


@dataclass(frozen=True, eq=False)
class Speech:
    """What was said."""

    wave: Wave
    """float32 [samples], -1..1, 32 kHz."""
    pieces: tuple[Piece, ...]
    rate: int = RATE

    @property
    def seconds(self) -> Seconds:
        return len(self.wave) / self.rate


class SpeechStream(Iterator[Wave]):
    """What is being said: chunks float32 [samples], -1..1, 32 kHz, each computed when it is asked for."""

    def __init__(self, chunks: Iterator[Wave], pieces: list[Piece]) -> None:
        self._chunks, self._pieces = chunks, pieces

    def __next__(self) -> Wave:
        return next(self._chunks)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces that were rendered to their end; all of them when the stream has ended."""
        return tuple(self._pieces)


@dataclass(frozen=True, eq=False)
class Line:
    """One piece of the text, as the models take it."""

    text: str
    found: Phonemes
    phones: Tensor
    """int64 [phones]."""
    bert: Tensor
    """float32 [1024, phones]."""


@dataclass(frozen=True, eq=False)
class Said:
    """One piece as a voice says it."""

    chunks: Iterator[Wave]
    """float32 [samples] each, 32 kHz, in order, each computed when it is asked for."""
    codes: int
    ended: str


Say: TypeAlias = Callable[[int, Line], Said]
"""(number of the piece, from 0; the piece)."""


def lines_of(text: str, options: SpeakOptions, bert: BertFeatures | None = None) -> list[Line]:
    """The pieces of a text. Raises ConfigError where nothing in it can be read."""
    language = guess_language(text) if options.language == "auto" else options.language
    lines = [line_of(piece, language, bert) for piece in cut(text, options.cutting) if piece.strip()]
    lines = [line for line in lines if any(phone not in ENDS for phone in line.found.phones)]
    if not lines:
        raise ConfigError(  # without the text, which may be a speaker's own: what is said of it is kept
            f"nothing to say: the text, {len(text)} characters, holds no word that can be read in {language}"
        )
    return lines


def line_of(text: str, language: str, bert: BertFeatures | None = None) -> Line:
    """A piece with its phones, and zeros for BERT features where there is no `bert`."""
    found = phonemes(text, language)
    phones, channels = torch.from_numpy(found.ids), features(found, bert)
    if 0 < len(phones) < FEWEST:
        phones = torch.cat([torch.from_numpy(ids(["."]).ids), phones])
        channels = torch.cat([torch.zeros(CHANNELS, 1), channels], 1)
    return Line(text, found, phones, channels)


def ended(text: str, language: str) -> str:
    """The text with a mark at its end: what has none sounds unfinished."""
    if text[-1] in ENDS:
        return text
    return text + ("。" if (guess_language(text) if language == "auto" else language) in ("zh", "ja", "yue") else ".")


def spoken(lines: list[Line], options: SpeakOptions, say: Say) -> Speech:
    """All pieces said, joined and marked."""
    waves: list[Wave] = []
    pieces: list[Piece] = []
    at = 0
    for number, line in enumerate(lines):
        said = say(number, line)
        wave = np.concatenate(list(said.chunks))
        pieces.append(_piece(line, said, at, len(wave)))
        waves += [wave, _pause(options)]
        at += len(wave) + len(waves[-1])
    joined = np.concatenate(waves)
    if options.watermark is not None:
        marker = Embedder(options.watermark)
        joined = np.concatenate([marker.push(joined), marker.finish()])
    return Speech(joined, tuple(pieces))


def streamed(lines: list[Line], options: SpeakOptions, say: Say) -> SpeechStream:
    """The same, chunk by chunk."""
    pieces: list[Piece] = []
    return SpeechStream(_chunks(lines, options, say, pieces), pieces)


def _chunks(lines: list[Line], options: SpeakOptions, say: Say, pieces: list[Piece]) -> Iterator[Wave]:
    marker = None if options.watermark is None else Embedder(options.watermark)
    at = 0
    for number, line in enumerate(lines):
        said, begun = say(number, line), at
        for chunk in said.chunks:
            at += len(chunk)
            yield from _marked(marker, chunk)
        pieces.append(_piece(line, said, begun, at - begun))
        pause = _pause(options)
        at += len(pause)
        yield from _marked(marker, pause)
    if marker and len(rest := marker.finish()):
        yield rest


def _piece(line: Line, said: Said, at: int, samples: int) -> Piece:
    start, stop, normalised = at / RATE, (at + samples) / RATE, line.found.normalised
    unknown = line.found.unknown
    return Piece(
        text=line.text.strip(),
        normalised=normalised,
        phones=len(line.phones),
        codes=said.codes,
        start=start,
        stop=stop,
        ended=said.ended,
        unknown=unknown,
    )


def _pause(options: SpeakOptions) -> Wave:
    return np.zeros(round(options.pause_s * RATE), np.float32)


def _marked(marker: Embedder | None, wave: Wave) -> Iterator[Wave]:
    out = marker.push(wave) if marker else wave
    if len(out):
        yield out

"""`Voice`: a loaded pair of s1 and s2 that speaks in the voice of any reference.

    voice = Voice.load("s1.ckpt", "s2.pth", content="TencentGameMate/chinese-hubert-base")
    anna = voice.reference(["anna.wav"], "What she says there.", "en")
    speech = voice.speak("Good morning.", anna)            # speech.wave: float32 [samples], 32 kHz

Text is cut into pieces, each said by itself: s1 continues the reference's phones and codes, s2 renders the codes. Every
piece has seeds of its own, so `stream` gives the samples of `speak`, the watermark included. The renderer's windows
round differently: the joined stream is within 1e-4 of the whole in float32, and within 0.05 where the renderer computes
in bfloat16, which is what bfloat16 itself costs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.s1.generate import generate
from model.s1.prefix import Engine, Prefix
from model.s2.synthesizer import Synthesizer
from model.speaking.options import SpeakOptions
from model.speaking.reference import Content, Reference, checked, codes_of, read, voice_of
from model.text.bert import CHANNELS, BertFeatures, features
from model.text.frontend import Phonemes, guess, phonemes
from model.text.sentences import cut
from model.text.symbols import ids
from model.watermark import Embedder
from storage.artifacts import Wave
from storage.errors import ConfigError
from storage.units import RATE, Seconds

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
    start: Seconds
    stop: Seconds
    """Where it is in the speech, without the pause behind it."""
    ended: str
    """Why s1 stopped, in words."""
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
class _Line:
    """One piece of the text, as the models take it."""

    text: str
    found: Phonemes
    phones: Tensor
    bert: Tensor


class Voice:
    """s1, s2 and what they need, on one device. Speaking changes nothing in it: threads may share it."""

    def __init__(self, s1: Engine, s2: Synthesizer, content: Content, bert: BertFeatures | None = None) -> None:
        """`content` is the encoder that s2 was trained with. Without `bert` Chinese has zeros there, as GPT-SoVITS has
        for every other language."""
        self.s1, self.s2, self.content, self.bert = s1, s2.eval(), content, bert
        self.device = s2.ssl_proj.weight.device

    # -- the voice

    def reference(
        self,
        recordings: Sequence[Path | str | Wave],
        text: str = "",
        language: str = "auto",
        sv: Sequence[Tensor] | None = None,
    ) -> Reference:
        """A voice from one or more recordings, 3 to 10 s each: files, or float32 [samples] at 32 kHz.

        `text` is what the first one says; without it s1 is given no example, and what is said then follows the
        recording less in its manner. `sv`: for v2Pro, an ERes2NetV2 embedding float32 [1, 20480] of each recording.

        Raises:
            ConfigError: no recording, one of another length, or a content encoder that does not fit.
            AudioError: a file cannot be decoded.
        """
        if not recordings:
            raise ConfigError("no reference: a voice needs at least one recording of 3 to 10 s")
        waves = [checked(item) if isinstance(item, np.ndarray) else read(item) for item in recordings]
        ge = voice_of(self.s2, waves, sv)
        if not text.strip():
            nothing = torch.zeros(0, dtype=torch.int64)
            return Reference(ge, nothing, nothing, torch.zeros(CHANNELS, 0))
        line = self._line(_ended(text.strip(), language), language)
        return Reference(ge, codes_of(self.s2, self.content, waves[0]), line.phones, line.bert)

    # -- speaking

    def speak(self, text: str, reference: Reference, options: SpeakOptions | None = None) -> Speech:
        """Say a text of any length.

        Raises:
            ConfigError: nothing in the text can be read, or an option is out of its range.
        """
        options = options or SpeakOptions()
        waves: list[Wave] = []
        pieces: list[Piece] = []
        at = 0
        for number, line in enumerate(self._lines(text, options)):
            codes, ended = self._codes(line, reference, options, number)
            z = self._latent(line, codes, reference, options, number)
            with torch.inference_mode():
                wave = self.s2.waveform(z, reference.ge)[0].float().cpu().numpy()
            pieces.append(_piece(line, codes, ended, at, len(wave)))
            waves += [wave, _pause(options)]
            at += len(wave) + len(waves[-1])
        joined = np.concatenate(waves)
        if options.watermark is not None:
            marker = Embedder(options.watermark)
            joined = np.concatenate([marker.push(joined), marker.finish()])
        return Speech(joined, tuple(pieces))

    def stream(self, text: str, reference: Reference, options: SpeakOptions | None = None) -> SpeechStream:
        """What `speak` says, in chunks of about `options.chunk_s` as they are ready: float32 [samples], 32 kHz.

        The first one comes when s1 has spoken the first piece and s2 has rendered so much of it. Raises as `speak`.
        """
        options = options or SpeakOptions()
        pieces: list[Piece] = []
        return SpeechStream(self._stream(self._lines(text, options), reference, options, pieces), pieces)

    def _stream(
        self, lines: list[_Line], reference: Reference, options: SpeakOptions, pieces: list[Piece]
    ) -> Iterator[Wave]:
        marker = None if options.watermark is None else Embedder(options.watermark)
        frames = max(1, round(options.chunk_s * RATE / self.s2.config.hop))
        at = 0
        for number, line in enumerate(lines):
            codes, ended = self._codes(line, reference, options, number)
            z = self._latent(line, codes, reference, options, number)
            begun = at
            with torch.inference_mode():
                for chunk in self.s2.stream(z, reference.ge, frames):
                    at += chunk.shape[-1]
                    yield from _marked(marker, chunk[0].float().cpu().numpy())
            pieces.append(_piece(line, codes, ended, begun, at - begun))
            pause = _pause(options)
            at += len(pause)
            yield from _marked(marker, pause)
        if marker and len(rest := marker.finish()):
            yield rest

    # -- one piece

    def _lines(self, text: str, options: SpeakOptions) -> list[_Line]:
        language = guess(text) if options.language == "auto" else options.language
        lines = [self._line(piece, language) for piece in cut(text, options.cutting) if piece.strip()]
        lines = [line for line in lines if any(phone not in ENDS for phone in line.found.phones)]
        if not lines:
            raise ConfigError(f"nothing to say: {text[:60]!r} holds no word that can be read in {language}")
        return lines

    def _line(self, text: str, language: str) -> _Line:
        found = phonemes(text, language)
        phones, bert = torch.from_numpy(found.ids), features(found, self.bert)
        if 0 < len(phones) < FEWEST:
            phones = torch.cat([torch.from_numpy(ids(["."]).ids), phones])
            bert = torch.cat([torch.zeros(CHANNELS, 1), bert], 1)
        return _Line(text, found, phones, bert)

    def _codes(self, line: _Line, reference: Reference, options: SpeakOptions, number: int) -> tuple[Tensor, str]:
        prefix = Prefix(
            torch.cat([reference.phones, line.phones]), reference.codes, torch.cat([reference.bert, line.bert], 1)
        )
        (made,) = generate(self.s1, [prefix], options.sampling, [options.seed_of(number)], options.max_codes)
        return made.codes, made.stop.value

    def _latent(self, line: _Line, codes: Tensor, reference: Reference, options: SpeakOptions, number: int) -> Tensor:
        """float32 [1, hidden, frames]."""
        generator = torch.Generator().manual_seed(options.seed_of(number))
        with torch.inference_mode():
            here = codes[None].to(self.device), line.phones[None].to(self.device)
            prior = self.s2.prior(*here, reference.ge, options.speed)
            noise = torch.randn(prior.mean.shape, generator=generator).to(prior.mean)
            return self.s2.latent(prior.mean, prior.logs, options.noise_scale, noise)


def _ended(text: str, language: str) -> str:
    """The text with a mark at its end: s1 takes what has none as unfinished."""
    if text[-1] in ENDS:
        return text
    return text + ("。" if (guess(text) if language == "auto" else language) in ("zh", "ja", "yue") else ".")


def _piece(line: _Line, codes: Tensor, ended: str, at: int, samples: int) -> Piece:
    return Piece(
        line.text.strip(),
        line.found.normalised,
        len(line.phones),
        len(codes),
        at / RATE,
        (at + samples) / RATE,
        ended,
        line.found.unknown,
    )


def _pause(options: SpeakOptions) -> Wave:
    return np.zeros(round(options.pause_s * RATE), np.float32)


def _marked(marker: Embedder | None, wave: Wave) -> Iterator[Wave]:
    out = marker.push(wave) if marker else wave
    if len(out):
        yield out

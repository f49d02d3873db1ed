"""`Voice`: a loaded pair of s1 and s2 that speaks in the voice of any reference.

    voice = Voice.load("s1.ckpt", "s2.pth", content="TencentGameMate/chinese-hubert-base")
    anna = voice.reference(["anna.wav"], "What she says there.", "en")
    speech = voice.speak("Good morning.", anna)            # speech.wave: float32 [samples], 32 kHz

Text is cut into pieces, each synthesised by itself: s1 continues the reference's phones and codes, s2 renders the
codes. Every piece has seeds of its own, so `stream` gives the samples of `speak`, the watermark included; with
`SpeakOptions.look_ahead_s` it gives them while s1 still continues the piece. The
renderer's windows round differently: the joined stream is within 1e-4 of the whole in float32, and within 0.05 in
bfloat16, which is the error of bfloat16 itself.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from voicemill.model.s1.generate import each_code, generate
from voicemill.model.s1.prefix import Engine, Prefix
from voicemill.model.s2.inference import Synthesis
from voicemill.model.speaking.blocks import latent_blocks
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.speaking.pieces import (
    Line,
    Piece,
    PieceAudio,
    Speech,
    SpeechStream,
    line_of,
    lines_of,
    speak_pieces,
    stream_pieces,
    with_end_mark,
)
from voicemill.model.speaking.reference import Content, Reference, check, read, reference_codes, voice_vector
from voicemill.model.text.bert import CHANNELS, BertFeatures
from voicemill.model.text.symbols import SYMBOLS
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError
from voicemill.storage.units import RATE

CODES_PER_S = 25
__all__ = ["Piece", "Speech", "SpeechStream", "Voice"]


class Voice:
    """s1, s2, content encoder and BERT on one device. Speaking changes none of them: threads may share a voice."""

    def __init__(self, s1: Engine, s2: Synthesis, content: Content, bert: BertFeatures | None = None) -> None:
        """Join the models: `s2` in eval mode, `content` the encoder that it was trained with. Without `bert` the BERT
        features of Chinese are zeros, as GPT-SoVITS has them for every other language.

        Raises ConfigError for an `s2` that lacks phones of the text front end.
        """
        if s2.config.phones < len(SYMBOLS):
            raise ConfigError(
                f"s2 has {s2.config.phones} phones, the text front end {len(SYMBOLS)}: give an s2 of GPT-SoVITS v2 or "
                "later, or one that voicemill trained"
            )
        self.s1, self.s2, self.content, self.bert = s1, s2, content, bert
        self.device = s2.device

    # -- the voice

    def reference(
        self,
        recordings: Sequence[Path | str | Wave],
        text: str = "",
        language: str = "auto",
        sv: Sequence[Tensor] | None = None,
    ) -> Reference:
        """Make a voice from one or more recordings, 3 to 10 s each: files, or float32 [samples] at 32 kHz.

        `text`: transcript of the first one; without it s1 has no example, and the speech follows the manner of the
        recording less. `sv`: for v2Pro, an ERes2NetV2 embedding float32 [1, 20480] of each recording.

        Raises:
            ConfigError: no recording, one of another length, or a content encoder that does not fit.
            AudioError: a file cannot be decoded.
        """
        if not recordings:
            raise ConfigError("no reference: a voice needs at least one recording of 3 to 10 s")
        waves = [check(item) if isinstance(item, np.ndarray) else read(item) for item in recordings]
        ge = voice_vector(self.s2, waves, sv)
        if not text.strip():
            nothing = torch.zeros(0, dtype=torch.int64)
            return Reference(ge, nothing, nothing, torch.zeros(CHANNELS, 0))
        line = line_of(with_end_mark(text.strip(), language), language, self.bert)
        return Reference(ge, reference_codes(self.s2, self.content, waves[0]), line.phones, line.bert)

    # -- speaking

    def speak(self, text: str, reference: Reference, options: SpeakOptions | None = None) -> Speech:
        """Synthesise a text of any length.

        Raises:
            ConfigError: nothing in the text can be read, or an option is out of its range.
        """
        options = options or SpeakOptions()

        def speak_piece(number: int, line: Line) -> PieceAudio:
            audio, z = self._latent(line, reference, options, number)
            audio.chunks = self._whole(z, reference)
            return audio

        return speak_pieces(lines_of(text, options, self.bert), options, speak_piece)

    def stream(self, text: str, reference: Reference, options: SpeakOptions | None = None) -> SpeechStream:
        """Speech of `speak` in chunks of about `options.chunk_s` as they become ready: float32 [samples], 32 kHz.

        The first chunk comes when s1 has finished the first piece, or with `options.look_ahead_s` its beginning, and s2
        has rendered a chunk of it. Raises as `speak`.
        """
        options = options or SpeakOptions()

        def speak_piece(number: int, line: Line) -> PieceAudio:
            audio, z = self._latent(line, reference, options, number)
            audio.chunks = self._windows(z, reference, options)
            return audio

        return stream_pieces(lines_of(text, options, self.bert), options, speak_piece)

    # -- one piece

    def _whole(self, z: Iterator[Tensor], reference: Reference) -> Iterator[Wave]:
        latent = torch.cat(list(z), -1)
        with torch.inference_mode():
            wave = self.s2.waveform(latent, reference.ge)[0].float().cpu().numpy()
        yield wave

    def _windows(self, z: Iterator[Tensor], reference: Reference, options: SpeakOptions) -> Iterator[Wave]:
        frames = max(1, round(options.chunk_s * RATE / self.s2.config.hop))
        chunks = self.s2.stream(z, reference.ge, frames)
        while True:
            with torch.inference_mode():  # left before the yield: the mode belongs to the thread, which is the caller's
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk[0].float().cpu().numpy()

    def _latent(
        self, line: Line, reference: Reference, options: SpeakOptions, number: int
    ) -> tuple[PieceAudio, Iterator[Tensor]]:
        """Blocks of the latent of one piece, float32 [1, hidden, frames], each computed on demand, and the record of
        the piece, complete when they have ended."""
        audio, seed = PieceAudio(iter(())), options.seed_of(number)
        prefix = Prefix(
            torch.cat([reference.phones, line.phones]), reference.codes, torch.cat([reference.bert, line.bert], 1)
        )
        generator, phones = torch.Generator().manual_seed(seed), line.phones[None].to(self.device)

        def whole() -> Iterator[Tensor]:
            (made,) = generate(self.s1, [prefix], options.sampling, [seed], options.max_codes)
            audio.codes, audio.ended = len(made.codes), made.stop.value
            with torch.inference_mode():
                prior = self.s2.prior(made.codes[None].to(self.device), phones, reference.ge, options.speed)
                noise = torch.randn(prior.mean.shape, generator=generator).to(prior.mean)
                z = self.s2.latent(prior.mean, prior.logs, options.noise_scale, noise)
            yield z

        def codes() -> Iterator[int]:
            made = yield from each_code(self.s1, prefix, options.sampling, seed, options.max_codes)
            audio.codes, audio.ended = len(made.codes), made.stop.value

        if options.look_ahead_s is None:
            return audio, whole()
        ahead = round(options.look_ahead_s * CODES_PER_S)
        return audio, latent_blocks(self.s2, codes(), phones, reference.ge, ahead, options.noise_scale, generator)

"""`LightVoice`: the light system as a voice, with the interface of `voicemill.model.speaking.voice.Voice`.

A reference gives the speaker vector; the acoustic model gives durations and a log-mel of the phones of a piece, the
vocoder its waveform. Nothing is drawn: seed, noise_scale and sampling of the options change nothing. `stream` renders
in windows with the frames to both sides that the vocoder reaches; joined they are within 1e-4 of `speak` in float32,
and within 0.05 where the vocoder computes in bfloat16.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from voicemill.model.audio.mel import HOP, LogMel
from voicemill.model.device import DeviceChoice, Placement, can_pack, place
from voicemill.model.light.config import SpectralConfig
from voicemill.model.light.ge2e import Ge2e
from voicemill.model.light.spectral import reach
from voicemill.model.light.system import LightSystem, Source, load_light
from voicemill.model.s1.engines import Precision
from voicemill.model.s2.generator import Generator, GeneratorSizes, context
from voicemill.model.s2.packed import PackedGenerator
from voicemill.model.s2.weight_norm import fold
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.speaking.pieces import (
    Line,
    PieceAudio,
    Speech,
    SpeechStream,
    lines_of,
    speak_pieces,
    stream_pieces,
)
from voicemill.model.speaking.reference import check, limit_peak, read
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError
from voicemill.storage.units import RATE

ENDED = "every phone was said"
"""Reason why a piece ended, as stored with evaluations: there is no other."""


@dataclass(frozen=True, eq=False)
class LightReference:
    """Speaker ready to speak: made once, used for any number of texts."""

    embedding: Tensor
    """Speaker vector, float32 [dims], of length 1."""


class LightVoice:
    """Three networks on one device. Speaking changes none of them: threads may share a voice."""

    def __init__(self, system: LightSystem, precision: str = "auto", device: DeviceChoice = "auto") -> None:
        """Take over the networks. `precision`: precision of the vocoder on a CPU (auto and int8 are float32); the
        rest, a tenth of the time, computes in float32.

        Raises ConfigError for a precision that this machine does not support.
        """
        where = _place(precision, device)
        self.device = where.device
        fold(system.eval().requires_grad_(False)).to(self.device)
        self.speaker, self.acoustic, self.default_voice = system.speaker, system.acoustic, system.default_voice
        self.vocoder = system.vocoder
        self.reach = reach_of(system.vocoder.config)
        if isinstance(system.vocoder, Generator) and self.device.type == "cpu" and can_pack():
            self.vocoder = PackedGenerator(system.vocoder, where.dtype)
        self._mel = LogMel()

    # -- the voice

    def reference(
        self, recordings: Sequence[Path | str | Wave], text: str = "", language: str = "auto"
    ) -> LightReference:
        """Make a speaker from recordings, 3 to 10 s each: files, or float32 [samples] at 32 kHz; the mean of their
        vectors. Without any it is the default voice. `text` and `language` are ignored.

        Raises:
            ConfigError: no recording and no default voice, or one of another length.
            AudioError: a file cannot be decoded.
            ModelMissing: the speaker encoder is the embedded one, which is not installed.
        """
        if not recordings:
            if self.default_voice is None:
                raise ConfigError("no reference: this voice needs at least one recording of 3 to 10 s")
            return LightReference(self.default_voice)
        waves = [limit_peak(check(item) if isinstance(item, np.ndarray) else read(item)) for item in recordings]
        with torch.inference_mode():
            if isinstance(self.speaker, Ge2e):
                embeddings = self.speaker.embed_waves(waves)
            else:
                mels = [self._mel.mel(torch.from_numpy(wave)[None]).to(self.device) for wave in waves]
                embeddings = torch.cat([self.speaker.embed(mel) for mel in mels])
            return LightReference(normalize(embeddings.mean(0), dim=0))

    # -- speaking

    def speak(self, text: str, reference: LightReference, options: SpeakOptions | None = None) -> Speech:
        """Synthesise a text of any length. Raises ConfigError where nothing in the text can be read, or an option is
        out of its range."""
        options = options or SpeakOptions()

        def speak_piece(_: int, line: Line) -> PieceAudio:
            return PieceAudio(self._whole(self._log_mel(line, reference, options)), 0, ENDED)

        return speak_pieces(lines_of(text, options), options, speak_piece)

    def stream(self, text: str, reference: LightReference, options: SpeakOptions | None = None) -> SpeechStream:
        """Speech of `speak` in chunks of about `options.chunk_s` as they become ready: float32 [samples], 32 kHz.

        The first chunk comes after the log-mel of the first piece and the rendering of a chunk. Raises as `speak`.
        """
        options = options or SpeakOptions()
        frames = max(1, round(options.chunk_s * RATE / HOP))

        def speak_piece(_: int, line: Line) -> PieceAudio:
            return PieceAudio(self._windows(self._log_mel(line, reference, options), frames), 0, ENDED)

        return stream_pieces(lines_of(text, options), options, speak_piece)

    # -- one piece

    def _log_mel(self, line: Line, reference: LightReference, options: SpeakOptions) -> Tensor:
        """Log-mel of one piece, float32 [128, frames]."""
        with torch.inference_mode():
            phones = line.phones.to(self.device)
            return self.acoustic.speak(phones, reference.embedding.to(self.device), options.speed)

    def _whole(self, mel: Tensor) -> Iterator[Wave]:
        yield self._render(mel)

    def _windows(self, mel: Tensor, frames: int) -> Iterator[Wave]:
        reach, total = self.reach, mel.shape[-1]
        for start in range(0, total, frames):
            stop = min(start + frames, total)
            left = max(0, start - reach)
            wave = self._render(mel[:, left : min(stop + reach, total)])
            yield wave[(start - left) * HOP : (stop - left) * HOP]

    def _render(self, mel: Tensor) -> Wave:
        """float32 [128, frames] -> float32 [samples]."""
        with torch.inference_mode():
            wave: Wave = self.vocoder(mel[None])[0, 0].float().cpu().numpy()
        return wave


def load_light_voice(source: Source, precision: str = "auto", device: DeviceChoice = "auto") -> LightVoice:
    """Load a voice from the file of a light system.

    Raises:
        CheckpointError: as `voicemill.model.light.system.load_light`.
        ConfigError: this machine does not support the precision.
    """
    return LightVoice(load_light(source), precision, device)


def reach_of(config: GeneratorSizes | SpectralConfig) -> int:
    """Number of frames to each side that one frame of the waveform depends on."""
    return reach(config) if isinstance(config, SpectralConfig) else context(config)


def _place(precision: str, device: DeviceChoice) -> Placement:
    """Device of the networks and dtype of the vocoder."""
    if precision not in get_args(Precision):
        raise ConfigError(f"precision = {precision!r}: expected {', '.join(get_args(Precision))}")
    if precision in ("bfloat16", "float16"):
        return place(device, "bfloat16" if precision == "bfloat16" else "float16")
    # float32 is fast enough, and bfloat16 is audible where speech is soft: half a neper of the log-mel in a vocoder
    # that was trained for minutes
    return place(device, "float32")

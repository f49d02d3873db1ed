"""The voice that is cloned: recordings of 3 to 10 s, what s1 continues and what s2 colours its sound with.

The steps are those of GPT-SoVITS v2: the spectrogram of the recording at 32 kHz gives the vector of the voice; its
content features at 16 kHz, with 0.6 s of silence behind them, give the codes that s1 continues. Several recordings give
one averaged vector; the codes come from the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voicemill.model.audio.mel import LogMel
from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.s2.inference import Synthesis
from voicemill.storage.audio.reading import open_audio, read_samples
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError
from voicemill.storage.units import RATE, Seconds

SHORTEST: Seconds = 3.0
LONGEST: Seconds = 10.0
TAIL = 9600
"""Samples at 16 kHz of silence behind a reference: 0.6 s, where the original means 0.3 s and counts them at 32 kHz."""


class Content(Protocol):
    """What hears the reference: a HuBERT of the dimensions that s2 was trained with (model/speech/content.py)."""

    dims: int

    def encode(self, waves: Sequence[Wave]) -> list[NDArray[np.float32]]:
        """float32 [samples] at 16 kHz each -> float32 [frames, dims] each, 50 Hz."""


@dataclass(frozen=True, eq=False)
class Reference:
    """A voice, ready to speak: made once, used for any number of texts."""

    ge: Tensor
    """float32 [1, style, 1]: the voice."""
    codes: Tensor
    """int64 [codes]: what the first recording says, 25 a second; empty = s1 is given no example."""
    phones: Tensor
    """int64 [phones] of what it says; empty without a text."""
    bert: Tensor
    """float32 [1024, phones]."""


def read(path: Path | str) -> Wave:
    """A recording of any format -> float32 [samples], mono, 32 kHz.

    Raises:
        ConfigError: there is no such file, or it is not 3 to 10 s long.
        AudioError: it cannot be decoded.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"reference {path} is not a file: give a recording of {SHORTEST:g} to {LONGEST:g} s")
    with open_audio(path) as source:
        wave = np.concatenate([*read_samples(source), np.zeros(0, np.float32)])
    return checked(wave, str(path))


def checked(wave: Wave, name: str = "the reference") -> Wave:
    """The wave itself; ConfigError unless it is finite, mono, 3 to 10 s long and not silent."""
    if wave.ndim != 1 or not np.isfinite(wave).all():
        raise ConfigError(f"{name}: expected finite float32 [samples], got {wave.dtype} {wave.shape}")
    seconds = len(wave) / RATE
    if not SHORTEST <= seconds <= LONGEST:
        raise ConfigError(
            f"{name} is {seconds:.2f} s long: a reference is {SHORTEST:g} to {LONGEST:g} s of one person speaking. "
            "Cut it, or take another recording"
        )
    if not wave.any():
        raise ConfigError(f"{name} is digital silence: a reference is {SHORTEST:g} to {LONGEST:g} s of speech")
    return wave


def voice_of(s2: Synthesis, waves: Sequence[Wave], sv: Sequence[Tensor] | None = None) -> Tensor:
    """Recordings (32 kHz) -> float32 [1, style, 1], the mean of their voices; `sv`: see `Synthesizer.reference`."""
    log_mel, device = LogMel(), s2.device
    with torch.inference_mode():
        spectrograms = [log_mel.spectrogram(torch.from_numpy(bounded(wave))[None]).to(device) for wave in waves]
        return s2.reference(spectrograms, sv)


def codes_of(s2: Synthesis, content: Content, wave: Wave) -> Tensor:
    """A recording (32 kHz) -> int64 [codes] of it and of 0.6 s of silence.

    Raises ConfigError for an encoder of other dimensions than s2 was made for.
    """
    if content.dims != s2.config.ssl_dim:
        raise ConfigError(
            f"the content encoder gives {content.dims} dimensions, this s2 takes {s2.config.ssl_dim}: name the encoder "
            "that s2 was trained with (GPT-SoVITS: TencentGameMate/chinese-hubert-base)"
        )
    heard = np.concatenate([to_16_khz(bounded(wave)), np.zeros(TAIL, np.float32)])
    features = torch.from_numpy(content.encode([heard])[0]).to(s2.device)
    with torch.inference_mode():
        return s2.codes(features.T[None])[0].cpu()


def bounded(wave: Wave) -> Wave:
    """float32 [samples]. Samples over full scale, which some decoders give, are brought back, by half at most."""
    peak = float(np.abs(wave).max(initial=0.0))
    return (wave / min(2.0, peak)).astype(np.float32) if peak > 1 else wave.astype(np.float32)

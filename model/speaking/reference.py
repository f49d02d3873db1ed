"""The reference of a cloned voice: recordings of 3 to 10 s become a voice vector for s2 and codes that s1 continues.

The steps are those of GPT-SoVITS v2: the spectrogram of the recording at 32 kHz gives the voice vector; its content
features at 16 kHz, with 0.6 s of silence behind them, give the codes that s1 continues. Several recordings give one
averaged vector; the codes come from the first.
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
"""Silence behind a reference, samples at 16 kHz: 0.6 s, as in the original, which counts 0.3 s at 32 kHz."""


class Content(Protocol):
    """Content encoder with the dimensions that s2 was trained with (model/content/pretrained.py)."""

    dims: int

    def encode(self, waves: Sequence[Wave]) -> list[NDArray[np.float32]]:
        """Features of waves: float32 [samples] at 16 kHz each -> float32 [frames, dims] each, 50 Hz."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Voice ready to speak: made once, used for any number of texts."""

    ge: Tensor
    """Voice vector, float32 [1, style, 1]."""
    codes: Tensor
    """Codes of the first recording, int64 [codes], 25 a second; empty = s1 has no example."""
    phones: Tensor
    """Phones of its text, int64 [phones]; empty without a text."""
    bert: Tensor
    """BERT features of its text, float32 [1024, phones]."""


def read(path: Path | str) -> Wave:
    """Read a recording of any format: float32 [samples], mono, 32 kHz.

    Raises:
        ConfigError: there is no such file, or it is not 3 to 10 s long.
        AudioError: it cannot be decoded.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"reference {path} is not a file: give a recording of {SHORTEST:g} to {LONGEST:g} s")
    with open_audio(path) as source:
        wave = np.concatenate([*read_samples(source), np.zeros(0, np.float32)])
    return check(wave, str(path))


def check(wave: Wave, name: str = "the reference") -> Wave:
    """Return the wave itself; raise ConfigError unless it is finite, mono, 3 to 10 s long and not silent."""
    if wave.ndim != 1 or not np.isfinite(wave).all():
        raise ConfigError(f"{name}: expected finite float32 [samples], got {wave.dtype} {wave.shape}")
    seconds = len(wave) / RATE
    if not SHORTEST <= seconds <= LONGEST:
        raise ConfigError(
            f"{name} is {seconds:.2f} s long: a reference is {SHORTEST:g} to {LONGEST:g} s of one person speaking. "
            "Cut it, or give another recording"
        )
    if not wave.any():
        raise ConfigError(f"{name} is digital silence: a reference is {SHORTEST:g} to {LONGEST:g} s of speech")
    return wave


def voice_vector(s2: Synthesis, waves: Sequence[Wave], sv: Sequence[Tensor] | None = None) -> Tensor:
    """Mean voice vector of recordings (32 kHz), float32 [1, style, 1]; `sv`: see `Synthesizer.reference`."""
    log_mel, device = LogMel(), s2.device
    with torch.inference_mode():
        spectrograms = [log_mel.spectrogram(torch.from_numpy(limit_peak(wave))[None]).to(device) for wave in waves]
        return s2.reference(spectrograms, sv)


def reference_codes(s2: Synthesis, content: Content, wave: Wave) -> Tensor:
    """Codes of a recording (32 kHz) followed by 0.6 s of silence, int64 [codes].

    Raises ConfigError for an encoder with other dimensions than s2 needs.
    """
    if content.dims != s2.config.ssl_dim:
        raise ConfigError(
            f"the content encoder gives {content.dims} dimensions, this s2 needs {s2.config.ssl_dim}: name the encoder "
            "that s2 was trained with (GPT-SoVITS: TencentGameMate/chinese-hubert-base)"
        )
    padded = np.concatenate([to_16_khz(limit_peak(wave)), np.zeros(TAIL, np.float32)])
    features = torch.from_numpy(content.encode([padded])[0]).to(s2.device)
    with torch.inference_mode():
        return s2.codes(features.T[None])[0].cpu()


def limit_peak(wave: Wave) -> Wave:
    """Scale a wave that exceeds full scale, as from some decoders, down by half at most: float32 [samples]."""
    peak = float(np.abs(wave).max(initial=0.0))
    return (wave / min(2.0, peak)).astype(np.float32) if peak > 1 else wave.astype(np.float32)

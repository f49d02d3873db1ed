"""The log-mel spectrogram of the whole system: preparation, training and inference compute it here.

32 kHz, n_fft = window 2048 (Hann), hop 640, reflect padding of 704 on both sides, magnitude sqrt(re^2 + im^2 + 1e-8);
128 bands (librosa, slaney scale and norm, 0 to 16 kHz); natural log, clamped at 1e-5. Frame i is centred on sample
640 i + 320, and there are samples // 640 of them. The definition is that of GPT-SoVITS v2, whose checkpoints expect it.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voicemill.storage.units import RATE

N_FFT = 2048
HOP = 640
BANDS = 128
PAD = (N_FFT - HOP) // 2
FLOOR = 1e-5
"""Magnitudes below it are clamped before the log: the smallest value of a log-mel is log(1e-5) = -11.5."""

CHUNK = 100
"""Frames that `LogMel.frames` computes at a time: their spectra fit the second-level cache (1.6 x the speed)."""


class LogMel(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Spectrogram and log-mel of waveforms; differentiable, on the device of its buffers."""

    window: Tensor
    bank: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        self.register_buffer("bank", torch.from_numpy(mel_bank()), persistent=False)

    def spectrogram(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Magnitudes of float32 [batch, samples], 32 kHz: float32 [batch, 1025, samples // 640].

        `lengths`: frames (of 640 samples) of each row before its padding, int64 [batch], 2 or more; a row then has the
        frames that it has alone, followed by zeros. Raises ValueError for fewer than 705 samples, too short to reflect.
        """
        if lengths is None:
            return self._magnitudes(reflect_pad(wave)).transpose(1, 2)
        magnitudes = self._magnitudes(reflect_pad(wave, lengths * HOP)).transpose(1, 2)
        return magnitudes * (torch.arange(magnitudes.shape[-1], device=wave.device) < lengths[:, None])[:, None]

    def mel(self, wave: Tensor) -> Tensor:
        """Log-mel of float32 [batch, samples], 32 kHz: float32 [batch, 128, samples // 640]."""
        return self._log(self._magnitudes(reflect_pad(wave)) @ self.bank.T).transpose(1, 2)

    def from_spectrogram(self, spectrogram: Tensor) -> Tensor:
        """Log-mel [batch, 128, frames] of magnitudes [batch, 1025, frames]."""
        return self._log(self.bank @ spectrogram)

    def cut(self, wave: Tensor, lengths: Tensor, starts: Tensor, frames: int) -> Tensor:
        """Log-mel float32 [batch, 128, frames] of each row of float32 [batch, samples] from frame `starts` on.

        Columns of `from_spectrogram(spectrogram(wave, lengths))` at the cost of the piece alone; the floor behind the
        end of a row. `lengths`, `starts`: int64 [batch].
        """
        at = (starts[:, None] * HOP + torch.arange(-PAD, frames * HOP + PAD, device=wave.device)).abs()
        last = lengths[:, None] * HOP - 1
        piece = wave.gather(-1, (last - (last - at).abs()).clamp(min=0))
        real = starts[:, None] + torch.arange(frames, device=wave.device) < lengths[:, None]
        return self.from_spectrogram(self._magnitudes(piece).transpose(1, 2) * real[:, None])

    def frames(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-mel of one waveform, float32 [samples], 32 kHz, computed in chunks: float32 [samples // 640, 128]."""
        with torch.inference_mode():
            whole = reflect_pad(torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))[None])
            total = len(wave) // HOP
            parts = [
                self._log(self._magnitudes(whole[:, HOP * i : HOP * (min(i + CHUNK, total) - 1) + N_FFT]) @ self.bank.T)
                for i in range(0, total, CHUNK)
            ]
            result: NDArray[np.float32] = torch.cat(parts, 1)[0].numpy()
        return result

    def _magnitudes(self, padded_wave: Tensor) -> Tensor:
        """float32 [batch, samples] -> [batch, frames, 1025]."""
        spectrum = torch.view_as_real(torch.fft.rfft(padded_wave.unfold(-1, N_FFT, HOP) * self.window))
        squares = spectrum * spectrum
        return (squares[..., 0] + squares[..., 1] + 1e-8).sqrt()

    @staticmethod
    def _log(mel: Tensor) -> Tensor:
        return mel.clamp(min=FLOOR).log()


def reflect_pad(wave: Tensor, samples: Tensor | None = None) -> Tensor:
    """Extend float32 [batch, samples] by reflection at both ends to [batch, samples + 1408].

    `samples`: length of each row before its padding, int64 [batch], 705 or more; the row is reflected there. Raises
    ValueError for fewer than 705 samples.
    """
    if wave.shape[-1] <= PAD:
        raise ValueError(f"a log-mel needs at least {PAD + 1} samples (22 ms), got {wave.shape[-1]}")
    if samples is None:
        return nn.functional.pad(wave, (PAD, PAD), mode="reflect")
    at = torch.arange(-PAD, wave.shape[-1] + PAD, device=wave.device).abs()
    last = samples[:, None] - 1
    return wave.gather(-1, (last - (last - at).abs()).clamp(min=0))


def mel_bank() -> NDArray[np.float32]:
    """Weight of each bin in each band, float32 [128, 1025]."""
    from librosa.filters import mel

    bank: NDArray[np.float32] = mel(sr=RATE, n_fft=N_FFT, n_mels=BANDS, fmin=0, fmax=RATE / 2)
    return bank

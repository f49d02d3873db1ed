"""GE2E speaker encoder: a window of speech becomes a vector of length 1 that names its voice.

Method: power mel spectrogram (16 kHz, Hann 25 ms, hop 10 ms, 40 slaney bands, no log), 3 LSTM layers of 256, a linear
layer, ReLU, unit length (Wan et al., "Generalized end-to-end loss for speaker verification", ICASSP 2018, as
Resemblyzer trained it). A segment is read in windows of 1.6 s whose mean is its vector; low levels are raised to
-30 dBFS first, as in training. The weights are those of the wheel `resemblyzer`, read as data (`model/embedded.py`).
Windows of several segments go through the LSTM in one batch of a fixed size, filled up with zeros, so that the bytes of
one segment do not depend on its neighbours.
Cost: see `tests/bench/speaker.py`.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voicemill.model.speaker.comparison import unit
from voicemill.storage.corpus.artifacts import Wave

Vectors = NDArray[np.float32]

RATE, N_FFT, HOP, BANDS = 16_000, 400, 160, 40
DIMS = 256
WINDOW, STEP = 160, 77
"""Frames of 10 ms: length of a window, and from one window to the next (1.3 windows a second, as Resemblyzer)."""
COVERAGE = 0.75
"""Share of the last window that the segment must fill; with less it is left out."""
LEVEL = 10 ** (-30 / 20)
"""RMS to which quieter segments are raised."""
BATCH = 64
"""Windows in one pass of the LSTM."""


class Encoder(nn.Module):  # type: ignore[misc]  # torch is not followed
    """The network, with the mel spectrogram in front of it."""

    window: Tensor
    bank: Tensor

    def __init__(self) -> None:
        super().__init__()
        from librosa.filters import mel

        self.lstm = nn.LSTM(BANDS, DIMS, 3, batch_first=True)
        self.linear = nn.Linear(DIMS, DIMS)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        self.register_buffer("bank", torch.from_numpy(mel(sr=RATE, n_fft=N_FFT, n_mels=BANDS)), persistent=False)

    @classmethod
    def load(cls, file: Path, dtype: torch.dtype = torch.float32) -> "Encoder":
        """Read the weights from a checkpoint of Resemblyzer; nothing in it is run. `dtype`: that of the LSTM."""
        state = torch.load(file, map_location="cpu", weights_only=True)["model_state"]
        model = cls()
        model.load_state_dict({name: state[name] for name in model.state_dict()})
        model.eval()
        model.lstm.to(dtype)
        return model

    def forward(self, mels: Tensor) -> Tensor:
        """Vectors float32 [windows, 256], of length 1, of mel spectrograms float32 [windows, 160, 40]."""
        hidden = self.lstm(mels.to(self.lstm.weight_ih_l0.dtype))[1][0][-1].float()
        return nn.functional.normalize(torch.relu(self.linear(hidden)), dim=-1)

    def windows(self, wave: Wave, step: int = STEP) -> tuple[Tensor, NDArray[np.int64]]:
        """Mel spectrograms float32 [windows, 160, 40] of float32 [samples], 16 kHz, and the first frame of each."""
        starts = window_starts(len(wave), step)
        level = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0
        signal = torch.from_numpy(np.ascontiguousarray(wave)) * (LEVEL / level if 0 < level < LEVEL else 1.0)
        short = (int(starts[-1]) + WINDOW) * HOP - len(wave)
        padded = nn.functional.pad(signal, (N_FFT // 2, N_FFT // 2 + max(short, 0)))
        spectrum = torch.view_as_real(torch.fft.rfft(padded.unfold(-1, N_FFT, HOP) * self.window))
        mels = spectrum.square().sum(-1) @ self.bank.T
        return torch.stack([mels[start : start + WINDOW] for start in starts]), starts

    def embed_windows(self, waves: Iterable[Wave], step: int = STEP) -> list[Vectors]:
        """Vectors float32 [windows, 256] of each of float32 [samples], 16 kHz, with a window every `step` frames."""
        with torch.inference_mode():
            mels = [self.windows(wave, step)[0] for wave in waves]
            if not mels:
                return []
            flat = torch.cat(mels)
            short = -len(flat) % BATCH
            flat = torch.cat([flat, flat.new_zeros(short, WINDOW, BANDS)])
            vectors: Vectors = torch.cat([self(part) for part in flat.split(BATCH)]).numpy()
        return np.split(vectors[: len(flat) - short], np.cumsum([len(part) for part in mels])[:-1])

    def embed_segments(self, waves: Iterable[Wave]) -> Vectors:
        """Vectors float32 [segments, 256], of length 1, of float32 [samples], 16 kHz: means of their windows."""
        means = [windows.mean(0) for windows in self.embed_windows(waves)]
        return unit(np.stack(means)) if means else np.zeros((0, DIMS), np.float32)


def window_starts(samples: int, step: int = STEP) -> NDArray[np.int64]:
    """First frame of every window over so many samples at 16 kHz: one window at least."""
    frames = -(-(samples + 1) // HOP)
    starts = np.arange(0, max(1, frames - WINDOW + step + 1), step)
    if len(starts) > 1 and (samples / HOP - starts[-1]) / WINDOW < COVERAGE:
        starts = starts[:-1]
    return starts

"""Mel-frequency cepstra at 50 Hz, content features that need no model; plain, or normalised by utterance.

Plain cepstra carry the long-term spectrum of voice and room: a linear probe names one of 15 speakers in 63 % of the
frames. Mean and variance normalisation over the utterance (Viikki and Laurila, Speech Communication 25, 1998) brings
that to 7 %, about chance, and phones of other speakers are found more often (`tests/bench/content.py`).

Digital silence, which no corpus has but every reference ends in (0.6 s), would halve the scale of the speech before it.
So it does not count, and where cepstra are normalised each band is at least its 5 % quantile over the frames that do.
"""

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from voicemill.model.content.pretrained import FIELD, HOP, Features
from voicemill.storage.corpus.artifacts import Wave

LIMIT = 8.0
"""Largest normalised value, standard deviations, so that a click cannot decide a distance alone."""
FLOOR = 0.05
"""Quantile of a band below which it is not followed."""


class Mfcc:
    """39 values a frame at 50 Hz: 13 cepstral coefficients of 40 mel bands and their first and second differences.

    Davis and Mermelstein, IEEE Trans. ASSP 28(4), 1980; 25 ms Hamming windows every 20 ms, pre-emphasis 0.97,
    regression over two frames on each side (HTK Book 5.9). The frames are those of HuBERT.
    """

    dims = 39

    def __init__(self, normalise: bool = False) -> None:
        """`normalise`: mean 0 and variance 1 of each value over the utterance."""
        self.normalise = normalise

    @cached_property
    def _tables(self) -> tuple[Tensor, Tensor, Tensor]:
        from librosa.filters import mel

        bank = torch.from_numpy(mel(sr=16_000, n_fft=512, n_mels=40, fmin=20, fmax=7600, htk=True, norm=None))
        n, k = torch.arange(40) + 0.5, torch.arange(13)[:, None]
        cosine = torch.cos(math.pi / 40 * k * n) * math.sqrt(2 / 40)
        cosine[0] /= math.sqrt(2)
        return torch.hamming_window(FIELD, periodic=False), bank, cosine

    def encode(self, waves: Sequence[Wave]) -> list[Features]:
        """Features of each wave (float32 [samples], 16 kHz, at least 400): float32 [frames, 39]."""
        return [self._one(wave) for wave in waves]

    def _one(self, wave: Wave) -> Features:
        if len(wave) < FIELD:
            raise ValueError(f"content features need at least {FIELD} samples (25 ms) at 16 kHz, got {len(wave)}")
        window, bank, cosine = self._tables
        with torch.inference_mode():
            x = torch.from_numpy(np.append(wave[:1], wave[1:] - np.float32(0.97) * wave[:-1]))
            spectrum = torch.view_as_real(torch.fft.rfft(x.unfold(0, FIELD, HOP) * window, 512))
            power = (spectrum * spectrum).sum(-1)
            bands = (power @ bank.T).clamp(min=1e-10).log()
            counted = (power.sum(1) > 0).nonzero()[:, 0] if self.normalise else torch.empty(0)
            if len(counted):
                bands = bands.maximum(bands[counted].quantile(FLOOR, 0))
            cepstra = bands @ cosine.T
            first = differences(cepstra)
            features = torch.cat([cepstra, first, differences(first)], 1)
            if self.normalise:
                features = normalised(features, counted)
            result: Features = features.numpy()
        return result


def normalised(features: Tensor, counted: Tensor) -> Tensor:
    """Features of mean 0 and variance 1 over the utterance: float32 [frames, dims] -> the same shape, -8..8.

    `counted`: int64, frames whose mean and variance count; none = all.
    """
    part = features[counted] if len(counted) else features
    mean, deviation = part.mean(0), part.std(0, correction=0).clamp(min=1e-3)
    return ((features - mean) / deviation).clamp(-LIMIT, LIMIT)


def differences(x: Tensor) -> Tensor:
    """Slope over two frames on each side, edges repeated: [frames, dims] -> the same shape."""
    padded = torch.cat([x[:1], x[:1], x, x[-1:], x[-1:]])
    n = len(x)
    return (padded[3 : n + 3] - padded[1 : n + 1] + 2 * (padded[4 : n + 4] - padded[:n])) / 10

"""How far the pitch of a rendered piece is from the pitch that the corpus says: a differentiable loss in octaves.

Salience of a pitch after SWIPE (Camacho and Harris, "A sawtooth waveform inspired pitch estimator for speech and
music", JASA 124(3), 2008): the root of the magnitudes times a cosine over frequency that is 1 at the harmonics, -1
between them, and decays as a sawtooth's. What lies between harmonics counts against a pitch, so that its octave above
is not as good; the decay makes the octave below worse. Simplified: one window (64 ms), every harmonic, and bins in
place of ERB bands.

The saliences of all candidates become a distribution (softmax), and the loss of a frame is the expected distance of it
to the corpus's pitch: the earth mover's distance to a single point. Unlike the distance of the mean, an octave error on
each side does not cancel out. A tone that agrees has a hundredth of an octave, not 0: the width of the peak.
"""

import math

import torch
from torch import Tensor, nn

from voicemill.model.audio.mel import N_FFT, LogMel
from voicemill.storage.units import RATE, Hertz

LOWEST: Hertz = 60.0
HIGHEST: Hertz = 800.0
TOP: Hertz = 4000.0
"""Harmonics above it are noise in speech."""
STEPS = 48
"""Candidates of an octave: a quarter of a semitone."""
SHARPNESS = 20.0
"""Salience is -1..1; a difference of 1 / SHARPNESS makes a candidate e times as likely."""


class PitchLoss(nn.Module):  # type: ignore[misc]  # torch is not followed
    """A table and a product with it; runs where its buffers are, in float32."""

    octaves: Tensor
    kernels: Tensor

    def __init__(self) -> None:
        super().__init__()
        steps = int(STEPS * math.log2(HIGHEST / LOWEST)) + 1
        octaves = math.log2(LOWEST) + torch.arange(steps) / STEPS
        self.register_buffer("octaves", octaves, persistent=False)
        self.register_buffer("kernels", _kernels(octaves), persistent=False)
        self.spectrum = LogMel()

    def forward(self, wave: Tensor, f0: Tensor) -> Tensor:
        """float32 [batch, samples], 32 kHz, and float32 [batch, frames], Hz, 0 = unvoiced; frames = samples // 640
        -> float32 [batch]: octaves a frame, unvoiced frames counted as 0.

        Pitches outside 60..800 Hz count as the nearest of the two.
        """
        wanted = f0.clamp(LOWEST, HIGHEST).log2()
        distance = (self.octaves - wanted[..., None]).abs()
        return ((self.chances(wave) * distance).sum(-1) * (f0 > 0)).mean(-1)

    def chances(self, wave: Tensor) -> Tensor:
        """float32 [batch, samples] -> float32 [batch, frames, candidates], each frame adds up to 1."""
        loud = self.spectrum.spectrogram(wave)[:, : self.kernels.shape[1]].mT.sqrt()
        salience = (loud @ self.kernels.T) / loud.norm(dim=-1, keepdim=True)  # magnitudes are 1e-4 or more
        return (SHARPNESS * salience).softmax(-1)


def _kernels(octaves: Tensor) -> Tensor:
    """[candidates] log2 Hz -> float32 [candidates, bins]: cos(2 pi f / f0) / sqrt(f) from f0 / 4 to `TOP`, half as high
    below 3/4 f0 (there lies one lobe, not two), of length 1."""
    bins = torch.arange(int(TOP / RATE * N_FFT)) * (RATE / N_FFT)
    ratio = bins / octaves.exp2()[:, None]
    lobes = torch.where(ratio < 0.25, 0.0, torch.where(ratio < 0.75, 0.5, 1.0)) * (2 * math.pi * ratio).cos()
    shaped = lobes / bins.clamp(min=1).sqrt()
    return shaped / shaped.clamp(min=0).norm(dim=-1, keepdim=True)

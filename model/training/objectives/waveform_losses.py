"""Losses that compare a rendered piece of speech with the real one, beside those of GPT-SoVITS: pitch, voice, spectra.

Pitch (`PitchLoss`): a differentiable distance in octaves to the pitch that the corpus states. The salience of a pitch
follows SWIPE (Camacho and Harris, "A sawtooth waveform inspired pitch estimator for speech and music", JASA 124(3),
2008): the root of the magnitudes times a cosine over frequency that is 1 at the harmonics, -1 between them, and decays
as a sawtooth's. Energy between harmonics counts against a pitch, so that its octave above is not as good; the decay
makes the octave below worse. Simplified: one window (64 ms), every harmonic, and bins in place of ERB bands. The
saliences of all candidates become a distribution (softmax), and the loss of a frame is its expected distance to the
pitch of the corpus: the earth mover's distance to a single point. Unlike the distance of the mean, an octave error on
each side does not cancel out. A tone that agrees has a hundredth of an octave, not 0: the width of the peak.

Voice (`speaker_loss`): cosine distance of two speaker embeddings. The encoder is frozen and can be any function of
waves; a verification network judges voices best (as in YourTTS, Casanova et al. 2022). Without one the reference
encoder of the checkpoint that training started from serves (`ReferenceVoice`): it knows voices, since all that s2
renders is made from its vector, but it was never trained to tell them apart.

Spectra (`StftLoss`): the distance at three resolutions (Yamamoto et al. 2020, "Parallel WaveGAN"). For each resolution
the relative distance of the magnitudes, which the loud parts decide, and the mean distance of their logs, which all
parts do. The log-mel of the system covers 64 ms at a time; the shortest window here 16 ms.
"""

import copy
import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from voicemill.model.audio.mel import N_FFT, LogMel
from voicemill.model.s2.encoders import ReferenceEncoder
from voicemill.model.s2.layers import mask
from voicemill.storage.units import RATE, Hertz

LOWEST: Hertz = 60.0
HIGHEST: Hertz = 800.0
TOP: Hertz = 4000.0
"""Harmonics above it are noise in speech."""
STEPS = 48
"""Candidates per octave: one each quarter of a semitone."""
SHARPNESS = 20.0
"""Salience is -1..1; a difference of 1 / SHARPNESS makes a candidate e times as likely."""


class PitchLoss(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Distance in octaves to a given pitch; a table and a product with it, in float32 where its buffers are."""

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
        """Return octaves per frame, float32 [batch], unvoiced frames counted as 0, of waves float32 [batch, samples],
        32 kHz, and F0 float32 [batch, frames], Hz, 0 = unvoiced; frames = samples // 640.

        Pitches outside 60..800 Hz count as the nearest of the two.
        """
        wanted = f0.clamp(LOWEST, HIGHEST).log2()
        distance = (self.octaves - wanted[..., None]).abs()
        return ((self.chances(wave) * distance).sum(-1) * (f0 > 0)).mean(-1)

    def chances(self, wave: Tensor) -> Tensor:
        """Return the distribution over the candidates, float32 [batch, frames, candidates], of waves float32 [batch,
        samples]; each frame adds up to 1."""
        loud = self.spectrum.spectrogram(wave)[:, : self.kernels.shape[1]].mT.sqrt()
        salience = (loud @ self.kernels.T) / loud.norm(dim=-1, keepdim=True)  # magnitudes are 1e-4 or more
        return (SHARPNESS * salience).softmax(-1)


def _kernels(octaves: Tensor) -> Tensor:
    """Kernels float32 [candidates, bins] of candidates in log2 Hz: cos(2 pi f / f0) / sqrt(f) from f0 / 4 to `TOP`,
    half as high below 3/4 f0 (there lies one lobe, not two), of length 1."""
    bins = torch.arange(int(TOP / RATE * N_FFT)) * (RATE / N_FFT)
    ratio = bins / octaves.exp2()[:, None]
    lobes = torch.where(ratio < 0.25, 0.0, torch.where(ratio < 0.75, 0.5, 1.0)) * (2 * math.pi * ratio).cos()
    shaped = lobes / bins.clamp(min=1).sqrt()
    return shaped / shaped.clamp(min=0).norm(dim=-1, keepdim=True)


SpeakerEncoder: TypeAlias = Callable[[Tensor], Tensor]
"""float32 [batch, samples], 32 kHz -> float32 [batch, dims], differentiable."""


class ReferenceVoice(nn.Module):  # type: ignore[misc]  # torch is not followed
    """A frozen copy of a reference encoder, as a `SpeakerEncoder`."""

    def __init__(self, encoder: ReferenceEncoder) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).eval().requires_grad_(False)
        self.spectrum = LogMel()

    def forward(self, wave: Tensor) -> Tensor:
        """Return the voice vectors float32 [batch, style] of waves float32 [batch, samples], 32 kHz."""
        spectrogram = self.spectrum.spectrogram(wave)
        return self.encoder(spectrogram, mask(None, spectrogram))[..., 0]


def speaker_loss(encoder: SpeakerEncoder, real: Tensor, fake: Tensor) -> Tensor:
    """Return the distance of the voices of two waves float32 [batch, samples]: float32 [batch], 0 (the same) to 2; no
    gradient to the real side."""
    with torch.no_grad():
        wanted = encoder(real)
    return 1 - cosine_similarity(encoder(fake), wanted, dim=-1)


RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))
"""Window and hop, samples at 32 kHz."""
LEAST = 1e-7
"""Smallest squared magnitude: 112 to 124 dB below a full-scale sine, by the window."""


class StftLoss(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Spectral distance at three resolutions; differentiable in the second wave, runs where its windows are."""

    def __init__(self) -> None:
        super().__init__()
        for window, _ in RESOLUTIONS:
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the distance of two waves float32 [batch, samples], 1025 samples at least: float32 [batch], 0 = the
        same."""
        terms = []
        for window, hop in RESOLUTIONS:
            wanted, found = (self._magnitudes(wave.float(), window, hop) for wave in (real.detach(), fake))
            apart = (wanted - found).square().sum((1, 2)).clamp(min=LEAST).sqrt()
            whole = wanted.square().sum((1, 2)).sqrt()
            terms.append(apart / whole + (wanted.log() - found.log()).abs().mean((1, 2)))
        return torch.stack(terms).mean(0)

    def _magnitudes(self, wave: Tensor, window: int, hop: int) -> Tensor:
        spectrum = torch.stft(wave, window, hop, window=getattr(self, f"window_{window}"), return_complex=True)
        parts = torch.view_as_real(spectrum).square().sum(-1)
        return parts.clamp(min=LEAST).sqrt()

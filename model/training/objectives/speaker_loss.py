"""How far the voice of a rendered piece is from that of the recording: cosine distance of two embeddings.

The encoder is frozen and can be any function of waves; a verification network judges voices best (as in YourTTS,
Casanova et al. 2022). Without one the reference encoder of the checkpoint that training started from serves: it knows
voices, since all that s2 renders is made from its vector, but it was never trained to tell them apart.
"""

import copy
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from voicemill.model.audio.mel import LogMel
from voicemill.model.s2.encoders import ReferenceEncoder
from voicemill.model.s2.layers import mask

SpeakerEncoder: TypeAlias = Callable[[Tensor], Tensor]
"""float32 [batch, samples], 32 kHz -> float32 [batch, dims], differentiable."""


class ReferenceVoice(nn.Module):  # type: ignore[misc]  # torch is not followed
    """A frozen copy of a reference encoder, as a `SpeakerEncoder`."""

    def __init__(self, encoder: ReferenceEncoder) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).eval().requires_grad_(False)
        self.spectrum = LogMel()

    def forward(self, wave: Tensor) -> Tensor:
        """float32 [batch, samples], 32 kHz -> float32 [batch, style]."""
        spectrogram = self.spectrum.spectrogram(wave)
        return self.encoder(spectrogram, mask(None, spectrogram))[..., 0]


def speaker_loss(encoder: SpeakerEncoder, real: Tensor, fake: Tensor) -> Tensor:
    """Two waves float32 [batch, samples] -> float32 [batch], 0 (the same voice) to 2; no gradient to the real side."""
    with torch.no_grad():
        wanted = encoder(real)
    return 1 - cosine_similarity(encoder(fake), wanted, dim=-1)

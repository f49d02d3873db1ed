"""Content encoders, loaded by name (`voicemill.model.speech.content_names`)."""

from collections.abc import Sequence
from typing import Protocol

from voicemill.model.device import Placement
from voicemill.model.hub import resolve
from voicemill.model.speech.content import Encoder, Features
from voicemill.model.speech.content_names import CEPSTRA, MFCC_CMVN
from voicemill.model.speech.mfcc import Mfcc
from voicemill.storage.corpus.artifacts import Wave


class ContentEncoder(Protocol):
    """Encoder of waves to content features of `dims` values a frame, 50 Hz."""

    dims: int

    def encode(self, waves: Sequence[Wave]) -> list[Features]:
        """Features of waves: float32 [samples] at 16 kHz each -> float32 [frames, dims] each.

        Raises ValueError for a wave of under 400 samples.
        """


def cepstra(name: str) -> Mfcc:
    """Encoder without a model, by its name."""
    return Mfcc(normalise=name == MFCC_CMVN)


def load_encoder(name: str, setting: str, placement: Placement) -> ContentEncoder:
    """Load the encoder of that name. `setting`: named in errors.

    Raises ModelMissing, ConfigError: as `Encoder.load`.
    """
    if name in CEPSTRA:
        return cepstra(name)
    return Encoder.load(resolve(name, setting), -1, placement)

"""Content encoders, loaded by name (`voicemill.model.content.names`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from voicemill.model.content.mfcc import Mfcc
from voicemill.model.content.names import CEPSTRA, MFCC_CMVN, split_layer, whisper_layer
from voicemill.model.content.pretrained import Encoder, Features
from voicemill.model.content.whisper import WhisperEncoder
from voicemill.model.device import Placement, place
from voicemill.model.hub import resolve
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.files import read_json


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

    Raises ModelMissing, ConfigError: as `Encoder.load`, `WhisperEncoder.load`.
    """
    if name in CEPSTRA:
        return cepstra(name)
    if layer := whisper_layer(name):
        return WhisperEncoder.load(*layer, placement)
    model, number = split_layer(name)
    folder = resolve(model, setting)
    return Encoder.load(folder, number, placement, wants_normalised(folder))


class FiniteEncoder:
    """A HuBERT, wav2vec 2.0 or WavLM that computes again in float32 what a faster precision could not hold."""

    def __init__(self, folder: Path, layer: int, placement: Placement, normalise: bool) -> None:
        self._main = Encoder.load(folder, layer, placement, normalise)
        self._again: Encoder | None = None
        self._folder, self._layer, self._placement, self._normalise = folder, layer, placement, normalise
        self.dims = self._main.dims

    def encode(self, waves: Sequence[Wave]) -> list[Features]:
        """Features of one batch; see `Encoder.encode`."""
        features = self._main.encode(waves)
        if all(np.isfinite(x).all() for x in features):
            return features
        if self._again is None:
            plain = place("cpu" if self._placement.device.type == "cpu" else "cuda", "float32")
            self._again = Encoder.load(self._folder, self._layer, plain, self._normalise)
        again = self._again
        return [x if np.isfinite(x).all() else again.encode([wave])[0] for x, wave in zip(features, waves, strict=True)]


def wants_normalised(folder: Path) -> bool:
    """Whether a model's files ask for input of zero mean and unit variance, and the model is not blind to it."""
    config, preprocessor = (read_json(folder / f"{name}.json", {}) for name in ("config", "preprocessor_config"))
    return config.get("feat_extract_norm") == "layer" and bool(preprocessor.get("do_normalize", False))

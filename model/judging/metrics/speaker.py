"""Speaker similarity: embeddings of a speaker-verification network, compared by their cosine.

Similarity: cosine of the embeddings of the speech and of the real recording. Identification: the nearest of the
speakers of the corpus by the cosine to the mean embedding of some of their utterances (closed-set identification as in
Dehak et al., "Front-end factor analysis for speaker verification", IEEE TASLP 19(4), 2011, section VI).
Networks: the embedded GE2E encoder (Wan et al., ICASSP 2018; `model.speaker.encoder`); an x-vector model of
transformers (Snyder et al., ICASSP 2018; WavLM, wav2vec 2.0, UniSpeech-SAT), 16 kHz; or the ECAPA-TDNN of a light
voice, which was trained on the speakers of the corpus.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from voicemill.model.audio.resampling import to_16_khz
from voicemill.model.device import Placement
from voicemill.storage.corpus.artifacts import Wave
from voicemill.storage.errors import ConfigError

Embeddings = NDArray[np.float32]


class SpeakerEncoder(Protocol):
    """A model that maps speech to an embedding of its speaker."""

    def embed(self, waves: Sequence[Wave]) -> Embeddings:
        """Return embeddings float32 [waves, dims], rows of length 1, of waves float32 [samples], 32 kHz."""


class EmbeddedSpeaker:
    """The embedded GE2E encoder: the mean of the embeddings of windows of 1.6 s. It computes on the CPU."""

    def __init__(self, file: Path) -> None:
        from voicemill.model.speaker.encoder import Encoder

        self._encoder = Encoder.load(file)

    def embed(self, waves: Sequence[Wave]) -> Embeddings:
        """Embed all in one pass: windows do not depend on their neighbours."""
        return self._encoder.embed_segments([to_16_khz(wave) for wave in waves])


class XVector:
    """An x-vector network of transformers from a local folder."""

    def __init__(self, folder: Path, placement: Placement, setting: str = "speaker_encoder") -> None:
        """Raises ConfigError where the folder holds no such network."""
        import torch
        from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioXVector

        try:
            kinds = [str(name) for name in AutoConfig.from_pretrained(folder).architectures or ()]
            if not any(kind.endswith("ForXVector") for kind in kinds):
                raise ValueError(f"it is a {', '.join(kinds) or 'model without a head'}")
            self._extract: Any = AutoFeatureExtractor.from_pretrained(folder)
            model = AutoModelForAudioXVector.from_pretrained(folder, dtype=torch.float32)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"{setting}: {folder} is no x-vector network of transformers, such as microsoft/wavlm-base-plus-sv: "
                f"{error}"
            ) from error
        self._device = placement.device
        self._model: Any = model.to(self._device).eval()

    def embed(self, waves: Sequence[Wave]) -> Embeddings:
        """Embed one by one: in a padded batch the statistics of some of these networks change."""
        import torch

        rows = []
        with torch.inference_mode():
            for wave in waves:
                low = to_16_khz(wave)
                given = self._extract(low, sampling_rate=16_000, return_tensors="pt").to(self._device)
                rows.append(self._model(**given).embeddings[0].float().cpu().numpy())
        return unit(np.stack(rows)) if rows else np.zeros((0, 1), np.float32)


class LightSpeaker:
    """The speaker encoder of a light voice: ECAPA-TDNN over the log-mel (`voicemill.model.light.ecapa`)."""

    def __init__(self, file: Path, placement: Placement) -> None:
        """Raises CheckpointError where the file is not a light voice, or has no encoder of its own that was trained."""
        from voicemill.model.audio.mel import LogMel
        from voicemill.model.light.ge2e import Ge2e
        from voicemill.model.light.system import SPEAKER, load_light
        from voicemill.storage.errors import CheckpointError

        self._device = placement.device
        self._model = load_light(file, needs=(SPEAKER,)).speaker.to(self._device)
        if isinstance(self._model, Ge2e):
            raise CheckpointError(
                f"{file} has no speaker encoder of its own: it uses the embedded one, which the judge takes as 'auto'"
            )
        self._mel = LogMel().to(self._device)

    def embed(self, waves: Sequence[Wave]) -> Embeddings:
        """Embed one by one."""
        import torch

        with torch.inference_mode():
            rows = [
                self._model.embed(self._mel.mel(torch.from_numpy(wave)[None].to(self._device)))[0].cpu().numpy()
                for wave in waves
            ]
        return unit(np.stack(rows)) if rows else np.zeros((0, 1), np.float32)


def unit(rows: NDArray[np.float32]) -> Embeddings:
    """Return the rows scaled to length 1; a row of zeros stays."""
    found: Embeddings = (rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)).astype(np.float32)
    return found


def nearest(embedding: Embeddings, gallery: Mapping[str, Embeddings]) -> str:
    """Return the speaker whose mean embedding (float32 [dims], of length 1) is nearest to float32 [dims]."""
    names = list(gallery)
    return names[int(np.argmax(np.stack([gallery[name] for name in names]) @ embedding))]


def enrol(encoder: SpeakerEncoder, recordings: Mapping[str, Sequence[Wave]]) -> dict[str, Embeddings]:
    """Return the mean embedding of each speaker, float32 [dims], of length 1."""
    return {name: unit(encoder.embed(waves).mean(0)) for name, waves in recordings.items() if waves}

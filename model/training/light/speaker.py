"""Training the speaker encoder of the light system: it learns to tell the speakers of the corpus apart by AAM-softmax.

AAM-softmax (Deng et al. 2019, "ArcFace") is a classifier on cosines in which the right speaker must be nearer by an
angle, the margin, so that the vectors of one speaker draw together. The classifier is dropped afterwards. From
thousands of speakers the encoder learns what a voice is; from the two to ten of a small corpus it learns to tell those
apart, and only an evaluation shows how far it can be trusted with others.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from torch.optim import AdamW, Optimizer

from voicemill.model.audio.mel import LogMel
from voicemill.model.checkpoints.checkpoint import Checkpoint
from voicemill.model.data.minibatch import CONTENT_RATE, Minibatch
from voicemill.model.light.ecapa import EcapaTdnn
from voicemill.model.light.system import LIGHT, SPEAKER, LightSystem
from voicemill.model.s2.layers import mask
from voicemill.model.s2.synthesizer import pieces
from voicemill.model.settings.light import LightSpeakerSettings
from voicemill.model.training.engine.objective import Sample
from voicemill.model.training.light.batches import log_mels, places
from voicemill.storage.errors import ConfigError

LIGHT_SPEAKER = "light_speaker"
LEAST = 1e-7
"""Smallest squared sine under the root, which keeps its gradient finite."""


class SpeakerClassifier(nn.Module):  # type: ignore[misc]  # torch is not followed
    """A speaker encoder with one direction per speaker of the corpus."""

    def __init__(self, encoder: EcapaTdnn, speakers: int, margin: float, scale: float) -> None:
        super().__init__()
        self.encoder, self.margin, self.scale = encoder, margin, scale
        self.directions = nn.Parameter(torch.randn(speakers, encoder.config.embedding))

    def forward(self, mel: Tensor, real: Tensor, speakers: Tensor | None = None) -> Tensor:
        """Return logits float32 [batch, speakers] of log-mels [batch, 128, frames]; `real`: [batch, 1, frames], 0 or 1.

        With the right `speakers`, int64 [batch], their cosines are those of an angle that is larger by the margin.
        """
        voice = self.encoder(mel, real)
        with torch.autocast(mel.device.type, enabled=False):
            cosines = voice.float() @ normalize(self.directions.float(), dim=-1).T
            if speakers is not None:
                right = torch.arange(len(self.directions), device=mel.device) == speakers[:, None]
                cosines = torch.where(right, self._beyond(cosines), cosines)
            return cosines * self.scale

    def _beyond(self, cosine: Tensor) -> Tensor:
        """cos(angle + margin); beyond 180 degrees a line that continues to fall."""
        sine = (1 - cosine.square()).clamp(min=LEAST).sqrt()
        added = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        fallen = cosine - math.sin(self.margin) * self.margin
        return torch.where(cosine > -math.cos(self.margin), added, fallen)


class LightSpeakerObjective:
    """Objective of the speaker encoder. `speakers`: names of all speakers of the corpus.

    Raises ConfigError where there are none.
    """

    network: str = LIGHT_SPEAKER
    rounds: tuple[str, ...] = (LIGHT_SPEAKER,)
    needs: frozenset[str] = frozenset({"mel"})

    def __init__(
        self, system: LightSystem, speakers: Sequence[str], settings: LightSpeakerSettings, notes: Sequence[str] = ()
    ) -> None:
        if not speakers:
            raise ConfigError("light_speaker learns to tell speakers apart, but none is named")
        self.system, self.settings = system, settings
        alone = "; with one speaker there is nothing to tell apart" if len(speakers) == 1 else ""
        self.notes = (*notes, f"speakers to tell apart: {len(speakers)}{alone}")
        classifier = SpeakerClassifier(system.speaker, len(speakers), settings.margin, settings.scale)
        self.modules: dict[str, nn.Module] = {LIGHT_SPEAKER: classifier}
        self._number = {name: number for number, name in enumerate(speakers)}
        self._mel = LogMel()

    def optimisers(self, rate: float) -> dict[str, Optimizer]:
        """Return AdamW, whose decay keeps a large encoder from memorising few speakers."""
        groups = [{"params": list(self.modules[LIGHT_SPEAKER].parameters()), "scale": 1.0}]
        return {LIGHT_SPEAKER: AdamW(groups, rate, weight_decay=1e-2, fused=True)}

    def losses(self, module: str, batch: Minibatch) -> dict[str, Tensor]:
        """Return {"speaker": nats per example}, over a piece from a random place on."""
        size = min(round(self.settings.piece_s * CONTENT_RATE), batch.content.shape[-1])
        starts = places(batch, size)
        mel = pieces(log_mels(batch, self._mel), starts, size)
        speakers = self._speakers(batch)
        logits = self.modules[LIGHT_SPEAKER](mel, mask(batch.lengths - starts, mel), speakers)
        return {
            "speaker": cross_entropy(logits, speakers, reduction="sum") * batch.totals.parts / batch.totals.examples
        }

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def validate(self, batch: Minibatch) -> dict[str, float]:
        """Return "loss", the cross entropy of whole utterances without the margin, and "accuracy", the share of those
        whose speaker is identified among all of the corpus, 0..1."""
        self.modules[LIGHT_SPEAKER].eval()
        mel, speakers = log_mels(batch, self._mel), self._speakers(batch)
        logits = self.modules[LIGHT_SPEAKER](mel, mask(batch.lengths, mel))
        sums = {"loss": float(cross_entropy(logits, speakers, reduction="sum"))}
        sums["accuracy"] = float((logits.argmax(-1) == speakers).sum())
        return sums | {f"{name}/weight": float(len(batch)) for name in sums}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def sample(self, batch: Minibatch) -> Sample:
        """Return an image of the cosines between the utterances of the minibatch, -1..1; no sound."""
        self.modules[LIGHT_SPEAKER].eval()
        found = self.system.speaker.embed(log_mels(batch, self._mel), batch.lengths).float()
        return Sample({}, {"cosines between utterances": (found @ found.T).cpu().numpy()})

    def checkpoints(self, lineage: Mapping[str, Any]) -> dict[str, Checkpoint]:
        """Return the checkpoint under "light", without the classifier."""
        return {LIGHT: self.system.checkpoint(lineage, self.system.with_trained(SPEAKER))}

    def _speakers(self, batch: Minibatch) -> Tensor:
        """Number of the speaker of each row, int64 [batch]."""
        return torch.tensor([self._number[name] for name in batch.speakers], device=batch.content.device)

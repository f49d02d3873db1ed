"""Training the acoustic model of the light system: aligned by search at every step, as Glow-TTS (Kim et al. 2020).

Where the corpus has word times (`durations = "alignment"`), the search is bound to them: words last as long as in the
forced alignment, and the search finds the phones inside them. Elsewhere the search is free.

Each utterance is synthesised in its own voice: the frozen speaker encoder reads all of it; with the embedded encoder
the mean vector of its speaker takes that place, as the corpus has it. The losses are means over the frames or phones of
an example, then over examples: distance of the log-mel to that of the recording; distance of
the mean of each phone to the frames that the search gave it, which is also the criterion of the search; error of the
predicted durations against those of the search.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from voicemill.model.audio.mel import LogMel
from voicemill.model.checkpoints.checkpoint import Checkpoint
from voicemill.model.data.minibatch import Minibatch
from voicemill.model.light.acoustic import SPREAD, Acoustic, Fit
from voicemill.model.light.config import BANDS
from voicemill.model.light.ge2e import Ge2e
from voicemill.model.light.system import ACOUSTIC, LIGHT, SPEAKER, LightSystem
from voicemill.model.s2.layers import mask
from voicemill.model.settings.light import LightAcousticSettings
from voicemill.model.training.engine.objective import Sample
from voicemill.model.training.light.batches import log_mels
from voicemill.storage.errors import ConfigError


class LightAcousticObjective:
    """Objective of the acoustic model, the network "light".

    `voices`: speaker -> vector float32 [dims] of the embedded encoder, of all speakers of the corpus; `targets`: those
    that are trained on. One target becomes the default voice of the system.
    Raises ConfigError where the speaker encoder of the system was never trained.
    """

    network: str = LIGHT
    rounds: tuple[str, ...] = (LIGHT,)

    def __init__(
        self,
        system: LightSystem,
        settings: LightAcousticSettings,
        notes: Sequence[str] = (),
        voices: Mapping[str, NDArray[np.float32]] | None = None,
        targets: Sequence[str] = (),
    ) -> None:
        if SPEAKER not in system.trained:
            raise ConfigError(
                "the acoustic model of the light system learns from a speaker encoder, but this one was never trained: "
                "train light_speaker first (networks = light_speaker, light, light_vocoder), or name a start_light"
            )
        self.system, self.settings = system, settings
        aligned = settings.durations == "alignment"
        self.needs = frozenset({"mel", "bounds"} if aligned else {"mel"})
        near = f"the forced alignment within {settings.tolerance} frames, where there is one, and by search inside it"
        self.notes = (*notes, f"durations by {near if aligned else 'search alone'}")
        self.modules: dict[str, nn.Module] = {LIGHT: system.acoustic}
        self._mel = LogMel()
        self._voices = {name: torch.from_numpy(vector) for name, vector in (voices or {}).items()}
        only = targets or list(self._voices)
        if self._voices:
            system.default_voice = self._voices[only[0]] if len(only) == 1 else None
        system.speaker.eval().requires_grad_(False)

    def optimisers(self, rate: float) -> dict[str, Optimizer]:
        """Return AdamW: a small weight decay for matrices, none for vectors."""
        moved = list(self._network.parameters())
        groups = [
            {"params": [p for p in moved if (p.dim() > 1) == matrices], "weight_decay": decay, "scale": 1.0}
            for matrices, decay in ((True, 1e-3), (False, 0.0))
        ]
        return {LIGHT: AdamW(groups, rate, betas=(0.9, 0.98), fused=True)}

    def losses(self, module: str, batch: Minibatch) -> dict[str, Tensor]:
        """Return the weighted terms mel, alignment and duration."""
        share = batch.totals.parts / batch.totals.examples
        rows = self._rows(self._fitted(batch)[0], batch)
        return {name: value.sum() * share * self._weight(name) for name, value in rows.items()}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def validate(self, batch: Minibatch) -> dict[str, float]:
        """Return the terms weighted as in training, and "log_mel_distance", nepers, with the durations of the
        recording."""
        self._network.eval()
        rows = self._rows(self._fitted(batch)[0], batch)
        sums = {name: float(value.sum()) * self._weight(name) for name, value in rows.items()}
        sums |= {"loss": sum(sums.values()), "log_mel_distance": float(rows["mel"].sum())}
        return sums | {f"{name}/weight": float(len(batch)) for name in sums}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def sample(self, batch: Minibatch) -> Sample:
        """Return log-mels of the first example: real, with the durations of the recording, and with durations of its
        own; the latter with sound where the vocoder is trained."""
        network, frames = self._network.eval(), int(batch.lengths[0])
        fitted, voice = self._fitted(batch)
        spoken = network.speak(batch.phones[0, : int(batch.phone_lengths[0])], voice[0])
        aligned = fitted.mel[0, :, :frames]
        images = {"real": fitted.target[0, :, :frames], "aligned": aligned, "spoken": spoken}
        sounds = {}
        if "vocoder" in self.system.trained:
            vocoder = self.system.vocoder.to(spoken.device).eval()
            sounds = {"spoken": vocoder(spoken[None])[0, 0].float().cpu().numpy()}
        return Sample(sounds, {name: image.float().cpu().numpy() for name, image in images.items()})

    def checkpoints(self, lineage: Mapping[str, Any]) -> dict[str, Checkpoint]:
        """Return the checkpoint under "light"."""
        return {LIGHT: self.system.checkpoint(lineage, self.system.with_trained(ACOUSTIC))}

    @property
    def _network(self) -> Acoustic:
        network: Acoustic = self.modules[LIGHT]
        return network

    def _weight(self, term: str) -> float:
        return float(getattr(self.settings, f"{term}_weight"))

    def _fitted(self, batch: Minibatch) -> tuple[Fit, Tensor]:
        mel = log_mels(batch, self._mel)
        voice = self._voice_of(batch, mel)
        phones, bounds = (batch.phones, batch.phone_lengths), (None, 0)
        if self.settings.durations == "alignment":
            bounds = batch.bounds, self.settings.tolerance
        found: Fit = self.modules[LIGHT](*phones, mel, batch.lengths, voice, *bounds)
        return found, voice

    def _voice_of(self, batch: Minibatch, mel: Tensor) -> Tensor:
        """Speaker vector of each row, float32 [batch, dims]."""
        encoder = self.system.speaker
        if isinstance(encoder, Ge2e):
            return torch.stack([self._voices[name] for name in batch.speakers]).to(mel.device)
        with torch.no_grad():
            embedded: Tensor = encoder.to(mel.device).embed(mel, batch.lengths)
        return embedded

    def _rows(self, fitted: Fit, batch: Minibatch) -> dict[str, Tensor]:
        """Unweighted terms, float32 [batch]."""
        values = BANDS * batch.lengths
        phones = mask(batch.phone_lengths, fitted.log_durations[:, None])[:, 0]
        missed = (fitted.log_durations - fitted.durations.clamp(min=1).log()) * phones
        return {
            "mel": (fitted.mel - fitted.target).abs().sum((1, 2)) * SPREAD / values,
            "alignment": 0.5 * (fitted.means - fitted.target).square().sum((1, 2)) / values,
            "duration": missed.square().sum(1) / batch.phone_lengths,
        }

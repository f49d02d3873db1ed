"""Training the vocoder of the light system: the losses of HiFi-GAN (Kong et al. 2020) on real log-mels, and spectra.

A step renders a random piece of each utterance from its log-mel. The discriminators are updated on it without its
gradient, then the vocoder against them. The piece is rendered anew for each round: of the cost of a step with
discriminators the vocoder is the smaller part.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.optim import Optimizer

from voicemill.model.audio.mel import HOP, LogMel
from voicemill.model.checkpoints.checkpoint import Checkpoint
from voicemill.model.data.minibatch import Minibatch
from voicemill.model.light.spectral import SpectralVocoder
from voicemill.model.light.system import LIGHT, VOCODER, LightSystem
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.generator import Generator
from voicemill.model.s2.losses import Discriminators, Pair, adversarial_loss, feature_loss
from voicemill.model.s2.synthesizer import pieces
from voicemill.model.settings.light import LightVocoderSettings
from voicemill.model.training.engine.objective import Sample
from voicemill.model.training.light.batches import log_mels, places, waves
from voicemill.model.training.objectives.s2 import DISCRIMINATOR, adamw, discrimination_loss, verdicts
from voicemill.model.training.objectives.waveform_losses import StftLoss

LIGHT_VOCODER = "light_vocoder"


class LightVocoderObjective:
    """Objective of the vocoder. The discriminators start from scratch and are not exported."""

    network: str = LIGHT_VOCODER
    needs: frozenset[str] = frozenset({"wave"})

    def __init__(self, system: LightSystem, settings: LightVocoderSettings, notes: Sequence[str] = ()) -> None:
        """Raises ConfigError where the sizes of the discriminators contradict each other."""
        self.system, self.settings, self.notes = system, settings, tuple(notes)
        self.modules: dict[str, nn.Module] = {LIGHT_VOCODER: system.vocoder}
        if settings.discriminator:
            sizes = S2Config(periods=settings.periods, discriminator_width=settings.discriminator_width)
            self.modules[DISCRIMINATOR] = Discriminators(sizes)
        self.rounds: tuple[str, ...] = tuple(reversed(self.modules))
        self._mel, self._stft = LogMel(), StftLoss()

    def optimisers(self, rate: float) -> dict[str, Optimizer]:
        """Return AdamW with the constants of HiFi-GAN."""
        return {name: adamw([(list(module.parameters()), 1.0)], rate) for name, module in self.modules.items()}

    def losses(self, module: str, batch: Minibatch) -> dict[str, Tensor]:
        """Return the terms of the round of `module`; those of "light_vocoder": mel, stft, adversarial, features, as far
        as they are on."""
        share = batch.totals.parts / batch.totals.examples
        if module == DISCRIMINATOR:
            with torch.no_grad():
                both = self._pair(batch)
            return {DISCRIMINATOR: discrimination_loss(self.modules[DISCRIMINATOR], both) * len(batch) * share}
        both = self._pair(batch)
        terms = {name: value.sum() * share for name, value in self._rows(both).items()}
        if DISCRIMINATOR in self.modules:
            real, fake = verdicts(self.modules[DISCRIMINATOR], both)
            terms["adversarial"] = adversarial_loss(fake) * len(batch) * share
            terms["features"] = feature_loss(real, fake) * len(batch) * share
        return {name: value * self._weight(name) for name, value in terms.items()}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def validate(self, batch: Minibatch) -> dict[str, float]:
        """Return the terms weighted as in training, without those of the discriminators, and "log_mel_distance",
        nepers."""
        self._network.eval()
        rows = self._rows(self._pair(batch))
        sums = {name: float(value.sum()) * self._weight(name) for name, value in rows.items()}
        sums |= {"loss": sum(sums.values()), "log_mel_distance": float(rows["mel"].sum())}
        return sums | {f"{name}/weight": float(len(batch)) for name in sums}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def sample(self, batch: Minibatch) -> Sample:
        """Return the first example, rendered from its log-mel."""
        frames = int(batch.lengths[0])
        real = waves(batch)[:1, : frames * HOP]
        mel = log_mels(batch, self._mel)[:1, :, :frames]
        fake = self._network.eval()(mel)[:, 0].float()
        sounds = {"real": real, "rendered": fake}
        images = {"real": mel, "rendered": self._mel.mel(fake)}
        return Sample(
            {name: wave[0].cpu().numpy() for name, wave in sounds.items()},
            {name: image[0].cpu().numpy() for name, image in images.items()},
        )

    def checkpoints(self, lineage: Mapping[str, Any]) -> dict[str, Checkpoint]:
        """Return the checkpoint under "light"."""
        return {LIGHT: self.system.checkpoint(lineage, self.system.with_trained(VOCODER))}

    @property
    def _network(self) -> Generator | SpectralVocoder:
        network: Generator | SpectralVocoder = self.modules[LIGHT_VOCODER]
        return network

    def _weight(self, term: str) -> float:
        return float(getattr(self.settings, f"{term}_weight"))

    def _pair(self, batch: Minibatch) -> Pair:
        """A random piece of each row, real and rendered."""
        wave, size = waves(batch), self.settings.segment
        if (short := size * HOP - wave.shape[-1]) > 0:  # the piece would be longer than the whole batch
            wave = pad(wave, (0, short))
        starts = places(batch, size)
        cut = self._mel.to(wave.device).cut(wave, batch.lengths, starts, size)
        fake = self.modules[LIGHT_VOCODER](cut)[:, 0]
        real = pieces(wave[:, None], starts * HOP, size * HOP)[:, 0]
        return Pair(real, fake, cut, self._mel.mel(fake.float()))

    def _rows(self, both: Pair) -> dict[str, Tensor]:
        """Unweighted terms that compare the two pieces, float32 [batch]."""
        found = {"mel": (both.real_mel - both.fake_mel).abs().mean((1, 2))}
        if self.settings.stft_weight:
            found["stft"] = self._stft.to(both.fake.device)(both.real, both.fake)
        return found

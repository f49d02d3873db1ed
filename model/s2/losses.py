"""Losses of s2: those of VITS (Kim et al. 2021) with the weights of GPT-SoVITS v2.

Adversarial terms are least-squares (Mao et al. 2017). Each term is a function; `generator_losses` makes all of them
from one rendering, keyed as the weights in `LossWeights`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from voicemill.model.audio.mel import HOP, LogMel
from voicemill.model.s2.discriminators import Verdict
from voicemill.model.s2.synthesizer import Rendering, pieces


@dataclass(frozen=True)
class LossWeights:
    """Factor of each term in the generator's loss. Defaults: configs/s2.json of GPT-SoVITS v2."""

    adversarial: float = 1.0
    features: float = 2.0
    """L1 between the discriminators' inner outputs."""
    mel: float = 45.0
    """L1 between log-mels, natural log."""
    kl: float = 1.0
    """Posterior against prior, per frame."""


@dataclass(frozen=True)
class GeneratorLosses:
    """Scalars, before weighting, under the names of `LossWeights`."""

    adversarial: Tensor
    features: Tensor
    mel: Tensor
    kl: Tensor

    def weighted(self, weights: LossWeights) -> dict[str, Tensor]:
        """{term: scalar}, weighted."""
        return {field.name: getattr(weights, field.name) * getattr(self, field.name) for field in fields(weights)}

    def total(self, weights: LossWeights) -> Tensor:
        """The scalar to minimise."""
        return torch.stack(list(self.weighted(weights).values())).sum()


@dataclass(frozen=True)
class Pair:
    """The piece that was rendered, beside the same piece of the recording."""

    real: Tensor
    """float32 [batch, samples]."""
    fake: Tensor
    real_mel: Tensor
    """float32 [batch, 128, frames], natural log."""
    fake_mel: Tensor


def pair(rendering: Rendering, wave: Tensor, spectrogram: Tensor, mel: LogMel) -> Pair:
    """Recordings float32 [batch, samples] and their spectrograms [batch, 1025, frames] -> both sides of the piece.

    The real mel is cut from that of the whole recording, the other sees its piece alone, as in GPT-SoVITS.
    """
    size = rendering.wave.shape[-1]
    real = pieces(wave[:, None], rendering.starts * HOP, size)[:, 0]
    cut = pieces(spectrogram, rendering.starts, size // HOP)
    return Pair(real, rendering.wave, mel.from_spectrogram(cut), mel.mel(rendering.wave.float()))


def discriminator_loss(real: Sequence[Verdict], fake: Sequence[Verdict]) -> Tensor:
    """Scalar: over all discriminators, mean (1 - D(real))^2 + mean D(fake)^2. `fake` is made of a detached wave."""
    return torch.stack(
        [
            (1 - r.score.float()).square().mean() + f.score.float().square().mean()
            for r, f in zip(real, fake, strict=True)
        ]
    ).sum()


def adversarial_loss(fake: Sequence[Verdict]) -> Tensor:
    """Scalar: over all discriminators, mean (1 - D(fake))^2."""
    return torch.stack([(1 - verdict.score.float()).square().mean() for verdict in fake]).sum()


def feature_loss(real: Sequence[Verdict], fake: Sequence[Verdict]) -> Tensor:
    """Scalar: over all layers of all discriminators, mean |real - fake|; no gradient flows to the real side."""
    layers = [
        (r.float().detach() - f.float()).abs().mean()
        for one, other in zip(real, fake, strict=True)
        for r, f in zip(one.features, other.features, strict=True)
    ]
    return torch.stack(layers).sum()


def kl_rows(rendering: Rendering) -> Tensor:
    """float32 [batch]: divergence of posterior from prior at its sample, summed over channels and frames."""
    mean, logs = rendering.prior.mean.float(), rendering.prior.logs.float()
    gap = rendering.z_prior.float() - mean
    each = logs - rendering.posterior.logs.float() - 0.5 + 0.5 * gap.square() * (-2 * logs).exp()
    return (each * rendering.mask).sum((1, 2))


def kl_loss(rendering: Rendering) -> Tensor:
    """Scalar: divergence of posterior from prior at the posterior's sample, summed over channels, mean over frames."""
    return kl_rows(rendering).sum() / rendering.mask.sum()


def generator_losses(
    rendering: Rendering, both: Pair, real: Sequence[Verdict], fake: Sequence[Verdict]
) -> GeneratorLosses:
    """All terms of one rendering. `fake` is made of the wave with its gradient."""
    return GeneratorLosses(
        adversarial=adversarial_loss(fake),
        features=feature_loss(real, fake),
        mel=(both.real_mel - both.fake_mel).abs().mean(),
        kl=kl_loss(rendering),
    )

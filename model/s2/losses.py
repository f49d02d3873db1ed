"""Losses of s2 and the discriminators of two of them.

The losses are those of VITS (Kim et al. 2021) with the weights of GPT-SoVITS v2; adversarial terms are least-squares
(Mao et al. 2017). Each term is a function; `generator_losses` computes all of them from one rendering, keyed as the
weights in `LossWeights`. The discriminators are those of HiFi-GAN (Kong et al. 2020): one over the waveform, several
over its samples folded by a period.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from voicemill.model.audio.mel import HOP, LogMel
from voicemill.model.s2.config import S2Config
from voicemill.model.s2.synthesizer import Rendering, pieces
from voicemill.model.s2.weight_norm import Conv1d, Conv2d

SLOPE = 0.1


class Discrimination(NamedTuple):
    """Output of one discriminator for a minibatch."""

    score: Tensor
    """Score of each position, [batch, n]: 1 = real, 0 = rendered."""
    features: list[Tensor]
    """Output of each layer, in order: [batch, channels, ...]."""


class ScaleDiscriminator(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Grouped convolutions over the waveform, 256 samples per position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList([Conv1d(1, 16, 15, padding=7)])
        inputs = 16
        for channels in (64, 256, 1024, 1024):
            outputs = min(channels, width)
            groups = inputs // 4
            self.convs.append(Conv1d(inputs, outputs, 41, stride=4, groups=groups, padding=20))
            inputs = outputs
        self.convs.append(Conv1d(inputs, inputs, 5, padding=2))
        self.conv_post = Conv1d(inputs, 1, 3, padding=1)

    def forward(self, wave: Tensor) -> Discrimination:
        """float32 [batch, samples] -> `Discrimination`."""
        return _discriminate(self.convs, self.conv_post, wave[:, None])


class PeriodDiscriminator(nn.Module):  # type: ignore[misc]
    """Convolutions over every p-th sample, the p phases side by side."""

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        channels = (1, *(min(channels, width) for channels in (32, 128, 512, 1024, 1024)))
        self.convs = nn.ModuleList(
            Conv2d(channels[i], channels[i + 1], (5, 1), stride=(3 if i < 4 else 1, 1), padding=(2, 0))
            for i in range(5)
        )
        self.conv_post = Conv2d(channels[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, wave: Tensor) -> Discrimination:
        """float32 [batch, samples], reflected at the end up to a multiple of the period -> `Discrimination`."""
        missing = -wave.shape[-1] % self.period
        folded = functional.pad(wave[:, None], (0, missing), mode="reflect").unflatten(-1, (-1, self.period))
        return _discriminate(self.convs, self.conv_post, folded)


def _discriminate(convs: nn.ModuleList, last: nn.Module, x: Tensor) -> Discrimination:
    features = []
    for conv in convs:
        x = functional.leaky_relu(conv(x), SLOPE)
        features.append(x)
    score = last(x)
    return Discrimination(score.flatten(1), [*features, score])


class Discriminators(nn.Module):  # type: ignore[misc]
    """All discriminators; state-dict keys and shapes are those of the official D files of the version."""

    def __init__(self, config: S2Config) -> None:
        super().__init__()
        self.config = config
        width = config.discriminator_width
        self.discriminators = nn.ModuleList(
            [ScaleDiscriminator(width), *(PeriodDiscriminator(period, width) for period in config.periods)]
        )

    def forward(self, wave: Tensor) -> list[Discrimination]:
        """float32 [batch, samples], 32 kHz -> the output of each discriminator."""
        return [discriminator(wave) for discriminator in self.discriminators]


@dataclass(frozen=True)
class LossWeights:
    """Factor of each term in the generator's loss. Defaults: configs/s2.json of GPT-SoVITS v2."""

    adversarial: float = 1.0
    features: float = 2.0
    """Weight of the L1 between the discriminators' inner outputs."""
    mel: float = 45.0
    """Weight of the L1 between log-mels, natural log."""
    kl: float = 1.0
    """Weight of the divergence of posterior from prior, per frame."""


@dataclass(frozen=True)
class GeneratorLosses:
    """Terms of the generator's loss before weighting, scalars named as in `LossWeights`."""

    adversarial: Tensor
    features: Tensor
    mel: Tensor
    kl: Tensor

    def weighted(self, weights: LossWeights) -> dict[str, Tensor]:
        """Weighted terms: name -> scalar."""
        return {field.name: getattr(weights, field.name) * getattr(self, field.name) for field in fields(weights)}

    def total(self, weights: LossWeights) -> Tensor:
        """Scalar to minimise: the sum of the weighted terms."""
        return torch.stack(list(self.weighted(weights).values())).sum()


@dataclass(frozen=True)
class Pair:
    """Rendered piece (fake) and the same piece of the recording (real)."""

    real: Tensor
    """Waveform, float32 [batch, samples]."""
    fake: Tensor
    real_mel: Tensor
    """Log-mel, float32 [batch, 128, frames], natural log."""
    fake_mel: Tensor


def pair(rendering: Rendering, wave: Tensor, spectrogram: Tensor, mel: LogMel) -> Pair:
    """Cut the real piece from recordings float32 [batch, samples] and their spectrograms [batch, 1025, frames].

    The real mel is cut from that of the whole recording, the other is computed from its piece alone, as in GPT-SoVITS.
    """
    size = rendering.wave.shape[-1]
    real = pieces(wave[:, None], rendering.starts * HOP, size)[:, 0]
    cut = pieces(spectrogram, rendering.starts, size // HOP)
    return Pair(real, rendering.wave, mel.from_spectrogram(cut), mel.mel(rendering.wave.float()))


def discriminator_loss(real: Sequence[Discrimination], fake: Sequence[Discrimination]) -> Tensor:
    """Scalar: over all discriminators, mean (1 - D(real))^2 + mean D(fake)^2. `fake` comes from a detached wave."""
    return torch.stack(
        [
            (1 - r.score.float()).square().mean() + f.score.float().square().mean()
            for r, f in zip(real, fake, strict=True)
        ]
    ).sum()


def adversarial_loss(fake: Sequence[Discrimination]) -> Tensor:
    """Scalar: over all discriminators, mean (1 - D(fake))^2."""
    return torch.stack([(1 - output.score.float()).square().mean() for output in fake]).sum()


def feature_loss(real: Sequence[Discrimination], fake: Sequence[Discrimination]) -> Tensor:
    """Scalar: over all layers of all discriminators, mean |real - fake|; no gradient flows to the real side."""
    layers = [
        (r.float().detach() - f.float()).abs().mean()
        for one, other in zip(real, fake, strict=True)
        for r, f in zip(one.features, other.features, strict=True)
    ]
    return torch.stack(layers).sum()


def kl_rows(rendering: Rendering) -> Tensor:
    """Divergence of posterior from prior at its sample, summed over channels and frames: float32 [batch]."""
    mean, logs = rendering.prior.mean.float(), rendering.prior.logs.float()
    gap = rendering.z_prior.float() - mean
    divergence = logs - rendering.posterior.logs.float() - 0.5 + 0.5 * gap.square() * (-2 * logs).exp()
    return (divergence * rendering.mask).sum((1, 2))


def kl_loss(rendering: Rendering) -> Tensor:
    """Scalar: divergence of posterior from prior at the posterior's sample, summed over channels, mean over frames."""
    return kl_rows(rendering).sum() / rendering.mask.sum()


def generator_losses(
    rendering: Rendering, both: Pair, real: Sequence[Discrimination], fake: Sequence[Discrimination]
) -> GeneratorLosses:
    """All terms of one rendering. `fake` comes from the wave with its gradient."""
    return GeneratorLosses(
        adversarial=adversarial_loss(fake),
        features=feature_loss(real, fake),
        mel=(both.real_mel - both.fake_mel).abs().mean(),
        kl=kl_loss(rendering),
    )

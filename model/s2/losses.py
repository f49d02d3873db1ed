"""Losses of s2 and the discriminators that two of them need."""

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


class Verdict(NamedTuple):
    """What one discriminator says of a batch."""

    score: Tensor
    """[batch, n]: 1 = real, 0 = rendered, one per position."""
    features: list[Tensor]
    """The output of each layer, in order: [batch, channels, ...]."""


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

    def forward(self, wave: Tensor) -> Verdict:
        """float32 [batch, samples] -> a verdict."""
        return _judged(self.convs, self.conv_post, wave[:, None])


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

    def forward(self, wave: Tensor) -> Verdict:
        """float32 [batch, samples] -> a verdict; reflected at the end up to a multiple of the period."""
        missing = -wave.shape[-1] % self.period
        folded = functional.pad(wave[:, None], (0, missing), mode="reflect").unflatten(-1, (-1, self.period))
        return _judged(self.convs, self.conv_post, folded)


def _judged(convs: nn.ModuleList, last: nn.Module, x: Tensor) -> Verdict:
    features = []
    for conv in convs:
        x = functional.leaky_relu(conv(x), SLOPE)
        features.append(x)
    score = last(x)
    return Verdict(score.flatten(1), [*features, score])


class Discriminators(nn.Module):  # type: ignore[misc]
    """All of them; state-dict keys and shapes are those of the official D files of the version."""

    def __init__(self, config: S2Config) -> None:
        super().__init__()
        self.config = config
        width = config.discriminator_width
        self.discriminators = nn.ModuleList(
            [ScaleDiscriminator(width), *(PeriodDiscriminator(period, width) for period in config.periods)]
        )

    def forward(self, wave: Tensor) -> list[Verdict]:
        """float32 [batch, samples], 32 kHz -> the verdict of each."""
        return [judge(wave) for judge in self.discriminators]


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

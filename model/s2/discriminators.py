"""Discriminators of HiFi-GAN (Kong et al. 2020): one over the waveform, several over its samples folded by a period."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from voicemill.model.s2.config import S2Config
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

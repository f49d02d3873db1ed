"""Acoustic model: phones and a speaker's vector to durations and a log-mel.

The core is two LSTM layers of 128 units over the frames. Before them: an embedding of the phones, three convolutions
over five phones each, the speaker's vector added, and the length regulator, which repeats each phone for its duration
and marks the position of each frame in its phone. Beside them: a predictor of durations (two convolutions), and for
every phone its mean log-mel. Training aligns the frames by that mean (as the prior of Glow-TTS, Kim et al. 2020), and
the LSTM corrects it. Nothing is drawn: the same text and voice give the same speech.

The LSTM reads forwards only, so a row of a batch is what it would be alone, and a long piece can be made in parts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from voicemill.model.light.alignment import diagonal, durations_of, outside, progress, regulate
from voicemill.model.light.config import BANDS, AcousticConfig
from voicemill.model.light.ecapa import FrameNorm
from voicemill.model.s2.layers import mask

MEAN, SPREAD = -5.0, 2.5
"""Mean and deviation of the values of log-mels of speech, nepers: standardised, they are about standard normal."""
LONGEST = 150.0
"""Longest phone, frames (3 s): longer predictions are clipped."""

State = tuple[Tensor, Tensor]
"""State of the LSTM: hidden and cell, float32 [layers, batch, units] each."""


@dataclass(frozen=True)
class Encoding:
    """Phones encoded for a speaker."""

    states: Tensor
    """States of the phones, float32 [batch, phones, width]."""
    means: Tensor
    """Mean log-mel of each phone, standardised, float32 [batch, phones, 128]."""
    log_durations: Tensor
    """Predicted durations, natural log of frames, float32 [batch, phones]."""


@dataclass(frozen=True)
class Fit:
    """Reconstruction of a batch of recordings by the model, for training."""

    mel: Tensor
    """Reconstruction with the durations of the recording, standardised, float32 [batch, 128, frames]."""
    target: Tensor
    """Log-mel of the recording, standardised; both are 0 behind the end of a row."""
    means: Tensor
    """Mean log-mel of the phone of each frame, float32 [batch, 128, frames]."""
    durations: Tensor
    """Durations by alignment, int64 [batch, phones]."""
    log_durations: Tensor
    """Predicted durations, natural log of frames, float32 [batch, phones]."""


class Acoustic(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Acoustic model; see the module."""

    def __init__(self, config: AcousticConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AcousticConfig()
        width, units = config.width, config.units
        self.embedding = nn.Embedding(config.phones, width)
        self.voice = nn.Linear(config.embedding, width)
        self.convs = nn.ModuleList(_conv(width, config.kernel) for _ in range(config.layers))
        self.norms = nn.ModuleList(FrameNorm(width) for _ in range(config.layers))
        self.mean = nn.Linear(width, BANDS)
        self.timing = nn.ModuleList(_conv(width, 3) for _ in range(2))
        self.timing_norms = nn.ModuleList(FrameNorm(width) for _ in range(2))
        self.duration = nn.Linear(width, 1)
        self.enter = nn.Linear(width + 1, units)
        self.lstm = nn.LSTM(units, units, config.recurrent_layers, batch_first=True)
        self.leave = nn.Linear(units, BANDS)
        self.drop = nn.Dropout(config.dropout)
        nn.init.constant_(self.duration.bias, 1.5)  # 4.5 frames, the duration of an ordinary phone
        nn.init.normal_(self.mean.weight, 0.0, 0.01)  # the first alignments are even
        nn.init.zeros_(self.mean.bias)
        nn.init.normal_(self.leave.weight, 0.0, 0.01)  # the first outputs are the mean of each phone
        nn.init.zeros_(self.leave.bias)

    def encode(self, phones: Tensor, voice: Tensor, real: Tensor) -> Encoding:
        """Phones int64 [batch, phones], speaker float32 [batch, 192], [batch, 1, phones], 1 = real -> `Encoding`.

        Exportable.
        """
        x = (self.embedding(phones) + self.voice(voice)[:, None]).mT
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = x + self.drop(norm(functional.relu(conv(x * real))))
        timing = x.detach()  # as in Glow-TTS: durations are learnt from the states, without a gradient into them
        for conv, norm in zip(self.timing, self.timing_norms, strict=True):
            timing = self.drop(norm(functional.relu(conv(timing * real))))
        states = x.mT
        return Encoding(states, self.mean(states), self.duration(timing.mT)[..., 0])

    def decode(self, states: Tensor, means: Tensor, into: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Decode frames to a standardised log-mel float32 [batch, frames, 128], and the state after them.

        `states` [batch, frames, width] and `means` [batch, frames, 128] of the phone of each frame; `into`
        [batch, frames]: position in the phone, 0..1. Exportable.
        """
        x = functional.relu(self.enter(torch.cat([states, into[..., None]], -1)))
        y, after = self.lstm(self.drop(x), state)
        return means + self.leave(self.drop(y)), after

    def forward(
        self,
        phones: Tensor,
        phone_lengths: Tensor,
        mel: Tensor,
        lengths: Tensor,
        voice: Tensor,
        bounds: Tensor | None = None,
        tolerance: int = 0,
    ) -> Fit:
        """Align a batch of recordings and reconstruct them with the resulting durations, for training.

        Phones int64 [batch, phones] and their number, log-mel float32 [batch, 128, frames] and real frames, speakers
        float32 [batch, 192]. `bounds` int64 [batch, phones, 2] bound the alignment within a tolerance in frames, see
        `voicemill.model.light.alignment.outside`. Raises ValueError where a row has more phones than frames.
        """
        encoded = self.encode(phones, voice, mask(phone_lengths, voice.new_empty(len(phones), 1, phones.shape[1])))
        real = mask(lengths, mel)
        target = standardise(mel) * real
        frames = mel.shape[-1]
        scores = log_likelihood(encoded.means, target) + diagonal(phone_lengths, lengths, phones.shape[1], frames)
        if bounds is not None:
            scores = scores + outside(bounds, frames, tolerance)
        durations = durations_of(scores, phone_lengths, lengths)
        means = regulate(encoded.means, durations, frames)
        made, _ = self.decode(regulate(encoded.states, durations, frames), means, progress(durations, frames))
        return Fit(
            mel=made.mT * real, target=target, means=means.mT, durations=durations, log_durations=encoded.log_durations
        )

    def speak(self, phones: Tensor, voice: Tensor, speed: float = 1.0) -> Tensor:
        """Log-mel of one text, float32 [128, frames] as in `model.audio.mel`: phones int64 [phones], speaker [192].

        Every phone has at least one frame, so that a speed of 4 swallows none.
        """
        encoded = self.encode(phones[None], voice[None], voice.new_ones(1, 1, len(phones)))
        durations = spoken_durations(encoded.log_durations, speed)
        means = regulate(encoded.means, durations)
        made, _ = self.decode(regulate(encoded.states, durations), means, progress(durations))
        return made[0].T * SPREAD + MEAN


def spoken_durations(log_durations: Tensor, speed: float) -> Tensor:
    """Durations at a speed, int64 frames, 1 or more, from predicted ones, natural log of frames, of any shape.

    The remainder of rounding is carried over to the next phone, so that a text as a whole has the right duration.
    """
    ends = (log_durations.double().exp().clamp(1.0, LONGEST) / speed).cumsum(-1).round()
    durations = ends.diff(dim=-1, prepend=torch.zeros_like(ends[..., :1]))
    return durations.clamp(min=1).long()


def standardise(mel: Tensor) -> Tensor:
    """Log-mel, nepers -> about standard normal."""
    return (mel - MEAN) / SPREAD


def log_likelihood(means: Tensor, target: Tensor) -> Tensor:
    """Log-density of frames under each phone, float32 [batch, phones, frames], up to a constant for each frame.

    The distribution is normal, of deviation 1: means [batch, phones, 128], frames [batch, 128, frames].
    """
    with torch.no_grad(), torch.autocast(means.device.type, enabled=False):
        means, target = means.float(), target.float()
        return means @ target - 0.5 * means.square().sum(-1, keepdim=True)


def _conv(width: int, kernel: int) -> nn.Conv1d:
    return nn.Conv1d(width, width, kernel, padding=kernel // 2)

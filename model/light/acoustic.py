"""Acoustic model: phones and a speaker's vector to durations and a log-mel.

The core is two LSTM layers of 128 units over the frames. Before them: an embedding of the phones, three convolutions
over five phones each, the speaker's vector added, and the length regulator, which repeats each phone for as long as it
lasts and says how far into it a frame is. Beside them: a predictor of durations (two convolutions), and for every phone
the log-mel that it has on average. That average is what the frames are aligned by in training (as the prior of
Glow-TTS, Kim et al. 2020), and what the LSTM then corrects. Nothing is drawn: the same text and voice give the same
speech.

The LSTM reads forwards only, so a row of a batch is what it would be alone, and a long piece can be made in parts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from voicemill.model.light.alignment import diagonal, durations_of, outside, progress, regulated
from voicemill.model.light.config import BANDS, AcousticConfig
from voicemill.model.light.ecapa import FrameNorm
from voicemill.model.s2.layers import mask

MEAN, SPREAD = -5.0, 2.5
"""Of the values of log-mels of speech, nepers: inside the network they are about standard normal."""
LONGEST = 150.0
"""Frames of a phone, 3 s: what the predictor says beyond is cut."""

State = tuple[Tensor, Tensor]
"""Of the LSTM: float32 [layers, batch, units], twice."""


@dataclass(frozen=True)
class Encoded:
    """What is known of the phones."""

    states: Tensor
    """float32 [batch, phones, width]."""
    means: Tensor
    """float32 [batch, phones, 128]: the log-mel of each on average, standardised."""
    log_durations: Tensor
    """float32 [batch, phones]: natural log of frames."""


@dataclass(frozen=True)
class Fitted:
    """A recording seen through the model, for training."""

    mel: Tensor
    """float32 [batch, 128, frames]: what the model makes of the durations of the recording, standardised."""
    target: Tensor
    """The log-mel of the recording, standardised; both 0 behind the end of a row."""
    means: Tensor
    """float32 [batch, 128, frames]: those of the phone of each frame."""
    durations: Tensor
    """int64 [batch, phones], by alignment."""
    log_durations: Tensor
    """float32 [batch, phones], as predicted."""


class Acoustic(nn.Module):  # type: ignore[misc]  # torch is not followed
    """See the module."""

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
        nn.init.constant_(self.duration.bias, 1.5)  # 4.5 frames: an ordinary phone, so that training starts near
        nn.init.normal_(self.mean.weight, 0.0, 0.01)  # the first alignments are even
        nn.init.zeros_(self.mean.bias)
        nn.init.normal_(self.leave.weight, 0.0, 0.01)  # what is said begins as the average of each phone
        nn.init.zeros_(self.leave.bias)

    def encode(self, phones: Tensor, voice: Tensor, real: Tensor) -> Encoded:
        """Phones int64 [batch, phones], speaker float32 [batch, 192], [batch, 1, phones], 1 = real. Exportable."""
        x = (self.embedding(phones) + self.voice(voice)[:, None]).mT
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = x + self.drop(norm(functional.relu(conv(x * real))))
        timing = x.detach()  # as in Glow-TTS: durations are learnt from the states, and do not shape them
        for conv, norm in zip(self.timing, self.timing_norms, strict=True):
            timing = self.drop(norm(functional.relu(conv(timing * real))))
        states = x.mT
        return Encoded(states, self.mean(states), self.duration(timing.mT)[..., 0])

    def decode(self, states: Tensor, means: Tensor, into: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Frames -> standardised log-mel float32 [batch, frames, 128], and the state for the frames after them.

        `states` [batch, frames, width] and `means` [batch, frames, 128] of the phone of each frame, `into`
        [batch, frames]: how far into it, 0..1. Exportable.
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
    ) -> Fitted:
        """Align a batch of recordings, and make them anew with the durations found: for training.

        Phones int64 [batch, phones] and how many, log-mel float32 [batch, 128, frames] and how many, speakers float32
        [batch, 192]. `bounds` int64 [batch, phones, 2] hold the alignment, as far as a tolerance of so many frames:
        `voicemill.model.light.alignment.outside`. Raises ValueError where a row has more phones than frames.
        """
        encoded = self.encode(phones, voice, mask(phone_lengths, voice.new_empty(len(phones), 1, phones.shape[1])))
        real = mask(lengths, mel)
        target = standardised(mel) * real
        frames = mel.shape[-1]
        scores = likeness(encoded.means, target) + diagonal(phone_lengths, lengths, phones.shape[1], frames)
        if bounds is not None:
            scores = scores + outside(bounds, frames, tolerance)
        durations = durations_of(scores, phone_lengths, lengths)
        means = regulated(encoded.means, durations, frames)
        made, _ = self.decode(regulated(encoded.states, durations, frames), means, progress(durations, frames))
        return Fitted(
            mel=made.mT * real, target=target, means=means.mT, durations=durations, log_durations=encoded.log_durations
        )

    def speak(self, phones: Tensor, voice: Tensor, speed: float = 1.0) -> Tensor:
        """One text: int64 [phones], speaker float32 [192] -> log-mel float32 [128, frames], as `model.audio.mel`
        defines it.

        Every phone has one frame at least, so that a speed of 4 cannot swallow any.
        """
        encoded = self.encode(phones[None], voice[None], voice.new_ones(1, 1, len(phones)))
        durations = spoken_durations(encoded.log_durations, speed)
        means = regulated(encoded.means, durations)
        made, _ = self.decode(regulated(encoded.states, durations), means, progress(durations))
        return made[0].T * SPREAD + MEAN


def spoken_durations(log_durations: Tensor, speed: float) -> Tensor:
    """Predicted durations, natural log of frames, any shape -> int64 frames, 1 or more, at a speed.

    What rounding leaves over is carried on to the next phone, so that a text as a whole lasts as long as it should.
    """
    ends = (log_durations.double().exp().clamp(1.0, LONGEST) / speed).cumsum(-1).round()
    each = ends.diff(dim=-1, prepend=torch.zeros_like(ends[..., :1]))
    return each.clamp(min=1).long()


def standardised(mel: Tensor) -> Tensor:
    """Log-mel, nepers -> about standard normal."""
    return (mel - MEAN) / SPREAD


def likeness(means: Tensor, target: Tensor) -> Tensor:
    """Means of phones [batch, phones, 128], frames [batch, 128, frames] -> [batch, phones, frames]: log-density of a
    normal distribution of deviation 1 but for what is the same for all phones of a frame. In float32."""
    with torch.no_grad(), torch.autocast(means.device.type, enabled=False):
        means, target = means.float(), target.float()
        return means @ target - 0.5 * means.square().sum(-1, keepdim=True)


def _conv(width: int, kernel: int) -> nn.Conv1d:
    return nn.Conv1d(width, width, kernel, padding=kernel // 2)

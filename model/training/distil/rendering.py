"""A piece of speech as teacher and student of s2 render it, from the same codes, phones, recording and noise."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from voicemill.model.s2.layers import mask
from voicemill.model.s2.synthesizer import CODE_FRAMES, Synthesizer, pieces

NOISE = 0.5
"""Of the prior's samples: what speaking takes by default."""


@dataclass(frozen=True, eq=False)
class Said:
    """What both are given; tensors on one device."""

    codes: Tensor
    """int64 [batch, codes]."""
    counts: Tensor
    """int64 [batch]: real codes of each row."""
    phones: Tensor
    phone_lengths: Tensor
    spectrogram: Tensor
    """Magnitudes float32 [batch, 1025, frames] of the recordings whose voice it is."""
    lengths: Tensor
    """int64 [batch]: real frames of it."""
    embedding: Tensor | None
    """float32 [batch, dims], v2Pro."""
    noise: Tensor
    """float32 [batch, hidden, frames]: of the prior's sample."""
    uniform: Tensor
    """float32 [batch], 0..1: where the piece is."""


@dataclass(frozen=True, eq=False)
class Rendered:
    """A piece of each row, by one of the two."""

    wave: Tensor
    """float32 [batch, segment x hop]."""
    ge: Tensor
    """float32 [batch, style, 1]: the voice."""
    piece: Tensor
    """float32 [batch, hidden, segment]: what the generator read."""
    stages: tuple[Tensor, ...]
    """Of the generator, float32 [batch, channels, time]; the student's as the teacher's channels."""


class S2Lesson(nn.Module):  # type: ignore[misc]  # torch is not followed
    """The student and its projections, as a module whose forward renders: in the precision of the training."""

    def __init__(self, student: Synthesizer, teacher: Synthesizer, whole: bool) -> None:
        super().__init__()
        self.student, self.whole = student, whole
        widths = zip(_widths(student), _widths(teacher), strict=True)
        self.hints = nn.ModuleList(nn.Conv1d(own, theirs, 1) for own, theirs in widths)
        self._teacher = (teacher.eval().requires_grad_(False),)

    @property
    def teacher(self) -> Synthesizer:
        """No part of the module: it is neither trained nor kept in checkpoints."""
        teacher: Synthesizer = self._teacher[0]
        return teacher

    def forward(self, said: Said, taught: Rendered | None = None) -> Rendered:
        """The teacher's piece; or the student's, where the teacher's is given."""
        if taught is None:
            teacher = self.teacher.to(said.codes.device)
            with torch.no_grad():
                ge = teacher.voices(said.spectrogram, said.lengths, said.embedding)
                return rendered(teacher, latent_piece(teacher, said, ge), ge, ge)
        ge = self.student.voices(said.spectrogram, said.lengths, said.embedding)
        if self.whole:
            found = rendered(self.student, latent_piece(self.student, said, ge), ge, ge)
        else:
            found = rendered(self.student, taught.piece, taught.ge, ge)
        stages = tuple(hint(stage) for hint, stage in zip(self.hints, found.stages, strict=True))
        return Rendered(found.wave, found.ge, found.piece, stages)


def latent_piece(network: Synthesizer, said: Said, ge: Tensor) -> Tensor:
    """What the generator of a network reads of the piece of each row, float32 [batch, hidden, segment]: as in speaking,
    a sample of the prior through the inverse flow. Zeros follow the end of a row that is shorter than the piece."""
    prior = network.prior(said.codes, said.phones, ge, code_lengths=said.counts, phone_lengths=said.phone_lengths)
    frames, size = said.counts * CODE_FRAMES, network.config.segment
    z = network.latent(prior.mean, prior.logs, NOISE, said.noise[..., : prior.mean.shape[-1]])
    z = network.flow(z, mask(frames, z), ge, inverse=True)
    starts = (said.uniform * (frames - size + 1).clamp(min=1)).long()
    return pieces(pad(z, (0, max(0, size - z.shape[-1]))), starts, size)


def rendered(network: Synthesizer, piece: Tensor, ge: Tensor, own: Tensor) -> Rendered:
    """A piece with its stages, in the voice `ge`; `own`: the voice that the network itself heard."""
    stages: list[Tensor] = []
    wave = network.dec(piece, ge, None, stages)[:, 0]
    return Rendered(wave, own, piece, tuple(stages))


def _widths(network: Synthesizer) -> list[int]:
    """Channels of each stage of the generator."""
    return [network.config.upsample_channels >> stage for stage in range(1, len(network.config.upsample_rates) + 1)]

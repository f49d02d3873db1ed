"""Rendering of one piece of speech by teacher and student of s2, from the same codes, phones, recording and noise."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from voicemill.model.s2.layers import mask
from voicemill.model.s2.synthesizer import CODE_FRAMES, Synthesizer, pieces

NOISE = 0.5
"""Noise scale of the prior's samples: the default of synthesis."""


@dataclass(frozen=True, eq=False)
class RenderInputs:
    """Inputs of teacher and student; tensors on one device."""

    codes: Tensor
    """Semantic codes, int64 [batch, codes]."""
    counts: Tensor
    """Number of real codes of each row, int64 [batch]."""
    phones: Tensor
    phone_lengths: Tensor
    spectrogram: Tensor
    """Magnitude spectrogram of the reference recordings, float32 [batch, 1025, frames]."""
    lengths: Tensor
    """Number of real frames of the spectrogram, int64 [batch]."""
    embedding: Tensor | None
    """Speaker embedding of v2Pro, float32 [batch, dims]."""
    noise: Tensor
    """Standard normal noise of the prior's sample, float32 [batch, hidden, frames]."""
    uniform: Tensor
    """Relative position of the piece, float32 [batch], 0..1."""


@dataclass(frozen=True, eq=False)
class Rendered:
    """One rendered piece of each row."""

    wave: Tensor
    """Waveform, float32 [batch, segment x hop]."""
    ge: Tensor
    """Voice vector, float32 [batch, style, 1]."""
    piece: Tensor
    """Input of the generator, float32 [batch, hidden, segment]."""
    stages: tuple[Tensor, ...]
    """Stages of the generator, float32 [batch, channels, time]; the student's in the teacher's channels."""


class S2Lesson(nn.Module):  # type: ignore[misc]  # torch is not followed
    """The student and its projections as one module, whose forward renders in the precision of the training."""

    def __init__(self, student: Synthesizer, teacher: Synthesizer, whole: bool) -> None:
        super().__init__()
        self.student, self.whole = student, whole
        widths = zip(_widths(student), _widths(teacher), strict=True)
        self.hints = nn.ModuleList(nn.Conv1d(own, target, 1) for own, target in widths)
        self._teacher = (teacher.eval().requires_grad_(False),)

    @property
    def teacher(self) -> Synthesizer:
        """The teacher; not part of the module, so it is neither trained nor stored in checkpoints."""
        teacher: Synthesizer = self._teacher[0]
        return teacher

    def forward(self, inputs: RenderInputs, target: Rendered | None = None) -> Rendered:
        """Render the teacher's piece, or the student's where the teacher's is given as `target`."""
        if target is None:
            teacher = self.teacher.to(inputs.codes.device)
            with torch.no_grad():
                ge = teacher.voices(inputs.spectrogram, inputs.lengths, inputs.embedding)
                return render(teacher, latent_piece(teacher, inputs, ge), ge, ge)
        ge = self.student.voices(inputs.spectrogram, inputs.lengths, inputs.embedding)
        if self.whole:
            piece = render(self.student, latent_piece(self.student, inputs, ge), ge, ge)
        else:
            piece = render(self.student, target.piece, target.ge, ge)
        stages = tuple(hint(stage) for hint, stage in zip(self.hints, piece.stages, strict=True))
        return Rendered(piece.wave, piece.ge, piece.piece, stages)


def latent_piece(network: Synthesizer, inputs: RenderInputs, ge: Tensor) -> Tensor:
    """Input of a network's generator for the piece of each row, float32 [batch, hidden, segment].

    As in synthesis, a sample of the prior passes the inverse flow. Rows shorter than the piece are padded with zeros.
    """
    prior = network.prior(
        inputs.codes, inputs.phones, ge, code_lengths=inputs.counts, phone_lengths=inputs.phone_lengths
    )
    frames, size = inputs.counts * CODE_FRAMES, network.config.segment
    z = network.latent(prior.mean, prior.logs, NOISE, inputs.noise[..., : prior.mean.shape[-1]])
    z = network.flow(z, mask(frames, z), ge, inverse=True)
    starts = (inputs.uniform * (frames - size + 1).clamp(min=1)).long()
    return pieces(pad(z, (0, max(0, size - z.shape[-1]))), starts, size)


def render(network: Synthesizer, piece: Tensor, ge: Tensor, own: Tensor) -> Rendered:
    """Render a piece and its stages in the voice `ge`; `own`: the voice vector that the network computed."""
    stages: list[Tensor] = []
    wave = network.dec(piece, ge, None, stages)[:, 0]
    return Rendered(wave, own, piece, tuple(stages))


def _widths(network: Synthesizer) -> list[int]:
    """Number of channels of each stage of the generator."""
    return [network.config.upsample_channels >> stage for stage in range(1, len(network.config.upsample_rates) + 1)]

"""The joint fine-tune: both students at once, each in what the other makes of it.

Codes are discrete, so no gradient of the waveform reaches s1. What "joint" can mean, and means here:

s2 learns from what the student s1 says. Its codes are drawn from the student's own distribution after the true codes
before them, and the teacher's s2 renders the very same codes: the target always belongs to what was given, also where
s1 says something else than the recording (on-policy distillation; Agarwal et al. 2024 do it for language models). s2 is
trained from codes to waveform, with a voice vector and a latent of its own.

s1 learns to differ from its teacher only where it cannot be heard. Besides its own losses it is told by how much s2
hears the two differently: the expected content, sum over codes of probability x codebook entry, of student and teacher,
both through the frozen prior encoder of s2; heard_weight x mean |difference| of the prior's mean. The expectation is
differentiable, and the term is 0 where both say the same. (A mixture of entries is nothing that the prior encoder was
trained on; it serves as a distance, not as speech.)
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from voicemill.model.checkpoints.checkpoint import Checkpoint
from voicemill.model.data.minibatch import Minibatch
from voicemill.model.s2.synthesizer import CODE_FRAMES, Synthesizer
from voicemill.model.training.distil.losses import frame_distance
from voicemill.model.training.distil.s1 import S1Distillation, Taught
from voicemill.model.training.distil.s2 import S2Distillation
from voicemill.model.training.engine.objective import Sample
from voicemill.model.training.objectives.s1 import S1
from voicemill.model.training.objectives.s2 import S2


class JointDistillation:
    """See `model.training.engine.objective.Objective`: `s1` and `s2` with one step each, in this order. The codes of
    `s2` are replaced by those that `s1` says."""

    network: str = S2

    def __init__(self, s1: S1Distillation, s2: S2Distillation, notes: tuple[str, ...] = ()) -> None:
        self.s1, self.s2 = s1, s2
        self.s2.codes = self.spoken
        self.modules: dict[str, nn.Module] = s2.modules | s1.modules
        self.rounds: tuple[str, ...] = (S1, *s2.rounds)
        self.needs = s1.needs | s2.needs
        self.notes = (*notes, *s1.notes, *s2.notes)

    def optimisers(self, rate: float) -> dict[str, Optimizer]:
        """Those of both."""
        return self.s2.optimisers(rate) | self.s1.optimisers(rate)

    def losses(self, module: str, batch: Minibatch) -> dict[str, Tensor]:
        """Terms of "s1": its own and "heard"; of the others as of `S2Distillation`."""
        if module != S1:
            return self.s2.losses(module, batch)
        totals = batch.totals
        taught, terms = self.s1.terms(batch)
        heard = self._heard(batch, taught).sum() * totals.parts / totals.examples
        return terms | {"heard": heard * self.s1.distill.heard_weight}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def validate(self, batch: Minibatch) -> dict[str, float]:
        """Terms of both, those of s1 under "s1/<term>"; "loss" is that of s2 and that of s1, means over examples."""
        spoken = {name: value for name, value in self.s1.validate(batch).items() if not name.endswith("/weight")}
        tokens = float((batch.lengths // 2 + 1).sum())
        found: dict[str, float] = self.s2.validate(batch)
        found["loss"] += spoken["loss"] / tokens * len(batch)
        found |= {f"s1/{name}": value for name, value in spoken.items()}
        return found | {f"s1/{name}/weight": tokens for name in spoken}

    def sample(self, batch: Minibatch) -> Sample:
        """As of s2, of what the student s1 says."""
        found: Sample = self.s2.sample(batch)
        return found

    def checkpoints(self, lineage: Mapping[str, Any]) -> dict[str, Checkpoint]:
        """ "s1" and "s2" (and "s2_discriminator")."""
        return self.s1.checkpoints(lineage) | self.s2.checkpoints(lineage)

    def spoken(self, batch: Minibatch) -> tuple[Tensor, list[int]]:
        """Codes that the student s1 says, each after the true ones before it; drawn from the seeds of the examples."""
        logits, counts = self.s1.said(batch)
        return drawn_codes(logits[:, :-1, :-1], batch.seeds), counts

    def _heard(self, batch: Minibatch, taught: Taught) -> Tensor:
        """float32 [batch]: how differently s2 hears what both say."""
        teacher, ge = self.s2.lesson.teacher, self.s2.voices(batch)
        with torch.no_grad():
            theirs = expected_prior(teacher, taught.teacher.logits, batch, ge)
        own = expected_prior(teacher, taught.student.logits, batch, ge)
        frames = batch.lengths // CODE_FRAMES * CODE_FRAMES
        return frame_distance(own, theirs, torch.arange(own.shape[-1], device=own.device) < frames[:, None])


def expected_prior(network: Synthesizer, logits: Tensor, batch: Minibatch, ge: Tensor) -> Tensor:
    """What s2 makes of the content that is expected of logits [batch, codes + 1, vocabulary], EOS left out: the mean of
    its prior, float32 [batch, hidden, frames]."""
    expected = logits[:, :-1, :-1].float().softmax(-1) @ network.quantizer.embed
    counts = batch.lengths // CODE_FRAMES
    mean: Tensor = network.prior_of(expected.mT, batch.phones, ge, 1.0, counts, batch.phone_lengths).mean
    return mean


def drawn_codes(logits: Tensor, seeds: Tensor) -> Tensor:
    """Logits [batch, places, codes], seeds int64 [batch] -> int64 [batch, places], a code of each distribution.

    By the largest of logit + Gumbel noise (Gumbel 1954); place by place, so that padding does not change a row's own.
    """
    rows = []
    for row, seed in zip(logits, seeds.tolist(), strict=True):
        generator = torch.Generator().manual_seed(seed)
        uniform = torch.rand(row.shape, generator=generator, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
        rows.append((row.float() - (-uniform.log()).log().to(row)).argmax(-1))
    return torch.stack(rows)

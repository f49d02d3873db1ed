"""Joint fine-tuning of both students, each on the output of the other.

Codes are discrete, so no gradient of the waveform reaches s1. "Joint" therefore means:

s2 learns from the codes of the student s1. They are drawn from the student's own distribution, each after the true
codes before it, and the teacher's s2 renders the very same codes: the target always belongs to the input, also where s1
deviates from the recording (on-policy distillation; Agarwal et al. 2024 do it for language models). s2 is trained from
codes to waveform, with a voice vector and a latent of its own.

s1 learns to differ from its teacher only where s2 renders the same. Besides its own losses it has a term for the
difference that s2 perceives: the expected content (sum over codes of probability x codebook entry) of student and
teacher passes through the frozen prior encoder of s2; the term is heard_weight x mean |difference| of the prior's mean.
The expectation is differentiable, and the term is 0 where both predict the same. (The prior encoder was never trained
on mixtures of codebook entries; they serve as a distance, not as speech.)
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
from voicemill.model.training.distil.s1 import S1Distillation, Traces
from voicemill.model.training.distil.s2 import S2Distillation
from voicemill.model.training.engine.objective import Sample
from voicemill.model.training.objectives.s1 import S1
from voicemill.model.training.objectives.s2 import S2


class JointDistillation:
    """Objective of both students (`model.training.engine.objective.Objective`): one step of `s1`, then one of `s2`.

    `s2` reads the codes that `s1` predicts instead of the true ones.
    """

    network: str = S2

    def __init__(self, s1: S1Distillation, s2: S2Distillation, notes: tuple[str, ...] = ()) -> None:
        self.s1, self.s2 = s1, s2
        self.s2.codes = self.predicted_codes
        self.modules: dict[str, nn.Module] = s2.modules | s1.modules
        self.rounds: tuple[str, ...] = (S1, *s2.rounds)
        self.needs = s1.needs | s2.needs
        self.notes = (*notes, *s1.notes, *s2.notes)

    def optimisers(self, rate: float) -> dict[str, Optimizer]:
        """The optimisers of both students."""
        return self.s2.optimisers(rate) | self.s1.optimisers(rate)

    def losses(self, module: str, batch: Minibatch) -> dict[str, Tensor]:
        """Terms of one module: "s1" has its own and "heard"; the others are those of `S2Distillation`."""
        if module != S1:
            return self.s2.losses(module, batch)
        totals = batch.totals
        traces, terms = self.s1.terms(batch)
        heard = self._heard(batch, traces).sum() * totals.parts / totals.examples
        return terms | {"heard": heard * self.s1.distill.heard_weight}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def validate(self, batch: Minibatch) -> dict[str, float]:
        """Terms of both students, those of s1 under "s1/<term>"; "loss" is their sum, means over examples."""
        s1_terms = {name: value for name, value in self.s1.validate(batch).items() if not name.endswith("/weight")}
        tokens = float((batch.lengths // 2 + 1).sum())
        terms: dict[str, float] = self.s2.validate(batch)
        terms["loss"] += s1_terms["loss"] / tokens * len(batch)
        terms |= {f"s1/{name}": value for name, value in s1_terms.items()}
        return terms | {f"s1/{name}/weight": tokens for name in s1_terms}

    def sample(self, batch: Minibatch) -> Sample:
        """Sample of s2, rendered from the codes of the student s1."""
        sample: Sample = self.s2.sample(batch)
        return sample

    def checkpoints(self, lineage: Mapping[str, Any]) -> dict[str, Checkpoint]:
        """Checkpoints "s1", "s2" and, with a discriminator, "s2_discriminator"."""
        return self.s1.checkpoints(lineage) | self.s2.checkpoints(lineage)

    def predicted_codes(self, batch: Minibatch) -> tuple[Tensor, list[int]]:
        """Codes of the student s1, each drawn after the true codes before it, by the seeds of the examples."""
        logits, counts = self.s1.student_logits(batch)
        return draw_codes(logits[:, :-1, :-1], batch.seeds), counts

    def _heard(self, batch: Minibatch, traces: Traces) -> Tensor:
        """Difference of both predictions as s2 perceives it, float32 [batch]."""
        teacher, ge = self.s2.lesson.teacher, self.s2.voices(batch)
        with torch.no_grad():
            target = expected_prior(teacher, traces.teacher.logits, batch, ge)
        own = expected_prior(teacher, traces.student.logits, batch, ge)
        frames = batch.lengths // CODE_FRAMES * CODE_FRAMES
        return frame_distance(own, target, torch.arange(own.shape[-1], device=own.device) < frames[:, None])


def expected_prior(network: Synthesizer, logits: Tensor, batch: Minibatch, ge: Tensor) -> Tensor:
    """Mean of the prior of s2 for the expected content, float32 [batch, hidden, frames].

    `logits`: [batch, codes + 1, vocabulary]; EOS is left out.
    """
    expected = logits[:, :-1, :-1].float().softmax(-1) @ network.quantizer.embed
    counts = batch.lengths // CODE_FRAMES
    mean: Tensor = network.prior_of(expected.mT, batch.phones, ge, 1.0, counts, batch.phone_lengths).mean
    return mean


def draw_codes(logits: Tensor, seeds: Tensor) -> Tensor:
    """Draw a code from each distribution: logits [batch, places, codes], seeds int64 [batch] -> int64 [batch, places].

    Method: argmax of logit + Gumbel noise (Gumbel 1954), row by row, so that padding does not change the draws of a
    row.
    """
    rows = []
    for row, seed in zip(logits, seeds.tolist(), strict=True):
        generator = torch.Generator().manual_seed(seed)
        uniform = torch.rand(row.shape, generator=generator, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
        rows.append((row.float() - (-uniform.log()).log().to(row)).argmax(-1))
    return torch.stack(rows)

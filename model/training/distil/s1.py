"""Distillation of s1: soft targets of the teacher, true codes, and the teacher's inner layers.

    loss = alpha x T^2 KL(teacher || student, at temperature T) + (1 - alpha) x cross entropy
           + hidden_weight x hidden distance + attention_weight x attention divergence

Both networks read the same phones and the same true codes (teacher forcing), so every place has one target. Soft
targets and cross entropy are averaged over codes and EOS, as in the training of s1; hidden states and attentions over
examples, within each over its real places, phones and codes alike.

Attention: the layers use the fused kernel, which keeps no weights. Only matched layers compute, in addition, the rows
of some queries from the keys that exist anyway: for 64 of 600 places a tenth of the matrix of places x places per head,
and no layer uses the slow kernel. At full size, 8 examples of 600 places in float32, a matched layer holds 20 MB for
each network instead of 184.

Cost of a step: the teacher's forward pass without a gradient, and a step of the student.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from voicemill.model.checkpoints.checkpoint import Checkpoint
from voicemill.model.checkpoints.sizes import header
from voicemill.model.data.minibatch import Minibatch
from voicemill.model.s1.decoder import Layer, LayerInput, Text2Semantic
from voicemill.model.s1.loss import IGNORED, targets
from voicemill.model.settings.training import DistillSettings, S1Settings
from voicemill.model.training.distil.losses import attention_divergence, hidden_distance, soft_targets
from voicemill.model.training.distil.students import Matches, size_of
from voicemill.model.training.objectives.s1 import S1, Coder, S1Objective
from voicemill.storage.errors import ConfigError

UNSEEN = -1e4
"""Score of a masked key: its weight underflows to exactly 0 in float32, and the score fits float16."""


@dataclass(frozen=True, eq=False)
class Trace:
    """Outputs of one network for a minibatch."""

    logits: Tensor
    """Logits, float32 [batch, codes + 1, vocabulary]."""
    hidden: tuple[Tensor, ...]
    """Output of each traced layer, float32 [batch, phones + codes, dim]."""
    attention: tuple[Tensor, ...]
    """Logarithms of the attention weights of each traced layer, float32 [batch, heads, queries, phones + codes]."""


@dataclass(frozen=True, eq=False)
class Traces:
    """Outputs of student and teacher for the same minibatch."""

    student: Trace
    teacher: Trace


@dataclass(frozen=True, eq=False)
class Queries:
    """Queries whose attention is compared."""

    places: Tensor
    """Their places in [phones ; codes], int64 [batch, queries]."""
    real: Tensor
    """False where a row has fewer places than queries, bool [batch, queries]."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Loss terms before weighting, float32 [batch] each."""

    soft: Tensor
    """Soft-target loss, summed over the codes and the EOS of a row."""
    hard: Tensor
    """Cross entropy, summed likewise."""
    hidden: Tensor
    attention: Tensor
    agreed: Tensor
    """Number of places at which both predict the same code."""


class S1Lesson(nn.Module):  # type: ignore[misc]  # torch is not followed
    """The student as a module whose forward also runs the teacher, both in the precision of the training.

    The teacher is not part of the module: it is neither trained nor stored in checkpoints.
    """

    def __init__(self, student: Text2Semantic, teacher: Text2Semantic, layers: Matches) -> None:
        super().__init__()
        self.student = student
        self.matches = layers
        self._teacher = (teacher.eval().requires_grad_(False),)

    def forward(
        self,
        phones: Tensor,
        bert: Tensor | None,
        codes: Tensor,
        phone_lengths: list[int],
        code_lengths: list[int],
        queries: Tensor,
    ) -> Traces:
        """Run both networks. Arguments like `Text2Semantic.forward`; `queries`: int64 [batch, queries]."""
        inputs = phones, bert, codes, phone_lengths, code_lengths
        teacher_layers = tuple(layer for _, layer in self.matches.pairs)
        student_layers = tuple(layer for layer, _ in self.matches.pairs)
        teacher = self._teacher[0].to(phones.device)
        with torch.no_grad():
            target = trace(teacher, teacher.embed(*inputs), teacher_layers, queries, phones.shape[1])
        output = trace(self.student, self.student.embed(*inputs), student_layers, queries, phones.shape[1])
        return Traces(output, target)


class S1Distillation(S1Objective):
    """Objective of an s1 student (`model.training.engine.objective.Objective`). `coder` computes the true codes.

    Raises ConfigError: student, teacher and coder differ in codes or widths.
    """

    def __init__(
        self,
        student: Text2Semantic,
        teacher: Text2Semantic,
        layers: Matches,
        coder: Coder,
        settings: DistillSettings,
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(student, coder, S1Settings(), notes)
        if (student.config.codes, student.config.dim, student.config.heads) != (
            teacher.config.codes,
            teacher.config.dim,
            teacher.config.heads,
        ):
            raise ConfigError(
                f"the student of s1 has {student.config.codes} codes, {student.config.dim} channels and "
                f"{student.config.heads} heads, its teacher {teacher.config.codes}, {teacher.config.dim} and "
                f"{teacher.config.heads}: they must be the same, only layers are left out"
            )
        self.distill = settings
        self.lesson = S1Lesson(student, teacher, layers)
        self.modules: dict[str, nn.Module] = {S1: self.lesson}
        share = size_of(student) / size_of(teacher)
        self.notes = (*notes, f"student of s1: {share:.0%} of the teacher's parameters; {layers}")

    def losses(self, module: str, batch: Minibatch) -> dict[str, Tensor]:
        """Weighted terms: soft and hard in nats per code or EOS; hidden and attention as means over examples."""
        return self.terms(batch)[1]

    def terms(self, batch: Minibatch) -> tuple[Traces, dict[str, Tensor]]:
        """Return the outputs of both networks over the true codes, and `losses`."""
        totals = batch.totals
        traces, rows = self.traces(batch)
        by_code, by_example = totals.parts / (totals.codes + totals.examples), totals.parts / totals.examples
        scales = {"soft": by_code, "hard": by_code, "hidden": by_example, "attention": by_example}
        terms = {name: getattr(rows, name).sum() * scale * self._weight(name) for name, scale in scales.items()}
        return traces, terms

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def validate(self, batch: Minibatch) -> dict[str, float]:
        """Terms as in training, as means over codes and EOS (terms per example count once for each of its codes).

        "agreement" is the share of codes and EOS where the likeliest code is the teacher's, each after the true codes.
        """
        self.lesson.eval()
        _, rows = self.traces(batch)
        counts = batch.lengths // 2 + 1
        tokens = float(counts.sum())
        terms = {
            "soft": rows.soft,
            "hard": rows.hard,
            "hidden": rows.hidden * counts,
            "attention": rows.attention * counts,
        }
        sums = {name: float(value.sum()) * self._weight(name) for name, value in terms.items()}
        sums["loss"] = sum(sums.values())
        sums["agreement"] = float(rows.agreed.sum())
        return sums | {f"{name}/weight": tokens for name in sums}

    def checkpoints(self, lineage: Mapping[str, Any]) -> dict[str, Checkpoint]:
        """Checkpoint "s1": the student alone."""
        student = self.lesson.student
        return {S1: Checkpoint("s1", "v2", student.state_dict(), header(student.config), lineage=lineage)}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def student_logits(self, batch: Minibatch) -> tuple[Tensor, list[int]]:
        """Logits of the student after the true codes, without dropout, and the number of codes of each row."""
        student = self._network
        training = student.training
        codes, counts = self._coder.to(batch.content.device)(batch.content, batch.lengths)
        try:
            return student.eval()(batch.phones, batch.bert, codes, batch.phone_lengths.tolist(), counts), counts
        finally:
            student.train(training)

    def traces(self, batch: Minibatch) -> tuple[Traces, Rows]:
        """Return the outputs of both networks over the true codes, and the terms of their difference."""
        codes, counts = self._coder.to(batch.content.device)(batch.content, batch.lengths)
        queries = draw_queries(batch, counts, self.distill.attention_queries)
        phone_lengths = batch.phone_lengths.tolist()
        traces = self.lesson(batch.phones, batch.bert, codes, phone_lengths, counts, queries.places)
        labels = targets(codes, counts, self._network.config.eos)
        return traces, self._rows(traces, labels, real_places(batch, codes.shape[1]), queries)

    @property
    def _network(self) -> Text2Semantic:
        return self.lesson.student if hasattr(self, "lesson") else super()._network

    def _rows(self, traces: Traces, labels: Tensor, places: Tensor, queries: Queries) -> Rows:
        student, teacher = traces.student, traces.teacher
        real = labels != IGNORED
        zeros = student.logits.new_zeros(len(labels))
        logits = student.logits.float()
        hidden = [hidden_distance(s, t, places) for s, t in zip(student.hidden, teacher.hidden, strict=True)]
        attention = [
            attention_divergence(s, t, queries.real) for s, t in zip(student.attention, teacher.attention, strict=True)
        ]
        return Rows(
            soft=soft_targets(logits, teacher.logits, real, self.distill.temperature),
            hard=cross_entropy(logits.mT, labels, ignore_index=IGNORED, reduction="none").sum(-1),
            hidden=torch.stack(hidden).mean(0) if hidden else zeros,
            attention=torch.stack(attention).mean(0) if attention else zeros,
            agreed=((logits.argmax(-1) == teacher.logits.argmax(-1)) & real).sum(-1).float(),
        )

    def _weight(self, term: str) -> float:
        settings = self.distill
        if term in ("soft", "hard"):
            return settings.alpha if term == "soft" else 1 - settings.alpha
        return float(getattr(settings, f"{term}_weight"))


def trace(network: Text2Semantic, embedded: LayerInput, layers: tuple[int, ...], queries: Tensor, phones: int) -> Trace:
    """Run a network and record outputs and attention of `layers` (from 1); logits equal those of its forward."""
    x, hidden, attention = embedded.x, [], []
    for number, layer in enumerate(network.h.layers, 1):
        if number in layers:
            x, weights = attend(layer, x, embedded.mask, queries)
            hidden.append(x)
            attention.append(weights)
        else:
            x = layer(x, embedded.mask)
    return Trace(network.logits(x, embedded.last, phones), tuple(hidden), tuple(attention))


def attend(layer: Layer, x: Tensor, mask: Tensor | None, queries: Tensor) -> tuple[Tensor, Tensor]:
    """Run a layer; return its output and the logarithms of the attention weights of some queries.

    `queries`: int64 [batch, queries] -> [batch, heads, queries, time]. They use the projection that the layer computes
    anyway, without dropout.
    """
    q, k, v = layer.self_attn.project(x)
    rows = torch.arange(len(x), device=x.device)[:, None]
    chosen = q[rows, :, queries].transpose(1, 2)
    scores = (chosen @ k.mT).float() / q.shape[-1] ** 0.5
    if mask is not None:
        visible = mask[queries] if mask.dim() == 2 else mask[rows, 0, queries]
        scores = scores.masked_fill(~visible[:, None], UNSEEN)
    return layer.finish(x, q, k, v, mask), scores.log_softmax(-1)


def draw_queries(batch: Minibatch, code_lengths: list[int], count: int) -> Queries:
    """Choose up to `count` real places of each row, evenly spaced, with an offset drawn by the seed of the example."""
    phones = batch.phones.shape[1]
    places = torch.zeros(len(batch), count, dtype=torch.int64)
    real = torch.zeros(len(batch), count, dtype=torch.bool)
    rows = zip(batch.phone_lengths.tolist(), code_lengths, batch.seeds.tolist(), strict=True)
    for row, (text, codes, seed) in enumerate(rows):
        total = text + codes
        chosen_count = min(count, total)
        offset = torch.rand((), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        chosen = ((torch.arange(chosen_count) + offset) * total / chosen_count).long().clamp(max=total - 1)
        places[row, :chosen_count] = torch.where(chosen < text, chosen, chosen - text + phones)
        real[row, :chosen_count] = True
    device = batch.phones.device
    return Queries(places.to(device), real.to(device))


def real_places(batch: Minibatch, codes: int) -> Tensor:
    """Mask of the places that are not padding, bool [batch, phones + codes]."""
    device = batch.phones.device
    text = torch.arange(batch.phones.shape[1], device=device) < batch.phone_lengths[:, None]
    semantic = torch.arange(codes, device=device) < (batch.lengths // 2)[:, None]
    return torch.cat([text, semantic], 1)

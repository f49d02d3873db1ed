"""A student of s1: soft targets of the teacher, true codes, and the teacher's inner layers.

    loss = alpha x T^2 KL(teacher || student, at temperature T) + (1 - alpha) x cross entropy
           + hidden_weight x hidden distance + attention_weight x attention divergence

Both read the same phones and the same true codes (teacher forcing), so every place has one target. Soft targets and
cross entropy count codes and EOS, as s1's own training does; hidden states and attentions count examples, each by its
real places, phones and codes alike.

Attention. The layers attend by the fused kernel, which keeps no weights. The matched ones alone compute, besides, the
rows of some queries from the keys that are there anyway: for 64 of 600 places a tenth of a matrix that would be places
x places for every head, and no layer attends by the slow path. At full size, 8 examples of 600 places in float32, each
matched layer so holds 20 MB for each network instead of 184.

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
from voicemill.model.s1.decoder import Embedded, Layer, Text2Semantic
from voicemill.model.s1.loss import IGNORED, targets
from voicemill.model.settings.training import DistillSettings, S1Settings
from voicemill.model.training.distil.losses import attention_divergence, hidden_distance, soft_targets
from voicemill.model.training.distil.students import Matches, size_of
from voicemill.model.training.objectives.s1 import S1, Coder, S1Objective
from voicemill.storage.errors import ConfigError

UNSEEN = -1e4
"""Score of a key that a query may not see: its weight underflows to exactly 0 in float32, and it fits float16."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What one network makes of a batch."""

    logits: Tensor
    """float32 [batch, codes + 1, vocabulary]."""
    hidden: tuple[Tensor, ...]
    """Of each traced layer float32 [batch, phones + codes, dim]."""
    attention: tuple[Tensor, ...]
    """Of each traced layer float32 [batch, heads, queries, phones + codes]: logarithms of the weights."""


@dataclass(frozen=True, eq=False)
class Taught:
    """Student and teacher over the same batch."""

    student: Trace
    teacher: Trace


@dataclass(frozen=True, eq=False)
class Queries:
    """Places whose attention is compared."""

    places: Tensor
    """int64 [batch, queries], in [phones ; codes]."""
    real: Tensor
    """bool [batch, queries]: false where a row has fewer places than are asked for."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Terms of a batch before weighting, float32 [batch] each."""

    soft: Tensor
    """Summed over the codes and the EOS of a row."""
    hard: Tensor
    """The same."""
    hidden: Tensor
    attention: Tensor
    agreed: Tensor
    """Places at which both say the same."""


class S1Lesson(nn.Module):  # type: ignore[misc]  # torch is not followed
    """The student, as a module whose forward has the teacher speak as well: both in the precision of the training.

    The teacher is no part of it: it is neither trained nor kept in checkpoints.
    """

    def __init__(self, student: Text2Semantic, teacher: Text2Semantic, found: Matches) -> None:
        super().__init__()
        self.student = student
        self.matches = found
        self._teacher = (teacher.eval().requires_grad_(False),)

    def forward(
        self,
        phones: Tensor,
        bert: Tensor | None,
        codes: Tensor,
        phone_lengths: list[int],
        code_lengths: list[int],
        queries: Tensor,
    ) -> Taught:
        """Arguments as of `Text2Semantic.forward`; `queries`: int64 [batch, queries]."""
        given = phones, bert, codes, phone_lengths, code_lengths
        theirs = tuple(layer for _, layer in self.matches.pairs)
        own = tuple(layer for layer, _ in self.matches.pairs)
        teacher = self._teacher[0].to(phones.device)
        with torch.no_grad():
            target = traced(teacher, teacher.embed(*given), theirs, queries, phones.shape[1])
        return Taught(traced(self.student, self.student.embed(*given), own, queries, phones.shape[1]), target)


class S1Distillation(S1Objective):
    """See `voicemill.model.training.engine.objective.Objective`. `coder` gives the true codes.

    Raises ConfigError: student, teacher and coder have other codes or widths.
    """

    def __init__(
        self,
        student: Text2Semantic,
        teacher: Text2Semantic,
        found: Matches,
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
        self.lesson = S1Lesson(student, teacher, found)
        self.modules: dict[str, nn.Module] = {S1: self.lesson}
        share = size_of(student) / size_of(teacher)
        self.notes = (*notes, f"student of s1: {share:.0%} of the teacher's parameters; {found}")

    def losses(self, module: str, batch: Minibatch) -> dict[str, Tensor]:
        """soft, hard: nats for each code or EOS; hidden, attention: means over examples."""
        return self.terms(batch)[1]

    def terms(self, batch: Minibatch) -> tuple[Taught, dict[str, Tensor]]:
        """Both over the true codes of a batch, and `losses`."""
        totals = batch.totals
        taught, rows = self.taught(batch)
        spoken, heard = totals.parts / (totals.codes + totals.examples), totals.parts / totals.examples
        scales = {"soft": spoken, "hard": spoken, "hidden": heard, "attention": heard}
        terms = {name: getattr(rows, name).sum() * scale * self._weight(name) for name, scale in scales.items()}
        return taught, terms

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def validate(self, batch: Minibatch) -> dict[str, float]:
        """As in training, every term a mean over codes and EOS (those of an example count for each of its codes);
        "agreement" is the share of them where the likeliest code is the teacher's, each after the true codes."""
        self.lesson.eval()
        _, rows = self.taught(batch)
        spoken = batch.lengths // 2 + 1
        tokens = float(spoken.sum())
        each = {
            "soft": rows.soft,
            "hard": rows.hard,
            "hidden": rows.hidden * spoken,
            "attention": rows.attention * spoken,
        }
        sums = {name: float(value.sum()) * self._weight(name) for name, value in each.items()}
        sums["loss"] = sum(sums.values())
        sums["agreement"] = float(rows.agreed.sum())
        return sums | {f"{name}/weight": tokens for name in sums}

    def checkpoints(self, lineage: Mapping[str, Any]) -> dict[str, Checkpoint]:
        """ "s1": the student alone."""
        student = self.lesson.student
        return {S1: Checkpoint("s1", "v2", student.state_dict(), header(student.config), lineage=lineage)}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def said(self, batch: Minibatch) -> tuple[Tensor, list[int]]:
        """Logits of the student after the true codes, without dropout, and how many codes each row has."""
        student = self._network
        training = student.training
        codes, counts = self._coder.to(batch.content.device)(batch.content, batch.lengths)
        try:
            return student.eval()(batch.phones, batch.bert, codes, batch.phone_lengths.tolist(), counts), counts
        finally:
            student.train(training)

    def taught(self, batch: Minibatch) -> tuple[Taught, Rows]:
        """Both over the true codes of a batch, and the terms of their difference."""
        codes, counts = self._coder.to(batch.content.device)(batch.content, batch.lengths)
        queries = drawn_queries(batch, counts, self.distill.attention_queries)
        phone_lengths = batch.phone_lengths.tolist()
        taught = self.lesson(batch.phones, batch.bert, codes, phone_lengths, counts, queries.places)
        wanted = targets(codes, counts, self._network.config.eos)
        return taught, self._rows(taught, wanted, real_places(batch, codes.shape[1]), queries)

    @property
    def _network(self) -> Text2Semantic:
        return self.lesson.student if hasattr(self, "lesson") else super()._network

    def _rows(self, taught: Taught, wanted: Tensor, places: Tensor, queries: Queries) -> Rows:
        own, theirs = taught.student, taught.teacher
        real = wanted != IGNORED
        nothing = own.logits.new_zeros(len(wanted))
        logits = own.logits.float()
        hidden = [hidden_distance(s, t, places) for s, t in zip(own.hidden, theirs.hidden, strict=True)]
        attention = [
            attention_divergence(s, t, queries.real) for s, t in zip(own.attention, theirs.attention, strict=True)
        ]
        return Rows(
            soft=soft_targets(logits, theirs.logits, real, self.distill.temperature),
            hard=cross_entropy(logits.mT, wanted, ignore_index=IGNORED, reduction="none").sum(-1),
            hidden=torch.stack(hidden).mean(0) if hidden else nothing,
            attention=torch.stack(attention).mean(0) if attention else nothing,
            agreed=((logits.argmax(-1) == theirs.logits.argmax(-1)) & real).sum(-1).float(),
        )

    def _weight(self, term: str) -> float:
        settings = self.distill
        if term in ("soft", "hard"):
            return settings.alpha if term == "soft" else 1 - settings.alpha
        return float(getattr(settings, f"{term}_weight"))


def traced(network: Text2Semantic, embedded: Embedded, layers: tuple[int, ...], queries: Tensor, phones: int) -> Trace:
    """All layers of a network, with what the traced ones (from 1) give and attend to; logits as of its forward."""
    x, hidden, attention = embedded.x, [], []
    for number, layer in enumerate(network.h.layers, 1):
        if number in layers:
            x, weights = attended(layer, x, embedded.mask, queries)
            hidden.append(x)
            attention.append(weights)
        else:
            x = layer(x, embedded.mask)
    return Trace(network.logits(x, embedded.last, phones), tuple(hidden), tuple(attention))


def attended(layer: Layer, x: Tensor, mask: Tensor | None, queries: Tensor) -> tuple[Tensor, Tensor]:
    """A layer, and the logarithms of the attention weights of some queries, int64 [batch, queries] -> [batch, heads,
    queries, time]; by the projection that the layer makes anyway, without dropout."""
    q, k, v = layer.self_attn.project(x)
    rows = torch.arange(len(x), device=x.device)[:, None]
    chosen = q[rows, :, queries].transpose(1, 2)
    scores = (chosen @ k.mT).float() / q.shape[-1] ** 0.5
    if mask is not None:
        seen = mask[queries] if mask.dim() == 2 else mask[rows, 0, queries]
        scores = scores.masked_fill(~seen[:, None], UNSEEN)
    return layer.finish(x, q, k, v, mask), scores.log_softmax(-1)


def drawn_queries(batch: Minibatch, code_lengths: list[int], count: int) -> Queries:
    """Up to `count` of the real places of each row, evenly spaced, the first drawn from the seed of the example; all
    of them where there are no more."""
    phones = batch.phones.shape[1]
    places = torch.zeros(len(batch), count, dtype=torch.int64)
    real = torch.zeros(len(batch), count, dtype=torch.bool)
    rows = zip(batch.phone_lengths.tolist(), code_lengths, batch.seeds.tolist(), strict=True)
    for row, (text, codes, seed) in enumerate(rows):
        total = text + codes
        many = min(count, total)
        offset = torch.rand((), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        chosen = ((torch.arange(many) + offset) * total / many).long().clamp(max=total - 1)
        places[row, :many] = torch.where(chosen < text, chosen, chosen - text + phones)
        real[row, :many] = True
    device = batch.phones.device
    return Queries(places.to(device), real.to(device))


def real_places(batch: Minibatch, codes: int) -> Tensor:
    """bool [batch, phones + codes]: what is no padding."""
    device = batch.phones.device
    text = torch.arange(batch.phones.shape[1], device=device) < batch.phone_lengths[:, None]
    spoken = torch.arange(codes, device=device) < (batch.lengths // 2)[:, None]
    return torch.cat([text, spoken], 1)

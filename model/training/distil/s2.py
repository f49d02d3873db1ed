"""A student of s2: a small generator and a small reference encoder that do what the teacher's do.

Both render the same piece, as in speaking: true codes, phones and voice give a sample of the prior, the inverse flow
makes of it what a generator reads. So student and teacher differ in nothing but their own parts, every waveform of the
teacher is the answer to exactly what the student was given, and the posterior encoder is not needed.

    loss = mel_weight x |log-mel difference| + hint_weight x stages of the generator (FitNets, Romero et al. 2015)
           + voice_weight x distance of the voice vectors (+ adversarial and feature loss, as for s2)

Stages have other widths in the student, so each is seen through a 1x1 projection of its own, trained along and dropped
afterwards. For the discriminators (HiFi-GAN, Kong et al. 2020) the teacher's piece is the real one: it is aligned with
the student's to the sample, which a recording is not with what codes give.

alone: the generator is given the teacher's latent and voice, and the reference encoder learns the teacher's vector: two
problems, each exact. whole (the joint phase): the student makes latent and voice itself, and the mel's gradient goes
back through generator, flow and prior into its reference encoder.

Cost of a step: two forward passes of the teacher's generator (one where all of a step is computed at once), and the
student's own step, a fifth of a training step of s2.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from voicemill.model.audio.mel import HOP, LogMel
from voicemill.model.checkpoints.checkpoint import Checkpoint
from voicemill.model.checkpoints.sizes import header
from voicemill.model.data.minibatch import Minibatch
from voicemill.model.s2.losses import Discriminators, Pair, adversarial_loss, feature_loss
from voicemill.model.s2.synthesizer import CODE_FRAMES, Synthesizer
from voicemill.model.settings.training import DistillSettings, S2Settings
from voicemill.model.training.distil.losses import feature_distance, log_mel_distance, voice_distance
from voicemill.model.training.distil.rendering import NOISE, Rendered, S2Lesson, Said
from voicemill.model.training.distil.students import size_of
from voicemill.model.training.engine.objective import Sample
from voicemill.model.training.objectives.s2 import DISCRIMINATOR, S2, adamw, apart, drawn, verdicts
from voicemill.storage.errors import ConfigError

Codes: TypeAlias = Callable[[Minibatch], tuple[Tensor, list[int]]]
"""Batch -> codes int64 [batch, longest], how many of each row are real."""


class S2Distillation:
    """See `model.training.engine.objective.Objective`. `codes`: what is said of a batch, by default its true codes.

    Raises ConfigError: student and teacher have other rates or latents, or render other frames than the corpus has.
    """

    network: str = S2

    def __init__(
        self,
        student: Synthesizer,
        teacher: Synthesizer,
        discriminators: Discriminators | None,
        codes: Codes,
        settings: S2Settings,
        distill: DistillSettings,
        notes: tuple[str, ...] = (),
        whole: bool = False,
    ) -> None:
        own, theirs = student.config, teacher.config
        same = ("hidden", "style", "upsample_rates", "codebook", "ssl_dim", "speaker_dim", "segment")
        if wrong := [name for name in same if getattr(own, name) != getattr(theirs, name)]:
            raise ConfigError(
                f"the student of s2 differs from its teacher in {', '.join(wrong)}: these must be the same"
            )
        if theirs.hop != HOP:
            raise ConfigError(f"s2 renders {theirs.hop} samples for each frame: expected {HOP} (upsample_rates)")
        self.codes, self.settings, self.distill = codes, settings, distill
        self.lesson = S2Lesson(student, teacher, whole)
        self.modules: dict[str, nn.Module] = {S2: self.lesson}
        if discriminators is not None:
            self.modules[DISCRIMINATOR] = discriminators.requires_grad_(True)
        self.rounds: tuple[str, ...] = (DISCRIMINATOR, S2) if discriminators is not None else (S2,)
        self.needs = frozenset({"wave"} | ({"speaker_embedding"} if theirs.speaker_dim else set()))
        shares = [f"{part} {_share(student, teacher, part):.0%}" for part in ("dec", "ref_enc")]
        self.notes = (*notes, f"student of s2, of the teacher's parameters: {', '.join(shares)}")
        self._mel = LogMel()
        self._kept: tuple[Minibatch, Said, Rendered] | None = None

    def optimisers(self, rate: float) -> dict[str, Optimizer]:
        """AdamW, with the constants of s2."""
        moved = [parameter for parameter in self.lesson.parameters() if parameter.requires_grad]
        found: dict[str, Optimizer] = {S2: adamw([(moved, 1.0)], rate)}
        if DISCRIMINATOR in self.modules:
            found[DISCRIMINATOR] = adamw([(list(self.modules[DISCRIMINATOR].parameters()), 1.0)], rate)
        return found

    def losses(self, module: str, batch: Minibatch) -> dict[str, Tensor]:
        """Of the round of `module`; terms of "s2": mel, hint, voice, adversarial, features. Means over examples."""
        totals = batch.totals
        examples = totals.parts * len(batch) / totals.examples
        said, taught = self._taught(batch)
        if module == DISCRIMINATOR:
            with torch.no_grad():
                own = self.lesson(said, taught)
            self._kept = (batch, said, taught)
            return {DISCRIMINATOR: apart(self.modules[DISCRIMINATOR], self._pair(own, taught)) * examples}
        own = self.lesson(said, taught)
        terms = {name: value.mean() * examples for name, value in self._rows(own, taught).items()}
        if DISCRIMINATOR in self.modules:
            real, fake = verdicts(self.modules[DISCRIMINATOR], self._pair(own, taught))
            terms |= {"adversarial": adversarial_loss(fake) * examples, "features": feature_loss(real, fake) * examples}
        return {name: value * self._weight(name) for name, value in terms.items()}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def validate(self, batch: Minibatch) -> dict[str, float]:
        """Weighted as in training, without what the discriminators say; "log_mel" is the distance to the teacher's
        piece unweighted, nepers."""
        self.lesson.eval()
        said, taught = self._taught(batch)
        rows = self._rows(self.lesson(said, taught), taught)
        sums = {name: float(value.sum()) * self._weight(name) for name, value in rows.items()}
        sums["loss"] = sum(sums.values())
        sums["log_mel"] = float(rows["mel"].sum())
        return sums | {f"{name}/weight": float(len(batch)) for name in sums}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def sample(self, batch: Minibatch) -> Sample:
        """The first example: the recording, and what teacher and student make of its codes and its voice."""
        said = self.said(batch)
        mel = self._mel.to(said.codes.device)
        count = int(said.counts[0])
        phones = said.phones[:1, : int(said.phone_lengths[0])]
        spectrogram = said.spectrogram[:1, :, : int(said.lengths[0])]
        embedding = None if said.embedding is None else said.embedding[:1]
        waves = {"real": _wave(batch)[:1, : count * CODE_FRAMES * HOP]}
        for name, network in (("teacher", self.lesson.teacher), ("student", self.lesson.student.eval())):
            ge = network.to(said.codes.device).voices(spectrogram, None, embedding)
            prior = network.prior(said.codes[:1, :count], phones, ge)
            noise = said.noise[:1, :, : prior.mean.shape[-1]]
            waves[name] = network.waveform(network.latent(prior.mean, prior.logs, NOISE, noise), ge)
        return Sample(
            {name: wave[0].cpu().numpy() for name, wave in waves.items()},
            {name: mel.mel(wave)[0].cpu().numpy() for name, wave in waves.items()},
        )

    def checkpoints(self, lineage: Mapping[str, Any]) -> dict[str, Checkpoint]:
        """ "s2": the student without its projections; "s2_discriminator" where there is one."""
        student = self.lesson.student
        about = header(student.config)
        found = {S2: Checkpoint("s2", student.config.version, student.state_dict(), about, lineage=lineage)}
        if DISCRIMINATOR in self.modules:
            judges = self.modules[DISCRIMINATOR]
            version = "v2" if student.config.version == "v2" else "v2Pro"  # v2ProPlus has those of v2Pro
            found["s2_discriminator"] = Checkpoint(
                "s2_discriminator", version, judges.state_dict(), header(judges.config), lineage=lineage
            )
        return found

    def said(self, batch: Minibatch) -> Said:
        """What both are given of a batch; all that is drawn comes from the seeds of its examples."""
        wave = _wave(batch)
        codes, counts = self.codes(batch)
        noise, uniform = drawn(batch, self.lesson.student.config.hidden, batch.content.shape[-1])
        return Said(
            codes=codes,
            counts=torch.tensor(counts, device=codes.device),
            phones=batch.phones,
            phone_lengths=batch.phone_lengths,
            spectrogram=self._mel.to(wave.device).spectrogram(wave, batch.lengths),
            lengths=batch.lengths,
            embedding=batch.speaker_embedding if self.lesson.student.config.speaker_dim else None,
            noise=noise,
            uniform=uniform,
        )

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def voices(self, batch: Minibatch) -> Tensor:
        """The teacher's, float32 [batch, style, 1]."""
        wave = _wave(batch)
        spectrogram = self._mel.to(wave.device).spectrogram(wave, batch.lengths)
        embedding = batch.speaker_embedding if self.lesson.student.config.speaker_dim else None
        found: Tensor = self.lesson.teacher.to(wave.device).voices(spectrogram, batch.lengths, embedding)
        return found

    def _taught(self, batch: Minibatch) -> tuple[Said, Rendered]:
        """What is said, and the teacher's piece; that of the round before, where it was of the same batch."""
        kept, self._kept = self._kept, None  # before anything is computed: memory may be what is short
        if kept is not None and kept[0] is batch:
            return kept[1:]
        said = self.said(batch)
        return said, self.lesson(said)

    def _pair(self, own: Rendered, taught: Rendered) -> Pair:
        mel = self._mel.to(own.wave.device)
        return Pair(taught.wave, own.wave, mel.mel(taught.wave.float()), mel.mel(own.wave.float()))

    def _rows(self, own: Rendered, taught: Rendered) -> dict[str, Tensor]:
        """Terms before weighting, float32 [batch]."""
        both = self._pair(own, taught)
        stages = zip(own.stages, taught.stages, strict=True)
        return {
            "mel": log_mel_distance(both.fake_mel, both.real_mel),
            "hint": torch.stack([feature_distance(mine, theirs) for mine, theirs in stages]).mean(0),
            "voice": voice_distance(own.ge, taught.ge),
        }

    def _weight(self, term: str) -> float:
        owner = self.distill if term in ("hint", "voice") else self.settings
        return float(getattr(owner, f"{term}_weight"))


def _share(student: Synthesizer, teacher: Synthesizer, part: str) -> float:
    return size_of(student.get_submodule(part)) / size_of(teacher.get_submodule(part))


def _wave(batch: Minibatch) -> Tensor:
    if batch.wave is None:
        raise ConfigError("a student of s2 hears the voice of recordings, and this batch has no waves")
    return batch.wave

"""Distillation of s2: a small generator and a small reference encoder that reproduce the teacher's.

Both render the same piece, as in synthesis: true codes, phones and voice give a sample of the prior, and the inverse
flow turns it into the input of a generator. So student and teacher differ only in their own parts, every waveform of
the teacher belongs to exactly the student's input, and the posterior encoder is not needed.

    loss = mel_weight x |log-mel difference| + hint_weight x stages of the generator (FitNets, Romero et al. 2015)
           + voice_weight x distance of the voice vectors (+ adversarial and feature loss, as for s2)

The student's stages have other widths, so each passes a 1x1 projection of its own, which is trained too and dropped
afterwards. For the discriminators (HiFi-GAN, Kong et al. 2020) the teacher's piece is the real one: it is aligned with
the student's to the sample, which a recording is not.

alone: the generator reads the teacher's latent and voice, and the reference encoder learns the teacher's vector: two
exact problems. whole (the joint phase): the student computes latent and voice itself, and the gradient of the mel loss
flows through generator, flow and prior into its reference encoder.

Cost of a step: two forward passes of the teacher's generator (one without gradient accumulation), and the
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
from voicemill.model.training.distil.rendering import NOISE, Rendered, RenderInputs, S2Lesson
from voicemill.model.training.distil.students import size_of
from voicemill.model.training.engine.objective import Sample
from voicemill.model.training.objectives.s2 import DISCRIMINATOR, S2, adamw, discrimination_loss, draw_noise, verdicts
from voicemill.storage.errors import ConfigError

Codes: TypeAlias = Callable[[Minibatch], tuple[Tensor, list[int]]]
"""Function: minibatch -> codes int64 [batch, longest], and the number of real codes of each row."""


class S2Distillation:
    """Objective of an s2 student (`model.training.engine.objective.Objective`). `codes` gives the codes of a minibatch.

    Raises ConfigError: student and teacher differ in rates or latents, or their frames are not those of the corpus.
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
        own, target = student.config, teacher.config
        same = ("hidden", "style", "upsample_rates", "codebook", "ssl_dim", "speaker_dim", "segment")
        if wrong := [name for name in same if getattr(own, name) != getattr(target, name)]:
            raise ConfigError(
                f"the student of s2 differs from its teacher in {', '.join(wrong)}: these must be the same"
            )
        if target.hop != HOP:
            raise ConfigError(f"s2 renders {target.hop} samples for each frame: expected {HOP} (upsample_rates)")
        self.codes, self.settings, self.distill = codes, settings, distill
        self.lesson = S2Lesson(student, teacher, whole)
        self.modules: dict[str, nn.Module] = {S2: self.lesson}
        if discriminators is not None:
            self.modules[DISCRIMINATOR] = discriminators.requires_grad_(True)
        self.rounds: tuple[str, ...] = (DISCRIMINATOR, S2) if discriminators is not None else (S2,)
        self.needs = frozenset({"wave"} | ({"speaker_embedding"} if target.speaker_dim else set()))
        shares = [f"{part} {_share(student, teacher, part):.0%}" for part in ("dec", "ref_enc")]
        self.notes = (*notes, f"student of s2, of the teacher's parameters: {', '.join(shares)}")
        self._mel = LogMel()
        self._cached: tuple[Minibatch, RenderInputs, Rendered] | None = None

    def optimisers(self, rate: float) -> dict[str, Optimizer]:
        """AdamW with the constants of s2."""
        moved = [parameter for parameter in self.lesson.parameters() if parameter.requires_grad]
        optimisers: dict[str, Optimizer] = {S2: adamw([(moved, 1.0)], rate)}
        if DISCRIMINATOR in self.modules:
            optimisers[DISCRIMINATOR] = adamw([(list(self.modules[DISCRIMINATOR].parameters()), 1.0)], rate)
        return optimisers

    def losses(self, module: str, batch: Minibatch) -> dict[str, Tensor]:
        """Weighted terms of one module, means over examples; those of "s2": mel, hint, voice, adversarial, features."""
        totals = batch.totals
        examples = totals.parts * len(batch) / totals.examples
        inputs, target = self._target(batch)
        if module == DISCRIMINATOR:
            with torch.no_grad():
                own = self.lesson(inputs, target)
            self._cached = (batch, inputs, target)
            return {DISCRIMINATOR: discrimination_loss(self.modules[DISCRIMINATOR], self._pair(own, target)) * examples}
        own = self.lesson(inputs, target)
        terms = {name: value.mean() * examples for name, value in self._rows(own, target).items()}
        if DISCRIMINATOR in self.modules:
            real, fake = verdicts(self.modules[DISCRIMINATOR], self._pair(own, target))
            terms |= {"adversarial": adversarial_loss(fake) * examples, "features": feature_loss(real, fake) * examples}
        return {name: value * self._weight(name) for name, value in terms.items()}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def validate(self, batch: Minibatch) -> dict[str, float]:
        """Terms weighted as in training, without those of the discriminators.

        "log_mel" is the unweighted distance to the teacher's piece, nepers.
        """
        self.lesson.eval()
        inputs, target = self._target(batch)
        rows = self._rows(self.lesson(inputs, target), target)
        sums = {name: float(value.sum()) * self._weight(name) for name, value in rows.items()}
        sums["loss"] = sum(sums.values())
        sums["log_mel"] = float(rows["mel"].sum())
        return sums | {f"{name}/weight": float(len(batch)) for name in sums}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def sample(self, batch: Minibatch) -> Sample:
        """The first example: the recording, and its codes rendered in its voice by teacher and student."""
        inputs = self.inputs(batch)
        mel = self._mel.to(inputs.codes.device)
        count = int(inputs.counts[0])
        phones = inputs.phones[:1, : int(inputs.phone_lengths[0])]
        spectrogram = inputs.spectrogram[:1, :, : int(inputs.lengths[0])]
        embedding = None if inputs.embedding is None else inputs.embedding[:1]
        waves = {"real": _wave(batch)[:1, : count * CODE_FRAMES * HOP]}
        for name, network in (("teacher", self.lesson.teacher), ("student", self.lesson.student.eval())):
            ge = network.to(inputs.codes.device).voices(spectrogram, None, embedding)
            prior = network.prior(inputs.codes[:1, :count], phones, ge)
            noise = inputs.noise[:1, :, : prior.mean.shape[-1]]
            waves[name] = network.waveform(network.latent(prior.mean, prior.logs, NOISE, noise), ge)
        return Sample(
            {name: wave[0].cpu().numpy() for name, wave in waves.items()},
            {name: mel.mel(wave)[0].cpu().numpy() for name, wave in waves.items()},
        )

    def checkpoints(self, lineage: Mapping[str, Any]) -> dict[str, Checkpoint]:
        """Checkpoints: "s2", the student without its projections; "s2_discriminator" where there is one."""
        student = self.lesson.student
        about = header(student.config)
        checkpoints = {S2: Checkpoint("s2", student.config.version, student.state_dict(), about, lineage=lineage)}
        if DISCRIMINATOR in self.modules:
            judges = self.modules[DISCRIMINATOR]
            version = "v2" if student.config.version == "v2" else "v2Pro"  # v2ProPlus has those of v2Pro
            checkpoints["s2_discriminator"] = Checkpoint(
                "s2_discriminator", version, judges.state_dict(), header(judges.config), lineage=lineage
            )
        return checkpoints

    def inputs(self, batch: Minibatch) -> RenderInputs:
        """Inputs of teacher and student; all random numbers come from the seeds of the examples."""
        wave = _wave(batch)
        codes, counts = self.codes(batch)
        noise, uniform = draw_noise(batch, self.lesson.student.config.hidden, batch.content.shape[-1])
        return RenderInputs(
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
        """Voice vectors of the teacher, float32 [batch, style, 1]."""
        wave = _wave(batch)
        spectrogram = self._mel.to(wave.device).spectrogram(wave, batch.lengths)
        embedding = batch.speaker_embedding if self.lesson.student.config.speaker_dim else None
        vectors: Tensor = self.lesson.teacher.to(wave.device).voices(spectrogram, batch.lengths, embedding)
        return vectors

    def _target(self, batch: Minibatch) -> tuple[RenderInputs, Rendered]:
        """Inputs and the teacher's piece; reused from the round before where it had the same minibatch."""
        cached, self._cached = self._cached, None  # released before anything is computed: memory may be short
        if cached is not None and cached[0] is batch:
            return cached[1:]
        inputs = self.inputs(batch)
        return inputs, self.lesson(inputs)

    def _pair(self, own: Rendered, target: Rendered) -> Pair:
        mel = self._mel.to(own.wave.device)
        return Pair(target.wave, own.wave, mel.mel(target.wave.float()), mel.mel(own.wave.float()))

    def _rows(self, own: Rendered, target: Rendered) -> dict[str, Tensor]:
        """Terms before weighting, float32 [batch]."""
        pair = self._pair(own, target)
        stages = zip(own.stages, target.stages, strict=True)
        return {
            "mel": log_mel_distance(pair.fake_mel, pair.real_mel),
            "hint": torch.stack([feature_distance(student, teacher) for student, teacher in stages]).mean(0),
            "voice": voice_distance(own.ge, target.ge),
        }

    def _weight(self, term: str) -> float:
        owner = self.distill if term in ("hint", "voice") else self.settings
        return float(getattr(owner, f"{term}_weight"))


def _share(student: Synthesizer, teacher: Synthesizer, part: str) -> float:
    return size_of(student.get_submodule(part)) / size_of(teacher.get_submodule(part))


def _wave(batch: Minibatch) -> Tensor:
    if batch.wave is None:
        raise ConfigError("a student of s2 reads the voice from recordings, and this minibatch has no waves")
    return batch.wave

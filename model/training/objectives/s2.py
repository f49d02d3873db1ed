"""Training s2: the losses of VITS (Kim et al. 2021) with the weights of GPT-SoVITS v2, and two optional ones.

A step updates the discriminators on the rendered piece without its gradient, then the network against them. The piece
is the same in both rounds, its place and the posterior's noise drawn from the seed of each example. Where a device
computes its share at once, it is rendered once; with accumulation, where all renderings of a step would have to be held
at the same time, once for each round.

Losses of a part are scaled so that the mean over the parts of a step is the loss over all of it: KL counts frames, all
others examples, since their pieces are equally long.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import pad
from torch.optim import AdamW, Optimizer

from voicemill.model.adapters.lora import KEPT, merged_state
from voicemill.model.audio.mel import HOP, LogMel
from voicemill.model.checkpoints.checkpoint import Checkpoint
from voicemill.model.checkpoints.sizes import header
from voicemill.model.data.minibatch import Minibatch
from voicemill.model.s2.losses import (
    Discrimination,
    Discriminators,
    Pair,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    kl_rows,
    pair,
)
from voicemill.model.s2.synthesizer import Rendering, Synthesizer, pieces
from voicemill.model.settings.training import S2Settings
from voicemill.model.training.engine.objective import Sample
from voicemill.model.training.objectives.waveform_losses import PitchLoss, SpeakerEncoder, speaker_loss
from voicemill.storage.errors import ConfigError

Draw: TypeAlias = Callable[[Minibatch, int, int], tuple[Tensor, Tensor]]
"""(minibatch, hidden, frames) -> noise float32 [batch, hidden, frames], place float32 [batch], 0..1."""
S2, DISCRIMINATOR = "s2", "discriminator"
TEXT = ("enc_p.text_embedding.", "enc_p.encoder_text.", "enc_p.mrte.")
"""Modules that read text: they learn more slowly, so that a small corpus does not spoil the pronunciation."""


@dataclass(frozen=True, eq=False)
class _Rendered:
    """A minibatch rendered once, for both rounds."""

    batch: Minibatch
    rendering: Rendering
    pair: Pair


class S2Objective:
    """Objective of s2.

    `network` must have its posterior encoder; parameters that require no gradient are not trained. Without
    `discriminators` there is no adversarial and no feature loss. `speaker_encoder` judges voices where
    `settings.speaker_weight` is above 0. `notes`: lines for the log on how the training starts. `draw`: source of the
    noise of the posterior and the place of the piece.

    Raises ConfigError: the network cannot be trained, or a loss lacks what it needs.
    """

    network: str = S2

    def __init__(
        self,
        network: Synthesizer,
        discriminators: Discriminators | None,
        settings: S2Settings,
        speaker_encoder: SpeakerEncoder | None = None,
        notes: tuple[str, ...] = (),
        draw: Draw | None = None,
    ) -> None:
        if not hasattr(network, "enc_q"):
            raise ConfigError("this s2 has no posterior encoder (enc_q): it speaks, but cannot be trained")
        if network.config.hop != HOP:
            raise ConfigError(
                f"s2 renders {network.config.hop} samples for each frame: expected {HOP} (upsample_rates)"
            )
        if settings.speaker_weight and speaker_encoder is None:
            raise ConfigError(f"s2.speaker_weight = {settings.speaker_weight} needs a speaker encoder: none is given")
        for name, parameter in network.named_parameters():
            if name.startswith(KEPT):
                parameter.requires_grad_(False)
        self.settings, self.notes = settings, notes
        self.modules: dict[str, nn.Module] = {S2: network}
        if discriminators is not None:
            self.modules[DISCRIMINATOR] = discriminators.requires_grad_(True)
        self.rounds: tuple[str, ...] = (DISCRIMINATOR, S2) if discriminators is not None else (S2,)
        wanted = {"wave": True, "f0": settings.f0_weight > 0, "speaker_embedding": network.config.speaker_dim > 0}
        self.needs = frozenset(name for name, needed in wanted.items() if needed)
        self._mel, self._pitch, self._speaker = LogMel(), PitchLoss(), speaker_encoder
        self._kept: _Rendered | None = None
        self._draw = draw or draw_noise

    def optimisers(self, rate: float) -> dict[str, Optimizer]:
        """Return AdamW for both, with constants of GPT-SoVITS; what reads text learns at `text_rate` of the rate."""
        text: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, parameter in self._network.named_parameters():
            if parameter.requires_grad:
                (text if name.startswith(TEXT) else rest).append(parameter)
        groups = {S2: [(rest, 1.0), (text, self.settings.text_rate)]}
        if DISCRIMINATOR in self.modules:
            groups[DISCRIMINATOR] = [(list(self.modules[DISCRIMINATOR].parameters()), 1.0)]
        return {name: adamw(parts, rate) for name, parts in groups.items()}

    def losses(self, module: str, batch: Minibatch) -> dict[str, Tensor]:
        """Return the terms of the round of `module`; those of "s2": adversarial, features, mel, kl, f0, speaker, as far
        as they are on."""
        totals = batch.totals
        examples = totals.parts * len(batch) / totals.examples
        if module == DISCRIMINATOR:
            both = self._rendered(batch, last=False).pair
            return {DISCRIMINATOR: discrimination_loss(self.modules[DISCRIMINATOR], both) * examples}
        done = self._rendered(batch, last=True)
        terms = {name: value.mean() * examples for name, value in self._rows(done).items()}
        terms["kl"] = kl_rows(done.rendering).sum() * totals.parts / totals.frames
        if DISCRIMINATOR in self.modules:
            real, fake = verdicts(self.modules[DISCRIMINATOR], done.pair)
            terms |= {"adversarial": adversarial_loss(fake) * examples, "features": feature_loss(real, fake) * examples}
        return {name: value * self._weight(name) for name, value in terms.items()}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def validate(self, batch: Minibatch) -> dict[str, float]:
        """Return the terms weighted as in training, without those of the discriminators, which change from step to
        step. All are means over examples: KL too is that of each example, by its frames."""
        self.modules[S2].eval()
        done = self._render(batch)
        rows = self._rows(done) | {"kl": kl_rows(done.rendering) / batch.lengths}
        sums = {name: float(value.sum()) * self._weight(name) for name, value in rows.items()}
        sums["loss"] = sum(sums.values())
        return sums | {f"{name}/weight": float(len(batch)) for name in sums}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def sample(self, batch: Minibatch) -> Sample:
        """Return the first example, synthesised from its codes, its phones and the voice of its recording, as `Voice`
        does."""
        network, frames = self._network.eval(), int(batch.lengths[0]) // 2 * 2
        real = _wave(batch)[:1, : frames * HOP]
        mel, phones = self._mel.to(real.device), batch.phones[:1, : int(batch.phone_lengths[0])]
        embedding = None if batch.speaker_embedding is None else batch.speaker_embedding[:1]
        ge = network.voices(mel.spectrogram(real), None, embedding)
        prior = network.prior(network.codes(batch.content[:1, :, :frames]), phones, ge)
        noise = torch.randn(prior.mean.shape, generator=torch.Generator().manual_seed(int(batch.seeds[0])))
        fake = network.waveform(network.latent(*prior, noise=noise.to(real.device)), ge)
        waves = {"real": real, "rendered": fake}
        return Sample(
            {name: wave[0].cpu().numpy() for name, wave in waves.items()},
            {name: mel.mel(wave)[0].cpu().numpy() for name, wave in waves.items()},
        )

    def checkpoints(self, lineage: Mapping[str, Any]) -> dict[str, Checkpoint]:
        """Return the checkpoints under "s2" and, where there are discriminators, "s2_discriminator"."""
        config = self._network.config
        found = {S2: Checkpoint("s2", config.version, merged_state(self._network), header(config), lineage=lineage)}
        if DISCRIMINATOR in self.modules:
            judges = self.modules[DISCRIMINATOR]
            version = "v2" if config.version == "v2" else "v2Pro"  # v2ProPlus has those of v2Pro
            found["s2_discriminator"] = Checkpoint(
                "s2_discriminator", version, judges.state_dict(), header(judges.config), lineage=lineage
            )
        return found

    @property
    def _network(self) -> Synthesizer:
        network: Synthesizer = self.modules[S2]
        return network

    def _weight(self, term: str) -> float:
        return float(getattr(self.settings, f"{term}_weight"))

    def _rendered(self, batch: Minibatch, last: bool) -> _Rendered:
        """The minibatch rendered for a round; `last`: the round of the network itself, which needs the gradient."""
        kept, self._kept = self._kept, None  # released before anything is computed: memory may be short
        if kept is not None and kept.batch is batch:
            return kept
        del kept
        world = distributed.get_world_size() if distributed.is_initialized() else 1
        again = batch.totals.parts > world and not last
        with torch.set_grad_enabled(not again):
            done = self._render(batch)
        if not (again or last):
            self._kept = done
        return done

    def _render(self, batch: Minibatch) -> _Rendered:
        wave, content, config = _wave(batch), batch.content, self._network.config
        if (short := config.segment - content.shape[-1]) > 0:  # the piece would be longer than the minibatch
            wave, content = pad(wave, (0, short * HOP)), pad(content, (0, short + config.segment % 2))
        mel = self._mel.to(wave.device)
        spectrogram = mel.spectrogram(wave, batch.lengths)
        noise, uniform = self._draw(batch, config.hidden, spectrogram.shape[-1])
        rendering = self.modules[S2](
            content,
            spectrogram,
            batch.lengths,
            batch.phones,
            batch.phone_lengths,
            batch.speaker_embedding if config.speaker_dim else None,
            noise=noise,
            uniform=uniform,
        )
        return _Rendered(batch, rendering, pair(rendering, wave, spectrogram, mel))

    def _rows(self, done: _Rendered) -> dict[str, Tensor]:
        """Unweighted terms that compare the two pieces, float32 [batch]."""
        both = done.pair
        found = {"mel": (both.real_mel - both.fake_mel).abs().mean((1, 2))}
        if self.settings.f0_weight:
            if done.batch.f0 is None:
                raise ConfigError(
                    f"s2.f0_weight = {self.settings.f0_weight} needs the pitch of the corpus: none is here"
                )
            f0 = pad(done.batch.f0, (0, max(0, self._network.config.segment - done.batch.f0.shape[-1])))
            wanted = pieces(f0[:, None], done.rendering.starts, self._network.config.segment)[:, 0]
            found["f0"] = self._pitch.to(f0.device)(both.fake, wanted)
        if self.settings.speaker_weight and self._speaker is not None:
            if isinstance(self._speaker, nn.Module):
                self._speaker.to(both.fake.device)
            found["speaker"] = speaker_loss(self._speaker, both.real, both.fake)
        return found


def verdicts(discriminators: nn.Module, both: Pair) -> tuple[list[Discrimination], list[Discrimination]]:
    """Return the outputs of the discriminators for the real and the rendered piece, with a gradient to the latter
    alone: a third cheaper than with gradients of the weights."""
    judges = discriminators.requires_grad_(False)
    try:
        with torch.no_grad():
            real = judges(both.real)
        return real, judges(both.fake)
    finally:
        judges.requires_grad_(True)


def discrimination_loss(discriminators: nn.Module, both: Pair) -> Tensor:
    """Return the loss of the discriminators, a scalar: real piece against rendered piece, without gradient to the
    latter."""
    return discriminator_loss(*_halves(discriminators(torch.cat([both.real, both.fake.detach()]))))


def draw_noise(batch: Minibatch, hidden: int, frames: int) -> tuple[Tensor, Tensor]:
    """Return the noise of the posterior float32 [batch, hidden, frames] (0 after the end of a row) and the place of the
    piece float32 [batch], 0..1: each row from its own seed on the CPU, so that padding, device and the other rows do
    not change it."""
    noise, uniform = torch.zeros(len(batch), hidden, frames), torch.zeros(len(batch))
    for row, (seed, length) in enumerate(zip(batch.seeds.tolist(), batch.lengths.tolist(), strict=True)):
        generator = torch.Generator().manual_seed(seed)
        uniform[row] = torch.rand((), generator=generator)
        noise[row, :, :length] = torch.randn(length, hidden, generator=generator).T
    device = batch.content.device
    return noise.to(device, non_blocking=True), uniform.to(device, non_blocking=True)


def _wave(batch: Minibatch) -> Tensor:
    if batch.wave is None:
        raise ConfigError('s2 is trained on waves, but this minibatch has none: name "wave" in the needs of the loader')
    return batch.wave


def _halves(verdicts: list[Discrimination]) -> tuple[list[Discrimination], list[Discrimination]]:
    """Outputs for [real; fake] -> those for real, those for fake."""
    both = [(verdict.score.chunk(2), [feature.chunk(2) for feature in verdict.features]) for verdict in verdicts]
    first, second = ([Discrimination(score[i], [f[i] for f in features]) for score, features in both] for i in (0, 1))
    return first, second


def adamw(parts: list[tuple[list[nn.Parameter], float]], rate: float) -> AdamW:
    """Return AdamW over (parameters, share of the rate), with the constants of GPT-SoVITS."""
    groups = [{"params": params, "scale": scale, "lr": rate * scale} for params, scale in parts if params]
    # fused: one pass over the memory of weight, gradient and both moments; one operation after the other takes a dozen
    return AdamW(groups, rate, betas=(0.8, 0.99), eps=1e-9, weight_decay=0.01, fused=True)

"""The synthesizer of GPT-SoVITS v2 (VITS with a quantized content input): codes, phones and a voice to a waveform."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from voicemill.model.s2.config import S2Config
from voicemill.model.s2.encoders import Prior, PriorEncoder, ReferenceEncoder, stretch, stretched_frames
from voicemill.model.s2.generator import Generator, windows
from voicemill.model.s2.latent import Flow, Posterior, PosteriorEncoder, Quantizer
from voicemill.model.s2.layers import mask
from voicemill.storage.errors import ConfigError

CODE_FRAMES = 2
"""Frames (50 Hz) per code (25 Hz)."""


@dataclass(frozen=True)
class Rendering:
    """Output of one training step, with the inputs of its losses. Tensors are float32 unless stated otherwise."""

    wave: Tensor
    """Rendered piece, [batch, segment x hop], -1..1."""
    starts: Tensor
    """First frame of the piece, int64 [batch]."""
    posterior: Posterior
    prior: Prior
    z_prior: Tensor
    """Sample of the posterior, moved to the prior's space by the flow, [batch, hidden, frames]."""
    mask: Tensor
    """Mask of the real frames, [batch, 1, frames], 1 = real."""


class Synthesizer(nn.Module):  # type: ignore[misc]  # torch is not followed
    """s2. State-dict keys and shapes are those of the official files of `config.version`.

    `posterior`: whether to build the posterior encoder, which only training needs and official files for inference
    leave out.
    """

    def __init__(self, config: S2Config, posterior: bool = True) -> None:
        super().__init__()
        self.config = config
        self.enc_p = PriorEncoder(config)
        self.dec = Generator(config)
        if posterior:
            self.enc_q = PosteriorEncoder(
                config.spectrum_bins, config.hidden, config.wavenet_kernel, config.posterior_layers, config.style
            )
        self.flow = Flow(config.hidden, config.wavenet_kernel, config.flow_layers, config.couplings, config.style)
        self.ref_enc = ReferenceEncoder(
            config.reference_bins,
            config.reference_dim,
            config.style,
            config.reference_dropout,
            config.masked_reference,
        )
        self.ssl_proj = nn.Conv1d(config.ssl_dim, config.ssl_dim, CODE_FRAMES, stride=CODE_FRAMES)
        self.quantizer = Quantizer(config.codebook, config.ssl_dim)
        if config.speaker_dim:
            self.sv_emb = nn.Linear(config.speaker_dim, config.style)
            self.ge_to512 = nn.Linear(config.style, config.mrte_dim)
            self.prelu = nn.PReLU(config.style)

    @property
    def device(self) -> torch.device:
        """Device of the weights, where inputs belong."""
        device: torch.device = self.ssl_proj.weight.device
        return device

    def codes(self, ssl: Tensor) -> Tensor:
        """Content features float32 [batch, ssl_dim, frames], 50 Hz -> codes int64 [batch, frames // 2], 25 Hz."""
        return self.quantizer.codes(self.ssl_proj(ssl))

    def voices(self, spectrogram: Tensor, lengths: Tensor | None = None, sv: Tensor | None = None) -> Tensor:
        """Magnitudes float32 [batch, 1025, frames], real frames int [batch] -> voices `ge` float32 [batch, style, 1].

        `sv`: float32 [batch, speaker_dim], the ERes2NetV2 embedding that v2Pro needs. Raises ConfigError if it is
        missing there, or given elsewhere.
        """
        if (sv is None) != (self.config.speaker_dim == 0):
            expected = f"needs sv [batch, {self.config.speaker_dim}]" if sv is None else "has no speaker embedding"
            raise ConfigError(f"s2 {self.config.version} {expected}; sv was {'not ' if sv is None else ''}given")
        ge = self.ref_enc(spectrogram, mask(lengths, spectrogram))
        return ge if sv is None else self.prelu(ge + self.sv_emb(sv)[..., None])

    def reference(self, spectrograms: Sequence[Tensor], sv: Sequence[Tensor] | None = None) -> Tensor:
        """Mean voice of one or more references, `ge` float32 [1, style, 1].

        `spectrograms`: float32 [1025, frames] or [1, 1025, frames] each, with its `sv` [1, speaker_dim] in v2Pro.
        Raises ConfigError without a reference, and where `sv` is missing or superfluous.
        """
        if not spectrograms:
            raise ConfigError("no reference: a voice needs at least one spectrogram [1025, frames]")
        vectors: Sequence[Tensor | None] = [None] * len(spectrograms) if sv is None else sv
        if len(vectors) != len(spectrograms):
            raise ConfigError(f"{len(spectrograms)} references but {len(vectors)} speaker embeddings")
        voices = [
            self.voices(spectrogram.reshape(1, *spectrogram.shape[-2:]), None, vector)
            for spectrogram, vector in zip(spectrograms, vectors, strict=True)
        ]
        return torch.stack(voices).mean(0)

    def prior(
        self,
        codes: Tensor,
        phones: Tensor,
        ge: Tensor,
        speed: float = 1.0,
        *,
        code_lengths: Tensor | None = None,
        phone_lengths: Tensor | None = None,
    ) -> Prior:
        """Prior of codes and text: (mean, logs), float32 [batch, hidden, frames], 0 after a row's end.

        Codes int64 [batch, T], phones of the target text int64 [batch, P], voice [batch or 1, style, 1], real lengths
        int [batch]. `frames` gives the real frames of each row. Raises ConfigError unless speed is in 0.25..4.
        """
        check_speed(speed)
        return self.prior_of(self.quantizer.rows(codes), phones, ge, speed, code_lengths, phone_lengths)

    def prior_of(
        self,
        rows: Tensor,
        phones: Tensor,
        ge: Tensor,
        speed: float = 1.0,
        code_lengths: Tensor | None = None,
        phone_lengths: Tensor | None = None,
    ) -> Prior:
        """`prior` from entries of the codebook, float32 [batch, ssl_dim, T], or mixtures of them."""
        batch = rows.shape[0]
        total = code_lengths if code_lengths is not None else torch.full((batch,), rows.shape[-1])
        content = rows.repeat_interleave(CODE_FRAMES, -1)
        text_mask = mask(phone_lengths, self.enc_p.text_embedding.weight.new_empty(batch, 1, phones.shape[1]))
        x = self.enc_p(content, mask(total * CODE_FRAMES, content), phones, text_mask, self._voice_of_text(ge))
        if speed != 1:
            x = stretch(x, (total * CODE_FRAMES).tolist(), speed)
        return self.enc_p.distribution(x, mask(self.frames(total, speed), x))

    @staticmethod
    def frames(code_lengths: Tensor, speed: float = 1.0) -> Tensor:
        """Codes per row int [batch] -> frames per row int64 [batch]: 2 per code, divided by the speed, plus one."""
        return torch.tensor([stretched_frames(CODE_FRAMES * n, speed) for n in code_lengths.tolist()])

    @staticmethod
    def latent(
        mean: Tensor,
        logs: Tensor,
        noise_scale: float = 0.5,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Sample of the prior, [batch, hidden, frames]: mean + noise x exp(logs) x noise_scale.

        `noise`: standard normal of that shape, None = drawn from `generator`. noise_scale 0 = the mean.
        """
        if noise_scale == 0:
            return mean
        if noise is None:
            noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
        return mean + noise * logs.exp() * noise_scale

    def waveform(self, z: Tensor, ge: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Latent of the prior [batch, hidden, frames], voice [batch or 1, style, 1] -> float32 [batch, frames x hop].

        32 kHz, -1..1. Rows are real up to `lengths`, frames, int [batch], and 0 after.
        """
        z = self.flow(z, mask(lengths, z), ge, inverse=True)
        return self.dec(z, ge, None if lengths is None else mask(lengths, z))[:, 0]

    def stream(self, z: Tensor | Iterable[Tensor], ge: Tensor, frames_per_chunk: int = 50) -> Iterator[Tensor]:
        """Yield `waveform` piece by piece, float32 [batch, up to frames_per_chunk x hop]; joined they equal it within
        1e-5. Each piece is computed with the frames to both sides that flow and generator reach. `z`: the latent, or
        its blocks in order, each taken when a piece needs it."""
        yield from windows(self, z, ge, frames_per_chunk)

    def decode(
        self,
        codes: Tensor,
        phones: Tensor,
        ge: Tensor,
        *,
        speed: float = 1.0,
        noise_scale: float = 0.5,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        code_lengths: Tensor | None = None,
        phone_lengths: Tensor | None = None,
    ) -> Tensor:
        """Waveform of codes and text, float32 [batch, frames x hop], 32 kHz, -1..1: `prior`, `latent`, `waveform`."""
        prior = self.prior(codes, phones, ge, speed, code_lengths=code_lengths, phone_lengths=phone_lengths)
        lengths = None if code_lengths is None else self.frames(code_lengths, speed)
        return self.waveform(self.latent(*prior, noise_scale, noise, generator), ge, lengths)

    def forward(
        self,
        ssl: Tensor,
        spectrogram: Tensor,
        lengths: Tensor,
        phones: Tensor,
        phone_lengths: Tensor,
        sv: Tensor | None = None,
        *,
        noise: Tensor | None = None,
        uniform: Tensor | None = None,
    ) -> Rendering:
        """Render one training step.

        Content float32 [batch, ssl_dim, frames], spectrogram [batch, 1025, frames], real frames int [batch], phones
        int64 [batch, P] and their lengths. frames is even, or the content one longer. `noise` [batch, hidden, frames]
        of the posterior and `uniform` [batch], 0 to 1, the place of the piece, are drawn unless given. Rows shorter
        than the piece are rendered with the padding after them.
        """
        ge = self.voices(spectrogram, lengths, sv)
        frames = mask(lengths, spectrogram)
        with torch.no_grad(), torch.autocast(ssl.device.type, enabled=False):  # the codes that inference uses
            content = self.quantizer.rows(self.codes(ssl)).repeat_interleave(CODE_FRAMES, -1)[..., : frames.shape[-1]]
        text_mask = mask(phone_lengths, frames.new_empty(len(phones), 1, phones.shape[1]))
        prior = self.enc_p.distribution(self.enc_p(content, frames, phones, text_mask, self._voice_of_text(ge)), frames)
        posterior = self.enc_q(spectrogram, frames, ge, noise)
        uniform = torch.rand(len(phones), device=ssl.device) if uniform is None else uniform
        starts = (uniform * (lengths - self.config.segment + 1).clamp(min=1)).long()
        piece = pieces(posterior.z, starts, self.config.segment)
        return Rendering(
            wave=self.dec(piece, ge)[:, 0],
            starts=starts,
            posterior=posterior,
            prior=prior,
            z_prior=self.flow(posterior.z, frames, ge),
            mask=frames,
        )

    def _voice_of_text(self, ge: Tensor) -> Tensor:
        """Voice that the prior encoder adds, [batch, mrte_dim, 1]."""
        return self.ge_to512(ge.mT).mT if self.config.speaker_dim else ge


def check_speed(speed: float) -> None:
    """Raise ConfigError unless a speed is in 0.25..4."""
    if not 0.25 <= speed <= 4:
        raise ConfigError(f"speed = {speed}: expected 0.25 to 4 (1 = as spoken by the reference)")


def pieces(x: Tensor, starts: Tensor, size: int) -> Tensor:
    """Piece of each row: [batch, channels, time], starts int64 [batch] -> [batch, channels, size]."""
    index = starts[:, None] + torch.arange(size, device=x.device)
    return x.gather(-1, index[:, None].expand(-1, x.shape[1], -1))

"""Sizes of s2 in the supported versions: v2, v2Pro and v2ProPlus of GPT-SoVITS."""

from dataclasses import dataclass
from typing import Literal, get_args

from voicemill.storage.errors import ConfigError

Version = Literal["v2", "v2Pro", "v2ProPlus"]


@dataclass(frozen=True)
class S2Config:
    """Sizes of `Synthesizer` and `Discriminators`. Defaults: configs/s2.json of GPT-SoVITS v2.

    Every size may be changed (tests use small ones); official files fit those of `S2Config.of`.
    """

    version: str = "v2"
    """Name written to checkpoints; the sizes below determine the network."""
    phones: int = 732
    """Entries of the symbol table."""
    ssl_dim: int = 768
    """Channels of the content features (HuBERT base) and of a codebook entry."""
    codebook: int = 1024
    """Entries of the codebook: codes are 0..1023."""
    spectrum_bins: int = 1025
    """Bins of the magnitude spectrogram that the posterior encoder reads."""
    reference_bins: int = 704
    """Number of lowest bins that the reference encoder reads: 0 to 11 kHz."""
    reference_dim: int = 128
    """Channels inside the reference encoder."""
    style: int = 512
    """Channels of the voice vector `ge`."""
    speaker_dim: int = 0
    """Channels of the speaker-verification embedding (v2Pro: 20480), 0 = none."""
    hidden: int = 192
    """Channels of the encoders, the latent and the flow; even."""
    filter: int = 768
    """Channels inside the encoders' feed-forward layers."""
    heads: int = 2
    """Heads of the encoders' self-attention."""
    layers: int = 6
    """Layers of the text encoder; the two content encoders have half as many."""
    kernel: int = 3
    """Kernel of the encoders' feed-forward convolutions."""
    window: int = 4
    """Largest distance with a relative position of its own."""
    mrte_dim: int = 512
    """Channels of the cross-attention of content to text, and of the voice vector it adds."""
    mrte_heads: int = 4
    posterior_layers: int = 16
    """WaveNet layers of the posterior encoder (training only)."""
    flow_layers: int = 4
    """WaveNet layers of each coupling."""
    couplings: int = 4
    wavenet_kernel: int = 5
    upsample_channels: int = 512
    """Channels before the first upsampling; each upsampling halves them."""
    upsample_rates: tuple[int, ...] = (10, 8, 2, 2, 2)
    """Their product is the hop: samples per frame."""
    upsample_kernels: tuple[int, ...] = (16, 16, 8, 2, 2)
    resblock_kernels: tuple[int, ...] = (3, 7, 11)
    resblock_dilations: tuple[int, ...] = (1, 3, 5)
    segment: int = 32
    """Frames of the random piece that a training step renders."""
    dropout: float = 0.1
    """Dropout of the encoders; 0 in v2Pro."""
    reference_dropout: float = 0.1
    masked_reference: bool = True
    """Whether the reference encoder's convolutions see masked padding, so that a row of a batch has the voice
    that it has alone. False: as GPT-SoVITS trains, where up to four padded frames reach each row."""
    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    """Periods of the period discriminators."""
    discriminator_width: int = 1024
    """Largest number of channels of a discriminator layer; a power of two, 16 or more."""

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that contradict each other."""
        stages = len(self.upsample_rates)
        wrong = {
            "upsample_kernels": len(self.upsample_kernels) != stages,
            "upsample_channels": self.upsample_channels % 2**stages != 0,
            "hidden": self.hidden % (2 * self.heads) != 0,
            "mrte_dim": self.mrte_dim % self.mrte_heads != 0,
            "reference_dim": self.reference_dim % 2 != 0,
            "layers": self.layers % 2 != 0,
            "discriminator_width": self.discriminator_width < 16
            or self.discriminator_width & (self.discriminator_width - 1) != 0,
            "style": not self.speaker_dim and self.style != self.mrte_dim,
            "upsample_rates": any(
                kernel < rate or (kernel - rate) % 2
                for rate, kernel in zip(self.upsample_rates, self.upsample_kernels, strict=False)
            ),
        }
        if bad := [name for name, is_wrong in wrong.items() if is_wrong]:
            raise ConfigError(f"S2Config: {', '.join(bad)} contradict the other sizes: {self}")

    @property
    def hop(self) -> int:
        """Samples of the waveform per frame of the latent: 640."""
        result = 1
        for rate in self.upsample_rates:
            result *= rate
        return result

    @classmethod
    def of(cls, version: str) -> "S2Config":
        """Sizes of the official files of `version`.

        Raises ConfigError for v1, v3, v4 (other networks) and for unknown names.
        """
        if version == "v2":
            return cls()
        if version not in get_args(Version):
            raise ConfigError(
                f"s2 version {version!r} is not supported: expected one of {', '.join(get_args(Version))}; v1 has "
                "another symbol table, v3 and v4 replace the generator by flow matching. Give a checkpoint of a "
                "supported version, such as s2G2333k.pth of gsv-v2final-pretrained"
            )
        larger = (768, (20, 16, 8, 2, 2)) if version == "v2ProPlus" else (cls.upsample_channels, cls.upsample_kernels)
        return cls(
            version=version,
            style=1024,
            speaker_dim=20480,
            upsample_channels=larger[0],
            upsample_kernels=larger[1],
            dropout=0.0,
            periods=(*cls.periods, 17, 23),
        )

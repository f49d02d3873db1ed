"""Sizes of the light system: 2.1 million weights by default, 8.3 MB in float32."""

from dataclasses import dataclass
from math import prod

from voicemill.storage.errors import ConfigError

BANDS = 128
"""Of the log-mel, `voicemill.model.audio.mel`."""
EMBEDDING = 192
"""Of a speaker; as in the original ECAPA-TDNN."""

MOST_LAYERS = 64
"""Pairs of convolutions at each rate of the vocoder."""


@dataclass(frozen=True)
class EcapaConfig:
    """Sizes of `EcapaTdnn`. The original has 512 or 1024 channels and 6 or 15 million weights."""

    channels: int = 128
    """Of every layer but the last three; a multiple of `scale`."""
    scale: int = 8
    """Parts of a Res2 layer."""
    bottleneck: int = 64
    """Of squeeze and excitation, and of the attention that pools."""
    embedding: int = EMBEDDING

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that contradict each other."""
        if self.channels % self.scale or self.scale < 2:
            raise ConfigError(
                f"light speaker: channels = {self.channels}: expected a multiple of scale = {self.scale}, 2 or more"
            )


@dataclass(frozen=True)
class AcousticConfig:
    """Sizes of `Acoustic`."""

    phones: int = 732
    """Entries of the symbol table."""
    embedding: int = EMBEDDING
    """Channels of the speaker's vector; as in `EcapaConfig`."""
    width: int = 128
    """Channels of the phones."""
    kernel: int = 5
    """Of the convolutions over phones; odd."""
    layers: int = 3
    """Convolutions over phones."""
    units: int = 128
    """Of each LSTM layer."""
    recurrent_layers: int = 2
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that contradict each other."""
        if self.kernel % 2 == 0:
            raise ConfigError(f"light acoustic model: kernel = {self.kernel}: expected an odd number")


@dataclass(frozen=True)
class VocoderConfig:
    """Sizes of the vocoder, a `model.s2.generator.Generator` that reads log-mels. Defaults: V2 of HiFi-GAN, for frames
    of 640 samples, without the blocks of kernel 11, which are over half of its products."""

    hidden: int = BANDS
    """Bands that it reads."""
    upsample_channels: int = 128
    """Channels before the first upsampling; each upsampling halves them."""
    upsample_rates: tuple[int, ...] = (10, 8, 4, 2)
    """Their product is the hop, 640."""
    upsample_kernels: tuple[int, ...] = (20, 16, 8, 4)
    resblock_kernels: tuple[int, ...] = (3, 7)
    resblock_dilations: tuple[int, ...] = (1, 3, 5)

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that contradict each other."""
        stages = len(self.upsample_rates)
        wrong = {
            "upsample_kernels": len(self.upsample_kernels) != stages
            or any((k < r or (k - r) % 2) for r, k in zip(self.upsample_rates, self.upsample_kernels, strict=False)),
            "upsample_channels": self.upsample_channels % 2**stages != 0,
            "resblock_dilations": len(self.resblock_kernels) * len(self.resblock_dilations) > MOST_LAYERS,
            "resblock_kernels": any(kernel % 2 == 0 for kernel in self.resblock_kernels),
        }
        if bad := [name for name, found in wrong.items() if found]:
            raise ConfigError(f"light vocoder: {', '.join(bad)} contradict the other sizes: {self}")

    @property
    def style(self) -> int:
        """It knows no voice: the log-mel has it."""
        return 0

    @property
    def hop(self) -> int:
        """Samples of a frame."""
        return prod(self.upsample_rates)

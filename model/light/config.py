"""Sizes of the light system: 2.1 million weights by default, 8.3 MB in float32."""

from dataclasses import dataclass
from math import prod

from voicemill.model.audio.mel import HOP
from voicemill.storage.errors import ConfigError

BANDS = 128
"""Bands of the log-mel of `voicemill.model.audio.mel`."""
EMBEDDING = 192
"""Dimensions of a speaker vector; as in the original ECAPA-TDNN."""

MOST_LAYERS = 64
"""Largest number of pairs of convolutions at each rate of the vocoder."""


@dataclass(frozen=True)
class EcapaConfig:
    """Sizes of `EcapaTdnn`. The original has 512 or 1024 channels and 6 or 15 million weights."""

    channels: int = 128
    """Channels of every layer but the last three; a multiple of `scale`."""
    scale: int = 8
    """Parts of a Res2 layer."""
    bottleneck: int = 64
    """Channels inside squeeze and excitation, and inside the attention that pools."""
    embedding: int = EMBEDDING

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that contradict each other."""
        if self.channels % self.scale or self.scale < 2:
            raise ConfigError(
                f"light speaker: channels = {self.channels}: expected a multiple of scale = {self.scale}, 2 or more"
            )


@dataclass(frozen=True)
class Ge2eConfig:
    """Sizes of the embedded speaker encoder (`voicemill.model.light.ge2e`), which is fixed and no part of the file."""

    embedding: int = 256

    def __post_init__(self) -> None:
        """Raises ConfigError for another number of dimensions."""
        if self.embedding != 256:
            raise ConfigError(f"light speaker: ge2e gives 256 dimensions, not {self.embedding}")


SpeakerConfig = EcapaConfig | Ge2eConfig
"""Sizes of either speaker encoder."""


@dataclass(frozen=True)
class AcousticConfig:
    """Sizes of `Acoustic`."""

    phones: int = 732
    """Entries of the symbol table."""
    embedding: int = EMBEDDING
    """Dimensions of the speaker vector; as in the `SpeakerConfig`."""
    width: int = 128
    """Channels of the phones."""
    kernel: int = 5
    """Kernel of the convolutions over phones; odd."""
    layers: int = 3
    """Number of convolutions over phones."""
    units: int = 128
    """Units of each LSTM layer."""
    recurrent_layers: int = 2
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that contradict each other."""
        if self.kernel % 2 == 0:
            raise ConfigError(f"light acoustic model: kernel = {self.kernel}: expected an odd number")


@dataclass(frozen=True)
class VocoderConfig:
    """Sizes of the vocoder, a `model.s2.generator.Generator` of log-mels. Defaults: V2 of HiFi-GAN for frames of 640
    samples, without the blocks of kernel 11, which are over half of its products."""

    hidden: int = BANDS
    """Bands of the log-mel."""
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
        if bad := [name for name, is_wrong in wrong.items() if is_wrong]:
            raise ConfigError(f"light vocoder: {', '.join(bad)} contradict the other sizes: {self}")

    @property
    def style(self) -> int:
        """0: the vocoder is not conditioned on a voice, which is in the log-mel."""
        return 0

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return prod(self.upsample_rates)


@dataclass(frozen=True)
class SpectralConfig:
    """Sizes of `voicemill.model.light.spectral.SpectralVocoder`: 2.2 million weights by default."""

    hidden: int = BANDS
    """Bands of the log-mel."""
    width: int = 256
    """Channels of every layer."""
    inner: int = 512
    """Channels inside a block."""
    kernel: int = 7
    """Kernel of the convolutions; odd."""
    slow_layers: int = 2
    """Blocks at the rate of the frames."""
    layers: int = 4
    """Blocks at the rate of the spectra."""
    rate: int = 4
    """Spectra per frame."""
    fft: int = 640
    """Samples of a spectrum: a multiple of the samples from one to the next, three to eight times as many."""

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that contradict each other."""
        if HOP % self.rate or self.fft % self.step or not 3 <= self.fft // self.step <= 8 or self.fft % 2:
            raise ConfigError(
                f"light vocoder: rate = {self.rate}, fft = {self.fft}: expected a divisor of {HOP}, and 3 to 8 times "
                f"{HOP} / rate samples"
            )
        if self.kernel % 2 == 0:
            raise ConfigError(f"light vocoder: kernel = {self.kernel}: expected an odd number")

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return HOP

    @property
    def step(self) -> int:
        """Samples from one spectrum to the next."""
        return HOP // self.rate

    @property
    def overlap_gain(self) -> float:
        """Sum of the overlapping windows (Hann) at each sample, which is constant."""
        return self.fft / self.step / 2


VocoderSizes = VocoderConfig | SpectralConfig
"""Sizes of either vocoder."""

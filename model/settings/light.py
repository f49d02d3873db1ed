"""Settings of the light system's training, one section for each of its three networks."""

from typing import Any, Literal

from pydantic import Field

from voicemill.storage.settings_file import FrozenSettings
from voicemill.storage.units import Seconds


class LightSpeakerSettings(FrozenSettings):
    """The speaker encoder: sizes and loss."""

    sizes: dict[str, Any] = Field(default_factory=dict)
    """Fields of `EcapaConfig` that differ from its defaults; only for a training from scratch."""
    margin: float = Field(0.2, ge=0, le=1)
    """Angular margin of the loss (AAM-softmax), radians: how much nearer the right speaker has to be. Default: as
    ECAPA-TDNN."""
    scale: float = Field(30.0, gt=0)
    """Factor of the cosines before the softmax. Default: as ECAPA-TDNN."""
    piece_s: Seconds = Field(3.0, gt=0)
    """Longest piece of an utterance in one step, s; it begins at a random place. Default: as ECAPA-TDNN."""


class LightAcousticSettings(FrozenSettings):
    """The acoustic model: sizes and losses."""

    sizes: dict[str, Any] = Field(default_factory=dict)
    """Fields of `AcousticConfig` that differ from its defaults; only for a training from scratch."""
    mel_weight: float = Field(1.0, ge=0)
    """Weight of the mean absolute log-mel distance (nepers)."""
    alignment_weight: float = Field(1.0, ge=0)
    """Weight of the alignment loss: half the squared distance of each frame to the mean of its phone."""
    duration_weight: float = Field(0.5, ge=0)
    """Weight of the squared error of log durations."""
    durations: Literal["alignment", "search"] = "alignment"
    """Source of the durations. alignment: word times from the forced alignment of the corpus, phones inside a word by
    search; an utterance without alignment is searched as a whole. search: all by search."""
    tolerance: int = Field(2, ge=0)
    """Frames of 20 ms by which the search may overstep the time of a word at each end."""


class LightVocoderSettings(FrozenSettings):
    """The vocoder: network, sizes and losses."""

    network: Literal["hifigan", "spectral"] = "hifigan"
    """Network of a training from scratch. hifigan: a small HiFi-GAN; spectral: magnitude and phase of spectra (after
    Vocos), which learns several times as much in the same time on a CPU."""
    sizes: dict[str, Any] = Field(default_factory=dict)
    """Fields of `VocoderConfig`, or of `SpectralConfig`, that differ from its defaults; only for a training from
    scratch."""
    mel_weight: float = Field(45.0, ge=0)
    """Weight of the mean absolute log-mel distance. Default: as HiFi-GAN."""
    stft_weight: float = Field(5.0, ge=0)
    """Weight of the spectral loss at three resolutions (Yamamoto et al. 2020), which are finer in time than a
    log-mel."""
    features_weight: float = Field(2.0, ge=0)
    """Weight of the feature-matching loss. Default: as HiFi-GAN."""
    adversarial_weight: float = Field(1.0, ge=0)
    """Weight of the adversarial loss. Default: as HiFi-GAN."""
    discriminator: bool = True
    """Whether discriminators are trained. Off: no adversarial and no feature loss, a fifth of the cost, a duller
    sound."""
    segment: int = Field(32, ge=8)
    """Frames of 20 ms of each utterance that one step renders."""
    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    """Periods of the period discriminators, samples."""
    discriminator_width: int = 1024
    """Most channels in a layer of the discriminators; a power of two, 16 or more."""


class LightSettings(FrozenSettings):
    """The light system."""

    encoder: Literal["ecapa", "ge2e"] = "ecapa"
    """Speaker encoder of a training from scratch. ecapa: ECAPA-TDNN, which learns from the speakers of the corpus and
    needs many; ge2e: the embedded encoder, as it is, so that one speaker is enough."""
    speaker: LightSpeakerSettings = LightSpeakerSettings()
    acoustic: LightAcousticSettings = LightAcousticSettings()
    vocoder: LightVocoderSettings = LightVocoderSettings()

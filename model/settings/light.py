"""Settings of the light system's training, one section for each of its three networks."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from voicemill.storage.units import Seconds


class Section(BaseModel):
    """Frozen; unknown names are refused; the line under each field is its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True)


class LightSpeakerSettings(Section):
    """The speaker encoder: sizes and loss."""

    sizes: dict[str, Any] = Field(default_factory=dict)
    """Fields of `EcapaConfig` that differ from its defaults, from scratch only."""
    margin: float = Field(0.2, ge=0, le=1)
    """Radians by which the right speaker has to be nearer than any other: AAM-softmax. Default: as ECAPA-TDNN."""
    scale: float = Field(30.0, gt=0)
    """Of the cosines before the softmax. Default: as ECAPA-TDNN."""
    piece_s: Seconds = Field(3.0, gt=0)
    """Of an utterance that a step hears, at most, from a drawn place on. Default: as ECAPA-TDNN."""


class LightAcousticSettings(Section):
    """The acoustic model: sizes and losses."""

    sizes: dict[str, Any] = Field(default_factory=dict)
    """Fields of `AcousticConfig` that differ from its defaults, from scratch only."""
    mel_weight: float = Field(1.0, ge=0)
    """Of the mean absolute log-mel distance, nepers."""
    alignment_weight: float = Field(1.0, ge=0)
    """Of the averages of the phones that frames are aligned by."""
    duration_weight: float = Field(0.5, ge=0)
    """Of the squared error of the log of durations."""
    durations: Literal["alignment", "search"] = "alignment"
    """alignment = words as long as the forced alignment of the corpus says, the phones inside them by search, and all
    by search where an utterance was not aligned; search = all by search."""
    tolerance: int = Field(2, ge=0)
    """Frames of 20 ms by which the search may overstep the words' times at each end."""


class LightVocoderSettings(Section):
    """The vocoder: sizes and losses."""

    sizes: dict[str, Any] = Field(default_factory=dict)
    """Fields of `VocoderConfig` that differ from its defaults, from scratch only."""
    mel_weight: float = Field(45.0, ge=0)
    """Of the mean absolute log-mel distance. This and the next but one: as HiFi-GAN."""
    stft_weight: float = Field(5.0, ge=0)
    """Of the spectra at three resolutions (Yamamoto et al. 2020), finer in time than a log-mel."""
    features_weight: float = Field(2.0, ge=0)
    adversarial_weight: float = Field(1.0, ge=0)
    discriminator: bool = True
    """Off: no adversarial and no feature loss; a fifth of the cost, a duller sound."""
    segment: int = Field(32, ge=8)
    """Frames of 20 ms of the piece that a step renders of each utterance."""
    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    """Of the period discriminators."""
    discriminator_width: int = 1024
    """Most channels of a layer of the discriminators; a power of two, 16 or more."""


class LightSettings(Section):
    """The light system."""

    speaker: LightSpeakerSettings = LightSpeakerSettings()
    acoustic: LightAcousticSettings = LightAcousticSettings()
    vocoder: LightVocoderSettings = LightVocoderSettings()

"""Settings of a training: TOML, shipped ones beside this file. Three phases are one config; each can be run alone."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from voicemill.model.settings.light import LightSettings
from voicemill.model.settings.promotion import GateSettings
from voicemill.storage.errors import ConfigError
from voicemill.storage.units import Seconds

Network = Literal["s1", "s2", "light_speaker", "light", "light_vocoder"]
DEPTH = 24
"""Layers of the s1 that `distill.student_layers` counts in."""
LIGHT: tuple[Network, ...] = ("light_speaker", "light", "light_vocoder")
"""The networks of the light system, in the order in which they are trained: the acoustic model, "light", learns from
the speaker encoder."""
SOURCES = ("target", "others", "all")
CONFIGS = Path(__file__).parent / "configs"
Share = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """Frozen; unknown names are refused; the line under each field is its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True)


class DataSettings(Settings):
    """Which utterances, in which order."""

    batch: int = Field(8, ge=1)
    """Examples of one optimiser step, over all devices and rounds of accumulation."""
    shortest_s: Seconds = 0.65
    """Shorter utterances are left out. Default: as GPT-SoVITS."""
    longest_s: Seconds = 38.0
    """Longer utterances are left out. Default: 1,900 frames, as GPT-SoVITS."""
    fewest_phones: float = 2.0
    """Per second; fewer means that the text is not what is said."""
    most_phones: float = 30.0
    """Per second. GPT-SoVITS takes 3 to 25, which fits Chinese and drops quick English."""
    bucket_s: Seconds = 2.0
    """Examples of a batch differ by less than this in length, as far as a window holds enough of them."""
    window: int = Field(16, ge=1)
    """Shards of a lane that are shuffled together, at most; small ones are taken until they hold eight batches."""
    window_minutes: float = Field(60.0, gt=0)
    """Speech in them, at most. A loader holds a window of each of its lanes in memory: 0.4 GB an hour with HuBERT."""
    lanes: int = Field(4, ge=1)
    """Streams of shards that take turns, so that loaders read different files and steps hear different speakers."""
    loaders: int = Field(2, ge=0)
    """Processes of each device that read and decode; 0 = the training process itself."""
    validation_share: Share = 0.05
    """Of the recordings (or speakers) held out, one at least where there are two."""
    validation_most: int = Field(64, ge=1)
    """Utterances that one evaluation hears at most."""


class S1Settings(Settings):
    """s1: sizes and losses."""

    sizes: dict[str, Any] = {}
    """Fields of `S1Config` that differ from v2, from scratch only."""
    label_smoothing: Share = 0.0
    """0.1 is usual; 0 as GPT-SoVITS."""
    dropout: Share = 0.1
    """In the layers while training; 0.1 as GPT-SoVITS, 0.3 against over-fitting."""


class S2Settings(Settings):
    """s2: sizes and losses."""

    sizes: dict[str, Any] = {}
    """Fields of `S2Config` that differ from `version`, from scratch only."""
    version: Literal["v2", "v2Pro", "v2ProPlus"] = "v2"
    mel_weight: float = 45.0
    features_weight: float = 2.0
    kl_weight: float = 1.0
    adversarial_weight: float = 1.0
    f0_weight: float = 0.0
    """Of the F0-consistency loss: the pitch of the rendered piece against the corpus's; 0 = off."""
    speaker_weight: float = 0.0
    """Of the speaker-encoder loss, 0.8 is usual: cosine distance of the voices of rendered and real piece; 0 = off."""
    text_rate: Share = 0.4
    """Of the learning rate for what reads text: text_embedding, encoder_text, mrte. 0.2 to 0.6 in GPT-SoVITS."""
    discriminator: bool = True
    """Off: no adversarial and no feature loss; half the cost, a duller sound."""


class DistillSettings(Settings):
    """A small student of a trained voice. The losses of its waveform are weighted as those of s2."""

    layers: int = Field(6, ge=1)
    """Of the s1 student. The teacher's are as wide, 24 in GPT-SoVITS: 6 take a quarter of the time for each code."""
    student_layers: tuple[Annotated[int, Field(ge=1)], ...] = (4, 8, 12)
    """Layers of the teacher's s1, counted from 1, whose outputs and attentions the student matches; scaled to the depth
    of a teacher that has fewer than the deepest of them. 6 student layers answer them by 1, 2 and 3."""
    temperature: float = Field(1.5, gt=0)
    """Softens the logits of both before they are compared."""
    alpha: Share = 0.7
    """Share of the soft targets; the rest is cross entropy on the true codes."""
    hidden_weight: float = Field(1.0, ge=0)
    """Of the mean squared difference of matched outputs; they are normalised, so their variance is about 1."""
    attention_weight: float = Field(1.0, ge=0)
    """Of the divergence of matched attentions, nats."""
    attention_queries: int = Field(64, ge=1)
    """Places of an example whose attention is compared, evenly spaced from a drawn one on: the whole would be places x
    places for each head. All take 0.2 GB a layer for 8 examples of 600 places, 64 a tenth of it."""
    s2_sizes: dict[str, Any] = {"upsample_channels": 256, "resblock_kernels": [3, 7]}
    """Fields of `S2Config` in which the s2 student differs: upsample_channels, resblock_kernels, resblock_dilations,
    reference_dim. By default 8 channels at the full rate, as V2 of HiFi-GAN, without the blocks of kernel 11, which are
    over half of the products."""
    reference_share: float = Field(1 / 3, gt=0, le=1)
    """Parameters of the reference encoder, as a share of the teacher's, at most."""
    hint_weight: float = Field(1.0, ge=0)
    """Of the generator's stages, seen through a 1x1 projection that is dropped afterwards."""
    voice_weight: float = Field(1.0, ge=0)
    """Of the distance of the voice vectors, in units of the teacher's squared length."""
    heard_weight: float = Field(1.0, ge=0)
    """In the joint phase: of how differently s2 hears what both s1 say next."""


class Adaptation(Settings):
    """Which weights move."""

    kind: Literal["full", "lora", "last"] = "full"
    """All; low-rank adapters (LoRA); or the last layers alone."""
    rank: int = Field(4, ge=1)
    alpha: float = 8.0
    targets_s1: tuple[str, ...] = ("out_proj", "linear1", "linear2")
    """Names of the modules that get an adapter."""
    targets_s2: tuple[str, ...] = ()
    """Empty: the default of `voicemill.model.adapters` for s2."""
    layers: int = Field(2, ge=1)
    """For "last": how many layers, counted from the output."""


class Phase(Settings):
    """One of the phases."""

    steps: int = Field(ge=1)
    """Optimiser steps."""
    rate: float = Field(gt=0)
    """Learning rate."""
    mix: dict[Literal["target", "others", "all"], Share] = {"all": 1.0}
    """Share of the examples by source: the target speakers, all others, or all."""
    adapt: Adaptation = Adaptation()
    hold_back: Literal["recordings", "speakers"] = "recordings"
    """What the validation set is made of, whole."""
    networks: tuple[Network, ...] = ("s2", "s1")
    """In this order: s1 learns the codes of s2's quantizer. The light system's: see `LIGHT`."""
    teach: Literal["", "alone", "joint"] = ""
    """Empty: the corpus teaches. alone, joint: a trained voice teaches, each network by itself, or both at once; run by
    `voicemill distill`."""

    @model_validator(mode="after")
    def _whole(self) -> "Phase":
        if abs(sum(self.mix.values()) - 1) > 1e-6:
            raise ValueError(f"the shares of mix = {self.mix} add up to {sum(self.mix.values()):g}: expected 1")
        if self.teach and self.adapt.kind != "full":
            raise ValueError(f"a student is trained as a whole: adapt.kind = {self.adapt.kind!r} is not for teach")
        return self


class LoopSettings(Settings):
    """How the steps are computed. Nothing here changes what is learned, but for rounding."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto: bfloat16 where the hardware multiplies it. float16 with a gradient scaler."""
    devices: int = Field(0, ge=0)
    """Processes, one for each GPU; 0 = all GPUs of this machine, or one process on the CPU."""
    accumulate: int = Field(1, ge=1)
    """Rounds in which each device computes its share of a batch. Doubled by itself when memory runs out."""
    clip: float = Field(5.0, ge=0)
    """Largest gradient norm; 0 = no clipping."""
    warmup: int = Field(0, ge=0)
    """Steps over which the learning rate rises."""
    evaluate_every: int = Field(500, ge=1)
    patience: int = Field(50, ge=1)
    """Evaluations without a better one after which training stops early."""
    checkpoint_every: int = Field(500, ge=1)
    keep: int = Field(3, ge=1)
    """Checkpoints kept: the last ones; the best one is kept besides."""
    log_every: int = Field(10, ge=1)
    sample_every: int = Field(1000, ge=1)
    """Steps between sounds and spectrograms in TensorBoard."""
    seed: int = 1234


class RetrainSettings(Settings):
    """When a new corpus version is worth a training. A person who types the command has decided already."""

    new_minutes: float = Field(10.0, ge=0)
    """Minutes of speech that the voice was not trained on yet; 0 = every new version. Of the target speakers, where the
    phases draw on no others."""
    new_speakers: int = Field(3, ge=1)
    """Or so many new speakers with any speech."""


class TrainingSettings(Settings):
    """The whole config of a training."""

    data: DataSettings = DataSettings()
    s1: S1Settings = S1Settings()
    s2: S2Settings = S2Settings()
    distill: DistillSettings = DistillSettings()
    light: LightSettings = LightSettings()
    loop: LoopSettings = LoopSettings()
    retrain: RetrainSettings = RetrainSettings()
    gate: GateSettings = GateSettings()
    start_s1: str = ""
    """Checkpoint that s1 starts from, official or ours; empty = from scratch."""
    start_s2: str = ""
    """The same of s2."""
    start_discriminator: str = ""
    """The same of the discriminators; empty = from scratch."""
    start_light: str = ""
    """File of a light system that its trainings start from; empty = from scratch."""
    phases: dict[str, Phase] = {
        "pretrain": Phase(steps=200_000, rate=3e-4, mix={"all": 1.0}, hold_back="speakers"),
        "finetune": Phase(steps=10_000, rate=1e-5, mix={"target": 1.0}),
        "reinforce": Phase(steps=5_000, rate=5e-6, mix={"target": 0.5, "others": 0.5}),
        "distill": Phase(steps=20_000, rate=1e-4, mix={"all": 1.0}, teach="alone"),
        "joint": Phase(steps=2_000, rate=2e-5, mix={"all": 1.0}, networks=("s2",), teach="joint"),
        "light": Phase(steps=100_000, rate=5e-4, networks=LIGHT),
    }
    """By name, in the order of a full training."""


def load(config: str) -> TrainingSettings:
    """A shipped config by name (default, few-shot, tiny), or a TOML file with the settings that differ.

    Raises ConfigError: there is no such file, it is no TOML, or a setting is unknown or out of range.
    """
    path = CONFIGS / f"{config}.toml" if (CONFIGS / f"{config}.toml").is_file() else Path(config)
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.toml")))
        raise ConfigError(f"training config {config!r} is neither a file nor a shipped one ({shipped})")
    try:
        return TrainingSettings(**tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{path}: {wrong}") from error

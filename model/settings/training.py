"""Settings of a training, read from TOML. The shipped configs lie beside this file; each holds all phases, which can be
run one by one."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from voicemill.model.settings.light import LightSettings
from voicemill.model.settings.promotion import GateSettings
from voicemill.storage.settings_file import FrozenSettings, load_settings
from voicemill.storage.units import Seconds

Network = Literal["s1", "s2", "light_speaker", "light", "light_vocoder"]
DEPTH = 24
"""Layers of the s1 that `distill.student_layers` counts in."""
LIGHT: tuple[Network, ...] = ("light_speaker", "light", "light_vocoder")
"""The networks of the light system in the order of their training: the acoustic model, "light", learns from the speaker
encoder."""
SOURCES = ("target", "others", "all")
CONFIGS = Path(__file__).parent / "configs"
Share = Annotated[float, Field(ge=0, le=1)]


class DataSettings(FrozenSettings):
    """Selection and order of the utterances."""

    batch: int = Field(8, ge=1)
    """Examples of one optimiser step, over all devices and rounds of accumulation."""
    shortest_s: Seconds = 0.65
    """Shortest utterance, s. Default: as GPT-SoVITS."""
    longest_s: Seconds = 38.0
    """Longest utterance, s. Default: 1,900 frames, as GPT-SoVITS."""
    fewest_phones: float = 2.0
    """Fewest phones per second; below it the text is not that of the recording. The preparation refuses such texts
    itself (`align.fewest_phones`); versions that were prepared earlier hold them."""
    most_phones: float = 30.0
    """Most phones per second. GPT-SoVITS takes 3 to 25, which fits Chinese and drops fast English."""
    tiers: tuple[Literal["A", "B", "C"], ...] = ("A", "B", "C")
    """Tiers of quality to train on; an utterance that was not measured counts only where all three are named."""
    bucket_s: Seconds = 2.0
    """Largest difference of length between the examples of a minibatch, s, where the window holds enough of them."""
    window: int = Field(16, ge=1)
    """Most shards of a stream that are shuffled together; small shards are added until they hold eight minibatches."""
    window_minutes: float = Field(60.0, gt=0)
    """Most speech in a window, minutes. A loader holds one window per stream in memory: 0.4 GB an hour with HuBERT."""
    lanes: int = Field(4, ge=1)
    """Streams of shards that take turns, so that loaders read different files and steps mix speakers."""
    loaders: int = Field(2, ge=0)
    """Processes per device that read and decode; 0 = the training process itself."""
    validation_share: Share = 0.05
    """Share of the recordings (or speakers) held out for validation; at least one where there are two."""
    validation_most: int = Field(64, ge=1)
    """Most utterances in one validation."""


class S1Settings(FrozenSettings):
    """s1: sizes and losses."""

    sizes: dict[str, Any] = Field({})
    """Fields of `S1Config` that differ from v2; only for a training from scratch."""
    label_smoothing: Share = 0.0
    """Label smoothing of the cross entropy; 0.1 is usual. Default: as GPT-SoVITS."""
    dropout: Share = 0.1
    """Dropout of the layers in training; 0.3 against over-fitting. Default: as GPT-SoVITS."""


class S2Settings(FrozenSettings):
    """s2: sizes and losses."""

    sizes: dict[str, Any] = Field({})
    """Fields of `S2Config` that differ from `version`; only for a training from scratch."""
    version: Literal["v2", "v2Pro", "v2ProPlus"] = "v2"
    """Version of GPT-SoVITS whose sizes a training from scratch takes."""
    mel_weight: float = 45.0
    """Weight of the mean absolute log-mel distance. This and the next three: as GPT-SoVITS."""
    features_weight: float = 2.0
    """Weight of the feature-matching loss."""
    kl_weight: float = 1.0
    """Weight of the KL divergence of posterior and prior."""
    adversarial_weight: float = 1.0
    """Weight of the adversarial loss."""
    f0_weight: float = 0.0
    """Weight of the F0-consistency loss: pitch of the rendered piece against that of the corpus; 0 = off."""
    speaker_weight: float = 0.0
    """Weight of the speaker loss, the cosine distance of the voices of rendered and real piece; 0.8 is usual, 0 =
    off."""
    text_rate: Share = 0.4
    """Learning rate of the modules that read text (text_embedding, encoder_text, mrte), as a share of `rate`; 0.2 to
    0.6 in GPT-SoVITS."""
    discriminator: bool = True
    """Whether discriminators are trained. Off: no adversarial and no feature loss, half the cost, a duller sound."""


class DistillSettings(FrozenSettings):
    """A small student of a trained voice. The losses of its waveform have the weights of section s2."""

    layers: int = Field(6, ge=1)
    """Layers of the s1 student. They are as wide as the 24 of GPT-SoVITS: 6 take a quarter of the time per code."""
    student_layers: tuple[Annotated[int, Field(ge=1)], ...] = (4, 8, 12)
    """Layers of the teacher's s1, counted from 1, whose outputs and attentions the student matches; scaled to the depth
    of a teacher that has fewer layers than the deepest of them. 6 student layers match them by layers 1, 2 and 3."""
    temperature: float = Field(1.5, gt=0)
    """Temperature that softens the logits of teacher and student before they are compared."""
    alpha: Share = 0.7
    """Share of the soft targets in the loss; the rest is cross entropy on the true codes."""
    hidden_weight: float = Field(1.0, ge=0)
    """Weight of the mean squared difference of matched outputs, which are normalised to a variance of about 1."""
    attention_weight: float = Field(1.0, ge=0)
    """Weight of the divergence of matched attentions, nats."""
    attention_queries: int = Field(64, ge=1)
    """Positions of an example whose attention is compared, evenly spaced from a random one on: the whole attention is
    positions x positions for each head. All take 0.2 GB a layer for 8 examples of 600 positions, 64 a tenth of it."""
    s2_sizes: dict[str, Any] = Field({"upsample_channels": 256, "resblock_kernels": [3, 7]})
    """Fields of `S2Config` in which the s2 student differs: upsample_channels, resblock_kernels, resblock_dilations,
    reference_dim. By default 8 channels at the full rate, as V2 of HiFi-GAN, without the blocks of kernel 11, which are
    over half of the products."""
    reference_share: float = Field(1 / 3, gt=0, le=1)
    """Most parameters of the reference encoder, as a share of the teacher's."""
    hint_weight: float = Field(1.0, ge=0)
    """Weight of the hint loss on the stages of the generator, compared through a 1x1 projection that is dropped after
    training."""
    voice_weight: float = Field(1.0, ge=0)
    """Weight of the distance of the voice vectors, in units of the teacher's squared length."""
    heard_weight: float = Field(1.0, ge=0)
    """Weight, in the joint phase, of the difference between the s2 renderings of what teacher s1 and student s1 predict
    next."""


class Adaptation(FrozenSettings):
    """Which weights are trained."""

    kind: Literal["full", "lora", "last"] = "full"
    """full: all weights; lora: low-rank adapters; last: the last layers alone."""
    rank: int = Field(4, ge=1)
    """Rank of the adapters."""
    alpha: float = 8.0
    """Scale of the adapters: their product is multiplied by alpha / rank."""
    targets_s1: tuple[str, ...] = ("out_proj", "linear1", "linear2")
    """Names of the modules of s1 that get an adapter."""
    targets_s2: tuple[str, ...] = ()
    """Names of the modules of s2 that get an adapter; empty = the default of `voicemill.model.adapters`."""
    layers: int = Field(2, ge=1)
    """Layers that `last` trains, counted from the output."""


class Phase(FrozenSettings):
    """One phase of a training."""

    steps: int = Field(ge=1)
    """Optimiser steps."""
    rate: float = Field(gt=0)
    """Learning rate."""
    cooldown: Share = 0.0
    """Share of the steps, the last ones, over which the rate falls linearly to 0 (Hägele et al. 2024, "Scaling laws and
    compute-optimal training beyond fixed training durations"); 0 = constant, as GPT-SoVITS."""
    mix: dict[Literal["target", "others", "all"], Share] = Field({"all": 1.0})
    """Share of the examples by source: the target speakers, all other speakers, or all."""
    adapt: Adaptation = Adaptation()
    """Which weights are trained."""
    hold_back: Literal["recordings", "speakers"] = "recordings"
    """Unit of the validation set, which is held out whole."""
    networks: tuple[Network, ...] = ("s2", "s1")
    """Networks in the order of their training: s1 learns the codes of the quantizer of s2, and the light system's
    acoustic model, `light`, from `light_speaker`."""
    teach: Literal["", "alone", "joint"] = ""
    """Teacher of the phase. Empty: the corpus. alone, joint: a trained voice teaches each network by itself, or both at
    once; `voicemill distill` runs such a phase."""

    @model_validator(mode="after")
    def _whole(self) -> "Phase":
        if abs(sum(self.mix.values()) - 1) > 1e-6:
            raise ValueError(f"the shares of mix = {self.mix} add up to {sum(self.mix.values()):g}: expected 1")
        if self.teach and self.adapt.kind != "full":
            raise ValueError(
                f"teach = {self.teach!r} with adapt.kind = {self.adapt.kind!r}: a student is trained as a whole; set "
                "adapt.kind to 'full'"
            )
        return self


class LoopSettings(FrozenSettings):
    """How the steps are computed. Nothing here changes what is learned, except by rounding."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the forward passes. auto: bfloat16 where the hardware multiplies it; float16 has a gradient
    scaler."""
    devices: int = Field(0, ge=0)
    """Processes, one per GPU; 0 = all GPUs of this machine, or one process on the CPU."""
    accumulate: int = Field(1, ge=1)
    """Rounds in which each device computes its share of a minibatch. Doubled automatically when memory runs out."""
    clip: float = Field(5.0, ge=0)
    """Largest gradient norm; 0 = no clipping."""
    warmup: int = Field(0, ge=0)
    """Steps over which the learning rate rises."""
    evaluate_every: int = Field(500, ge=1)
    """Steps between validations."""
    patience: int = Field(50, ge=1)
    """Validations without an improvement after which training stops early."""
    checkpoint_every: int = Field(500, ge=1)
    """Steps between checkpoints."""
    keep: int = Field(3, ge=1)
    """Newest checkpoints that are retained; the best one is retained besides."""
    log_every: int = Field(10, ge=1)
    """Steps between lines of the log."""
    sample_every: int = Field(1000, ge=1)
    """Steps between sounds and spectrograms in TensorBoard."""
    seed: int = 1234
    """Seed of the initial weights, the order of the examples and dropout."""


class RetrainSettings(FrozenSettings):
    """How much new speech starts a retraining. A person who types the command has decided already."""

    new_minutes: float = Field(10.0, ge=0)
    """Minutes of speech that the voice was not trained on; 0 = every new version. Only speech of the target speakers
    counts where the phases draw on no others."""
    new_speakers: int = Field(3, ge=1)
    """New speakers, with any amount of speech, that start one too."""


class TrainingSettings(FrozenSettings):
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
    """Checkpoint that s2 starts from, official or ours; empty = from scratch."""
    start_discriminator: str = ""
    """Checkpoint that the discriminators start from, official or ours; empty = from scratch."""
    start_light: str = ""
    """File of the light system that its trainings start from; empty = from scratch."""
    phases: dict[str, Phase] = Field(
        {
            "pretrain": Phase(steps=200_000, rate=3e-4, mix={"all": 1.0}, hold_back="speakers"),
            "finetune": Phase(steps=10_000, rate=1e-5, mix={"target": 1.0}),
            "reinforce": Phase(steps=5_000, rate=5e-6, mix={"target": 0.5, "others": 0.5}),
            "distill": Phase(steps=20_000, rate=1e-4, mix={"all": 1.0}, teach="alone"),
            "joint": Phase(steps=2_000, rate=2e-5, mix={"all": 1.0}, networks=("s2",), teach="joint"),
            "light": Phase(steps=100_000, rate=5e-4, networks=LIGHT),
        }
    )
    """Phases by name, in the order of a full training."""


def load(config: str) -> TrainingSettings:
    """Return the settings of a shipped config (default, few-shot, tiny), or of a TOML file with those that differ.

    Raises ConfigError: there is no such file, it is not TOML, or a setting is unknown or out of range.
    """
    return load_settings(TrainingSettings, config, CONFIGS, "voicemill config show --training")

"""What a retrain is asked for, and the trainings that come of it. No Prefect here: a command checks it beforehand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from voicemill.model.settings import training as settings_
from voicemill.model.settings.training import LIGHT, Network, RetrainSettings, TrainingSettings
from voicemill.model.training.engine.run import RunSpec
from voicemill.storage.corpus import versions
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError, NothingYet
from voicemill.storage.forgetting.forget import forgotten
from voicemill.storage.keys import digest, file_digest
from voicemill.storage.store import Store
from voicemill.storage.voices import registry as voices
from voicemill.storage.voices.learned import WHY
from voicemill.storage.voices.registry import Entry
from voicemill.storage.voices.status import Change

_LOGISTICS = {"devices", "accumulate", "checkpoint_every", "keep", "log_every", "sample_every"}
"""Settings of the loop that change nothing of what is learned: a training goes on after they changed."""

RETIRED = "Retired"
"""Verdict of a retrain whose trainings make a retired entry, and name of the state in which its run ends."""


class RetrainOptions(BaseModel):
    """Parameters of a retrain; the dashboard makes a form of them."""

    store: str = Field(description="Folder of the store")
    config: str = Field("default", description="A TOML file, or a shipped training config: default, few-shot, tiny")
    phases: list[str] = Field(
        [], description="Phases of the config, in order. Empty: finetune where speakers are named, else pretrain"
    )
    speakers: list[str] = Field([], description="Whose voice it becomes. Empty: no target, all speakers")
    version: int = Field(0, ge=0, description="Corpus version; 0 = the latest")
    voice: str = Field("", description="Name of the voice. Empty: the speaker's; `base` where there is none")
    start_s1: str = Field("", description="Checkpoint that s1 starts from. Empty: as the config says")
    start_s2: str = Field("", description="Checkpoint that s2 starts from. Empty: as the config says")
    start_discriminator: str = Field("", description="Checkpoint of the discriminators. Empty: as the config says")
    new_minutes: float | None = Field(
        None, ge=0, description="Train from so many minutes of new speech on. Empty: as the config says"
    )
    new_speakers: int | None = Field(
        None, ge=1, description="Or from so many new speakers on. Empty: as the config says"
    )
    force: bool = Field(False, description="Train whatever is new")


@dataclass(frozen=True)
class RetrainPlan:
    """The trainings of one retrain."""

    store: Store
    corpus: CorpusVersion
    settings: TrainingSettings
    voice: str
    speakers: tuple[str, ...]
    phases: tuple[str, ...]

    @property
    def number(self) -> int:
        """Of the corpus version."""
        return self.corpus.version.number

    @property
    def heard(self) -> tuple[str, ...]:
        """Speakers whose new speech counts: the targets where no phase draws on others; empty = all."""
        mixes = [self.settings.phases[phase].mix for phase in self.phases]
        return self.speakers if all({source for source in mix if mix[source]} == {"target"} for mix in mixes) else ()

    @property
    def base(self) -> dict[str, str]:
        """Stem -> checkpoint that the first phase starts from."""
        starts = {"s1": self.settings.start_s1, "s2": self.settings.start_s2}
        starts["s2_discriminator"] = self.settings.start_discriminator
        return {stem: path for stem, path in starts.items() if path}

    @property
    def content(self) -> str:
        """What `voicemill speak --content` takes: the encoder of the corpus."""
        found = dict(self.corpus.version.config.get("content", {}))
        return str(found.get("model", "mfcc")) if found.get("engine") == "encoder" else "mfcc"

    def trainings(self) -> Iterator[tuple[str, Network]]:
        """Phase and network, in order."""
        for phase in self.phases:
            for network in self.settings.phases[phase].networks:
                yield phase, network

    def spec(self, phase: str, network: Network, so_far: Mapping[str, str]) -> RunSpec:
        """What is asked of one training; `so_far`: stem -> the newest checkpoint.

        Raises:
            ConfigError: s1 is to learn the codes of an s2 that there is none of.
        """
        if network == "s1" and "s2" not in so_far:
            raise ConfigError(
                f"phase {phase!r} trains s1, which learns the codes of an s2, and there is none: name one by "
                "--start-s2, or let the phase train s2 first"
            )
        starts = {"start_s1": so_far.get("s1", ""), "start_s2": so_far.get("s2", "")}
        starts["start_discriminator"] = so_far.get("s2_discriminator", "")
        return RunSpec(
            str(self.store.root),
            self.number,
            network,
            phase,
            self.settings.model_copy(update=starts),
            self.speakers,
            so_far.get(network, ""),
            so_far["s2"] if network == "s1" else "",
        )


def plan_retrain(options: RetrainOptions) -> RetrainPlan:
    """Check everything that can be checked before anything is started.

    Raises:
        ConfigError: a wrong setting, a phase that there is none of, a start that is no file.
        Retired: a start is of a retired entry.
        NothingYet: no version, none with these speakers, or one that held somebody who was forgotten.
        StoreError: no store, or no such version.
    """
    store = Store.open(options.store)
    settings = settings_.load(options.config)
    if not options.version and versions.latest(store) is None:
        raise NothingYet("No corpus version yet", f"{store.root} has no corpus version yet: run `voicemill refresh`")
    corpus = CorpusVersion.open(store, options.version or None)
    number, speakers = corpus.version.number, tuple(dict.fromkeys(options.speakers))
    if number in forgotten(store):
        raise NothingYet(
            "Waits for a refresh",
            f"version {number} of {store.root} held somebody who was forgotten: nothing is trained on it again. "
            "`voicemill refresh` makes a version without them",
        )
    known = {file.speaker for file in corpus.shards("utterances") if file.rows}
    if missing := [name for name in speakers if name not in known]:
        have = ", ".join(sorted(known)[:10]) + (" ..." if len(known) > 10 else "") if known else "nobody"
        words = f"version {number} of {store.root} has no utterance of speaker {missing[0]!r}; it has {have}"
        raise NothingYet(f"Nothing of {missing[0]} yet", words)
    phases = tuple(options.phases) or ("finetune" if speakers else "pretrain",)
    for phase in phases:
        if phase not in settings.phases:
            raise ConfigError(f"config {options.config!r} has no phase {phase!r}; it has {', '.join(settings.phases)}")
        if settings.phases[phase].teach or set(settings.phases[phase].networks) & set(LIGHT):
            raise ConfigError(f"phase {phase!r} makes a student of a trained voice: `voicemill distill` runs it")
        if settings.phases[phase].mix.get("target") and not speakers:
            raise ConfigError(f"phase {phase!r} draws on target speakers, and none is named: give --speaker")
    given = {name: getattr(options, name) for name in ("start_s1", "start_s2", "start_discriminator")}
    limits = {name: getattr(options, name) for name in ("new_minutes", "new_speakers")}
    retrain = RetrainSettings(**settings.retrain.model_dump() | {k: v for k, v in limits.items() if v is not None})
    settings = settings.model_copy(update={k: v for k, v in given.items() if v} | {"retrain": retrain})
    voice = voices.check_name(options.voice or voices.name_of(speakers))
    plan = RetrainPlan(store, corpus, settings, voice, speakers, phases)
    for stem, path in plan.base.items():
        if not Path(path).is_file():
            raise ConfigError(f"{stem} is to start from {path}, where no file is: give a .pth, .ckpt or .safetensors")
        voices.check_usable(path)
    so_far = dict(plan.base)
    for phase, network in plan.trainings():
        plan.spec(phase, network, so_far)
        so_far[network] = "trained"
    return plan


def why_unusable(entry: Entry, change: Change) -> str:
    """Why the entry that these trainings make is retired, and what makes another one."""
    remedy = (
        "`voicemill train` makes another one with another config, such as another seed in its section [loop], or on a "
        "later corpus version"
    )
    if change.why == WHY:
        remedy = (
            "`voicemill refresh` makes a corpus version without them; where the training started from weights trained "
            "on their speech, name others (--start-s1, --start-s2)"
        )
    return f"its trainings make {entry.name}, which was retired on {change.when} ({change.why}), for good: {remedy}"


def folder_of(store: Store, voice: str, spec: RunSpec) -> Path:
    """Of one training: the same for all that is the same, so that a repeated or a killed one is found again."""
    return store.training / f"{voice}-v{spec.version}-{spec.network}-{spec.phase}-{digest_of(spec)[:12]}"


def digest_of(spec: RunSpec) -> str:
    """sha256 (hex) of all that a training depends on: checkpoints by their bytes, the store not by its place."""
    teach = spec.settings.phases[spec.phase].teach
    unread = {"distill": not teach, "light": spec.network not in LIGHT}
    apart: dict[str, Any] = {"retrain": True, "gate": True, "loop": _LOGISTICS, "phases": True}
    apart |= {name: True for name, unused in unread.items() if unused}
    settings = spec.settings.model_dump(mode="json", exclude=apart)
    names = ("start_s1", "start_s2", "start_discriminator", "start_light")
    starts = {name: settings.pop(name) for name in names}
    files = {"start": spec.start, "quantizer": spec.quantizer}
    if spec.network == "s2":
        files["discriminator"] = starts["start_discriminator"]
    if teach:
        files |= {f"teacher {stem}": path for stem, path in spec.teachers.items()}
    if teach == "joint":
        files["student s1"] = starts["start_s1"]
    bytes_of = {name: file_digest(Path(path)) for name, path in files.items() if path}
    unsaid = {"networks"} if teach else {"networks", "teach"}
    phase = spec.settings.phases[spec.phase].model_dump(mode="json", exclude=unsaid)
    return digest([spec.version, spec.network, spec.phase, phase, settings, sorted(spec.speakers), bytes_of])


def stem_of(network: Network) -> str:
    """The file that a network starts from and is written to: the light system's three share one."""
    return "light" if network in LIGHT else network

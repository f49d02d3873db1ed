"""Options and plan of a retrain: its phases, networks and starting checkpoints. Imports no Prefect, so that a command
checks everything before a flow starts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from voicemill.flows.plans import help_texts
from voicemill.flows.plans.options import StoreOptions
from voicemill.model.content.names import content_name
from voicemill.model.settings import training
from voicemill.model.settings.training import LIGHT, Network, RetrainSettings, TrainingSettings
from voicemill.model.training.engine.run import RunSpec
from voicemill.storage.corpus import versions
from voicemill.storage.corpus.text_coverage import text_gaps, text_shares
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError, NothingYet
from voicemill.storage.forgetting.receipts import forgotten_versions
from voicemill.storage.inbox.names import speaker_name
from voicemill.storage.keys import digest, file_digest
from voicemill.storage.store import Store
from voicemill.storage.voices import registry
from voicemill.storage.voices.cards import Entry, Kind, check_voice_name, voice_name_of
from voicemill.storage.voices.lineage import retired_by_forgetting
from voicemill.storage.voices.status import StatusChange

_LOGISTICS = {"devices", "accumulate", "checkpoint_every", "keep", "log_every", "sample_every"}
"""Settings of the loop that do not change the weights: a training resumes after they changed."""

RETIRED = "Retired"
"""Verdict of a retrain whose trainings make a retired entry, and name of the state in which its run ends."""


class RetrainOptions(StoreOptions):
    """Parameters of a retrain."""

    config: str = Field("default", description=help_texts.TRAINING_CONFIG)
    phases: list[str] = Field([], description=help_texts.PHASES)
    speakers: list[str] = Field([], description=help_texts.SPEAKERS)
    version: int = Field(0, ge=0, description="Corpus version; 0 = the latest")
    voice: str = Field("", description=help_texts.NEW_VOICE)
    start_s1: str = Field("", description=help_texts.START_S1)
    start_s2: str = Field("", description=help_texts.START_S2)
    start_discriminator: str = Field("", description=help_texts.START_DISCRIMINATOR)
    start_light: str = Field("", description=help_texts.START_LIGHT)
    new_minutes: float | None = Field(
        None, ge=0, description="Minutes of new speech that start a training. Empty: the config's"
    )
    new_speakers: int | None = Field(
        None, ge=1, description="Number of new speakers that start one just as well. Empty: the config's"
    )
    force: bool = Field(False, description="Train even if nothing is new")

    @field_validator("speakers")
    @classmethod
    def _names(cls, value: list[str]) -> list[str]:
        return [speaker_name(name) for name in value]


@dataclass(frozen=True)
class RetrainPlan:
    """The trainings of one retrain, checked."""

    store: Store
    corpus: CorpusVersion
    settings: TrainingSettings
    voice: str
    speakers: tuple[str, ...]
    """Targets; empty = all of the corpus."""
    phases: tuple[str, ...]

    @property
    def number(self) -> int:
        """Number of the corpus version."""
        return self.corpus.version.number

    @property
    def heard(self) -> tuple[str, ...]:
        """Speakers whose new speech counts: the targets if no phase draws on others; empty = all."""
        mixes = [self.settings.phases[phase].mix for phase in self.phases]
        return self.speakers if all({source for source in mix if mix[source]} == {"target"} for mix in mixes) else ()

    @property
    def base(self) -> dict[str, str]:
        """Stem -> checkpoint that the first phase starts from."""
        if self.kind == "light":
            return {"light": self.settings.start_light} if self.settings.start_light else {}
        starts = {"s1": self.settings.start_s1, "s2": self.settings.start_s2}
        starts["s2_discriminator"] = self.settings.start_discriminator
        return {stem: path for stem, path in starts.items() if path}

    @property
    def kind(self) -> Kind:
        """Lane of the entry: the light system, which needs no s1 and s2, or a voice of these two."""
        networks = {network for _, network in self.trainings()}
        return "light" if networks <= set(LIGHT) else "trained"

    @property
    def content(self) -> str:
        """Content encoder of the corpus, as `voicemill speak --content` takes it; "" for a light voice."""
        if self.kind == "light":
            return ""
        version = self.corpus.version
        return content_name(version.config.get("content", {}), version.features.get("content", ""))

    def trainings(self) -> Iterator[tuple[str, Network]]:
        """Phase and network of each training, in order."""
        for phase in self.phases:
            for network in self.settings.phases[phase].networks:
                yield phase, network

    def spec(self, phase: str, network: Network, so_far: Mapping[str, str]) -> RunSpec:
        """Specification of one training. `so_far`: stem -> newest checkpoint.

        Raises:
            ConfigError: s1 is to learn codes, and there is no s2 whose codes they could be.
        """
        if network == "s1" and "s2" not in so_far:
            raise ConfigError(
                f"phase {phase!r} trains s1, which learns the codes of an s2, and there is none: name one with "
                "--start-s2, or let the phase train s2 first"
            )
        starts = {"start_s1": so_far.get("s1", ""), "start_s2": so_far.get("s2", "")}
        starts |= {"start_discriminator": so_far.get("s2_discriminator", ""), "start_light": ""}
        return RunSpec(
            store=str(self.store.root),
            version=self.number,
            network=network,
            phase=phase,
            settings=self.settings.model_copy(update=starts),
            speakers=self.speakers,
            start=so_far.get(stem_of(network), ""),
            quantizer=so_far["s2"] if network == "s1" else "",
        )


def plan_retrain(options: RetrainOptions) -> RetrainPlan:
    """Check everything that can be checked before work starts.

    Raises:
        ConfigError: a wrong setting, a phase that the config lacks, or a start that is not a file.
        Retired: a start belongs to a retired entry.
        NothingYet: there is no version, none with these speakers, or a speaker of the version was forgotten.
        StoreError: the store or the version does not exist.
    """
    store = Store.open(options.store)
    settings = _settings(options)
    corpus = _corpus(store, options.version)
    speakers = tuple(dict.fromkeys(options.speakers))
    _check_speakers(corpus, speakers)
    phases = tuple(options.phases) or _default_phases(settings, speakers)
    _check_phases(settings, phases, speakers, options.config)
    _check_text(corpus, speakers, phases, settings)
    voice = check_voice_name(options.voice or voice_name_of(speakers))
    plan = RetrainPlan(store=store, corpus=corpus, settings=settings, voice=voice, speakers=speakers, phases=phases)
    for stem, path in plan.base.items():
        if not Path(path).is_file():
            raise ConfigError(
                f"{stem} is to start from {path}: no such file; expected a .pth, .ckpt or .safetensors file"
            )
        registry.check_usable(path)
    so_far = dict(plan.base)
    for phase, network in plan.trainings():
        plan.spec(phase, network, so_far)
        so_far[stem_of(network)] = "trained"
    return plan


def _default_phases(settings: TrainingSettings, speakers: tuple[str, ...]) -> tuple[str, ...]:
    """The phases of a config of the light system alone, else finetune for named speakers and pretrain for all."""
    if all(set(phase.networks) <= set(LIGHT) for phase in settings.phases.values()):
        return tuple(settings.phases)
    return ("finetune" if speakers else "pretrain",)


def _settings(options: RetrainOptions) -> TrainingSettings:
    """Settings of the config, overridden by the options."""
    settings = training.load(options.config)
    starts = {name: getattr(options, name) for name in ("start_s1", "start_s2", "start_discriminator", "start_light")}
    limits = {name: getattr(options, name) for name in ("new_minutes", "new_speakers")}
    retrain = RetrainSettings(**settings.retrain.model_dump() | {k: v for k, v in limits.items() if v is not None})
    return settings.model_copy(update={name: path for name, path in starts.items() if path} | {"retrain": retrain})


def _corpus(store: Store, number: int) -> CorpusVersion:
    if not number and versions.latest(store) is None:
        raise NothingYet("No corpus version yet", f"{store.root} has no corpus version yet: run `voicemill refresh`")
    corpus = CorpusVersion.open(store, number or None)
    if corpus.version.number in forgotten_versions(store):
        raise NothingYet(
            "Waits for a refresh",
            f"a speaker of corpus version {corpus.version.number} of {store.root} was forgotten: no training uses that "
            "version again. `voicemill refresh` makes a version without them",
        )
    return corpus


def _check_speakers(corpus: CorpusVersion, speakers: tuple[str, ...]) -> None:
    known = {file.speaker for file in corpus.shards("utterances") if file.rows}
    if missing := [name for name in speakers if name not in known]:
        have = ", ".join(sorted(known)[:10]) + (" ..." if len(known) > 10 else "") if known else "none at all"
        raise NothingYet(
            f"Nothing of {missing[0]} yet",
            f"corpus version {corpus.version.number} of {corpus.store.root} has no utterance of speaker "
            f"{missing[0]!r}; it has {have}",
        )


def _check_text(
    corpus: CorpusVersion, speakers: tuple[str, ...], phases: tuple[str, ...], settings: TrainingSettings
) -> None:
    """Raise NothingYet where a phase draws on speakers none of whom has a text: why, and what gives them one."""
    sources = {name for phase in phases for name, share in settings.phases[phase].mix.items() if share}
    wanted = set(speakers) if sources == {"target"} or (speakers and "target" in sources) else set()
    shares = [share for share in text_shares(corpus) if not wanted or share.speaker in wanted]
    if not shares or any(share.with_text for share in shares):
        return
    who = ", ".join(speakers) if wanted else "any speaker"
    raise NothingYet(
        f"No text of {speakers[0]} yet" if wanted else "No text yet",
        f"corpus version {corpus.version.number} of {corpus.store.root} has no text of {who}, and a voice learns from "
        f"speech with its text. {'; '.join(gap.line for gap in text_gaps(shares))}. Then run `voicemill refresh`",
    )


def _check_phases(settings: TrainingSettings, phases: tuple[str, ...], speakers: tuple[str, ...], config: str) -> None:
    for phase in phases:
        if phase not in settings.phases:
            raise ConfigError(f"config {config!r} has no phase {phase!r}; it has {', '.join(settings.phases)}")
        if settings.phases[phase].teach:
            raise ConfigError(f"phase {phase!r} makes a student of a trained voice: `voicemill distill` runs it")
        if settings.phases[phase].mix.get("target") and not speakers:
            raise ConfigError(f"phase {phase!r} draws on target speakers, and none is named: give --speaker")
    light = [phase for phase in phases if set(settings.phases[phase].networks) & set(LIGHT)]
    if light and any(set(settings.phases[phase].networks) - set(LIGHT) for phase in phases):
        raise ConfigError(
            f"phase {light[0]!r} trains the light system, the others s1 or s2: these are voices of two kinds, so train "
            "them one by one, each with --phase"
        )


def why_unusable(entry: Entry, change: StatusChange) -> str:
    """Why the entry that these trainings make is retired, and what makes another one."""
    remedy = (
        "`voicemill train` makes another one with another config, such as another seed in its section [loop], or on a "
        "later corpus version"
    )
    if retired_by_forgetting(change):
        remedy = (
            "`voicemill refresh` makes a corpus version without them; where the training started from weights trained "
            "on their speech, name others (--start-s1, --start-s2)"
        )
    return f"its trainings make {entry.name}, which was retired on {change.when} ({change.why}), for good: {remedy}"


def folder_of(store: Store, voice: str, spec: RunSpec) -> Path:
    """Folder of one training. Equal specifications share it, so that a repeated or killed training finds its work."""
    return store.training / f"{voice}-v{spec.version}-{spec.network}-{spec.phase}-{digest_of(spec)[:12]}"


def digest_of(spec: RunSpec) -> str:
    """sha256 (hex) of everything that a training depends on: checkpoints by their bytes, the store not by its path."""
    teach = spec.settings.phases[spec.phase].teach
    unused_sections = {"distill": not teach, "light": spec.network not in LIGHT}
    excluded: dict[str, Any] = {"retrain": True, "gate": True, "loop": _LOGISTICS, "phases": True}
    excluded |= {name: True for name, unused in unused_sections.items() if unused}
    if len(set(spec.settings.data.tiers)) == 3:
        excluded["data"] = {"tiers"}  # selects nothing
    settings = spec.settings.model_dump(mode="json", exclude=excluded)
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
    unused_fields = {"networks"} if teach else {"networks", "teach"}
    phase = spec.settings.phases[spec.phase].model_dump(mode="json", exclude=unused_fields)
    _drop_defaults(phase, settings)
    return digest([spec.version, spec.network, spec.phase, phase, settings, sorted(spec.speakers), bytes_of])


def _drop_defaults(phase: dict[str, Any], settings: dict[str, Any]) -> None:
    """Remove later settings that have their defaults: trainings that began before they existed are found again."""
    light = settings.get("light", {"vocoder": {}})
    later = ((phase, "cooldown", 0.0), (light, "encoder", "ecapa"), (light["vocoder"], "network", "hifigan"))
    for section, name, default in later:
        if section.get(name) == default:
            del section[name]


def stem_of(network: Network) -> str:
    """Stem of the file that a network starts from and is written to: the three of the light system share one."""
    return "light" if network in LIGHT else network

"""What a distillation is asked for, and the trainings that come of it. No Prefect here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from voicemill.flows.plans.retrain import stem_of
from voicemill.model.settings import training as settings_
from voicemill.model.settings.training import LIGHT, Network, TrainingSettings
from voicemill.model.training.engine.run import RunSpec
from voicemill.model.voices.versions import code_version
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError, StoreError
from voicemill.storage.forgetting.forget import forgotten
from voicemill.storage.keys import digest
from voicemill.storage.store import Store
from voicemill.storage.voices import registry as voices
from voicemill.storage.voices.registry import Card, Entry, File, Kind, Training

PHASES: dict[str, tuple[str, ...]] = {"student": ("distill", "joint"), "light": ("light",)}
"""Kind of student -> its phases in the config, in order; a config without "joint" leaves that one out."""
KINDS: dict[str, tuple[Kind, ...]] = {"full": ("student",), "light": ("light",), "both": ("student", "light")}


class DistillOptions(BaseModel):
    """Parameters of a distillation; the dashboard makes a form of them."""

    store: str = Field(description="Folder of the store")
    voice: str = Field("", description="Name of the voice. Empty: the only one of the store")
    number: int = Field(0, ge=0, description="Its trained entry that teaches; 0 = the champion, else the newest")
    which: Literal["full", "light", "both"] = Field(
        "full",
        description="full: small s1 and s2 that learn from the entry; light: the light system; both: as far as the "
        "config has phases for them",
    )
    config: str = Field("default", description="A TOML file, or a shipped training config: default, few-shot, tiny")
    version: int = Field(
        0, ge=0, description="Corpus version; 0 = that of the entry, or the latest where somebody was forgotten from it"
    )
    allow_retired: bool = Field(False, description="Learn from a retired entry too")


@dataclass(frozen=True)
class DistillPlan:
    """The trainings of one distillation."""

    store: Store
    corpus: CorpusVersion
    settings: TrainingSettings
    teacher: Entry
    kinds: tuple[Kind, ...]

    @property
    def voice(self) -> str:
        return self.teacher.card.voice

    @property
    def teachers(self) -> dict[str, str]:
        """Stem -> checkpoint of the teacher."""
        return {stem: str(self.teacher.path(stem)) for stem in ("s1", "s2") if stem in self.teacher.card.weights}

    def trainings(self, kind: Kind) -> Iterator[tuple[str, Network]]:
        """Phase and network of a student, in order."""
        for phase in PHASES[kind]:
            if phase in self.settings.phases:
                for network in self.settings.phases[phase].networks:
                    yield phase, network

    def start(self, kind: Kind) -> dict[str, str]:
        """Stem -> checkpoint that the first training of a student starts from; the students of s1 and s2 start as
        parts of their teachers."""
        start = self.settings.start_light
        return {"light": start} if kind == "light" and start else {}

    def spec(self, phase: str, network: Network, so_far: Mapping[str, str]) -> RunSpec:
        """What is asked of one training; `so_far`: stem -> the newest checkpoint of this student."""
        start = so_far.get(stem_of(network), "")
        judges = so_far.get("s2_discriminator", "")
        if not judges and "s2_discriminator" in self.teacher.card.weights:
            judges = str(self.teacher.path("s2_discriminator"))
        starts = {"start_s1": so_far.get("s1", ""), "start_s2": "", "start_discriminator": judges, "start_light": ""}
        return RunSpec(
            str(self.store.root),
            self.corpus.version.number,
            network,
            phase,
            self.settings.model_copy(update=starts),
            self.teacher.card.speakers,
            start,
            teachers={} if network in LIGHT else self.teachers,
        )

    def files(self, kind: Kind, so_far: Mapping[str, str]) -> dict[str, Path]:
        """What goes into the entry. A student of s2 has no posterior encoder and is not trained on: the discriminators
        of its training are of no use to it."""
        stems = ("light",) if kind == "light" else ("s1", "s2")
        return {stem: Path(so_far[stem]) for stem in stems}

    def card(self, kind: Kind, trainings: list[Training], so_far: Mapping[str, str]) -> Card:
        """The card of the entry."""
        files = self.files(kind, so_far)
        theirs = self.teacher.card
        return Card(
            self.voice,
            self.corpus.version.number,
            self.corpus.version.recipe,
            theirs.speakers,
            tuple(trainings),
            digest(self.settings.model_dump(mode="json")),
            {stem: File.of(path) for stem, path in (self.start(kind) if kind == "light" else self.teachers).items()},
            theirs.content,
            code_version(),
            datetime.now(UTC).isoformat(timespec="seconds"),
            f"{'beside' if kind == 'light' else 'learnt from'} entry {self.teacher.name}",
            {stem: f"{stem}{path.suffix}" for stem, path in files.items()},
            kind,
            self.teacher.name,
            heard=self._heard(kind),
        )

    def _heard(self, kind: Kind) -> tuple[str, ...]:
        """Speakers whose speech it was trained on, the teacher's with them; empty = all of the version."""
        phases = {self.settings.phases[phase].mix.get("target", 0.0) for phase, _ in self.trainings(kind)}
        return self.teacher.card.heard if phases == {1.0} else ()


def plan_distill(options: DistillOptions) -> DistillPlan:
    """Check everything that can be checked before anything is started.

    Raises:
        ConfigError: a wrong setting, an entry that cannot teach, several voices and none named.
        Retired: start_light is of a retired entry.
        StoreError: no store, voice, entry or corpus version, or one that held somebody who was forgotten.
    """
    store = Store.open(options.store)
    settings = settings_.load(options.config)
    voice = options.voice or voices.only(store)
    teacher = voices.find(store, voice, "trained", options.number, options.allow_retired)
    number = options.version or teacher.card.corpus_version
    if not options.version and number in forgotten(store):  # somebody else was: what came after is without them
        number = CorpusVersion.open(store).version.number
    if number in forgotten(store):
        raise StoreError(
            f"version {number} of {store.root} held somebody who was forgotten: nothing is trained on it again. Name a "
            "later one by --version"
        )
    kinds = KINDS[options.which]
    if options.which == "both":
        kinds = tuple(kind for kind in kinds if PHASES[kind][0] in settings.phases) or kinds
    plan = DistillPlan(store, CorpusVersion.open(store, number), settings, teacher, kinds)
    for kind in plan.kinds:
        _check(plan, kind, options.config)
    return plan


def _check(plan: DistillPlan, kind: Kind, config: str) -> None:
    first = PHASES[kind][0]
    known = plan.settings.phases
    if first not in known:
        raise ConfigError(
            f"config {config!r} has no phase {first!r}, which makes a {kind}; it has {', '.join(known)}. The shipped "
            "configs show one: `voicemill config show --training`"
        )
    for phase, network in plan.trainings(kind):
        wanted = "" if kind == "light" else ("joint" if phase == "joint" else "alone")
        if known[phase].teach != wanted:
            raise ConfigError(f"phases.{phase}.teach = {known[phase].teach!r}: expected {wanted!r}")
        if (network in LIGHT) != (kind == "light"):
            raise ConfigError(f"phases.{phase}.networks has {network}, which is no network of a {kind}")
        if known[phase].mix.get("target") and not plan.teacher.card.speakers:
            raise ConfigError(f"phase {phase!r} draws on target speakers, and entry {plan.teacher.name} has none")
    if kind == "light":
        if (start := plan.settings.start_light) and not Path(start).is_file():
            raise ConfigError(f"start_light = {start!r}: no file is there; expected a .safetensors of a light system")
        if start:
            voices.check_usable(start)
        return
    if lacking := {"s1", "s2"} - set(known["distill"].networks):
        raise ConfigError(f"phases.distill.networks lacks {lacking.pop()}: a student is made of both, s1 and s2")
    if missing := [stem for stem in ("s1", "s2") if stem not in plan.teachers]:
        raise ConfigError(f"entry {plan.teacher.name} has no {missing[0]}: a student learns from both, s1 and s2")
    if "joint" in known and known["joint"].networks != ("s2",):
        raise ConfigError(
            f"phases.joint.networks = {list(known['joint'].networks)}: expected ['s2'], whose training moves both"
        )

"""Options and plan of a distillation: the teacher, its students and their trainings. Imports no Prefect."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from voicemill.flows.plans import help_texts
from voicemill.flows.plans.options import VoiceOptions
from voicemill.flows.plans.retrain import stem_of
from voicemill.model.settings import training
from voicemill.model.settings.training import LIGHT, Network, TrainingSettings
from voicemill.model.training.engine.run import RunSpec
from voicemill.model.voices.versions import code_version
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError, StoreError
from voicemill.storage.forgetting.receipts import forgotten_versions
from voicemill.storage.keys import digest
from voicemill.storage.store import Store
from voicemill.storage.voices import registry
from voicemill.storage.voices.cards import Card, Entry, Kind, Training, WeightsFile

PHASES: dict[str, tuple[str, ...]] = {"student": ("distill", "joint"), "light": ("light",)}
"""Kind of student -> its phases in the config, in order; a config without "joint" skips that one."""
KINDS: dict[str, tuple[Kind, ...]] = {"full": ("student",), "light": ("light",), "both": ("student", "light")}


class DistillOptions(VoiceOptions):
    """Parameters of a distillation."""

    number: int = Field(0, ge=0, description=help_texts.TEACHER)
    which: Literal["full", "light", "both"] = Field("full", description=help_texts.STUDENTS)
    config: str = Field("default", description=help_texts.TRAINING_CONFIG)
    version: int = Field(0, ge=0, description=help_texts.TEACHER_VERSION)
    allow_retired: bool = Field(False, description=help_texts.ALLOW_RETIRED)


@dataclass(frozen=True)
class DistillPlan:
    """The trainings of one distillation, checked."""

    store: Store
    corpus: CorpusVersion
    settings: TrainingSettings
    teacher: Entry
    kinds: tuple[Kind, ...]
    """Students to train, in order."""

    @property
    def voice(self) -> str:
        """Name of the voice."""
        return self.teacher.card.voice

    @property
    def teachers(self) -> dict[str, str]:
        """Stem -> checkpoint of the teacher."""
        return {stem: str(self.teacher.path(stem)) for stem in ("s1", "s2") if stem in self.teacher.card.weights}

    def trainings(self, kind: Kind) -> Iterator[tuple[str, Network]]:
        """Phase and network of each training of a student, in order."""
        for phase in PHASES[kind]:
            if phase in self.settings.phases:
                for network in self.settings.phases[phase].networks:
                    yield phase, network

    def start(self, kind: Kind) -> dict[str, str]:
        """Stem -> checkpoint that the first training of a student starts from. Students of s1 and s2 have none: they
        are initialised with parts of their teachers."""
        start = self.settings.start_light
        return {"light": start} if kind == "light" and start else {}

    def spec(self, phase: str, network: Network, so_far: Mapping[str, str]) -> RunSpec:
        """Specification of one training. `so_far`: stem -> newest checkpoint of this student."""
        discriminator = so_far.get("s2_discriminator", "")
        if not discriminator and "s2_discriminator" in self.teacher.card.weights:
            discriminator = str(self.teacher.path("s2_discriminator"))
        starts = {
            "start_s1": so_far.get("s1", ""),
            "start_s2": "",
            "start_discriminator": discriminator,
            "start_light": "",
        }
        return RunSpec(
            store=str(self.store.root),
            version=self.corpus.version.number,
            network=network,
            phase=phase,
            settings=self.settings.model_copy(update=starts),
            speakers=self.teacher.card.speakers,
            start=so_far.get(stem_of(network), ""),
            teachers={} if network in LIGHT else self.teachers,
        )

    def files(self, kind: Kind, so_far: Mapping[str, str]) -> dict[str, Path]:
        """Stem -> file of the entry. The discriminators are left out: a student of s2 has no posterior encoder and is
        never trained on."""
        stems = ("light",) if kind == "light" else ("s1", "s2")
        return {stem: Path(so_far[stem]) for stem in stems}

    def card(self, kind: Kind, trainings: list[Training], so_far: Mapping[str, str]) -> Card:
        """Card of a student's entry."""
        base = self.start(kind) if kind == "light" else self.teachers
        return Card(
            voice=self.voice,
            corpus_version=self.corpus.version.number,
            recipe=self.corpus.version.recipe,
            speakers=self.teacher.card.speakers,
            trainings=tuple(trainings),
            config=digest(self.settings.model_dump(mode="json")),
            base={stem: WeightsFile.of(path) for stem, path in base.items()},
            content=self.teacher.card.content,
            code=code_version(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            reason=f"{'trained beside' if kind == 'light' else 'learnt from'} entry {self.teacher.name}",
            weights={stem: f"{stem}{path.suffix}" for stem, path in self.files(kind, so_far).items()},
            kind=kind,
            parent=self.teacher.name,
            heard=self._trained_on(kind),
        )

    def _trained_on(self, kind: Kind) -> tuple[str, ...]:
        """Speakers whose speech trains a student or trained its teacher; empty = all of the corpus version."""
        target_shares = {self.settings.phases[phase].mix.get("target", 0.0) for phase, _ in self.trainings(kind)}
        return self.teacher.card.heard if target_shares == {1.0} else ()


def plan_distill(options: DistillOptions) -> DistillPlan:
    """Check everything that can be checked before work starts.

    Raises:
        ConfigError: a wrong setting, an entry that cannot teach, or no voice named where there are several.
        Retired: start_light belongs to a retired entry.
        StoreError: the store, voice, entry or corpus version does not exist, or a speaker of the version was forgotten.
    """
    store, voice = options.open_store()
    settings = training.load(options.config)
    teacher = registry.find(store, voice, "trained", options.number, options.allow_retired)
    number = options.version or teacher.card.corpus_version
    excluded = forgotten_versions(store)
    if not options.version and number in excluded:  # later versions are without the forgotten speaker
        number = CorpusVersion.open(store).version.number
    if number in excluded:
        raise StoreError(
            f"a speaker of corpus version {number} of {store.root} was forgotten: no training uses that version again. "
            "Name a later one with --version"
        )
    kinds = KINDS[options.which]
    if options.which == "both":
        kinds = tuple(kind for kind in kinds if PHASES[kind][0] in settings.phases) or kinds
    plan = DistillPlan(
        store=store, corpus=CorpusVersion.open(store, number), settings=settings, teacher=teacher, kinds=kinds
    )
    for kind in plan.kinds:
        _check(plan, kind, options.config)
    return plan


def _check(plan: DistillPlan, kind: Kind, config: str) -> None:
    phases, first = plan.settings.phases, PHASES[kind][0]
    if first not in phases:
        raise ConfigError(
            f"config {config!r} has no phase {first!r}, which trains a {kind}; it has {', '.join(phases)}. The shipped "
            "configs show one: `voicemill config show --training`"
        )
    for phase, network in plan.trainings(kind):
        expected = "" if kind == "light" else ("joint" if phase == "joint" else "alone")
        if phases[phase].teach != expected:
            raise ConfigError(f"phases.{phase}.teach = {phases[phase].teach!r}: expected {expected!r}")
        if (network in LIGHT) != (kind == "light"):
            raise ConfigError(f"phases.{phase}.networks has {network}, which is not a network of a {kind}")
        if phases[phase].mix.get("target") and not plan.teacher.card.speakers:
            raise ConfigError(f"phase {phase!r} draws on target speakers, and entry {plan.teacher.name} has none")
    if kind == "light":
        _check_start(plan.settings.start_light)
        return
    if missing := {"s1", "s2"} - set(phases["distill"].networks):
        raise ConfigError(f"phases.distill.networks lacks {missing.pop()}: a student consists of both, s1 and s2")
    if absent := [stem for stem in ("s1", "s2") if stem not in plan.teachers]:
        raise ConfigError(f"entry {plan.teacher.name} has no {absent[0]}: a student learns from both, s1 and s2")
    if "joint" in phases and phases["joint"].networks != ("s2",):
        raise ConfigError(
            f"phases.joint.networks = {list(phases['joint'].networks)}: expected ['s2'], whose training updates both"
        )


def _check_start(path: str) -> None:
    if not path:
        return
    if not Path(path).is_file():
        raise ConfigError(f"start_light = {path!r}: no such file; expected a .safetensors file of a light system")
    registry.check_usable(path)

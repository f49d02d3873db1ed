"""Options and plan of a promotion: the challenger, its gate, and the entries it is evaluated beside. Imports no
Prefect."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from voicemill.flows.plans import help_texts
from voicemill.flows.plans.evaluate import EvaluateOptions
from voicemill.flows.plans.options import VoiceOptions
from voicemill.model.judging.judges import JudgeSettings
from voicemill.model.judging.testset.testset import TestSetSettings
from voicemill.model.settings import training
from voicemill.model.settings.promotion import GateSettings
from voicemill.storage.store import Store
from voicemill.storage.voices import registry
from voicemill.storage.voices.cards import Entry
from voicemill.storage.voices.status import VoiceStatus, read_status


class PromoteOptions(VoiceOptions):
    """Parameters of a promotion."""

    number: int = Field(0, ge=0, description=help_texts.CHALLENGER)
    config: str = Field("default", description=help_texts.GATE_CONFIG)
    version: int = Field(0, ge=0, description=help_texts.TEST_VERSION)
    testset: TestSetSettings = TestSetSettings()
    judges: JudgeSettings = JudgeSettings()
    threads: int = Field(0, ge=0, description=help_texts.THREADS)
    force: str = Field("", description=help_texts.FORCE_PROMOTION)


@dataclass(frozen=True)
class PromotionPlan:
    """One promotion, checked."""

    options: PromoteOptions
    store: Store
    entry: Entry
    gate: GateSettings

    @property
    def folder(self) -> Path:
        """Folder of the voice."""
        return self.entry.folder.parent

    @property
    def status(self) -> VoiceStatus:
        """Champions and retired entries of the voice, read anew at each access."""
        return read_status(self.folder)

    @property
    def champion(self) -> int:
        """Number of the lane's champion, read anew at each access; 0 = none."""
        return self.status.champions.get(self.entry.card.kind, 0)

    def evaluation(self, against: int) -> EvaluateOptions:
        """Options of the evaluation of the challenger beside the champion `against` (0 = none) and its parent."""
        options, retired, card = self.options, self.status.retired, self.entry.card
        numbers_of = {entry.name: entry.number for entry in registry.entries(self.store, card.voice)}
        parent = numbers_of.get(card.parent, 0)
        numbers = [self.entry.number, against, 0 if parent in retired else parent]
        return EvaluateOptions(
            store=options.store,
            voice=card.voice,
            numbers=list(dict.fromkeys(number for number in numbers if number)),
            version=options.version,
            testset=options.testset,
            judges=options.judges,
            threads=options.threads,
        )


def plan_promotion(options: PromoteOptions) -> PromotionPlan:
    """Check everything that can be checked before work starts.

    Raises:
        Retired: the challenger is retired.
        StoreError: the store, voice or entry does not exist, or the entry is damaged.
        ConfigError: a wrong setting, or no voice named where there are several.
    """
    store, voice = options.open_store()
    gate = training.load(options.config).gate
    newest = registry.latest(store, voice)
    number = options.number or (newest.number if newest else 0)
    return PromotionPlan(options, store, registry.find(store, voice, number=number), gate)

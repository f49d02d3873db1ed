"""What a promotion is asked for, who the challenger is and what it is judged beside. No Prefect here."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field

from voicemill.flows.plans.evaluate import EvaluateOptions
from voicemill.model.judging.judges import JudgeSettings
from voicemill.model.judging.testset.testset import TestSetSettings
from voicemill.model.settings import training
from voicemill.model.settings.promotion import GateSettings
from voicemill.storage.store import Store
from voicemill.storage.voices import registry as voices
from voicemill.storage.voices import status as stages
from voicemill.storage.voices.registry import Entry
from voicemill.storage.voices.status import Standing


class PromoteOptions(BaseModel):
    """Parameters of a promotion; the dashboard makes a form of them."""

    store: str = Field(description="Folder of the store")
    voice: str = Field("", description="Name of the voice. Empty: the only one of the store")
    number: int = Field(0, ge=0, description="The challenger; 0 = the newest entry that is not retired")
    config: str = Field("default", description="A TOML file, or a shipped training config; its section [gate] decides")
    version: int = Field(0, ge=0, description="Corpus version that the test set is of; 0 = the latest")
    testset: TestSetSettings = TestSetSettings()
    judges: JudgeSettings = JudgeSettings()
    threads: int = Field(0, ge=0, description="Of the CPU while speaking; 0 = as many as torch takes")
    force: str = Field("", description="Promote without judging, for this reason; the history of the voice keeps it")


@dataclass(frozen=True)
class PromotionPlan:
    """What one promotion works on."""

    options: PromoteOptions
    store: Store
    entry: Entry
    gate: GateSettings

    @property
    def folder(self) -> Path:
        """Of the voice."""
        return self.entry.folder.parent

    @property
    def standing(self) -> Standing:
        """As it is now."""
        return stages.standing(self.folder)

    @property
    def champion(self) -> int:
        """Of the lane, now; 0 = none."""
        return self.standing.champions.get(self.entry.card.kind, 0)

    def heard(self, against: int) -> EvaluateOptions:
        """The challenger, the champion `against` (0 = none), and the entry that the challenger was made from."""
        options, retired, card = self.options, self.standing.retired, self.entry.card
        known = {entry.name: entry.number for entry in voices.entries(self.store, card.voice)}
        parent = known.get(card.parent, 0)
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
    """Check what can be checked before anything is started.

    Raises:
        Retired: the challenger is.
        StoreError: no store, voice or entry, or a damaged one.
        ConfigError: a wrong setting, or no voice is named where there are several.
    """
    store = Store.open(options.store)
    voice = options.voice or voices.only(store)
    gate = training.load(options.config).gate
    newest = voices.latest(store, voices.check_name(voice))
    number = options.number or (newest.number if newest else 0)
    return PromotionPlan(options, store, voices.find(store, voice, number=number), gate)

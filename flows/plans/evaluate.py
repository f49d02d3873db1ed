"""What an evaluation is asked for, which entries it hears, and where what they say is kept. No Prefect here."""

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from voicemill.model.device import Wanted, place
from voicemill.model.judging.judges import JudgeSettings
from voicemill.model.judging.testset import testset
from voicemill.model.judging.testset.held_back import held_back
from voicemill.model.judging.testset.speech import Saying, Speech, say
from voicemill.model.judging.testset.testset import HeldBack, TestSet, TestSetSettings
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.voices.opening import Speaking, open_voice
from voicemill.model.voices.versions import speech_key
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import StoreError
from voicemill.storage.forgetting import evaluations as judged
from voicemill.storage.keys import digest, file_digest, folder_digest
from voicemill.storage.store import Store
from voicemill.storage.voices import registry as voices
from voicemill.storage.voices import status as stages
from voicemill.storage.voices.registry import Entry

VERSION = 1
"""Changes when the same voice and sentences give other sounds or times."""
SPEECH = "speech"
"""Folder in that of a corpus version (`voicemill.storage.forgetting.evaluations`)."""


class EvaluateOptions(BaseModel):
    """Parameters of an evaluation; the dashboard makes a form of them."""

    store: str = Field(description="Folder of the store")
    voice: str = Field("", description="Name of the voice. Empty: the only one of the store")
    numbers: list[int] = Field(
        [], description="Entries, the challenger first. Empty: the newest, its lane's champion and its teacher"
    )
    version: int = Field(0, ge=0, description="Corpus version that the test set is of; 0 = the latest")
    testset: TestSetSettings = TestSetSettings()
    judges: JudgeSettings = JudgeSettings()
    engine: Literal["auto", "torch", "onnx"] = Field(
        "auto", description="What computes; auto: what the entry is made for"
    )
    precision: str = Field("auto", description="As `voicemill speak --precision`")
    device: Wanted = Field("auto", description="auto, cpu or cuda")
    threads: int = Field(0, ge=0, description="Of the CPU while speaking; 0 = as many as torch takes")
    seed: int = Field(0, ge=0, description="Of what is said")
    listened: int = Field(8, ge=0, le=50, description="Sentences to listen to on the report page")
    allow_retired: bool = Field(False, description="Hear retired entries too")


@dataclass(frozen=True)
class EvaluationPlan:
    """What one evaluation works on."""

    options: EvaluateOptions
    store: Store
    corpus: CorpusVersion
    entries: tuple[Entry, ...]
    """The challenger first; each once."""
    held: HeldBack
    notes: tuple[str, ...]

    @property
    def voice(self) -> str:
        return self.entries[0].card.voice

    def stage(self, entry: Entry) -> str:
        """candidate, champion or retired."""
        return stages.standing(self.store.models / entry.card.voice).of(entry.number)


def plan_evaluation(options: EvaluateOptions) -> EvaluationPlan:
    """Check what can be checked before anything is started.

    Raises:
        StoreError: no store, voice, entry or version; a damaged or a retired entry.
        ConfigError: no voice is named where there are several.
    """
    store = Store.open(options.store)
    entries = _entries(store, options, options.voice or voices.only(store))
    held, notes = held_back(store, entries)
    return EvaluationPlan(options, store, CorpusVersion.open(store, options.version or None), entries, held, notes)


def _entries(store: Store, options: EvaluateOptions, voice: str) -> tuple[Entry, ...]:
    numbers = list(dict.fromkeys(options.numbers)) or _usual(store, voice)
    return tuple(voices.find(store, voice, number=n, allow_retired=options.allow_retired) for n in numbers)


def _usual(store: Store, voice: str) -> list[int]:
    """The newest entry that is not retired, the champion of its lane, and the entry that it was made from."""
    now = stages.standing(store.models / voices.check_name(voice))
    living = [entry for entry in voices.entries(store, voice) if entry.number not in now.retired]
    if not living:
        return [voices.find(store, voice).number]  # raises, and says why
    newest = living[-1]
    parent = [entry.number for entry in living if entry.name == newest.card.parent]
    champion = now.champions.get(newest.card.kind, newest.number)
    return list(dict.fromkeys([newest.number, champion, *parent]))


def testset_of(plan: EvaluationPlan) -> TestSet:
    """The sentences, by the speakers of the challenger; raises as `voicemill.model.judging.testset.testset.make`."""
    return testset.make(plan.corpus, plan.entries[0].card.speakers, plan.options.testset, plan.held)


def opened(plan: EvaluationPlan, entry: Entry) -> Speaking:
    """The voice of an entry; raises as `open_voice`."""
    return open_voice(
        entry.weights,
        content=entry.card.content,
        precision=plan.options.precision,
        device=plan.options.device,
        engine=engine_of(plan, entry),
    )


def engine_of(plan: EvaluationPlan, entry: Entry) -> Any:
    """torch wherever the entry has weights for it."""
    if plan.options.engine != "auto":
        return plan.options.engine
    stems = entry.card.weights.keys()
    return "onnx" if "onnx" in stems and not ({"s1", "s2"} <= stems or "light" in stems) else "torch"


def speech_folder(plan: EvaluationPlan, entry: Entry, sentences: TestSet) -> Path:
    """Where the sounds are, by all that they depend on: a champion is not heard twice. All are there already where the
    test set of another corpus version was the same; nothing is ever added to what another version has."""
    import torch

    options = plan.options
    known = bool(entry.card.files)  # cards written before there were contents in them name none
    outside = {
        stem: _digest(path)
        for stem, path in entry.weights.items()
        if not known or not path.is_relative_to(entry.folder)
    }
    # figures of time are of a machine, and several may share a store
    where = [place(options.device).device.type, platform.node(), options.threads or torch.get_num_threads()]
    how = [engine_of(plan, entry), options.precision, *where]
    said = [asdict(speak_options(plan)), entry.card.content]
    key = digest([VERSION, entry.digest, outside, sentences.sha256, how, said, speech_key()])
    own = judged.folder(plan.store, sentences.corpus_version) / SPEECH / key[:32]
    others = () if own.exists() else sorted(plan.store.reports.glob(f"version-*/{SPEECH}/{key[:32]}"))
    whole = (other for other in others if all((other / f"{s.id}.json").is_file() for s in sentences.sentences))
    return next(whole, own)


def speak_options(plan: EvaluationPlan) -> SpeakOptions:
    """As everybody speaks, without the pause behind the last word: what is judged is what is heard."""
    return SpeakOptions(seed=plan.options.seed, pause_s=0.0)


def speak(
    plan: EvaluationPlan, entry: Entry, sentences: TestSet, after: Callable[[str, Saying], None] | None = None
) -> Speech:
    """Say what was not said yet."""
    return say(
        sentences,
        lambda: opened(plan, entry),
        speech_folder(plan, entry, sentences),
        speak_options(plan),
        threads=plan.options.threads,
        after=after or (lambda sentence, saying: None),
    )


def roles(plan: EvaluationPlan) -> dict[str, str]:
    """Entry -> what it is in this evaluation, for readers."""
    found = {}
    for entry in plan.entries:
        stage = plan.stage(entry)
        what = "champion" if stage == "champion" else "challenger" if entry is plan.entries[0] else stage
        found[entry.name] = f"{entry.card.kind}, {what}"
    return found


def find_entry(plan: EvaluationPlan, name: str) -> Entry:
    """One of the plan's entries by its name; StoreError where it is none."""
    for entry in plan.entries:
        if entry.name == name:
            return entry
    raise StoreError(f"{name} is no entry of this evaluation: it hears {', '.join(e.name for e in plan.entries)}")


def _digest(path: Path) -> str:
    return folder_digest(path) if path.is_dir() else file_digest(path)

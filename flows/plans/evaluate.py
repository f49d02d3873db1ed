"""Options and plan of an evaluation: its entries, its test set, and the place of their speech. Imports no Prefect."""

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from voicemill.flows.plans import help_texts
from voicemill.flows.plans.options import VoiceOptions
from voicemill.model.device import DeviceChoice, place
from voicemill.model.judging.judges import JudgeSettings
from voicemill.model.judging.testset import testset
from voicemill.model.judging.testset.held_out import held_out
from voicemill.model.judging.testset.speech import Speech, SpokenSentence, synthesise
from voicemill.model.judging.testset.testset import HeldOut, TestSet, TestSetSettings
from voicemill.model.speaking.options import SpeakOptions
from voicemill.model.voices.opening import AnyVoice, open_voice
from voicemill.model.voices.versions import speech_key
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import StoreError
from voicemill.storage.forgetting.forget import evaluation_folder
from voicemill.storage.keys import digest, file_digest, folder_digest
from voicemill.storage.store import Store
from voicemill.storage.voices import registry
from voicemill.storage.voices.cards import Entry
from voicemill.storage.voices.status import read_status

VERSION = 1
"""Part of the key of stored speech; changes when the same voice and sentences give other samples or times."""
SPEECH = "speech"
"""Folder of the speech, within the reports of a corpus version (`forget.evaluation_folder`)."""


class EvaluateOptions(VoiceOptions):
    """Parameters of an evaluation."""

    numbers: list[int] = Field(
        [], description="Entries, the challenger first. Empty: the newest, its lane's champion and its teacher"
    )
    version: int = Field(0, ge=0, description=help_texts.TEST_VERSION)
    testset: TestSetSettings = TestSetSettings()
    judges: JudgeSettings = JudgeSettings()
    engine: Literal["auto", "torch", "onnx"] = Field("auto", description=help_texts.ENGINE)
    precision: str = Field("auto", description=help_texts.PRECISION)
    device: DeviceChoice = Field("auto", description="auto, cpu or cuda")
    threads: int = Field(0, ge=0, description=help_texts.THREADS)
    seed: int = Field(0, ge=0, description="Seed of the synthesis")
    listened: int = Field(8, ge=0, le=50, description=help_texts.LISTENED)
    allow_retired: bool = Field(False, description=help_texts.ALLOW_RETIRED)


@dataclass(frozen=True)
class EvaluationPlan:
    """One evaluation, checked."""

    options: EvaluateOptions
    store: Store
    corpus: CorpusVersion
    entries: tuple[Entry, ...]
    """The challenger first; no entry twice."""
    held: HeldOut
    notes: tuple[str, ...]
    """Limits of the test set, for readers of the figures."""

    @property
    def voice(self) -> str:
        """Name of the voice."""
        return self.entries[0].card.voice


def plan_evaluation(options: EvaluateOptions) -> EvaluationPlan:
    """Check everything that can be checked before work starts.

    Raises:
        StoreError: the store, voice, an entry or the corpus version does not exist; an entry is damaged or retired.
        ConfigError: no voice is named where there are several.
    """
    store, voice = options.open_store()
    entries = _entries(store, options, voice)
    held, notes = held_out(store, entries)
    return EvaluationPlan(
        options=options,
        store=store,
        corpus=CorpusVersion.open(store, options.version or None),
        entries=entries,
        held=held,
        notes=notes,
    )


def _entries(store: Store, options: EvaluateOptions, voice: str) -> tuple[Entry, ...]:
    numbers = list(dict.fromkeys(options.numbers)) or _default_numbers(store, voice)
    return tuple(registry.find(store, voice, number=n, allow_retired=options.allow_retired) for n in numbers)


def _default_numbers(store: Store, voice: str) -> list[int]:
    """The newest entry in use, the champion of its lane, and the entry that it was made from."""
    now = read_status(store.models / voice)
    in_use = [entry for entry in registry.entries(store, voice) if entry.number not in now.retired]
    if not in_use:
        return [registry.find(store, voice).number]  # raises an error that names the reason
    newest = in_use[-1]
    parent = [entry.number for entry in in_use if entry.name == newest.card.parent]
    champion = now.champions.get(newest.card.kind, newest.number)
    return list(dict.fromkeys([newest.number, champion, *parent]))


def testset_of(plan: EvaluationPlan) -> TestSet:
    """The test set, by the speakers of the challenger; raises as `voicemill.model.judging.testset.testset.make`."""
    return testset.make(plan.corpus, plan.entries[0].card.speakers, plan.options.testset, plan.held)


def open_entry(plan: EvaluationPlan, entry: Entry) -> AnyVoice:
    """Load an entry for synthesis; raises as `open_voice`."""
    return open_voice(
        entry.weights,
        content=entry.card.content,
        precision=plan.options.precision,
        device=plan.options.device,
        engine=engine_of(plan, entry),
    )


def engine_of(plan: EvaluationPlan, entry: Entry) -> Any:
    """Engine that synthesises an entry: the option, or torch if the entry has weights for it, else onnx."""
    if plan.options.engine != "auto":
        return plan.options.engine
    stems = entry.card.weights.keys()
    return "onnx" if "onnx" in stems and not ({"s1", "s2"} <= stems or "light" in stems) else "torch"


def speech_folder(plan: EvaluationPlan, entry: Entry, sentences: TestSet) -> Path:
    """Folder of an entry's speech, named by everything that the speech depends on, so that a champion is not
    synthesised twice. The folder of another corpus version serves if its test set is the same and its speech complete;
    nothing is added to it."""
    import torch

    options = plan.options
    digested = bool(entry.card.files)  # older cards hold no digests of their files
    outside = {
        stem: _digest(path)
        for stem, path in entry.weights.items()
        if not digested or not path.is_relative_to(entry.folder)
    }
    # times depend on the machine, and several may share a store
    where = [place(options.device).device.type, platform.node(), options.threads or torch.get_num_threads()]
    how = [engine_of(plan, entry), options.precision, *where]
    speech = [asdict(speak_options(plan)), entry.card.content]
    key = digest([VERSION, entry.digest, outside, sentences.sha256, how, speech, speech_key()])
    own = evaluation_folder(plan.store, sentences.corpus_version) / SPEECH / key[:32]
    others = () if own.exists() else sorted(plan.store.reports.glob(f"version-*/{SPEECH}/{key[:32]}"))
    complete = (other for other in others if all((other / f"{s.id}.json").is_file() for s in sentences.sentences))
    return next(complete, own)


def speak_options(plan: EvaluationPlan) -> SpeakOptions:
    """The default options of synthesis, without the pause after the last word, which would count as speech."""
    return SpeakOptions(seed=plan.options.seed, pause_s=0.0)


def speak(
    plan: EvaluationPlan, entry: Entry, sentences: TestSet, after: Callable[[str, SpokenSentence], None] | None = None
) -> Speech:
    """Synthesise the sentences that are not stored yet; `after` is called with each new sentence."""
    return synthesise(
        sentences,
        lambda: open_entry(plan, entry),
        speech_folder(plan, entry, sentences),
        speak_options(plan),
        threads=plan.options.threads,
        after=after or (lambda sentence, spoken: None),
    )


def roles(plan: EvaluationPlan) -> dict[str, str]:
    """Entry -> its kind and role in this evaluation, such as "trained, champion"."""
    labels = {}
    for entry in plan.entries:
        status = read_status(plan.store.models / entry.card.voice).of(entry.number)
        role = "challenger" if status != "champion" and entry is plan.entries[0] else status
        labels[entry.name] = f"{entry.card.kind}, {role}"
    return labels


def find_entry(plan: EvaluationPlan, name: str) -> Entry:
    """Return one of the plan's entries by its name; raise StoreError for any other name."""
    for entry in plan.entries:
        if entry.name == name:
            return entry
    raise StoreError(f"{name} is not part of this evaluation, which has {', '.join(e.name for e in plan.entries)}")


def _digest(path: Path) -> str:
    return folder_digest(path) if path.is_dir() else file_digest(path)

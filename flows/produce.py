"""The flow `produce`: from recordings to champions that speak, each step a run of its own in the dashboard.

refresh -> retrain -> promote -> distill -> compress -> promote each -> synthesise with every engine; a promotion
includes an evaluation. Each step finds what it did before, so a repeated or a killed run costs only what is left.
Deployments run the same steps one by one, each started by the event of the one before.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from pydantic import Field

from voicemill.flows.compress import CompressOptions, compress
from voicemill.flows.display import dashboard
from voicemill.flows.display.result import FlowResult
from voicemill.flows.distill import DistillOptions, distill
from voicemill.flows.evaluation.erasure import erased_if_forgotten
from voicemill.flows.plans import help_texts
from voicemill.flows.plans.evaluate import SPEECH, EvaluateOptions, plan_evaluation, testset_of
from voicemill.flows.plans.options import StoreOptions
from voicemill.flows.promote import Promoted, PromoteOptions, promote
from voicemill.flows.refresh import RefreshOptions, refresh
from voicemill.flows.report import markdown
from voicemill.flows.retrain import Retrained, RetrainOptions, retrain
from voicemill.model.voices.opening import open_voice
from voicemill.storage.forgetting.forget import evaluation_folder
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds
from voicemill.storage.voices import registry
from voicemill.storage.voices.cards import Entry
from voicemill.storage.voices.notice import write_speech
from voicemill.storage.voices.status import read_status

__all__ = ["ProduceOptions", "Produced", "produce"]

Engine = Literal["torch", "onnx"]


class ProduceOptions(StoreOptions):
    """Parameters of the whole chain; the dashboard makes a form of them."""

    inbox: str = Field(description=help_texts.INBOX)
    config: str = Field("default", description=f"Config of the refresh. {help_texts.CONFIG}")
    assume_consent: str = Field("", description=help_texts.CONSENT)
    language: str = Field("", description=help_texts.LANGUAGE)
    training: str = Field("default", description=f"Config of the later steps. {help_texts.TRAINING_CONFIG}")
    phases: list[str] = Field(
        [],
        description=help_texts.PHASES,
    )
    speakers: list[str] = Field([], description=help_texts.SPEAKERS)
    voice: str = Field("", description=help_texts.NEW_VOICE)
    which: Literal["full", "light", "both"] = Field("both", description=help_texts.STUDENTS)
    text: str = Field("This is what I sound like.", description=help_texts.SAMPLE_TEXT)


@dataclass
class ChampionSpeech:
    """Speech of one champion with one engine."""

    entry: str
    kind: str
    engine: str
    path: str
    seconds: Seconds
    """Duration of the speech."""
    took_s: Seconds
    """Duration of the synthesis."""


@dataclass
class Produced(FlowResult):
    """Result of `produce`; `voicemill produce --json` prints it."""

    voice: str
    version: int
    """The corpus version; 0 = none was trained on."""
    reason: str = ""
    """Why the voice was trained, or why not."""
    promotions: list[Promoted] = field(default_factory=list)
    said: list[ChampionSpeech] = field(default_factory=list)
    run: str = ""
    wall_s: Seconds = 0.0


@flow(name="produce", persist_result=False)
def produce(options: ProduceOptions) -> Produced:
    """Prepare the corpus, train, distil, compress; promote the entries that pass; synthesise with the champions."""
    began = time.perf_counter()
    refreshed = refresh(
        RefreshOptions(
            inbox=options.inbox,
            store=options.store,
            config=options.config,
            assume_consent=options.assume_consent,
            language=options.language,
        )
    )
    trained = train(options)
    dashboard.name_run(f"produce · {trained.voice} · v{trained.version}", [f"voice:{trained.voice}"])
    result = Produced(trained.voice, trained.version, trained.reason)
    dashboard.complete(result, began)
    if not trained.entry:  # nothing to train on yet: a later refresh brings the speech
        return dashboard.end_in(trained.verdict, trained.reason, result)
    result.promotions.append(promote_entry(options, trained.voice, int(Path(trained.entry).name)))
    for number in derive_entries(options, trained.voice):
        result.promotions.append(promote_entry(options, trained.voice, number))
    store = Store.open(options.store)
    for entry in champions(store, trained.voice):
        result.said += [speak(store.root, entry, engine, options.text) for engine in engines(entry)]
    dashboard.complete(result, began)
    show(result, refreshed.report)
    return result


def train(options: ProduceOptions) -> Retrained:
    """Train the voice; without enough new speech the result names its newest entry."""
    return retrain(
        RetrainOptions(
            store=options.store,
            config=options.training,
            phases=options.phases,
            speakers=options.speakers,
            voice=options.voice,
        )
    )


def promote_entry(options: ProduceOptions, voice: str, number: int) -> Promoted:
    """Take one entry through the gate of its lane."""
    return promote(PromoteOptions(store=options.store, voice=voice, number=number, config=options.training))


def derive_entries(options: ProduceOptions, voice: str) -> list[int]:
    """Distil the voice and compress its students; return the numbers of all these entries."""
    distilled = distill(DistillOptions(store=options.store, voice=voice, which=options.which, config=options.training))
    students = [student.number for student in distilled.students]
    retired = read_status(Store.open(options.store).models / voice).retired
    compressed = [
        compress(CompressOptions(store=options.store, voice=voice, number=number)).number
        for number in students
        if number not in retired
    ]
    return [*students, *compressed]


def champions(store: Store, voice: str) -> list[Entry]:
    """Champions of all lanes of a voice."""
    numbers = read_status(store.models / voice).champions.values()
    return [registry.find(store, voice, number=number) for number in numbers]


def engines(entry: Entry) -> tuple[Engine, ...]:
    """Engines that an entry can use: graphs run in ONNX Runtime alone."""
    return ("onnx",) if set(entry.card.weights) == {"onnx"} else ("torch", "onnx")


@task(name="speak", task_run_name="{entry.name} · {engine}", cache_policy=NO_CACHE, persist_result=False)
def speak(root: Path, entry: Entry, engine: Engine, text: str) -> ChampionSpeech:
    """Synthesise a text with an entry, after a held-out recording of its speaker, as a FLAC file among the reports."""
    plan = plan_evaluation(EvaluateOptions(store=str(root), voice=entry.card.voice, numbers=[entry.number]))
    sentences = testset_of(plan)
    prompt = sentences.sentences[0].reference
    voice = open_voice(entry.weights, content=entry.card.content, engine=engine)
    with erased_if_forgotten(plan, sentences):
        reference = voice.reference([prompt.wave], prompt.text, prompt.language)
        began = time.perf_counter()
        speech = voice.speak(text, reference)
        took = time.perf_counter() - began
        folder = evaluation_folder(plan.store, sentences.corpus_version) / SPEECH
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{entry.card.voice}-{entry.number:04d}-{engine}.flac"
        write_speech(path, speech.wave, speech.rate)
    return ChampionSpeech(
        entry=entry.name,
        kind=entry.card.kind,
        engine=engine,
        path=str(path),
        seconds=round(speech.seconds, 3),
        took_s=round(took, 3),
    )


def show(result: Produced, report: str) -> None:
    """Add the summary to the run's page."""
    gates = markdown.table(
        ("entry", "kind", "verdict", "reason", "report", ""),
        (
            (row.entry, row.kind, row.verdict, row.reason, markdown.code(row.report), markdown.link("run", row.run))
            for row in result.promotions
        ),
    )
    speech = markdown.table(
        ("entry", "kind", "engine", "seconds", "real-time factor", "file"),
        (
            (
                row.entry,
                row.kind,
                row.engine,
                f"{row.seconds:.2f}",
                f"{row.took_s / row.seconds:.3f}",
                markdown.code(row.path),
            )
            for row in result.said
        ),
        "lllrrl",
    )
    text = f"""# {markdown.text(result.voice)}, from corpus version {result.version}

Report of the corpus: {markdown.code(report)}

## Promotions

{gates}

## Speech of the champions

{speech}
"""
    dashboard.show_markdown("produce-summary", text, f"{result.voice}: promotions and speech")

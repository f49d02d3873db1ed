"""The flow `produce`: from recordings to voices that speak, every step a run of its own in the dashboard.

refresh -> retrain -> promote -> distill -> compress -> promote each -> speak with every engine; a promotion evaluates.
What was done already is found again by each of them, so a repeated or a killed run costs what is left. Deployments do
the same one by one, each started by the event of the one before.
"""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed
from pydantic import BaseModel, Field

from voicemill.flows.compress import CompressOptions, compress
from voicemill.flows.display import dashboard
from voicemill.flows.distill import DistillOptions, distill
from voicemill.flows.evaluation.keeping import kept
from voicemill.flows.plans.evaluate import SPEECH, EvaluateOptions, plan_evaluation, testset_of
from voicemill.flows.promote import Promoted, PromoteOptions, promote
from voicemill.flows.refresh import RefreshOptions, refresh
from voicemill.flows.retrain import Retrained, RetrainOptions, retrain
from voicemill.model.voices.opening import open_voice
from voicemill.storage.forgetting import evaluations as judged
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds
from voicemill.storage.voices import registry as voices
from voicemill.storage.voices import status as stages
from voicemill.storage.voices.notice import write_speech
from voicemill.storage.voices.registry import Entry

__all__ = ["ProduceOptions", "Produced", "produce"]

Engine = Literal["torch", "onnx"]


class ProduceOptions(BaseModel):
    """Parameters of the chain; the dashboard makes a form of them."""

    inbox: str = Field(description="Folder or fsspec url of the recordings")
    store: str = Field(description="Folder of the store")
    config: str = Field("default", description="Of the refresh: a TOML file, or a shipped config")
    assume_consent: str = Field("", description="A reason, recorded, that stands for the consent of all speakers")
    training: str = Field("default", description="Of everything after it: a TOML file, or a shipped training config")
    phases: list[str] = Field([], description="Of the training config, in order. Empty: as `retrain` has it")
    speakers: list[str] = Field([], description="Whose voice it becomes. Empty: no target, all speakers")
    voice: str = Field("", description="Its name. Empty: the speaker's; `base` where there is none")
    which: Literal["full", "light", "both"] = Field("both", description="Students: s1 and s2, the light system, both")
    text: str = Field("This is what I sound like.", description="What every champion says at the end")


@dataclass
class Said:
    """A champion that spoke."""

    entry: str
    kind: str
    engine: str
    path: str
    seconds: Seconds
    took_s: Seconds


@dataclass
class Produced:
    """Result of `produce`; `voicemill produce --json` prints it."""

    voice: str
    version: int
    """The corpus version; 0 = none was trained on."""
    reason: str = ""
    """Why it was trained, or why not."""
    promotions: list[Promoted] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    run: str = ""
    """Address of the flow run in the dashboard."""
    wall_s: Seconds = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return asdict(self)


@flow(name="produce", persist_result=False)
def produce(options: ProduceOptions) -> Produced:
    """Make the corpus, train on it, teach students and compress them; promote what passes; let the champions speak."""
    began = time.perf_counter()
    refreshed = refresh(
        RefreshOptions(
            inbox=options.inbox, store=options.store, config=options.config, assume_consent=options.assume_consent
        )
    )
    trained = train(options)
    dashboard.name_run(f"produce · {trained.voice} · v{trained.version}", [f"voice:{trained.voice}"])
    result = Produced(trained.voice, trained.version, trained.reason, run=dashboard.run_address())
    if not trained.entry:  # nothing to train on yet: a refresh with its speech comes later
        return cast(Produced, Completed(name=trained.verdict, message=trained.reason, data=result))
    result.promotions.append(judge(options, trained.voice, int(Path(trained.entry).name)))
    for number in followers(options, trained.voice):
        result.promotions.append(judge(options, trained.voice, number))
    store = Store.open(options.store)
    for entry in champions(store, trained.voice):
        result.said += [say(store.root, entry, engine, options.text) for engine in engines(entry)]
    result.wall_s = round(time.perf_counter() - began, 2)
    show(result, refreshed.report)
    return result


def train(options: ProduceOptions) -> Retrained:
    """The trained entry: the newest one where nothing is worth a training."""
    return retrain(
        RetrainOptions(
            store=options.store,
            config=options.training,
            phases=options.phases,
            speakers=options.speakers,
            voice=options.voice,
        )
    )


def judge(options: ProduceOptions, voice: str, number: int) -> Promoted:
    """An entry before the gate of its lane."""
    return promote(PromoteOptions(store=options.store, voice=voice, number=number, config=options.training))


def followers(options: ProduceOptions, voice: str) -> list[int]:
    """Numbers of the students of the voice and of what is compressed of each."""
    taught = distill(DistillOptions(store=options.store, voice=voice, which=options.which, config=options.training))
    students = [student.number for student in taught.students]
    retired = stages.standing(Store.open(options.store).models / voice).retired
    small = [
        compress(CompressOptions(store=options.store, voice=voice, number=number)).number
        for number in students
        if number not in retired
    ]
    return [*students, *small]


def champions(store: Store, voice: str) -> list[Entry]:
    """Of every lane that has one."""
    found = stages.standing(store.models / voice).champions
    return [voices.find(store, voice, number=number) for number in found.values()]


def engines(entry: Entry) -> tuple[Engine, ...]:
    """Those that it can speak with: graphs are for one alone."""
    return ("onnx",) if set(entry.card.weights) == {"onnx"} else ("torch", "onnx")


@task(name="say", task_run_name="{entry.name} · {engine}", cache_policy=NO_CACHE, persist_result=False)
def say(root: Path, entry: Entry, engine: Engine, text: str) -> Said:
    """Let an entry say a text after a held-back recording of its speaker; a FLAC file among the reports."""
    plan = plan_evaluation(EvaluateOptions(store=str(root), voice=entry.card.voice, numbers=[entry.number]))
    sentences = testset_of(plan)
    like = sentences.sentences[0].reference
    voice = open_voice(entry.weights, content=entry.card.content, engine=engine)
    with kept(plan, sentences):
        reference = voice.reference([like.wave], like.text, like.language)
        began = time.perf_counter()
        speech = voice.speak(text, reference)
        took = time.perf_counter() - began
        folder = judged.folder(plan.store, sentences.corpus_version) / SPEECH
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{entry.card.voice}-{entry.number:04d}-{engine}.flac"
        write_speech(path, speech.wave, speech.rate)
    return Said(entry.name, entry.card.kind, engine, str(path), round(speech.seconds, 3), round(took, 3))


def show(result: Produced, report: str) -> None:
    """The summary on the run's page."""
    gates = "\n".join(
        f"| {each.entry} | {each.kind} | {each.verdict} | {each.reason} | `{each.report}` | [run]({each.run}) |"
        for each in result.promotions
    )
    spoken = "\n".join(
        f"| {each.entry} | {each.kind} | {each.engine} | {each.seconds:.2f} | {each.took_s / each.seconds:.3f} "
        f"| `{each.path}` |"
        for each in result.said
    )
    text = f"""# {result.voice}, from corpus version {result.version}

Report of the corpus: `{report}`

| entry | kind | verdict | why | report | |
|---|---|---|---|---|---|
{gates}

What the champions say:

| entry | kind | engine | seconds | of real time | file |
|---|---|---|---:|---:|---|
{spoken}
"""
    create_markdown_artifact(markdown=text, key="produce-summary", description=f"{result.voice}: what came of it")

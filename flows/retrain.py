"""The flow `retrain`: a corpus version with enough new speech becomes the next entry of a voice."""

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow

from voicemill.flows import events
from voicemill.flows.display import dashboard
from voicemill.flows.display.result import FlowResult
from voicemill.flows.entries import add_entry, file_list
from voicemill.flows.plans.retrain import (
    RETIRED,
    RetrainOptions,
    RetrainPlan,
    folder_of,
    plan_retrain,
    why_unusable,
)
from voicemill.flows.report import markdown
from voicemill.flows.service.recovery.attempts import is_resumed
from voicemill.flows.training import train, training_table
from voicemill.model.voices.versions import code_version
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import NothingYet
from voicemill.storage.keys import digest
from voicemill.storage.units import Seconds
from voicemill.storage.voices import registry
from voicemill.storage.voices.cards import Card, Entry, Training, WeightsFile, voice_name_of
from voicemill.storage.voices.status import StatusChange, read_status
from voicemill.tasks.training import new_speech
from voicemill.tasks.training.new_speech import Decision

__all__ = ["RetrainOptions", "Retrained", "retrain"]


@dataclass
class Retrained(FlowResult):
    """Result of `retrain`; `voicemill train --json` prints it."""

    voice: str
    version: int
    """The corpus version."""
    trained: bool
    """Whether this run made an entry in use, or found the one that its trainings make."""
    verdict: str
    reason: str
    """Why it trained, or why not."""
    entry: str = ""
    """Folder of the voice's newest entry in use; "" = none."""
    trainings: list[Training] = field(default_factory=list)
    speak: str = ""
    """Command that synthesises with the entry."""
    run: str = ""
    wall_s: Seconds = 0.0


@flow(name="retrain", persist_result=False)
def retrain(options: RetrainOptions) -> Retrained:
    """Decide whether there is enough new speech; train network by network, phase by phase; add the voice's entry."""
    began = time.perf_counter()
    try:
        plan = plan_retrain(options)
    except NothingYet as error:  # a schedule, or the event of a version with other speakers: not a failure
        return wait(options, error, began)
    before = registry.latest(plan.store, plan.voice, plan.kind)
    decision = decide(plan, before, force=options.force)
    announce(plan, decision)
    result = Retrained(
        voice=plan.voice,
        version=plan.number,
        trained=decision.train,
        verdict=decision.verdict,
        reason=decision.reason,
    )
    if not decision.train:
        if before is not None and is_resumed():
            events.voice_trained(plan.store, before)  # the run before may have been killed just before it sent this
        return end(result, before, began)
    so_far, trainings = dict(plan.base), []
    for phase, network in plan.trainings():
        spec = plan.spec(phase, network, so_far)
        training, exports = train(spec, str(folder_of(plan.store, plan.voice, spec)))
        trainings.append(training)
        so_far |= exports
    result.trainings = trainings
    entry = add_entry(plan.store, card_of(plan, decision, trainings, so_far), files_of(plan, so_far))
    if (change := read_status(entry.folder.parent).retirement(entry.number)) is not None:
        return unusable(plan, entry, change, result, began)
    result.entry, result.speak = str(entry.folder), speak_command(entry)
    dashboard.complete(result, began)
    show(result, entry)
    events.voice_trained(plan.store, entry)
    return result


def end(result: Retrained, entry: Entry | None, began: float) -> Retrained:
    """End the run without a new entry, in a state named by the verdict. `entry`: the voice's newest entry in use."""
    if entry is not None:
        result.entry, result.speak = str(entry.folder), speak_command(entry)
    dashboard.complete(result, began)
    return dashboard.end_in(result.verdict, result.reason, result)


def wait(options: RetrainOptions, error: NothingYet, began: float) -> Retrained:
    """End the run where there is nothing to train on yet: the next corpus version or date starts another one."""
    voice = options.voice or voice_name_of(options.speakers)
    dashboard.name_run(f"retrain · {voice} · {error.state.lower()}", [f"voice:{voice}"])
    dashboard.log(f"not training: {error}")
    result = Retrained(voice=voice, version=options.version, trained=False, verdict=error.state, reason=str(error))
    return end(result, None, began)


def unusable(plan: RetrainPlan, entry: Entry, change: StatusChange, result: Retrained, began: float) -> Retrained:
    """End the run where its entry is retired: the same trainings made it before, or it learned from a speaker who was
    forgotten. No event is sent, so no evaluation starts."""
    result.trained, result.verdict, result.reason = False, RETIRED, why_unusable(entry, change)
    dashboard.name_run(f"retrain · {plan.voice} · retired · v{plan.number}", [f"entry:{entry.name}"])
    dashboard.log(f"the new entry is not usable: {result.reason}")
    return end(result, registry.latest(plan.store, plan.voice, plan.kind), began)


def decide(plan: RetrainPlan, before: Entry | None, *, force: bool) -> Decision:
    """Compare the corpus version with the one that the voice was trained on last."""
    old = CorpusVersion.open(plan.store, before.card.corpus_version) if before else None
    new = new_speech.find_new_speech(plan.corpus, old, plan.heard)
    return new_speech.decide_retraining(new, plan.number, plan.settings.retrain, force=force)


def announce(plan: RetrainPlan, decision: Decision) -> None:
    """Name and tag the run, and show the decision with its reason in the log and on the run's page."""
    action = " + ".join(plan.phases) if decision.train else decision.verdict.lower()
    tags = [f"voice:{plan.voice}", f"version:{plan.number}"]
    dashboard.name_run(f"retrain · {plan.voice} · {action} · v{plan.number}", tags)
    summary = f"{'training' if decision.train else 'not training'}: {decision.reason}"
    dashboard.log(summary)
    new, limits = decision.new, plan.settings.retrain
    rows = {
        "corpus version": plan.number,
        "last trained on": f"version {new.since}" if new.since else "never trained",
        "new speech": f"{new.minutes:.1f} min (starts a training: {limits.new_minutes:g} min)",
        "new speakers": f"{len(new.speakers)} (starts a training: {limits.new_speakers})",
        "speakers that count": ", ".join(plan.heard) or "all",
        "phases": ", ".join(f"{phase}: {network}" for phase, network in plan.trainings()),
    }
    title = f"{'Training' if decision.train else 'Not training'} {plan.voice}: {decision.verdict.lower()}"
    text = f"# {markdown.text(title)}\n\n{markdown.text(decision.reason)}\n\n{markdown.table(('', ''), rows.items())}\n"
    dashboard.show_markdown("retrain-decision", text, summary)


def files_of(plan: RetrainPlan, so_far: Mapping[str, str]) -> dict[str, Path]:
    """Stem -> file that goes into the entry: every checkpoint that a training changed."""
    return {stem: Path(path) for stem, path in so_far.items() if plan.base.get(stem) != path}


def card_of(plan: RetrainPlan, decision: Decision, trainings: list[Training], so_far: dict[str, str]) -> Card:
    """Card of the new entry."""
    files = {stem: f"{stem}{path.suffix}" for stem, path in files_of(plan, so_far).items()}
    return Card(
        voice=plan.voice,
        corpus_version=plan.number,
        recipe=plan.corpus.version.recipe,
        speakers=plan.speakers,
        trainings=tuple(trainings),
        config=digest(plan.settings.model_dump(mode="json")),
        base={stem: WeightsFile.of(path) for stem, path in plan.base.items()},
        content=plan.content,
        code=code_version(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=decision.reason,
        weights=so_far | files,
        heard=plan.heard,
        kind=plan.kind,
    )


def speak_command(entry: Entry) -> str:
    """Command that synthesises with an entry; the reader fills in the text and the reference recording."""
    networks = [network for network in ("s1", "s2", "light") if network in entry.card.weights]
    options = [word for network in networks for word in (f"--{network}", str(entry.path(network)))]
    content = ["--content", entry.card.content] if entry.card.content else []
    command = shlex.join(["voicemill", "speak", *options, *content])
    return f"{command} --reference RECORDING --text TEXT --out speech.wav"


def show(result: Retrained, entry: Entry) -> None:
    """Add the summary to the run's page."""
    text = f"""# {markdown.text(result.voice)}, entry {entry.number}

Trained on corpus version {result.version}: {markdown.text(result.reason)}

{training_table(result.trainings)}

{file_list(entry)}

Synthesise with it:

{markdown.block(result.speak)}
"""
    dashboard.show_markdown("retrain-summary", text, f"entry {entry.number} of {result.voice}")
    dashboard.log(f"{result.voice}, entry {entry.number}: {entry.folder}\n{result.speak}")

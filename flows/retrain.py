"""The flow `retrain`: a corpus version with enough new speech becomes the next entry of a voice."""

import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from voicemill.flows import events
from voicemill.flows.display import dashboard
from voicemill.flows.display.training import RunLog, TrainingBoard
from voicemill.flows.plans.retrain import (
    RETIRED,
    RetrainOptions,
    RetrainPlan,
    folder_of,
    plan_retrain,
    why_unusable,
)
from voicemill.model.training.engine import run
from voicemill.model.training.engine.run import Result, RunSpec
from voicemill.model.voices.versions import code_version
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import NothingYet, TrainingFailed
from voicemill.storage.forgetting import forget
from voicemill.storage.keys import digest
from voicemill.storage.units import Seconds
from voicemill.storage.voices import registry as voices
from voicemill.storage.voices import status as stages
from voicemill.storage.voices.registry import Card, Entry, File, Training, finite
from voicemill.storage.voices.status import Change
from voicemill.tasks.training import devices, launch, new_speech
from voicemill.tasks.training.new_speech import Decision

__all__ = ["RetrainOptions", "Retrained", "retrain"]


@dataclass
class Retrained:
    """Result of `retrain`; `voicemill train --json` prints it."""

    voice: str
    version: int
    """The corpus version."""
    trained: bool
    """Whether there is an entry to speak with that this run made, or found made."""
    verdict: str
    reason: str
    """Why it trained, or why not."""
    entry: str = ""
    """Folder of the voice's newest entry that is not retired; "" = none."""
    trainings: list[Training] = field(default_factory=list)
    speak: str = ""
    """The command that speaks with it."""
    run: str = ""
    """Address of the flow run in the dashboard."""
    wall_s: Seconds = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return asdict(self)


@flow(name="retrain", persist_result=False)
def retrain(options: RetrainOptions) -> Retrained:
    """Decide whether there is enough new speech; train network by network, phase by phase; write the voice's entry."""
    began = time.perf_counter()
    try:
        plan = plan_retrain(options)
    except NothingYet as error:  # a schedule, or the event of a version with others in it: nobody did anything wrong
        return wait(options, error)
    before = voices.latest(plan.store, plan.voice, "trained")
    decision = decide(plan, before, force=options.force)
    announce(plan, decision)
    result = Retrained(
        plan.voice, plan.number, decision.train, decision.verdict, decision.reason, run=dashboard.run_address()
    )
    if not decision.train:
        if before:
            result.entry, result.speak = str(before.folder), speak_command(before)
        # the run ends in this state, and its caller gets the data
        return cast(Retrained, Completed(name=decision.verdict, message=decision.reason, data=result))
    so_far, trainings = dict(plan.base), []
    for phase, network in plan.trainings():
        spec = plan.spec(phase, network, so_far)
        trained, exports = train(spec, str(folder_of(plan.store, plan.voice, spec)))
        trainings.append(trained)
        so_far |= exports
    entry = voices.add(plan.store, card_of(plan, decision, trainings, so_far), files_of(plan, so_far))
    forget.retire_learned(plan.store, entry.name, when=entry.card.created)  # who was forgotten meanwhile
    if (change := stages.standing(entry.folder.parent).retirement(entry.number)) is not None:
        return unusable(plan, entry, change, trainings)
    result.entry, result.trainings, result.speak = str(entry.folder), trainings, speak_command(entry)
    result.wall_s = round(time.perf_counter() - began, 2)
    show(result, entry)
    events.voice_trained(plan.store, entry)
    return result


def wait(options: RetrainOptions, why: NothingYet) -> Retrained:
    """End well where there is nothing to train on yet: the next version, or the next date, comes by itself."""
    voice = options.voice or voices.name_of(options.speakers)
    dashboard.name_run(f"retrain · {voice} · {why.state.lower()}", [f"voice:{voice}"])
    dashboard.say(f"not training: {why}")
    result = Retrained(voice, options.version, False, why.state, str(why), run=dashboard.run_address())
    return cast(Retrained, Completed(name=why.state, message=str(why), data=result))


def unusable(plan: RetrainPlan, entry: Entry, change: Change, trainings: list[Training]) -> Retrained:
    """End well where the entry that came of it is retired: it was made before by the same trainings, or learned from
    somebody who was forgotten. Nobody is told of it, so nothing judges it."""
    words = why_unusable(entry, change)
    dashboard.name_run(f"retrain · {plan.voice} · retired · v{plan.number}", [f"entry:{entry.name}"])
    dashboard.say(f"nothing to speak with: {words}")
    result = Retrained(plan.voice, plan.number, False, RETIRED, words, trainings=trainings, run=dashboard.run_address())
    if (standing := voices.latest(plan.store, plan.voice, "trained")) is not None:
        result.entry, result.speak = str(standing.folder), speak_command(standing)
    return cast(Retrained, Completed(name=RETIRED, message=words, data=result))


def decide(plan: RetrainPlan, before: Entry | None, *, force: bool) -> Decision:
    """Compare the version with the one that the voice was trained on last."""
    old = CorpusVersion.open(plan.store, before.card.corpus_version) if before else None
    new = new_speech.find(plan.corpus, old, plan.heard)
    return new_speech.decide(new, plan.number, plan.settings.retrain, force=force)


def announce(plan: RetrainPlan, decision: Decision) -> None:
    """Name the run by what it does, and say why, in the log and on its page."""
    what = " + ".join(plan.phases) if decision.train else decision.verdict.lower()
    tags = [f"voice:{plan.voice}", f"version:{plan.number}"]
    dashboard.name_run(f"retrain · {plan.voice} · {what} · v{plan.number}", tags)
    words = f"{'training' if decision.train else 'not training'}: {decision.reason}"
    dashboard.say(words)
    rows = {
        "corpus version": plan.number,
        "trained on before": decision.new.since or "never",
        "new speech": f"{decision.new.minutes:.1f} min (asked for: {plan.settings.retrain.new_minutes:g})",
        "new speakers": f"{len(decision.new.speakers)} (asked for: {plan.settings.retrain.new_speakers})",
        "counted are": ", ".join(plan.heard) or "all speakers",
        "phases": ", ".join(f"{phase}: {network}" for phase, network in plan.trainings()),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    title = f"{'Training' if decision.train else 'Not training'} {plan.voice}: {decision.verdict.lower()}"
    text = f"# {title}\n\n{decision.reason}\n\n| | |\n|---|---|\n{table}\n"
    create_markdown_artifact(markdown=text, key="retrain-decision", description=words)


@task(name="train", task_run_name="{spec.network} · {spec.phase}", cache_policy=NO_CACHE, persist_result=False)
def train(spec: RunSpec, place: str) -> tuple[Training, dict[str, str]]:
    """Train one network in one phase, in processes of its own; what was trained already is taken as it is.

    Returns the account of it, and stem -> path of what it exports.

    Raises:
        TrainingFailed: it ended badly, or crashed; the message has its last words.
    """
    folder = Path(place)
    title = f"{spec.network} · {spec.phase}"
    holder = f"the training {folder.name} (process {os.getpid()})"

    def waiting(text: str) -> None:
        dashboard.say(f"{title} waits: {text}")

    folder.mkdir(parents=True, exist_ok=True)
    found_gpus = devices.gpus()
    many = devices.wanted(spec.settings.loop.devices, found_gpus)
    with devices.locked(folder / ".lock", holder, waiting) as lock:
        found = run.result(folder)
        if found and found.good:
            dashboard.say(f"{title} was trained already, in {folder}")
            return account(spec, folder, found), exports_of(folder, spec.network, found)
        with devices.held(many, holder, found_gpus, waiting) as held:
            spec.write(folder)
            where = f"{many} GPUs" if held.gpus else f"the CPU, {many} process{'es' if many > 1 else ''}"
            dashboard.say(f"{title} trains on {where}; all that it says is in {folder / 'log.txt'}")
            board, log = TrainingBoard(title), RunLog(dashboard.say)
            ended = launch.launch(
                folder,
                processes=many,
                gpus=[gpu.select for gpu in held.gpus],
                locks=[lock, *held.files],
                on_line=log,
                on_progress=board.add,
            )
            log.close()
            board.end(f"{ended.outcome}: {ended.detail}")
    if ended.result is None or not ended.good:
        words = "\n".join(("", *ended.tail)) if ended.result is None else ""
        raise TrainingFailed(
            f"{title} of version {spec.version} ended: {ended.outcome}: {ended.detail}. Its folder: {folder}{words}"
        )
    return account(spec, folder, ended.result), exports_of(folder, spec.network, ended.result)


def account(spec: RunSpec, folder: Path, result: Result) -> Training:
    """What the card says of one training."""
    lines = list(run.progress(folder))
    return Training(
        spec.network,
        spec.phase,
        spec.settings.phases[spec.phase].adapt.kind,
        result.outcome,
        result.detail,
        result.step,
        result.best_step,
        finite(result.best),
        {term: finite(value) for term, value in result.losses.items()},
        lines[-1].seconds if lines else 0.0,
        folder.name,
    )


def exports_of(folder: Path, network: str, result: Result) -> dict[str, str]:
    """Stem -> path, also where the store was moved since.

    Raises:
        TrainingFailed: a file is gone.
    """
    found = {stem: folder / "export" / Path(path).name for stem, path in result.exports.items()}
    for path in found.values():
        if not path.exists():
            raise TrainingFailed(f"{path} is gone, which this training had written: remove {folder} to train again")
    return {f"{network}_adapter" if stem == "adapter" else stem: str(path) for stem, path in found.items()}


def files_of(plan: RetrainPlan, so_far: Mapping[str, str]) -> dict[str, Path]:
    """What goes into the entry: all that was trained."""
    return {stem: Path(path) for stem, path in so_far.items() if plan.base.get(stem) != path}


def card_of(plan: RetrainPlan, decision: Decision, trainings: list[Training], so_far: dict[str, str]) -> Card:
    """The card of the entry."""
    files = files_of(plan, so_far)
    weights = so_far | {stem: f"{stem}{path.suffix}" for stem, path in files.items()}
    return Card(
        plan.voice,
        plan.number,
        plan.corpus.version.recipe,
        plan.speakers,
        tuple(trainings),
        digest(plan.settings.model_dump(mode="json")),
        {stem: File.of(path) for stem, path in plan.base.items()},
        plan.content,
        code_version(),
        datetime.now(UTC).isoformat(timespec="seconds"),
        decision.reason,
        weights,
        heard=plan.heard,
    )


def speak_command(entry: Entry) -> str:
    """The command that speaks with an entry; what it says and after whom is for the reader to fill in."""
    networks = [word for network in ("s1", "s2") if network in entry.card.weights for word in _option(entry, network)]
    words = ["voicemill", "speak", *networks, "--content", entry.card.content]
    return f"{shlex.join(words)} --reference RECORDING --text TEXT --out speech.wav"


def _option(entry: Entry, network: str) -> tuple[str, str]:
    return f"--{network}", str(entry.path(network))


def show(result: Retrained, entry: Entry) -> None:
    """The summary on the run's page."""
    files = "\n".join(f"- {stem}: `{entry.folder / name}`" for stem, name in entry.card.weights.items())
    text = f"""# {result.voice}, entry {entry.number}

Trained on corpus version {result.version}: {result.reason}

{training_rows(result.trainings)}

{files}

```
{result.speak}
```
"""
    create_markdown_artifact(
        markdown=text, key="retrain-summary", description=f"entry {entry.number} of {result.voice}"
    )
    dashboard.say(f"{result.voice}, entry {entry.number}: {entry.folder}\n{result.speak}")


def training_rows(trainings: Sequence[Training]) -> str:
    """A table of markdown."""
    rows = "\n".join(
        f"| {each.network} | {each.phase} | {each.outcome} | {each.steps} | {each.best_step} | {_shown(each.best)} "
        f"| {_shown(each.losses.get('loss'))} | {each.seconds:,.0f} |"
        for each in trainings
    )
    head = "| network | phase | outcome | steps | best step | validation loss | last loss | seconds |"
    return f"{head}\n|---|---|---|---:|---:|---:|---:|---:|\n{rows}"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"

"""The flow `distill`: a trained entry of a voice teaches small fast ones, its students."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from voicemill.flows import events
from voicemill.flows.display import dashboard
from voicemill.flows.plans.distill import DistillOptions, DistillPlan, plan_distill
from voicemill.flows.plans.retrain import folder_of
from voicemill.flows.retrain import train, training_rows
from voicemill.storage.forgetting import forget
from voicemill.storage.units import Seconds
from voicemill.storage.voices import registry as voices
from voicemill.storage.voices.registry import Entry, Kind, Training

__all__ = ["DistillOptions", "Distilled", "distill"]


@dataclass
class Student:
    """One student, as an entry."""

    kind: Kind
    entry: str
    """Its folder."""
    number: int
    trainings: list[Training]
    bytes: int
    """Of its files."""
    teacher_bytes: int
    """Of what the teacher speaks with."""


@dataclass
class Distilled:
    """Result of `distill`; `voicemill distill --json` prints it."""

    voice: str
    version: int
    """The corpus version."""
    teacher: str
    """Entry that taught: "anna/0003"."""
    students: list[Student] = field(default_factory=list)
    run: str = ""
    """Address of the flow run in the dashboard."""
    wall_s: Seconds = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return asdict(self)


@flow(name="distill", persist_result=False)
def distill(options: DistillOptions) -> Distilled:
    """Train the students of an entry, network by network, phase by phase; write an entry for each."""
    began = time.perf_counter()
    plan = plan_distill(options)
    announce(plan)
    result = Distilled(plan.voice, plan.corpus.version.number, plan.teacher.name, run=dashboard.run_address())
    for kind in plan.kinds:
        student, entry = teach(plan, kind)
        result.students.append(student)
        show(plan, student, entry)
        events.voice_trained(plan.store, entry)
    result.wall_s = round(time.perf_counter() - began, 2)
    return result


def teach(plan: DistillPlan, kind: Kind) -> tuple[Student, Entry]:
    """All trainings of one student, and its entry; what was trained already is taken as it is."""
    so_far = plan.start(kind)
    trainings: list[Training] = []
    for phase, network in plan.trainings(kind):
        spec = plan.spec(phase, network, so_far)
        trained, exports = train(spec, str(folder_of(plan.store, plan.voice, spec)))
        trainings.append(trained)
        so_far |= exports
    files = plan.files(kind, so_far)
    entry = voices.add(plan.store, plan.card(kind, trainings, so_far), files)
    if forget.retire_learned(plan.store, entry.name, when=entry.card.created):
        dashboard.say(f"{entry.name} is retired: somebody whose speech it learned from was forgotten meanwhile")
    sizes = [sum(entry.path(stem).stat().st_size for stem in files)]
    sizes.append(sum(plan.teacher.path(stem).stat().st_size for stem in plan.teachers))
    return Student(kind, str(entry.folder), entry.number, trainings, *sizes), entry


def announce(plan: DistillPlan) -> None:
    """Name the run by what it does, and say it in the log and on its page."""
    what, version = " + ".join(plan.kinds), plan.corpus.version.number
    dashboard.name_run(
        f"distill · {plan.voice} · {what} · entry {plan.teacher.number}",
        [f"voice:{plan.voice}", f"version:{version}", f"entry:{plan.teacher.name}"],
    )
    steps = [f"{phase}: {network}" for kind in plan.kinds for phase, network in plan.trainings(kind)]
    words = f"entry {plan.teacher.name} teaches {what}, on corpus version {version}: {', '.join(steps)}"
    dashboard.say(words)


def show(plan: DistillPlan, student: Student, entry: Entry) -> None:
    """The student on the run's page."""
    files = "\n".join(f"- {stem}: `{entry.path(stem)}`" for stem in entry.card.weights)
    share = student.bytes / max(student.teacher_bytes, 1)
    text = f"""# {plan.voice}, entry {entry.number}: {student.kind}

Made from entry {plan.teacher.name} on corpus version {plan.corpus.version.number}; {student.bytes / 1e6:.2f} MB, the
teacher's files {student.teacher_bytes / 1e6:.2f} MB ({share:.0%}).

{training_rows(student.trainings)}

{files}

What it is worth is measured by `voicemill evaluate --store {plan.store.root} --voice {plan.voice}`.
"""
    key = f"distill-{student.kind}"
    create_markdown_artifact(markdown=text, key=key, description=f"entry {entry.number} of {plan.voice}")
    dashboard.say(f"{plan.voice}, entry {entry.number} ({student.kind}): {entry.folder}")

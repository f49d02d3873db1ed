"""The flow `distill`: a trained entry of a voice teaches smaller, faster models, its students."""

import shlex
import time
from dataclasses import dataclass, field

from prefect import flow

from voicemill.flows import events
from voicemill.flows.display import dashboard
from voicemill.flows.display.result import FlowResult
from voicemill.flows.entries import add_entry, file_list
from voicemill.flows.plans.distill import DistillOptions, DistillPlan, plan_distill
from voicemill.flows.plans.retrain import folder_of
from voicemill.flows.report import markdown
from voicemill.flows.training import train, training_table
from voicemill.storage.units import Seconds
from voicemill.storage.voices.cards import Entry, Kind, Training

__all__ = ["DistillOptions", "Distilled", "distill"]


@dataclass
class Student:
    """One student, as an entry of the voice."""

    kind: Kind
    entry: str
    """Folder of the entry."""
    number: int
    trainings: list[Training]
    bytes: int
    """Size of the student's weights."""
    teacher_bytes: int
    """Size of the teacher's weights, those of synthesis alone."""


@dataclass
class Distilled(FlowResult):
    """Result of `distill`; `voicemill distill --json` prints it."""

    voice: str
    version: int
    """The corpus version."""
    teacher: str
    """Entry that taught, "anna/0003"."""
    students: list[Student] = field(default_factory=list)
    run: str = ""
    wall_s: Seconds = 0.0


@flow(name="distill", persist_result=False)
def distill(options: DistillOptions) -> Distilled:
    """Train the students of an entry, network by network, phase by phase; add an entry for each student."""
    began = time.perf_counter()
    plan = plan_distill(options)
    announce(plan)
    result = Distilled(plan.voice, plan.corpus.version.number, plan.teacher.name)
    for kind in plan.kinds:
        student, entry = train_student(plan, kind)
        result.students.append(student)
        show(plan, student, entry)
        events.voice_trained(plan.store, entry)
    dashboard.complete(result, began)
    return result


def train_student(plan: DistillPlan, kind: Kind) -> tuple[Student, Entry]:
    """Run all trainings of one student and add its entry; finished trainings of earlier runs are not repeated."""
    so_far = plan.start(kind)
    trainings: list[Training] = []
    for phase, network in plan.trainings(kind):
        spec = plan.spec(phase, network, so_far)
        training, exports = train(spec, str(folder_of(plan.store, plan.voice, spec)))
        trainings.append(training)
        so_far |= exports
    files = plan.files(kind, so_far)
    entry = add_entry(plan.store, plan.card(kind, trainings, so_far), files)
    student = Student(
        kind=kind,
        entry=str(entry.folder),
        number=entry.number,
        trainings=trainings,
        bytes=sum(entry.path(stem).stat().st_size for stem in files),
        teacher_bytes=sum(plan.teacher.path(stem).stat().st_size for stem in plan.teachers),
    )
    return student, entry


def announce(plan: DistillPlan) -> None:
    """Name and tag the run, and log its trainings."""
    students, version = " + ".join(plan.kinds), plan.corpus.version.number
    dashboard.name_run(
        f"distill · {plan.voice} · {students} · entry {plan.teacher.number}",
        [f"voice:{plan.voice}", f"version:{version}", f"entry:{plan.teacher.name}"],
    )
    steps = [f"{phase}: {network}" for kind in plan.kinds for phase, network in plan.trainings(kind)]
    dashboard.log(f"entry {plan.teacher.name} teaches {students}, on corpus version {version}: {', '.join(steps)}")


def show(plan: DistillPlan, student: Student, entry: Entry) -> None:
    """Add the summary of one student to the run's page."""
    share = student.bytes / max(student.teacher_bytes, 1)
    teacher = markdown.text(plan.teacher.name)
    evaluate = shlex.join(["voicemill", "evaluate", "--store", str(plan.store.root), "--voice", plan.voice])
    text = f"""# {markdown.text(plan.voice)}, entry {entry.number}: {student.kind}

Made from entry {teacher} on corpus version {plan.corpus.version.number}: {student.bytes / 1e6:.2f} MB,
{share:.0%} of the teacher's {student.teacher_bytes / 1e6:.2f} MB.

{training_table(student.trainings)}

{file_list(entry)}

Measure its quality: {markdown.code(evaluate)}.
"""
    dashboard.show_markdown(f"distill-{student.kind}", text, f"entry {entry.number} of {plan.voice}")
    dashboard.log(f"{plan.voice}, entry {entry.number} ({student.kind}): {entry.folder}")

"""`voicemill distill`: the flow `distill`, here and now."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voicemill.flows.cli.options import JsonOption, StoreOption, TrainingConfigOption, VoiceOption
from voicemill.flows.cli.running import run_here, training_bars, watched

if TYPE_CHECKING:
    from voicemill.flows.distill import Distilled
    from voicemill.flows.plans.distill import DistillOptions


def distill(
    store: StoreOption,
    voice: VoiceOption = "",
    number: Annotated[int, typer.Option(min=0, help="Its trained entry that teaches; 0 = champion, else newest.")] = 0,
    which: Annotated[
        Literal["full", "light", "both"], typer.Option(help="Small s1 and s2, the light system, or both.")
    ] = "full",
    config: TrainingConfigOption = "default",
    version: Annotated[int, typer.Option(min=0, help="Corpus version; 0 = the teacher's.")] = 0,
    allow_retired: Annotated[bool, typer.Option("--allow-retired", help="Learn from a retired entry too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make small fast students of a trained voice. Repeated, it goes on where it was killed, or finds all done."""
    from voicemill.flows.plans.distill import DistillOptions, plan_distill

    options = DistillOptions(
        store=store,
        voice=voice,
        number=number,
        which=which,
        config=config,
        version=version,
        allow_retired=allow_retired,
    )
    plan = plan_distill(options)  # what is missing or wrong is said before anything starts
    bars = training_bars(shown=watched(as_json=as_json))
    run_here(plan.store, _flow, options, _show, as_json=as_json, bar=bars)


def _flow() -> "Callable[[DistillOptions], Distilled]":
    from voicemill.flows.distill import distill

    return distill


def _show(result: "Distilled") -> None:
    from voicemill.flows.cli.train import training_table
    from voicemill.flows.display.terminal import say

    for student in result.students:
        share = student.bytes / max(student.teacher_bytes, 1)
        say(
            f": {student.bytes / 1e6:.2f} MB, {share:.0%} of entry {result.teacher}",
            f"{result.voice} entry {student.number} ({student.kind})",
            "bold green",
        )
        training_table(student.trainings)
        say(student.entry, "entry: ")

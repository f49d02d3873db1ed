"""`voicemill distill`: the flow `distill`, here and now."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli_setup import JsonOption
from flows.cli_train import told

if TYPE_CHECKING:
    from flows.distill import Distilled


def distill(
    store: Annotated[str, typer.Option(help="Folder of the store.")],
    voice: Annotated[str, typer.Option(help="Name of the voice; the only one of the store if left out.")] = "",
    number: Annotated[int, typer.Option(min=0, help="Its trained entry that teaches; 0 = champion, else newest.")] = 0,
    which: Annotated[
        Literal["full", "light", "both"], typer.Option(help="Small s1 and s2, the light system, or both.")
    ] = "full",
    config: Annotated[str, typer.Option(help="A TOML file, or a shipped config: default, few-shot, tiny.")] = "default",
    version: Annotated[int, typer.Option(min=0, help="Corpus version; 0 = the teacher's.")] = 0,
    allow_retired: Annotated[bool, typer.Option("--allow-retired", help="Learn from a retired entry too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make small fast students of a trained voice. Repeated, it goes on where it was killed, or finds all done."""
    from flows.distill_plan import DistillOptions, make_plan
    from flows.server import prefect_api
    from storage.store import Store

    options = DistillOptions(
        store=store,
        voice=voice,
        number=number,
        which=which,
        config=config,
        version=version,
        allow_retired=allow_retired,
    )
    make_plan(options)  # what is missing or wrong is said before anything starts
    with prefect_api(Store.open(store), _import_flow), told(shown=not as_json and sys.stderr.isatty()):
        from flows.distill import distill as flow

        result = flow(options)
    if as_json:
        print(json.dumps(result.as_json(), ensure_ascii=False))
    else:
        _show(result)


def _import_flow() -> None:
    from flows import distill  # noqa: F401


def _show(result: "Distilled") -> None:
    from flows.cli_train import training_table
    from flows.terminal import say

    for student in result.students:
        share = student.bytes / max(student.teacher_bytes, 1)
        say(
            f": {student.bytes / 1e6:.2f} MB, {share:.0%} of entry {result.teacher}",
            f"{result.voice} entry {student.number} ({student.kind})",
            "bold green",
        )
        training_table(student.trainings)
        say(student.entry, "entry: ")

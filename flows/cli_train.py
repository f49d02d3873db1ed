"""`voicemill train`: the flow `retrain`, here and now."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_setup import JsonOption

if TYPE_CHECKING:
    from flows.retrain import Retrained
    from model.training.run import Progress
    from storage.voices import Training


def train(
    store: Annotated[str, typer.Option(help="Folder of the store.")],
    config: Annotated[str, typer.Option(help="A TOML file, or a shipped config: default, few-shot, tiny.")] = "default",
    phase: Annotated[
        list[str] | None,
        typer.Option(help="Of the config; may be given again. Default: finetune, without speaker pretrain."),
    ] = None,
    speaker: Annotated[list[str] | None, typer.Option(help="Whose voice it becomes; may be given again.")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="A corpus version; the latest if left out.")] = None,
    voice: Annotated[str, typer.Option(help="Its name; the speaker's if left out.")] = "",
    start_s1: Annotated[str, typer.Option(help="Checkpoint that s1 starts from; as the config says if left out.")] = "",
    start_s2: Annotated[str, typer.Option(help="The same of s2.")] = "",
    start_discriminator: Annotated[str, typer.Option(help="The same of the discriminators.")] = "",
    if_new: Annotated[
        bool, typer.Option("--if-new", help="Only if there is enough new speech, as deployments do.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a voice on a corpus version. Repeated, it goes on where it was killed, or finds all done."""
    from flows.server import prefect_api
    from flows.training_plan import RetrainOptions, make_plan
    from storage.store import Store

    options = RetrainOptions(
        store=store,
        config=config,
        phases=phase or [],
        speakers=speaker or [],
        version=version or 0,
        voice=voice,
        start_s1=start_s1,
        start_s2=start_s2,
        start_discriminator=start_discriminator,
        force=not if_new,
    )
    make_plan(options)  # what is missing or wrong is said before anything starts
    with prefect_api(Store.open(store), _import_flow), told(shown=not as_json and sys.stderr.isatty()):
        from flows.retrain import retrain

        result = retrain(options)
    if as_json:
        print(json.dumps(result.as_json(), ensure_ascii=False))
    else:
        _show(result)


def _import_flow() -> None:
    from flows import retrain  # noqa: F401


@contextmanager
def told(*, shown: bool) -> Iterator[None]:
    """A bar for each training, with its loss, while it runs."""
    if not shown:
        yield
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    from flows.terminal import errors
    from flows.training_board import total, watchers

    columns = (TextColumn("{task.description:<34}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=errors) as bar:
        tasks = {"": bar.add_task("deciding", total=None)}

        def update(title: str, progress: "Progress") -> None:
            bar.update(tasks[""], visible=False)
            if title not in tasks:
                tasks[title] = bar.add_task(title)
            said = f"{title}: loss {total(progress):.4g}"
            bar.update(tasks[title], total=progress.steps, completed=progress.step, description=said)

        watchers.append(update)
        try:
            yield
        finally:
            watchers.remove(update)


def _show(result: "Retrained") -> None:
    from flows.terminal import say

    if not result.trained:
        say(f": {result.reason}", f"{result.voice} not trained", "bold")
        return
    say(
        f": {result.reason}, in {result.wall_s:.1f} s",
        f"{result.voice} trained on version {result.version}",
        "bold green",
    )
    training_table(result.trainings)
    say(result.entry, "entry: ")
    say(result.speak, "speak: ")


def training_table(trainings: "Sequence[Training]") -> None:
    """To the terminal."""
    from flows.terminal import table

    columns = ("network", "phase", "outcome", "steps", "best step", "validation loss", "last loss")
    rows = [
        (t.network, t.phase, t.outcome, t.steps, t.best_step, _number(t.best), _number(t.losses.get("loss")))
        for t in trainings
    ]
    table("trainings", columns, rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"

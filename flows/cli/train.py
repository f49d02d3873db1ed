"""`voicemill train`: the flow `retrain`, here and now."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from voicemill.flows.cli.options import (
    JsonOption,
    NameOption,
    PhaseOption,
    StoreOption,
    TargetOption,
    TrainingConfigOption,
)
from voicemill.flows.cli.running import run_here, training_bars, watched

if TYPE_CHECKING:
    from voicemill.flows.plans.retrain import RetrainOptions
    from voicemill.flows.retrain import Retrained
    from voicemill.storage.voices.cards import Training


def train(
    store: StoreOption,
    config: TrainingConfigOption = "default",
    phase: PhaseOption = None,
    speaker: TargetOption = None,
    version: Annotated[int | None, typer.Option(min=1, help="A corpus version; the latest if left out.")] = None,
    voice: NameOption = "",
    start_s1: Annotated[str, typer.Option(help="Checkpoint that s1 starts from; as the config says if left out.")] = "",
    start_s2: Annotated[str, typer.Option(help="The same of s2.")] = "",
    start_discriminator: Annotated[str, typer.Option(help="The same of the discriminators.")] = "",
    if_new: Annotated[
        bool, typer.Option("--if-new", help="Only if there is enough new speech, as deployments do.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a voice on a corpus version. Repeated, it goes on where it was killed, or finds all done; exit 1: what it
    makes is retired."""
    from voicemill.flows.plans.retrain import RETIRED, RetrainOptions, plan_retrain

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
    plan = plan_retrain(options)  # what is missing or wrong is said before anything starts
    bars = training_bars(shown=watched(as_json=as_json))
    result = run_here(plan.store, _flow, options, _show, as_json=as_json, bar=bars)
    sys.exit(1 if result.verdict == RETIRED else 0)


def _flow() -> "Callable[[RetrainOptions], Retrained]":
    from voicemill.flows.retrain import retrain

    return retrain


def _show(result: "Retrained") -> None:
    from voicemill.flows.display.terminal import say
    from voicemill.flows.plans.retrain import RETIRED

    if result.verdict == RETIRED:
        say(f": {result.reason}", f"{result.voice}: nothing to speak with", "bold")
        return
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
    from voicemill.flows.display.terminal import table

    columns = ("network", "phase", "outcome", "steps", "best step", "validation loss", "last loss")
    rows = [
        (t.network, t.phase, t.outcome, t.steps, t.best_step, _number(t.best), _number(t.losses.get("loss")))
        for t in trainings
    ]
    table("trainings", columns, rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"

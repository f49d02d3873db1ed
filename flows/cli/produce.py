"""`voicemill produce`: the flow `produce`, from recordings to voices that speak."""

import shlex
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from voicemill.flows.cli.options import (
    ConfigOption,
    ConsentOption,
    InboxOption,
    JsonOption,
    NameOption,
    PhaseOption,
    StoreOption,
    TargetOption,
)
from voicemill.flows.cli.running import run_here, training_bars, watched

if TYPE_CHECKING:
    from voicemill.flows.produce import Produced


def produce(
    inbox: InboxOption,
    store: StoreOption,
    config: ConfigOption = "default",
    assume_consent: ConsentOption = "",
    training: Annotated[
        str, typer.Option(help="Of training, students and gate: a TOML file, or default, few-shot, tiny.")
    ] = "default",
    phase: PhaseOption = None,
    speaker: TargetOption = None,
    voice: NameOption = "",
    which: Annotated[
        Literal["full", "light", "both"], typer.Option(help="Students: small s1 and s2, the light system, or both.")
    ] = "both",
    text: Annotated[str, typer.Option(help="What every champion says at the end.")] = "This is what I sound like.",
    as_json: JsonOption = False,
) -> None:
    """Refresh, train, promote, distil, compress, promote again, and let every champion speak. Repeated, it goes on."""
    from voicemill.model.settings import training as settings
    from voicemill.storage.store import Store
    from voicemill.tasks.config import load

    warnings.formatwarning = lambda message, *_, **__: f"voicemill: {message}\n"
    _ = load(config).models  # a missing model or a wrong setting is said before anything starts
    settings.load(training)
    opened = Store.open(store, create=True)
    options = {
        "inbox": inbox,
        "store": store,
        "config": config,
        "assume_consent": assume_consent,
        "training": training,
        "phases": phase or [],
        "speakers": speaker or [],
        "voice": voice,
        "which": which,
        "text": text,
    }
    bars = training_bars(shown=watched(as_json=as_json))
    run_here(opened, _flow, options, partial(_show, store=store), as_json=as_json, bar=bars)


def _flow() -> "Callable[[dict[str, Any]], Produced]":
    import deltalake  # noqa: F401
    import pandas  # noqa: F401  (pyarrow imports it as soon as it makes an array)

    from voicemill.flows.produce import ProduceOptions, produce

    return lambda options: produce(ProduceOptions(**options))


def _show(result: "Produced", store: str) -> None:
    from voicemill.flows.display.terminal import say, table

    if not result.promotions:
        say(f": {result.reason}", f"{result.voice} not made", "bold")
        return
    say(f" from corpus version {result.version}, in {result.wall_s:.1f} s", result.voice, "bold green")
    table(
        "promotions",
        ("entry", "kind", "verdict", "why"),
        [(each.entry, each.kind, each.verdict, each.reason) for each in result.promotions],
    )
    for report in dict.fromkeys(each.report for each in result.promotions if each.report):
        say(report, "report: ")
    table(
        "the champions say",
        ("entry", "kind", "engine", "of real time", "file"),
        [(s.entry, s.kind, s.engine, f"{s.took_s / max(s.seconds, 1e-9):.3f}", Path(s.path).name) for s in result.said],
    )
    for folder in dict.fromkeys(str(Path(s.path).parent) for s in result.said):
        say(folder, "what they say: ")
    words = shlex.join(["voicemill", "speak", "--store", store, "--voice", result.voice])
    say(f"{words} --reference RECORDING --text TEXT --out OUT.wav", "speak: ")
    say(shlex.join(["voicemill", "dashboard", "--store", store]), "dashboard: ")

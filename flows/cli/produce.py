"""`voicemill produce`: the whole chain from recordings to voices that speak."""

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voicemill.flows.cli.options import (
    ConfigOption,
    ConsentOption,
    InboxOption,
    JsonOption,
    LanguageOption,
    NewVoiceOption,
    PhaseOption,
    StoreOption,
    StudentsOption,
    TargetOption,
    TrainingConfigOption,
)
from voicemill.flows.cli.running import open_store, plain_warnings, preload_tables, run_here, training_bars
from voicemill.flows.plans import help_texts

if TYPE_CHECKING:
    from voicemill.flows.produce import Produced


def produce(
    inbox: InboxOption,
    store: StoreOption,
    config: ConfigOption = "default",
    assume_consent: ConsentOption = "",
    language: LanguageOption = "",
    training: TrainingConfigOption = "default",
    phase: PhaseOption = None,
    speaker: TargetOption = None,
    voice: NewVoiceOption = "",
    which: StudentsOption = "both",
    text: Annotated[str, typer.Option(help=help_texts.SAMPLE_TEXT)] = "This is what I sound like.",
    as_json: JsonOption = False,
) -> None:
    """Do it all: refresh, train, promote, distil, compress, speak.

    Every entry passes the promotion gate before the next step uses it, and every champion speaks at the end. Repeated,
    the command resumes where it stopped.
    """
    from voicemill.model.settings import training as settings
    from voicemill.tasks.config import load

    plain_warnings()
    _ = load(config).models  # a wrong setting or a missing model fails before anything starts
    settings.load(training)
    opened = open_store(store, create=True)
    options = {
        "inbox": inbox,
        "store": store,
        "config": config,
        "assume_consent": assume_consent,
        "language": language,
        "training": training,
        "phases": phase or [],
        "speakers": speaker or [],
        "voice": voice,
        "which": which,
        "text": text,
    }
    bars = training_bars(as_json=as_json)
    run_here(opened, _produce_flow, options, partial(_show, store=store), as_json=as_json, bar=bars)


def _produce_flow() -> "Callable[[dict[str, Any]], Produced]":
    preload_tables()
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
        ("entry", "kind", "verdict", "reason"),
        [(p.entry, p.kind, p.verdict, p.reason) for p in result.promotions],
    )
    for report in dict.fromkeys(p.report for p in result.promotions if p.report):
        say(report, "report: ")
    table(
        "samples of the champions",
        ("entry", "kind", "engine", "of real time", "file"),
        [(s.entry, s.kind, s.engine, f"{s.took_s / max(s.seconds, 1e-9):.3f}", Path(s.path).name) for s in result.said],
    )
    for folder in dict.fromkeys(str(Path(s.path).parent) for s in result.said):
        say(folder, "samples: ")
    words = shlex.join(["voicemill", "speak", "--store", store, "--voice", result.voice])
    say(f"{words} --reference RECORDING --text TEXT --out OUT.wav", "speak: ")
    say(shlex.join(["voicemill", "dashboard", "--store", store]), "dashboard: ")

"""`voicemill produce`: the flow `produce`, from recordings to voices that speak."""

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli_setup import ConfigOption, JsonOption
from flows.cli_train import told

if TYPE_CHECKING:
    from flows.produce import Produced


def produce(
    inbox: Annotated[str, typer.Option(help="Folder or fsspec url of the recordings.")],
    store: Annotated[str, typer.Option(help="Folder of the store.")],
    config: ConfigOption = "default",
    assume_consent: Annotated[str, typer.Option(help="A reason that stands for all speakers' consent.")] = "",
    training: Annotated[
        str, typer.Option(help="Of training, students and gate: a TOML file, or default, few-shot, tiny.")
    ] = "default",
    phase: Annotated[
        list[str] | None,
        typer.Option(help="Of that config; may be given again. Default: finetune, without speaker pretrain."),
    ] = None,
    speaker: Annotated[list[str] | None, typer.Option(help="Whose voice it becomes; may be given again.")] = None,
    voice: Annotated[str, typer.Option(help="Its name; the speaker's if left out.")] = "",
    which: Annotated[
        Literal["full", "light", "both"], typer.Option(help="Students: small s1 and s2, the light system, or both.")
    ] = "both",
    text: Annotated[str, typer.Option(help="What every champion says at the end.")] = "This is what I sound like.",
    as_json: JsonOption = False,
) -> None:
    """Refresh, train, promote, distil, compress, promote again, and let every champion speak. Repeated, it goes on."""
    from flows.server import prefect_api
    from model.training import settings
    from storage.store import Store
    from tasks.config import load

    warnings.formatwarning = lambda message, *_, **__: f"voicemill: {message}\n"
    _ = load(config).models  # a missing model or a wrong setting is said before anything starts
    settings.load(training)
    opened = Store.open(store, create=True)
    with prefect_api(opened, _import_flow), told(shown=not as_json and sys.stderr.isatty()):
        from flows.produce import ProduceOptions
        from flows.produce import produce as flow

        result = flow(
            ProduceOptions(
                inbox=inbox,
                store=store,
                config=config,
                assume_consent=assume_consent,
                training=training,
                phases=phase or [],
                speakers=speaker or [],
                voice=voice,
                which=which,
                text=text,
            )
        )
    if as_json:
        print(json.dumps(result.as_json(), ensure_ascii=False))
    else:
        _show(result)


def _import_flow() -> None:
    import deltalake  # noqa: F401
    import pandas  # noqa: F401  (pyarrow imports it as soon as it makes an array)

    from flows import produce  # noqa: F401


def _show(result: "Produced") -> None:
    from flows.terminal import say, table

    if not result.promotions:
        say(f": corpus version {result.version} has nothing to train it on yet", f"{result.voice} not made", "bold")
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

"""The command line: `voicemill`. Heavy imports wait until a command needs them, so that `--help` answers at once."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voicemill.flows.cli import compress as cli_compress
from voicemill.flows.cli import consent as cli_consent
from voicemill.flows.cli import distill as cli_distill
from voicemill.flows.cli import evaluate as cli_judge
from voicemill.flows.cli import produce as cli_produce
from voicemill.flows.cli import setup as cli_setup
from voicemill.flows.cli import speak as cli_speak
from voicemill.flows.cli import train as cli_train
from voicemill.flows.cli import up as cli_up
from voicemill.flows.cli import voices as cli_voices
from voicemill.flows.cli import watermark as cli_watermark
from voicemill.flows.cli.options import ConfigOption, ConsentOption, InboxOption, JsonOption, StoreOption
from voicemill.flows.cli.running import run_here, watched
from voicemill.storage.errors import VoicemillError

if TYPE_CHECKING:
    from voicemill.flows.display.summary import Summary

app = typer.Typer(
    name="voicemill",
    help="Turns recordings of many speakers into versioned corpora for voice cloning, and keeps them fresh.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(cli_consent.consent, name="consent")
app.add_typer(cli_setup.models, name="models")
app.add_typer(cli_setup.config, name="config")
app.add_typer(cli_watermark.watermark, name="watermark")
app.add_typer(cli_voices.voices, name="voices")
app.command()(cli_consent.forget)
app.command()(cli_setup.doctor)
app.command()(cli_speak.speak)
app.command()(cli_train.train)
app.command()(cli_distill.distill)
app.command()(cli_compress.compress)
app.command()(cli_produce.produce)
app.command()(cli_judge.evaluate)
app.command()(cli_judge.ab)
cli_up.add_to(app)

NumberOption = Annotated[int | None, typer.Option("--version", help="A corpus version; the latest if left out.")]


@app.command()
def refresh(
    inbox: InboxOption,
    store: StoreOption,
    config: ConfigOption = "default",
    assume_consent: ConsentOption = "",
    wait: Annotated[bool, typer.Option(help="Queue behind another refresh of this store.")] = False,
    force_publish: Annotated[bool, typer.Option(help="Publish although the circuit breaker says no.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring the corpus up to the inbox: run what is new or changed, publish the next corpus version."""
    from voicemill.flows.display.progress import fresh
    from voicemill.flows.display.terminal import progress_bar, show_summary
    from voicemill.storage.store import Store
    from voicemill.tasks.config import load

    _ = load(config).models  # a missing model or a wrong setting is said before anything starts
    opened = Store.open(store, create=True)
    options = {
        "inbox": inbox,
        "store": store,
        "config": config,
        "assume_consent": assume_consent,
        "wait": wait,
        "force_publish": force_publish,
    }
    bar = progress_bar(fresh(), shown=watched(as_json=as_json))
    run_here(opened, _flow, options, partial(show_summary, store=store), as_json=as_json, bar=bar)


def _flow() -> "Callable[[dict[str, Any]], Summary]":
    """All that a refresh needs in this process, which would follow the start of the server otherwise."""
    import deltalake  # noqa: F401
    import pandas  # noqa: F401  (pyarrow imports it as soon as it makes an array)

    from voicemill.flows import refresh as flow

    return lambda options: flow.refresh(flow.RefreshOptions(**options))


@app.command()
def versions(store: StoreOption, as_json: JsonOption = False) -> None:
    """List the corpus versions of a store."""
    from voicemill.flows.display.terminal import clock, console, table
    from voicemill.storage.corpus import versions as versions_
    from voicemill.storage.store import Store

    found = versions_.history(Store.open(store))
    if as_json:
        print(json.dumps([asdict(version) for version in found], ensure_ascii=False))
    elif not found:
        console.print(f"no corpus version yet: voicemill refresh --inbox INBOX --store {store}")
    else:
        columns = ("version", "created", "speakers", "utterances", "kept", "uploads", "recipe")
        rows = [
            (
                v.number,
                v.created,
                v.counts.speakers,
                v.counts.utterances,
                clock(v.counts.seconds["kept"]),
                sum(v.counts.uploads.values()),
                v.recipe[:12],
            )
            for v in found
        ]
        table("corpus versions", columns, rows)


@app.command()
def ledger(
    store: StoreOption,
    by: Annotated[str, typer.Option(help="outcome, reason, stage, speaker, upload or path.")] = "outcome",
    version: NumberOption = None,
    speaker: Annotated[str | None, typer.Option(help="Only this speaker.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show where every second of every upload went."""
    from voicemill.flows.display.terminal import table
    from voicemill.storage.corpus import ledger as ledger_
    from voicemill.storage.corpus.versions import CorpusVersion
    from voicemill.storage.errors import ConfigError
    from voicemill.storage.store import Store

    allowed = ledger_.By.__args__  # type: ignore[attr-defined]
    if by not in allowed:
        raise ConfigError(f"--by {by} is none of {', '.join(allowed)}")
    rows = CorpusVersion.open(Store.open(store), version).ledger(speaker=speaker)
    lines = ledger_.summary(rows, by)  # type: ignore[arg-type]
    if as_json:
        print(json.dumps([asdict(line) | {"seconds": line.seconds} for line in lines], ensure_ascii=False))
        return
    columns = (by, "uploads", "seconds", "kept", "silence", "filtered", "failed", "corrupt")
    table(
        f"ledger by {by}, seconds",
        columns,
        [
            (
                line.name or "kept",
                line.uploads,
                line.seconds,
                line.kept,
                line.silence,
                line.filtered,
                line.failed,
                line.corrupt,
            )
            for line in lines
        ],
    )


@app.command()
def report(
    store: StoreOption,
    version: NumberOption = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write the HTML report of a corpus version and print its path."""
    import webbrowser

    from voicemill.flows.report import page as report_
    from voicemill.storage.store import Store

    path = report_.write(Store.open(store), version)
    print(path)
    if show:
        webbrowser.open(path.as_uri())


@app.command()
def dashboard(
    store: StoreOption, show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False
) -> None:
    """Serve the Prefect dashboard with the history of this store, until interrupted."""
    import threading
    import webbrowser

    from voicemill.flows.display.terminal import console
    from voicemill.flows.service.server import prefect_api
    from voicemill.storage.store import Store

    with prefect_api(Store.open(store)) as url:
        console.print(f"{url}/v2/runs   (Ctrl-C ends it)")
        if show:
            webbrowser.open(f"{url}/v2/runs")
        threading.Event().wait()


@app.command()
def demo(folder: Annotated[str, typer.Argument(help="Where to make the demo; must be new or empty.")] = "demo") -> None:
    """Synthesise a small corpus and run the main job on it three times."""
    from voicemill.flows.demo import demo as demo_

    demo_.run(Path(folder))


def main() -> None:
    """Entry point: an error of ours is one message and exit status 2, never a traceback."""
    try:
        app()
    except VoicemillError as error:
        print(f"voicemill: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # a full disk, a folder that may not be written, a network file system that went away
        if error.errno is None:
            raise
        print(f"voicemill: the machine refused: {error}. Mend that and run the command again.", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

"""The command line `voicemill`: its commands in panels, and how errors reach the user.

Heavy modules are imported by the command that needs them, so that `--help` answers in about 0.1 s.
"""

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from voicemill.flows.cli import consent, corpus, judging, produce, service, setup, speak, train, upkeep, voices
from voicemill.flows.service.environment import direct_loopback
from voicemill.storage.errors import VoicemillError

PANELS: dict[str, dict[str, Callable[..., None] | typer.Typer]] = {
    "Corpus": {
        "refresh": corpus.refresh,
        "versions": corpus.versions,
        "ledger": corpus.ledger,
        "report": corpus.report,
        "check": corpus.check,
        "diarise": corpus.diarise,
        "aligner": corpus.aligner,
        "consent": consent.consent,
        "forget": consent.forget,
    },
    "Voices": {
        "train": train.train,
        "distill": train.distill,
        "compress": train.compress,
        "evaluate": judging.evaluate,
        "ab": judging.ab,
        "voices": voices.voices,
        "speak": speak.speak,
        "produce": produce.produce,
        "watermark": voices.watermark,
    },
    "Service": {
        "up": service.up,
        "down": service.down,
        "upload": service.upload,
        "watch": service.watch,
        "reconcile": upkeep.reconcile,
        "status": upkeep.status,
        "answer": upkeep.answer,
        "dashboard": service.dashboard,
    },
    "Setup": {
        "demo": setup.demo,
        "demo-corpus": setup.demo_corpus,
        "doctor": setup.doctor,
        "models": setup.models,
        "config": setup.config,
    },
}
"""Panel of the help -> its commands and groups of commands, in the order of use."""


class Panels(TyperGroup):
    """The command `voicemill`, whose help lists the commands by panel, without rich, which is slow to import."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands, in the order of the panels."""
        return [name for panel in PANELS.values() for name in panel]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each panel."""
        width = max(map(len, self.commands))
        for panel, names in PANELS.items():
            rows = [
                (name.ljust(width), self.commands[name].get_short_help_str(formatter.width - 6 - width))
                for name in names
            ]
            with formatter.section(panel):
                formatter.write_dl(rows)


app = typer.Typer(
    name="voicemill",
    help="Turns recordings of many speakers into versioned corpora for voice cloning, keeps them fresh, and trains "
    "voices on them.",
    cls=Panels,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"voicemill {version('voicemill')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit")
    ] = False,
) -> None: ...


for _panel in PANELS.values():
    for _name, _command in _panel.items():
        if isinstance(_command, typer.Typer):
            app.add_typer(_command, name=_name)
        else:
            app.command(_name)(_command)


def main() -> None:
    """Run the command line. An expected error is one message and exit status 2, never a traceback."""
    os.environ.update(direct_loopback())
    try:
        app()
    except VoicemillError as error:
        print(f"voicemill: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # a full disk, a folder without permission, a network file system that went away
        if error.errno is None:
            raise
        print(f"voicemill: I/O error: {error}. Fix it and run the command again.", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

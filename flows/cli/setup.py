"""Commands about the installation: models, configs, and whether this machine is fit to run."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from voicemill.flows.cli.options import ConfigOption, JsonOption

models = typer.Typer(help="Pretrained models that a config names.", no_args_is_help=True)
config = typer.Typer(help="Settings: what they are, whether a file is right.", no_args_is_help=True)

TrainingOption = Annotated[bool, typer.Option("--training", help="The settings of a training, not of a refresh.")]


def _named_models(name: str) -> list[tuple[str, str]]:
    from voicemill.tasks.config import load, named_models

    return named_models(load(name))


@models.command("list")
def list_models(config: ConfigOption = "default", as_json: JsonOption = False) -> None:
    """List the models that a config names, and where each lies on this machine."""
    from voicemill.flows.display.terminal import console, table
    from voicemill.model import hub
    from voicemill.storage.errors import ModelMissing

    rows = []
    for setting, name in _named_models(config):
        try:
            rows.append((setting, name, str(hub.resolve(name, setting))))
        except ModelMissing:
            rows.append((setting, name, ""))
    if as_json:
        print(json.dumps([{"setting": s, "model": m, "path": p or None} for s, m, p in rows]))
    elif rows:
        table(
            f"models of config {config!r}", ("setting", "model", "path"), [(s, m, p or "missing") for s, m, p in rows]
        )
        if not all(path for _, _, path in rows):
            console.print(f"fetch the missing ones: voicemill models fetch --config {config}")
    else:
        console.print(f"config {config!r} names no model: all that it uses came with the installation")


@models.command("fetch")
def fetch_models(
    names: Annotated[
        list[str] | None, typer.Argument(help="Hub ids (org/name); without any: those of --config.")
    ] = None,
    config: ConfigOption = "production",
) -> None:
    """Download models, named here or in a config. The only command that uses the network."""
    from voicemill.flows.display.terminal import console
    from voicemill.model import hub

    wanted = [("model", name) for name in names] if names else _named_models(config)
    for setting, name in wanted:
        console.print(f"{setting} = {name!r}: {hub.fetch(name)}")


@config.command("show")
def show_config(
    config: ConfigOption = "default", training: TrainingOption = False, as_json: JsonOption = False
) -> None:
    """Print every setting with its value and its line of help, as TOML that `--config` reads back."""
    from voicemill.flows.cli.settings_text import as_toml

    settings = _load(config, training)
    print(settings.model_dump_json(indent=2) if as_json else as_toml(settings))


def _load(config: str, training: bool) -> Any:
    from voicemill.model.settings import training as settings
    from voicemill.tasks.config import load

    return settings.load(config) if training else load(config)


@config.command("check")
def check_config(
    config: Annotated[str, typer.Argument(help="A TOML file, or a shipped config.")] = "default",
    training: TrainingOption = False,
) -> None:
    """Check a config: names, ranges, contradictions, and whether its models are on this machine."""
    from voicemill.flows.display.terminal import console
    from voicemill.tasks.recipe import Recipe

    settings = _load(config, training)
    if training:
        console.print(f"{config}: right; phases {', '.join(settings.phases)}")
    else:
        console.print(f"{config}: right; recipe {Recipe(settings).id[:16]}")


def doctor(
    store: Annotated[str | None, typer.Option(help="Check this store too.")] = None, as_json: JsonOption = False
) -> None:
    """Check that this machine can run voicemill: packages, cores, memory, disk, server, store."""
    from dataclasses import asdict

    from voicemill.flows.display.terminal import console
    from voicemill.flows.service import checks

    found = []
    for check in checks.run(Path(store) if store else None):
        found.append(check)
        if not as_json:
            mark = "[green]ok[/]  " if check.fine else "[red]fail[/]"
            console.print(f"{mark} {check.name:<22} {check.found}")
            if not check.fine:
                console.print(f"     {check.mend}")
    if as_json:
        print(json.dumps([asdict(check) for check in found], ensure_ascii=False))
    sys.exit(0 if all(check.fine for check in found) else 1)

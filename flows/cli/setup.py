"""Commands of the installation: demo, doctor, models, and configs with their settings as TOML."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from voicemill.flows.cli.options import ConfigOption, JsonOption
from voicemill.flows.cli.running import print_json
from voicemill.model.embedded import PREFIX

if TYPE_CHECKING:
    from pydantic import BaseModel

    from voicemill.model.embedded import EmbeddedModel

models = typer.Typer(help="List the embedded models and those that a config names; download.", no_args_is_help=True)
config = typer.Typer(help="Show and check settings.", no_args_is_help=True)

TrainingOption = Annotated[bool, typer.Option("--training", help="A training config instead of one of a refresh")]


def demo(
    folder: Annotated[str, typer.Argument(help="Folder for the demo; must be new or empty")] = "demo",
) -> None:
    """Synthesise a small corpus and refresh it three times.

    First everything is new, then one upload is added, then a setting changes.
    """
    from voicemill.flows.demo import demo as demonstration

    demonstration.run(Path(folder))


def demo_corpus(
    inbox: Annotated[Path, typer.Option(help="Folder of the inbox; one that this command began is continued")],
    hours: Annotated[float, typer.Option(min=0.001, help="Speech to make, hours")] = 1.0,
    teacher: Annotated[Literal["piper"], typer.Option(help="Neural voice that speaks")] = "piper",
    noise: Annotated[float, typer.Option(min=0, max=1, help="Variation of its sound; Piper's own is 0.667")] = 0.333,
    rhythm: Annotated[float, typer.Option(min=0, max=1, help="Variation of its durations; Piper's own is 0.8")] = 0.333,
    seed: Annotated[int, typer.Option(help="Seed of the sentences")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Fill an inbox with speech of a neural voice.

    Sentences with transcripts, a corpus to train a small voice on: `voicemill refresh`, then `voicemill train --config
    light --speaker joe`.
    """
    import torch

    from voicemill.flows.demo.taught import SPEAKER, teach
    from voicemill.flows.demo.teacher import Teacher
    from voicemill.flows.display.terminal import say

    began = time.perf_counter()
    made = teach(inbox, hours, Teacher(torch.get_num_threads(), noise, rhythm), seed)
    took = time.perf_counter() - began
    if as_json:
        print_json({"inbox": str(inbox), "speaker": SPEAKER, "teacher": teacher, **asdict(made), "wall_s": took})
        return
    speech = f"{made.seconds / 3600:.2f} h of speech, {made.recordings:,} recordings"
    say(f": {speech}, {made.spoken_now:,} of them spoken now, in {took:.0f} s", str(inbox), "bold green")


def doctor(
    store: Annotated[str | None, typer.Option(help="Folder of a store: all its files are checked too")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that this machine can run voicemill.

    Packages, embedded models, cores, memory, disk, server and store. Exit status 1: a check failed; its line says what
    fixes it.
    """
    from voicemill.flows.display.terminal import console
    from voicemill.flows.service import checks

    results = []
    for check in checks.run_checks(Path(store) if store else None):
        results.append(check)
        if not as_json:
            mark = "[green]ok[/]  " if check.fine else "[red]fail[/]"
            console.print(f"{mark} {check.name:<22} {check.found}")
            if not check.fine:
                console.print(f"     {check.mend}")
    if as_json:
        print_json([asdict(check) for check in results])
    sys.exit(0 if all(check.fine for check in results) else 1)


@models.command("list")
def list_models(config: ConfigOption = "default", as_json: JsonOption = False) -> None:
    """List the embedded models, and the models that a config names.

    Embedded models come with the installation; each is shown with its task, licence, origin, wheel, size and digest.
    """
    from voicemill.flows.display.terminal import say, table
    from voicemill.model import hub
    from voicemill.model.embedded import EMBEDDED
    from voicemill.storage.errors import ModelMissing

    rows, settings = [], dict[str, list[str]]()
    for setting, name in _models_of(config):
        if name.startswith(PREFIX):
            settings.setdefault(name.removeprefix(PREFIX), []).append(setting)
            continue
        try:
            rows.append((setting, name, str(hub.resolve(name, setting))))
        except ModelMissing:
            rows.append((setting, name, ""))
    embedded = [_embedded_row(model, settings.get(model.name, [])) for model in EMBEDDED.values()]
    if as_json:
        print_json({"embedded": embedded, "named": [{"setting": s, "model": m, "path": p or None} for s, m, p in rows]})
        return
    columns = ("model", "licence", "MB", "digest", "state")
    shown = [(r["name"], r["licence"], r["size"] / 1e6, r["digest"][:12], r["state"]) for r in embedded]
    table("embedded models: they come with the installation", columns, shown)
    for row in embedded:
        say(f": {row['task']}; wheel {row['wheel']}; by {row['origin']}", row["name"], "bold")
    for row in (row for row in embedded if row["state"] != "installed"):
        say(f": {row['install']}", f"install {row['name']}", "yellow")
    say("")
    if rows:
        table(
            f"models of config {config!r}", ("setting", "model", "path"), [(s, m, p or "missing") for s, m, p in rows]
        )
        if not all(path for _, _, path in rows):
            say(f"download the missing ones: voicemill models fetch --config {config}")
    else:
        say(f"config {config!r} names no other model: all that it uses came with the installation")


def _embedded_row(model: "EmbeddedModel", settings: list[str]) -> dict[str, Any]:
    """One embedded model; `settings`: the settings of the config that name it."""
    described = asdict(model)
    del described["package"], described["files"]
    return described | {
        "digest": model.digest,
        "settings": settings,
        "state": "installed" if model.is_installed else "missing",
        "install": model.install_command,
    }


@models.command("fetch")
def fetch_models(
    names: Annotated[
        list[str] | None, typer.Argument(help="Hub ids (org/name). Default: the models of --config")
    ] = None,
    config: ConfigOption = "production",
) -> None:
    """Download models; no other command uses the network.

    An interrupted download resumes. Files whose digest is not that of the hub are refused.
    """
    from voicemill.flows.display.terminal import say
    from voicemill.model import hub
    from voicemill.model.embedded import model_of

    requested = [("model", name) for name in names] if names else _models_of(config)
    for setting, name in requested:
        if name.startswith(PREFIX):
            model = model_of(name, setting)
            state = "is installed" if model.is_installed else f"comes by: {model.install_command}"
            say(f"{setting} = {name!r}: an embedded model, which {state}")
        else:
            say(f"{setting} = {name!r}: {hub.fetch(name)}")


def _models_of(config: str) -> list[tuple[str, str]]:
    """Setting and name of every model that a config names."""
    from voicemill.tasks.config import load, named_models

    return named_models(load(config))


@config.command("show")
def show_config(
    config: ConfigOption = "default", training: TrainingOption = False, as_json: JsonOption = False
) -> None:
    """Print every setting with its help, as TOML.

    The output is a config that --config reads back.
    """
    settings = _load(config, training)
    print(settings.model_dump_json(indent=2) if as_json else as_toml(settings))


@config.command("check")
def check_config(
    config: Annotated[str, typer.Argument(help="TOML file, or a shipped config")] = "default",
    training: TrainingOption = False,
) -> None:
    """Check a config: names, ranges, contradictions, models."""
    from voicemill.flows.display.terminal import say
    from voicemill.tasks.recipe import Recipe

    settings = _load(config, training)
    if training:
        say(f"{config}: valid; phases {', '.join(settings.phases)}")
    else:
        say(f"{config}: valid; recipe {Recipe(settings).id[:16]}")


def _load(config: str, training: bool) -> Any:
    from voicemill.model.settings import training as settings
    from voicemill.tasks.config import load

    return settings.load(config) if training else load(config)


def as_toml(settings: "BaseModel") -> str:
    """Settings as TOML that reads back to the same settings: each value under its help, one table after the other."""
    return "\n".join(_table(settings, "")).lstrip("\n")


def _table(settings: "BaseModel", name: str, description: str = "") -> Iterator[str]:
    """Lines of one table, plain values first: in TOML all that follows the head of a subtable belongs to it."""
    from pydantic import BaseModel

    if name:
        yield from (f"# {line}" for line in description.splitlines())
        yield f"[{name}]"
    tables: dict[str, BaseModel] = {}
    helps: dict[str, str] = {}
    for field, info in type(settings).model_fields.items():
        value, path = getattr(settings, field), f"{name}.{field}" if name else field
        if isinstance(value, BaseModel):
            tables[path], helps[path] = value, info.description or ""
        elif isinstance(value, dict) and any(isinstance(item, BaseModel) for item in value.values()):
            tables |= {f"{path}.{json.dumps(key)}": item for key, item in value.items()}
        else:
            yield from (f"# {line}" for line in (info.description or "").splitlines())
            yield f"{field} = {_literal(value)}" if value is not None else f"# {field} is not set"
    yield ""
    for path, table in tables.items():
        yield from _table(table, path, helps.get(path, ""))


def _literal(value: Any) -> str:
    """A value in TOML, whose literals are those of JSON, except for tables."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_literal(item)}" for key, item in value.items()) + "}"
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)

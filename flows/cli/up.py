"""Commands that keep a store fresh by itself: up, down, upload, watch."""

import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicemill.flows.cli.options import (
    ConfigOption,
    ConsentOption,
    InboxOption,
    JsonOption,
    StoreOption,
    TrainingConfigOption,
)

if TYPE_CHECKING:
    from voicemill.flows.service.up import State
    from voicemill.storage.inbox.inbox import Inbox


def up(
    store: StoreOption,
    inbox: InboxOption,
    config: ConfigOption = "default",
    training_config: TrainingConfigOption = "default",
    phase: Annotated[list[str] | None, typer.Option(help="Phase of the training config; repeatable, in order.")] = None,
    speaker: Annotated[
        list[str] | None, typer.Option(help="Whose voice is trained; repeatable. Everybody's if left out.")
    ] = None,
    assume_consent: ConsentOption = "",
    as_json: JsonOption = False,
) -> None:
    """Start all that keeps a store fresh on this machine: server, schedules, workers, watcher. Ended by `down`."""
    from voicemill.flows.service import up as up_
    from voicemill.model.settings.training import load as load_training
    from voicemill.storage.errors import ConfigError
    from voicemill.storage.inbox.inbox import Inbox
    from voicemill.storage.store import Store
    from voicemill.tasks.config import load

    _ = load(config).models  # what is missing or wrong is said now, not in the log of a run at night
    training = load_training(training_config)
    if unknown := [name for name in phase or () if name not in training.phases]:
        raise ConfigError(f"--phase {unknown[0]} is none of {', '.join(training.phases)} ({training_config})")
    opened = Store.open(store, create=True)
    settings = up_.UpSettings(
        store=str(opened.root),
        inbox=Inbox(inbox).url,
        config=_absolute(config),
        consent=assume_consent,
        training=_absolute(training_config),
        phases=tuple(phase or ()),
        speakers=tuple(speaker or ()),
    )
    state = up_.up(opened, settings, lambda words: None if as_json else print(words, file=sys.stderr))
    if as_json:
        print(json.dumps(asdict(state), ensure_ascii=False))
    else:
        show(state, store, inbox)


def _absolute(config: str) -> str:
    """A config file by its whole path: a run works in a folder of its own."""
    return str(Path(config).resolve()) if Path(config).suffix == ".toml" else config


def show(state: "State", store: str, inbox: str) -> None:
    """One screen: what is where, what starts when, how to go on."""
    from voicemill.flows.display.terminal import say, table
    from voicemill.flows.service.up import log_of
    from voicemill.storage.store import Store

    opened = Store.open(store)
    say(f"{state.url}/v2/runs", "dashboard  ", "bold")
    say("")
    rows = [(d["name"], d["pool"], d["starts"], d["next"] or "on the event") for d in state.deployments]
    table("what starts by itself", ("deployment", "pool", "starts on", "next run"), rows)
    names = ["supervisor", *state.children, *([] if "PREFECT_API_URL" in os.environ else ["server"])]
    files = [
        (n, state.children.get(n, ""), state.restarts.get(n, 0), os.path.relpath(log_of(opened, n))) for n in names
    ]
    table("processes", ("process", "id", "restarts", "log"), files)
    at = f"--store {shlex.quote(store)}"
    say(f"voicemill upload FILES --speaker NAME --inbox {shlex.quote(inbox)} {at}", "upload   ")
    say(f"voicemill versions {at}", "corpora  ")
    say(f"voicemill down {at}", "end      ")


def down(store: StoreOption) -> None:
    """End what `up` started. Runs in progress are cancelled; the next ones take up what they had done."""
    from voicemill.flows.service import up as up_
    from voicemill.storage.store import Store

    count = up_.down(Store.open(store))
    print(f"ended {count} processes" if count else f"nothing of {store} was up")


def upload(
    files: Annotated[list[Path], typer.Argument(help="Audio files; transcripts beside them (.txt, .lab) come along.")],
    speaker: Annotated[str, typer.Option(help="Whose voice it is.")],
    inbox: InboxOption,
    store: Annotated[str | None, typer.Option(help="Folder of the store, to find what `up` started.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy recordings into the inbox, each whole or not at all, and tell the server, which refreshes the corpus."""
    from voicemill.storage.inbox.arrivals import bring
    from voicemill.storage.inbox.inbox import Inbox

    box = Inbox(inbox)
    arrivals = []
    for arrival in bring(files, box, speaker):
        arrivals.append(arrival)
        if not as_json:
            words = f"  ({arrival.detail})" if arrival.detail else ""
            text = "  with its transcript" if arrival.transcript else ""
            print(f"{arrival.outcome:<8} {arrival.path or arrival.source}{text}{words}", flush=True)
    new = [arrival for arrival in arrivals if arrival.outcome == "new"]
    told, next_ = "", "nothing new: nothing to do"
    if new:
        told, next_ = _tell(box, inbox, store, len(new), sum(arrival.size for arrival in new) / 1e6)
    held = _held(box, speaker, store) if new else ""
    refused = [arrival for arrival in arrivals if arrival.outcome == "refused"]
    if as_json:
        found = {"files": [asdict(arrival) for arrival in arrivals], "told": told, "next": next_, "held": held}
        print(json.dumps(found, ensure_ascii=False))
    else:
        print(
            f"{len(new)} new, {len(arrivals) - len(new) - len(refused)} there before, {len(refused)} refused: {next_}"
        )
        if held:
            print(held)
    sys.exit(1 if refused else 0)


def _tell(box: "Inbox", inbox: str, store: str | None, files: int, megabytes: float) -> tuple[str, str]:
    """Send the event; the server's address and what happens next."""
    from voicemill.flows import events
    from voicemill.storage.errors import ServerError

    where = f"--inbox {shlex.quote(inbox)} --store {shlex.quote(store or 'STORE')}"
    url, warning = server_of(store, box.url)
    if not url:
        return "", f"no server was told{warning}. Next: voicemill refresh {where}, or voicemill up {where}"
    try:
        events.uploads_arrived(box, files, megabytes)
    except ServerError as error:
        return "", f"{error}. The files are there; next: voicemill refresh {where}"
    return url, f"told {url}; a refresh starts when no other upload has come for 10 s{warning}"


def server_of(store: str | None, inbox: str) -> tuple[str, str]:
    """The server that starts refreshes, with this process set up as its client; and what the user should know.

    That of PREFECT_API_URL, or the private one that `voicemill up` holds for the store. "" = none.
    """
    from voicemill.flows.service.server import private_settings
    from voicemill.flows.service.up import read, supervisor
    from voicemill.storage.store import Store

    os.environ.update({"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL", "DO_NOT_TRACK": "1"})
    if url := os.environ.get("PREFECT_API_URL"):
        return url.removesuffix("/api"), ""
    if store is None:
        return "", " (give --store, or PREFECT_API_URL)"
    opened = Store.open(store)
    state = read(opened) if supervisor(opened) else None
    if state is None or not state.url:
        return "", f" ({store} is not up)"
    port = int(state.url.rpartition(":")[2])
    os.environ.update(private_settings(opened, port))
    other = state.settings.inbox
    return state.url, "" if other == inbox else f". But it refreshes from {other}, not from {inbox}"


def _held(box: "Inbox", speaker: str, store: str | None) -> str:
    """What to do where no consent is on record."""
    from voicemill.storage.inbox import consent
    from voicemill.storage.inbox.consent import CONSENTS
    from voicemill.storage.inbox.transcripts import decode_text
    from voicemill.storage.store import Store

    if store is None:
        return ""
    table = box.root / CONSENTS
    try:
        text = decode_text(table.read_bytes()) if table.exists() else None
    except (OSError, ValueError):
        text = None
    opened = Store.open(store)
    from voicemill.flows.service.up import read

    state = read(opened)
    if consent.load(opened, text).of(speaker, state.settings.consent if state else "").granted:
        return ""
    words = f"voicemill consent grant --speaker {shlex.quote(speaker)} --store {shlex.quote(store)}"
    return f"no consent of {speaker!r} is on record, so the uploads will be held. With it: {words}"


def watch(
    inbox: InboxOption,
    store: Annotated[str | None, typer.Option(help="Folder of the store, to find what `up` started.")] = None,
    settle: Annotated[float, typer.Option(help="Seconds that a file must stay the same.")] = 5.0,
) -> None:
    """Tell the server of files that others put into the inbox, once they have settled. `up` runs it."""
    from voicemill.flows import events
    from voicemill.flows.service import watch as watch_
    from voicemill.storage.errors import ServerError
    from voicemill.storage.inbox.inbox import Inbox
    from voicemill.storage.store import Store

    box = Inbox(inbox)
    url, warning = server_of(store, box.url)
    if not url:
        raise ServerError(f"there is no server to tell{warning}")
    memory = watch_.memory_of(box, Store.open(store).prefect if store else None)
    print(f"watching {box.url} for {url}{warning}", flush=True)
    watcher = watch_.Watcher(box.url, memory, settle=settle)
    watch_.watch(watcher, events.uploads_arrived, lambda words: print(words, flush=True))


def add_to(app: typer.Typer) -> None:
    """The commands, in the order of the help."""
    for command in (up, down, upload, watch):
        app.command()(command)

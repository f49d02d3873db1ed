"""Commands that keep a store fresh by themselves: up, down, upload, watch; and the dashboard."""

import os
import shlex
import signal
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
    OpenOption,
    OwnerOption,
    PhaseOption,
    ServedStoreOption,
    StoreOption,
    TargetOption,
    TrainingConfigOption,
)
from voicemill.flows.cli.running import open_store, print_json

if TYPE_CHECKING:
    from voicemill.flows.service.up import State
    from voicemill.storage.inbox.inbox import Inbox


def up(
    store: StoreOption,
    inbox: InboxOption,
    config: ConfigOption = "default",
    training_config: TrainingConfigOption = "default",
    phase: PhaseOption = None,
    speaker: TargetOption = None,
    assume_consent: ConsentOption = "",
    schedule: Annotated[str, typer.Option(help="Cron line of the refresh. Default: the first of each month at 3")] = "",
    timezone: Annotated[str, typer.Option(help="Time zone of the schedules, by name. Default: this machine's")] = "",
    as_json: JsonOption = False,
    foreground: Annotated[
        bool, typer.Option(help="Stay until all is down, and stop it all on SIGTERM: for systemd and containers")
    ] = False,
) -> None:
    """Start server, schedules, workers and watcher of a store.

    They refresh the corpus every month and on every upload, and train, judge and distil voices. One supervisor restarts
    what dies; `voicemill down` stops it all.
    """
    from voicemill.flows.service import up as service
    from voicemill.model.settings.training import load as load_training
    from voicemill.storage.errors import ConfigError
    from voicemill.storage.inbox.inbox import Inbox
    from voicemill.tasks.config import load

    _ = load(config).models  # wrong or missing input fails here, not in the log of a run at night
    training = load_training(training_config)
    if unknown := [name for name in phase or () if name not in training.phases]:
        raise ConfigError(f"--phase {unknown[0]}: expected one of {', '.join(training.phases)} ({training_config})")
    cron, zone = service.checked_schedule(schedule, timezone)
    opened = open_store(store, create=True)
    settings = service.UpSettings(
        store=str(opened.root),
        inbox=Inbox(inbox).url,
        config=_absolute(config),
        consent=assume_consent,
        training=_absolute(training_config),
        phases=tuple(phase or ()),
        speakers=tuple(speaker or ()),
        schedule=cron,
        timezone=zone,
    )
    state = service.up(opened, settings, lambda words: None if as_json else print(words, file=sys.stderr))
    if as_json:
        print_json(asdict(state))
    else:
        _show_state(state, store, inbox)
    if foreground:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            service.hold(opened)
        except (KeyboardInterrupt, SystemExit):
            service.down(opened)


def _absolute(config: str) -> str:
    """A config file by its absolute path: a run works in another folder."""
    return str(Path(config).resolve()) if Path(config).suffix == ".toml" else config


def _show_state(state: "State", store: str, inbox: str) -> None:
    """Print what runs where, what starts when, and the next commands."""
    from voicemill.flows.display.terminal import say, table
    from voicemill.flows.service.up import log_of

    opened = open_store(store)
    say(f"{state.url}/v2/runs", "dashboard  ", "bold")
    say("")
    rows = [(d["name"], d["pool"], d["starts"], d["next"] or "on the event") for d in state.deployments]
    table("what starts by itself", ("deployment", "pool", "starts on", "next run"), rows)
    names = ["supervisor", *state.children, *([] if "PREFECT_API_URL" in os.environ else ["server"])]
    processes = [(n, state.children.get(n, ""), state.restarts.get(n, 0), log_of(opened, n).name) for n in names]
    table(f"processes; logs in {os.path.relpath(opened.prefect)}", ("process", "id", "restarts", "log"), processes)
    where = f"--store {shlex.quote(store)}"
    say(f"voicemill upload FILES --speaker NAME --inbox {shlex.quote(inbox)} {where}", "upload   ")
    say(f"voicemill versions {where}", "corpora  ")
    say(f"voicemill down {where}", "stop     ")


def down(store: StoreOption) -> None:
    """Stop what `up` started.

    Runs in progress are cancelled; the next refresh or training resumes from what they had done.
    """
    from voicemill.flows.service import up as service

    count = service.down(open_store(store))
    print(f"stopped {count} processes" if count else f"nothing was running for {store}")


def upload(
    files: Annotated[
        list[Path],
        typer.Argument(help="Audio files; transcripts and turns beside them (.txt, .lab, .rttm) are copied too"),
    ],
    speaker: OwnerOption,
    inbox: InboxOption,
    store: ServedStoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy recordings into the inbox; a refresh follows.

    Each file is copied whole or not at all. The server is notified and starts the refresh. Exit status 1: a file was
    refused.
    """
    from voicemill.storage.inbox.arrivals import bring_uploads
    from voicemill.storage.inbox.inbox import Inbox

    box = Inbox(inbox)
    arrivals = []
    for arrival in bring_uploads(files, box, speaker):
        arrivals.append(arrival)
        if not as_json:
            detail = f"  ({arrival.detail})" if arrival.detail else ""
            text = "  with its transcript" if arrival.transcript else ""
            print(f"{arrival.outcome:<8} {arrival.path or arrival.source}{text}{detail}", flush=True)
    new = [arrival for arrival in arrivals if arrival.outcome == "new"]
    server, next_step = "", "nothing new: nothing to do"
    if new:
        server, next_step = _notify(box, inbox, store, len(new), sum(arrival.size for arrival in new) / 1e6)
    held = _held_notice(box, speaker, store) if new else ""
    refused = [arrival for arrival in arrivals if arrival.outcome == "refused"]
    if as_json:
        files_ = [asdict(arrival) for arrival in arrivals]
        print_json({"files": files_, "told": server, "next": next_step, "held": held})
    else:
        present = len(arrivals) - len(new) - len(refused)
        print(f"{len(new)} new, {present} already present, {len(refused)} refused: {next_step}")
        if held:
            print(held)
    sys.exit(1 if refused else 0)


def _notify(box: "Inbox", inbox: str, store: str | None, files: int, megabytes: float) -> tuple[str, str]:
    """Send the event; returns the server's address ("" = none was notified) and the next step, for the user."""
    from voicemill.flows import events
    from voicemill.storage.errors import ServerError

    where = f"--inbox {shlex.quote(inbox)} --store {shlex.quote(store or 'STORE')}"
    url, warning = _server_of(store, box.url)
    if not url:
        return "", f"no server was notified{warning}. Next: voicemill refresh {where}, or voicemill up {where}"
    try:
        events.uploads_arrived(box, files, megabytes)
    except ServerError as error:
        return "", f"{error}. The files are in the inbox; next: voicemill refresh {where}"
    return url, f"notified {url}; a refresh starts 10 s after the last upload{warning}"


def _server_of(store: str | None, inbox: str) -> tuple[str, str]:
    """Make this process a client of the server that starts refreshes; returns its address and a warning.

    The server is that of PREFECT_API_URL, or the private one that `voicemill up` holds for the store; "" = none.
    """
    from voicemill.flows.service.access import private_settings
    from voicemill.flows.service.up import read_state, supervisor_pid

    os.environ.update({"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL", "DO_NOT_TRACK": "1"})
    if url := os.environ.get("PREFECT_API_URL"):
        return url.removesuffix("/api"), ""
    if store is None:
        return "", " (give --store, or set PREFECT_API_URL)"
    opened = open_store(store)
    state = read_state(opened) if supervisor_pid(opened) else None
    if state is None or not state.url:
        return "", f" ({store} is not up)"
    port = int(state.url.rpartition(":")[2])
    os.environ.update(private_settings(opened, port))
    other = state.settings.inbox
    return state.url, "" if other == inbox else f". But it refreshes from {other}, not from {inbox}"


def _held_notice(box: "Inbox", speaker: str, store: str | None) -> str:
    """The command that records the speaker's consent, if none is on record, or why that is not known; else ""."""
    from voicemill.flows.service.up import read_state
    from voicemill.storage.errors import ConfigError
    from voicemill.storage.inbox import consent

    if store is None:
        return ""
    opened = open_store(store)
    state = read_state(opened)
    try:
        consents = consent.consents_of(box, box.listing(), opened, {speaker})
    except ConfigError as error:
        return str(error)
    if consents.of(speaker, state.settings.consent if state else "").granted:
        return ""
    command = f"voicemill consent grant --speaker {shlex.quote(speaker)} --store {shlex.quote(store)}"
    return f"no consent of {speaker!r} is on record, so the uploads will be held. To record it: {command}"


def watch(
    inbox: InboxOption,
    store: ServedStoreOption = None,
    settle: Annotated[float, typer.Option(help="Seconds that a file must stay unchanged")] = 5.0,
) -> None:
    """Notify the server of files that others put into the inbox.

    Files are announced once they no longer change. `voicemill up` runs this command.
    """
    from voicemill.flows import events
    from voicemill.flows.service import watch as watching
    from voicemill.storage.errors import ServerError
    from voicemill.storage.inbox.inbox import Inbox

    box = Inbox(inbox)
    url, warning = _server_of(store, box.url)
    if not url:
        raise ServerError(f"no server to notify{warning}")
    memory = watching.memory_of(box, open_store(store).prefect if store else None)
    print(f"watching {box.url} for {url}{warning}", flush=True)
    watcher = watching.Watcher(box.url, memory, settle=settle)
    watching.watch(watcher, events.uploads_arrived, lambda words: print(words, flush=True))


def dashboard(store: StoreOption, show: OpenOption = False) -> None:
    """Serve the Prefect dashboard of a store until Ctrl-C.

    The page asks for a password, which is the content of `STORE/prefect/.secret`; --open enters it.
    """
    import threading
    import webbrowser

    from voicemill.flows.display.terminal import say
    from voicemill.flows.service.access import entry_page, secret_file
    from voicemill.flows.service.client import prefect_api

    opened = open_store(store)
    with prefect_api(opened) as url, entry_page(opened, url) as page:
        say(f"{url}/v2/runs   (Ctrl-C stops)")
        if page is not None:
            say(f"password: the content of {secret_file(opened)}; with --open this command enters it")
        if show:
            webbrowser.open(page.as_uri() if page is not None else f"{url}/v2/runs")
        threading.Event().wait()

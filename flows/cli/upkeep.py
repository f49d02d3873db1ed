"""Commands that watch over a store: its status on one screen, and the reconciler, which also tells what went wrong."""

import os
import shlex
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from voicemill.flows.cli.options import JsonOption, ServedStoreOption, StoreOption
from voicemill.flows.cli.running import open_store, print_json

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from voicemill.flows.service.status import StoreStatus


def reconcile(
    store: ServedStoreOption = None,
    config: Annotated[
        str, typer.Option(help="Config whose section [notify] is used. Default: that of `up`, else the shipped one")
    ] = "",
    every: Annotated[
        float, typer.Option(help="Seconds between two looks; 0 = look once", envvar="VOICEMILL_RECONCILE_EVERY")
    ] = 10.0,
    attempts: Annotated[
        int, typer.Option(help="Most runs of the same work, the first included", envvar="VOICEMILL_RECONCILE_ATTEMPTS")
    ] = 4,
    pending: Annotated[
        float, typer.Option(help="Age of a dead PENDING run, s; 0 = automatic", envvar="VOICEMILL_RECONCILE_PENDING")
    ] = 0.0,
) -> None:
    """Close dead flow runs, and start anew each that crashed.

    For the server of PREFECT_API_URL. `voicemill up` runs this command. A PENDING run is dead after 600 s, and where
    the reconciler sees that it has no process, after 60 s. With --store it also writes notices of what went wrong.
    """
    from voicemill.flows.service.notices.lookout import look_out
    from voicemill.flows.service.recovery import reconcile as recovery
    from voicemill.flows.service.up import POOLS, read_state
    from voicemill.storage.errors import ServerError
    from voicemill.tasks.config import load

    opened = open_store(store) if store else None
    if "PREFECT_API_URL" not in os.environ:
        raise ServerError("PREFECT_API_URL is not set: a store that is up has a reconciler already (voicemill up)")
    private = opened if opened is not None and recovery.is_private(opened) else None
    policy = recovery.policy_for(private, attempts, pending)
    state = read_state(opened) if opened is not None else None
    notify = load(config or (state.settings.config if state else "default")).notify

    def look(client: "SyncPrefectClient") -> Iterator[str]:
        if private is not None:
            yield from recovery.look_at_server(client, private)
        yield from recovery.reconcile(client, policy, tuple(POOLS), private)
        if opened is not None:
            yield from look_out(client, opened, notify, tuple(POOLS))

    recovery.watch(look, lambda words: print(words, flush=True), every or None)


def status(store: StoreOption, as_json: JsonOption = False) -> None:
    """Show on one screen how a store is: what waits for a person, what went wrong, runs, corpus and voices.

    Exit status 0 whatever it shows; a store that is not up has no runs to show.
    """
    from voicemill.flows.service.status import read_status

    found = read_status(open_store(store))
    if as_json:
        print_json(asdict(found))
    else:
        _show(replace(found, store=store))


def _show(found: "StoreStatus") -> None:
    from voicemill.flows.display.terminal import console, say, table

    where = f"--store {shlex.quote(found.store)}"
    for notice in found.notices:
        say(f": {notice.text}  ({notice.when})", notice.kind.upper(), "bold red")
    for line in found.waiting:
        say(f": {line}", "waits for you", "yellow")
    if found.notices or found.waiting:
        console.print()
    if found.url:
        processes = ", ".join(
            f"{name} ({count} restarts)" if (count := found.restarts.get(name, 0)) else name for name in found.processes
        )
        say(f"{found.url}/v2/runs{'; processes: ' if processes else ''}{processes}", "server   ", "bold")
    else:
        say(f"none runs; start it with: voicemill up {where} --inbox INBOX", "server   ", "bold")
    if found.version:
        say(
            f"version {found.version} of {found.created}: {found.speakers} speakers, {found.utterances} utterances, "
            f"{found.hours:.2f} h kept",
            "corpus   ",
            "bold",
        )
    else:
        say("no version yet", "corpus   ", "bold")
    console.print()
    if found.deployments:
        rows = [(d.name, d.starts, d.last or "never ran", d.next or "on the event") for d in found.deployments]
        table("runs", ("deployment", "starts on", "last run", "next run"), rows)
    if found.voices:
        voices = [(v.name, v.entries, v.champions or "none", v.candidates) for v in found.voices]
        table("voices", ("voice", "entries", "champions", "candidates"), voices)

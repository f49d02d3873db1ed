"""Commands that watch over a store: status, answers to runs, and the reconciler, which also tells what went wrong."""

import os
import shlex
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voicemill.flows.cli.options import JsonOption, ServedStoreOption, StoreOption
from voicemill.flows.cli.running import checked, open_store, print_json

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
    from voicemill.flows.service.access import is_private
    from voicemill.flows.service.notices.lookout import look_out
    from voicemill.flows.service.recovery import reconcile as recovery
    from voicemill.flows.service.up import POOLS, read_state
    from voicemill.storage.errors import ServerError
    from voicemill.tasks.config import load

    opened = open_store(store) if store else None
    if "PREFECT_API_URL" not in os.environ:
        raise ServerError("PREFECT_API_URL is not set: a store that is up has a reconciler already (voicemill up)")
    private = opened if opened is not None and is_private(opened.root) else None
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
    """Show what waits for a person, what went wrong, and the runs.

    One screen, with the corpus and the voices. Exit status 0 whatever it shows; a store that is not up shows no runs.
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


def answer(
    decision: Annotated[Literal["yes", "no"], typer.Argument(help="yes: the run goes on all the same; no: it ends")],
    store: StoreOption,
    why: Annotated[str, typer.Option(help="Reason, which is recorded with your user name")],
    run: Annotated[str, typer.Option(help="Id of the flow run. Default: the only one that asks")] = "",
) -> None:
    """Answer the question of a run that waits for a person.

    The run then starts again, on a worker of `voicemill up`, and goes on from what it had done.
    """
    from voicemill.flows.display.terminal import say
    from voicemill.flows.plans.options import user_name
    from voicemill.flows.service.client import prefect_api
    from voicemill.storage.errors import ConfigError

    with prefect_api(open_store(store)):
        from prefect.client.orchestration import get_client

        from voicemill.flows.service.notices.questions import Answer, give, open_questions

        with get_client(sync_client=True) as client:
            questions = [q for q in open_questions(client) if q.text and (not run or q.run == run)]
            if len(questions) != 1:
                listed = "".join(f"\n  --run {q.run}: {q.deployment} asks: {q.text}" for q in questions)
                which = f"run {run} asks nothing" if run else "no run asks anything"
                raise ConfigError(f"{len(questions)} runs wait for an answer: name one{listed}" if questions else which)
            give(client, questions[0].run, checked(Answer, answer=decision, who=user_name(), why=why))
    say(f"{questions[0].name}: {'goes on' if decision == 'yes' else 'ends'}", "answered: ", "green")

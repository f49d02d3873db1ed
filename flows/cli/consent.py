"""Commands about the use of a person's voice: consent, and forgetting a speaker."""

import json
import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from voicemill.flows.cli.options import JsonOption, OwnerOption, StoreOption
from voicemill.flows.cli.running import open_store, print_json

consent = typer.Typer(help="Record and list the consent of speakers.", no_args_is_help=True)


@consent.command("grant")
def grant(
    speaker: OwnerOption,
    store: StoreOption,
    note: Annotated[str, typer.Option(help="Where the consent is documented")] = "",
) -> None:
    """Record that a speaker allows the use of their voice.

    The next refresh prepares the speaker's uploads.
    """
    _record(store, speaker, "grant", note)
    print(f"consent of {speaker!r} recorded; the next refresh prepares the uploads")


@consent.command("withdraw")
def withdraw(
    speaker: OwnerOption,
    store: StoreOption,
    note: Annotated[str, typer.Option(help="Reason, or who asked for it")] = "",
) -> None:
    """Record that a speaker no longer allows the use of their voice.

    The next corpus version leaves the speaker out; `voicemill forget` erases what is stored.
    """
    _record(store, speaker, "withdraw", note)
    print(f"withdrawal of {speaker!r} recorded; the next corpus version leaves the speaker out")
    print(f"to erase what is stored: voicemill forget --speaker {shlex.quote(speaker)} --store {shlex.quote(store)}")


def _record(store: str, speaker: str, action: Literal["grant", "withdraw"], note: str) -> None:
    from voicemill.storage.inbox import consent as records

    records.append_record(open_store(store, create=True), speaker, action, time=_now(), note=note)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@consent.command("list")
def list_consents(store: StoreOption, as_json: JsonOption = False) -> None:
    """List the records of `grant` and `withdraw`, oldest first."""
    from voicemill.flows.display.terminal import table
    from voicemill.storage.inbox import consent as records

    history = records.recorded_consents(open_store(store))
    if as_json:
        print_json([asdict(record) for record in history])
    else:
        rows = [(r.time, r.speaker, "granted" if r.granted else "withdrawn", r.note) for r in history]
        table("consents", ("time", "speaker", "consent", "note"), rows)


def forget(
    speaker: OwnerOption,
    store: StoreOption,
    inbox: Annotated[str | None, typer.Option(help="Inbox folder in which the speaker's files are erased too")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation")] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase a speaker everywhere; retire the voices trained on them.

    Rows and bytes go from every table, retained version, stage cache and report. The receipt lists what was erased and
    which corpus versions and voices used the speaker.
    """
    from voicemill.flows.display.terminal import console
    from voicemill.storage.forgetting.forget import forget_speaker

    opened = open_store(store)
    if not yes:
        where = f"{store} and {inbox}" if inbox else store
        typer.confirm(f"Erase everything of speaker {speaker!r} in {where}? This cannot be undone.", abort=True)
    receipt = forget_speaker(opened, speaker, inbox=Path(inbox) if inbox else None, created=_now())
    if as_json:
        print_json(asdict(receipt))
    else:
        console.print_json(json.dumps(asdict(receipt), ensure_ascii=False))

"""Commands about whose voice may be used: consent, and forgetting."""

import json
import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from voicemill.flows.cli.options import JsonOption, StoreOption

consent = typer.Typer(help="Who allowed the use of their voice.", no_args_is_help=True)

SpeakerOption = Annotated[str, typer.Option(help="Whose voice it is.")]


@consent.command("grant")
def grant(
    speaker: SpeakerOption,
    store: StoreOption,
    note: Annotated[str, typer.Option(help="Where it is written down.")] = "",
) -> None:
    """Record that a speaker allows the use; the next refresh takes the uploads in."""
    _record(store, speaker, "grant", note)
    print(f"consent of {speaker!r} recorded: the next refresh takes the uploads in")


@consent.command("withdraw")
def withdraw(
    speaker: SpeakerOption, store: StoreOption, note: Annotated[str, typer.Option(help="Why, or on whose word.")] = ""
) -> None:
    """Record that a speaker no longer allows the use; the next version leaves the speaker out."""
    _record(store, speaker, "withdraw", note)
    print(f"withdrawal of {speaker!r} recorded: the next refresh leaves the speaker out")
    print(f"to erase what is stored: voicemill forget --speaker {shlex.quote(speaker)} --store {shlex.quote(store)}")


def _record(store: str, speaker: str, action: Literal["grant", "withdraw"], note: str) -> None:
    from voicemill.storage.inbox import consent as consent_
    from voicemill.storage.store import Store

    consent_.append(Store.open(store, create=True), speaker, action, time=_now(), note=note)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@consent.command("list")
def list_consents(store: StoreOption, as_json: JsonOption = False) -> None:
    """List what was recorded by `grant` and `withdraw`, oldest first."""
    from voicemill.flows.display.terminal import table
    from voicemill.storage.inbox import consent as consent_
    from voicemill.storage.store import Store

    found = consent_.history(Store.open(store))
    if as_json:
        print(json.dumps([asdict(record) for record in found], ensure_ascii=False))
    else:
        rows = [(r.time, r.speaker, "granted" if r.granted else "withdrawn", r.note) for r in found]
        table("consents", ("time", "speaker", "consent", "note"), rows)


def forget(
    speaker: SpeakerOption,
    store: StoreOption,
    inbox: Annotated[str | None, typer.Option(help="Erase the speaker's files in this inbox folder too.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase a speaker from every table, version, cache and report; retire the voices that learned from them."""
    from voicemill.flows.display.terminal import console
    from voicemill.storage.forgetting.forget import forget_speaker
    from voicemill.storage.store import Store

    opened = Store.open(store)
    if not yes:
        where = f"{store} and {inbox}" if inbox else store
        typer.confirm(f"Erase everything of speaker {speaker!r} in {where}? This cannot be undone.", abort=True)
    receipt = forget_speaker(opened, speaker, inbox=Path(inbox) if inbox else None, created=_now())
    if as_json:
        print(json.dumps(asdict(receipt), ensure_ascii=False))
    else:
        console.print_json(json.dumps(asdict(receipt), ensure_ascii=False))

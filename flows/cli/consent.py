"""Commands about the use of a person's voice: consent, and forgetting a speaker."""

import json
import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from voicemill.flows.cli.options import JsonOption, OwnerOption, StoreOption
from voicemill.flows.cli.running import open_store, print_json
from voicemill.flows.plans import help_texts

if TYPE_CHECKING:
    from voicemill.storage.store import Store

NOBODY = 3
"""Exit status of a withdrawal that is recorded under a name that nobody has."""
BoxOption = Annotated[str, typer.Option("--inbox", help="Inbox whose speakers are known too; default: that of `up`")]

consent = typer.Typer(help="Record and list the consent of speakers.", no_args_is_help=True)


@consent.command("grant")
def grant(
    store: StoreOption,
    speaker: Annotated[
        list[str] | None, typer.Option(help="Speaker who allows the use: the person recorded; repeatable")
    ] = None,
    all_in: Annotated[
        str, typer.Option("--all-in", help="Inbox: every speaker in it who neither consented nor refused")
    ] = "",
    note: Annotated[str, typer.Option(help="Where the consent is documented")] = "",
    inbox: BoxOption = "",
) -> None:
    """Record that speakers allow the use of their voice.

    The next refresh prepares their uploads. A recorded refusal or withdrawal stays: only its own `--speaker` ends it. A
    name that nobody has yet is recorded too, and the nearest names are offered.
    """
    from voicemill.storage.errors import ConfigError
    from voicemill.storage.inbox.names import speaker_name

    if not speaker and not all_in:
        raise ConfigError("whose consent? Name a speaker with --speaker, or give --all-in INBOX for all speakers in it")
    opened = open_store(store, create=True)
    undecided, refused = _undecided(opened, all_in) if all_in else ([], [])
    names = list(dict.fromkeys([*map(speaker_name, speaker or []), *undecided]))
    for name in names:
        _record(store, name, "grant", note)
    for name in names:
        nobody = "" if name in undecided else _nobody(opened, name, inbox or all_in)
        print(f"consent of {name!r} recorded; {nobody or 'the next refresh prepares the uploads'}")
    for name in (name for name in refused if name not in names):
        print(f"{name!r} has a recorded refusal, which stays; to end it, name the speaker with --speaker")
    if not names:
        print(f"no speaker in {all_in} lacks a record of consent: nothing recorded")


def _undecided(store: "Store", inbox: str) -> tuple[list[str], list[str]]:
    """Speakers of an inbox without any record, and those with a refusal."""
    from voicemill.storage.inbox.consent import NO_RECORD
    from voicemill.tasks.intake.scan import speakers_in

    consents = speakers_in(inbox, store)
    undecided = [name for name, consent in consents.items() if consent == NO_RECORD]
    return undecided, [name for name, consent in consents.items() if consent.withdrawn]


@consent.command("withdraw")
def withdraw(
    speaker: OwnerOption,
    store: StoreOption,
    note: Annotated[str, typer.Option(help="Reason, or who asked for it")] = "",
    inbox: BoxOption = "",
) -> None:
    """Record that a speaker no longer allows the use of their voice.

    The next corpus version leaves the speaker out; `voicemill forget` erases what is stored. A name that nobody has is
    recorded too, since a refusal may come first; where other names are known, the exit status is then 3.
    """
    from voicemill.storage.inbox.names import speaker_name

    speaker = speaker_name(speaker)
    _record(store, speaker, "withdraw", note)
    if nobody := _nobody(open_store(store), speaker, inbox):
        print(f"withdrawal of {speaker!r} recorded; {nobody}")
        print("it holds speakers whose names differ in case only as well; for another one, withdraw that very name")
        raise typer.Exit(NOBODY)
    print(f"withdrawal of {speaker!r} recorded; the next corpus version leaves the speaker out")
    print(f"to erase what is stored: voicemill forget --speaker {shlex.quote(speaker)} --store {shlex.quote(store)}")


def _nobody(store: "Store", speaker: str, inbox: str) -> str:
    """Sentence about a name that none of the speakers known has, with the nearest; "" = it is one, or none is known."""
    from voicemill.flows.service.up import read_state
    from voicemill.storage.errors import InboxError, StoreError
    from voicemill.storage.forgetting.forget import stored_speakers
    from voicemill.storage.inbox.erasure import speakers_of
    from voicemill.storage.inbox.inbox import Inbox
    from voicemill.storage.inbox.names import offer

    try:
        known = stored_speakers(store)
    except (StoreError, OSError):  # damaged, which `check` reports, or changing
        known = set()
    state = None if inbox else read_state(store)
    if box := inbox or (state.settings.inbox if state else ""):
        try:
            known |= speakers_of(Inbox(box))
        except InboxError:
            if inbox:
                raise
    if speaker in known or not known:
        return ""
    where = f"{store.root}{f' or {box}' if box else ''}"
    return f"nobody in {where} is called {speaker!r} yet{offer(speaker, known)}"


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
    wait: Annotated[bool, typer.Option(help=help_texts.WAIT)] = False,
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
    receipt = forget_speaker(opened, speaker, inbox=inbox, created=_now(), wait=wait)
    if as_json:
        print_json(asdict(receipt))
    else:
        console.print_json(json.dumps(asdict(receipt), ensure_ascii=False))

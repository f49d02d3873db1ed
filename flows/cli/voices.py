"""`voicemill voices`: the registry of voices, their stages, and the gate."""

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voicemill.flows.cli.options import (
    JsonOption,
    OpinionOption,
    RecogniserOption,
    SentencesOption,
    SpeakerEncoderOption,
    StoreOption,
    TestVersionOption,
    TextOption,
    ThreadsOption,
    VoiceOption,
)
from voicemill.flows.cli.running import run_here

if TYPE_CHECKING:
    from voicemill.flows.plans.promote import PromoteOptions
    from voicemill.flows.promote import Promoted
    from voicemill.storage.store import Store
    from voicemill.storage.voices.cards import Entry
    from voicemill.storage.voices.status import VoiceStatus

voices = typer.Typer(help="Trained voices: their entries, stages and cards.", no_args_is_help=True)

KindOption = Annotated[str, typer.Option(help="Lane: trained, student, compressed or light.")]
ReasonOption = Annotated[str, typer.Option(help="Why; the history of the voice keeps it.")]


@voices.command("list")
def list_voices(
    store: StoreOption,
    voice: Annotated[str, typer.Option(help="Of this voice alone.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List the entries of all voices with their stages."""
    from voicemill.flows.display.terminal import console, table
    from voicemill.storage.store import Store
    from voicemill.storage.voices import registry
    from voicemill.storage.voices.cards import check_voice_name
    from voicemill.storage.voices.status import read_status

    opened, found = Store.open(store), []
    for name in [check_voice_name(voice)] if voice else registry.voice_names(opened):
        now = read_status(opened.models / name)
        found += [_row(entry, now) for entry in registry.entries(opened, name)]
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    elif not found:
        console.print(f"no voice yet: voicemill train --store {store}", soft_wrap=True)
    else:
        columns = ("voice", "number", "kind", "stage", "corpus", "made of", "created, UTC")
        keys = ("voice", "number", "kind", "stage", "corpus_version", "parent")
        table("voices", columns, [[*(row[key] for key in keys), _minute(row["created"])] for row in found])


def _minute(when: str) -> str:
    """ISO 8601 -> to the minute, in UTC."""
    from datetime import UTC, datetime

    return f"{datetime.fromisoformat(when).astimezone(UTC):%Y-%m-%d %H:%M}"


def _row(entry: "Entry", now: "VoiceStatus") -> dict[str, Any]:
    card = entry.card
    return {
        "voice": card.voice,
        "number": entry.number,
        "kind": card.kind,
        "stage": now.of(entry.number),
        "corpus_version": card.corpus_version,
        "parent": card.parent,
        "created": card.created,
        "speakers": list(card.speakers),
        "folder": str(entry.folder),
        "digest": entry.digest,
    }


@voices.command("show")
def show_voice(
    store: StoreOption,
    voice: VoiceOption = "",
    number: Annotated[int, typer.Option(min=0, help="Of the entry; 0 = the one that speaks by default.")] = 0,
    kind: KindOption = "",
    as_json: JsonOption = False,
) -> None:
    """Print the model card of an entry: lineage, figures, intended use, rights, files, history."""
    from voicemill.flows.report.model_card import model_card
    from voicemill.storage.store import Store
    from voicemill.storage.voices import registry
    from voicemill.storage.voices.status import read_status

    opened = Store.open(store)
    entry = registry.find(opened, voice or registry.only_voice(opened), kind, number, allow_retired=True)
    if not as_json:
        print(model_card(opened, entry))
        return
    now = read_status(entry.folder.parent)
    history = [asdict(change) for change in now.history if change.number == entry.number]
    found = _row(entry, now) | {"card": asdict(entry.card), "scores": registry.scores(entry), "history": history}
    print(json.dumps(found, ensure_ascii=False))


@voices.command("promote")
def promote_voice(
    store: StoreOption,
    voice: VoiceOption = "",
    number: Annotated[int, typer.Option(min=0, help="The challenger; 0 = the newest that is not retired.")] = 0,
    config: Annotated[str, typer.Option(help="A TOML file, or a shipped training config; [gate] decides.")] = "default",
    version: TestVersionOption = 0,
    sentences: SentencesOption = 20,
    text: TextOption = None,
    speaker_encoder: SpeakerEncoderOption = "light",
    recogniser: RecogniserOption = "corpus",
    opinion: OpinionOption = "",
    threads: ThreadsOption = 0,
    force: Annotated[str, typer.Option(help="Promote without judging, for this reason, which is kept.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Judge an entry beside the champion of its lane; it takes its place if the gate lets it. Exit 1: it does not."""
    from voicemill.flows.cli.evaluate import checked
    from voicemill.flows.plans.promote import PromoteOptions, plan_promotion
    from voicemill.model.judging.judges import JudgeSettings
    from voicemill.model.judging.testset.testset import TestSetSettings

    named = {"speaker_encoder": speaker_encoder, "recogniser": recogniser, "opinion": opinion}
    options = PromoteOptions(
        store=store,
        voice=voice,
        number=number,
        config=config,
        version=version,
        testset=checked(TestSetSettings, sentences=sentences, texts=tuple(text or ())),
        judges=checked(JudgeSettings, **named),
        threads=threads,
        force=force,
    )
    plan = plan_promotion(options)  # what is missing or wrong is said before anything starts
    result = run_here(plan.store, _flow, options, _show, as_json=as_json)
    sys.exit(0 if result.promoted or result.verdict == "Champion already" else 1)


def _flow() -> "Callable[[PromoteOptions], Promoted]":
    from voicemill.flows.promote import promote

    return promote


def _show(result: "Promoted") -> None:
    from voicemill.flows.display.terminal import say, table
    from voicemill.model.judging.scores import shown

    columns = ("figure", "found", "champion", "bound", "margin", "difference", "interval", "of", "")
    rows = [
        (
            row["metric"],
            *(shown(row[name]) for name in ("challenger", "champion", "bound", "margin", "difference")),
            "" if row["low"] is None else f"{shown(row['low'])} to {shown(row['high'])}",
            row["samples"] or "",
            "" if row["outcome"] == "no rule" else row["outcome"],
        )
        for row in result.rows
    ]
    if rows:
        table(f"{result.entry} at the gate", columns, rows)
    say(f": {result.reason}", result.verdict, "bold green" if result.promoted else "bold")
    if result.report:
        say(result.report, "report: ")


@voices.command("retire")
def retire_voice(
    store: StoreOption,
    voice: Annotated[str, typer.Option(help="Name of the voice.")],
    number: Annotated[int, typer.Option(min=1, help="Of the entry.")],
    reason: ReasonOption,
    as_json: JsonOption = False,
) -> None:
    """Retire an entry, for good: it speaks only where --allow-retired is given; name the champions made of it."""
    from voicemill.storage.store import Store
    from voicemill.storage.voices import registry, status
    from voicemill.storage.voices.status import read_status

    opened = Store.open(store)
    entry = registry.find(opened, voice, number=number, allow_retired=True)
    change = status.retire(entry.folder.parent, number, entry.card.kind, **_by(reason))
    champion = read_status(entry.folder.parent).champions.get(entry.card.kind, 0)
    made = _made_of(store, opened, entry)
    if as_json:
        done = {"entry": entry.name, "changed": change is not None, "champion": champion}
        print(json.dumps(done | {"made_of_it": _plain(made)}, ensure_ascii=False))
        return
    print(f"{entry.name} {'is retired' if change else 'was retired before'}")
    if change and change.instead_of == number:
        at = f"--store {shlex.quote(store)} --voice {shlex.quote(voice)} --kind {entry.card.kind}"
        print(f"no champion ({entry.card.kind}) is left; the one before: voicemill voices rollback {at} --reason ...")
    _tell(made, entry.name)


@voices.command("rollback")
def rollback_voice(
    store: StoreOption,
    reason: ReasonOption,
    voice: VoiceOption = "",
    kind: KindOption = "trained",
    as_json: JsonOption = False,
) -> None:
    """Make the champion before the present one champion again; name the champions made of the one taken back."""
    from voicemill.storage.errors import ConfigError
    from voicemill.storage.store import Store
    from voicemill.storage.voices import registry, status
    from voicemill.storage.voices.cards import KINDS, check_voice_name

    if kind not in KINDS:
        raise ConfigError(f"--kind {kind} is none of {', '.join(KINDS)}")
    opened = Store.open(store)
    name = check_voice_name(voice or registry.only_voice(opened))
    change = status.rollback(opened.models / name, kind, **_by(reason))
    back = next((entry for entry in registry.entries(opened, name) if entry.number == change.instead_of), None)
    made = _made_of(store, opened, back) if back else []
    if as_json:
        print(json.dumps(asdict(change) | {"voice": name, "made_of_it": _plain(made)}, ensure_ascii=False))
        return
    before = f" instead of {change.instead_of}" if change.instead_of else ""
    print(f"entry {change.number} of {name} is champion ({kind}) again{before}")
    _tell(made, f"{name}/{change.instead_of:04d}")


def _made_of(store: str, opened: "Store", entry: "Entry") -> list[tuple["Entry", str]]:
    """Champions that were made of an entry, each with the command that takes it out of its lane."""
    from voicemill.storage.voices.lineage import champions_made_from

    return [(each, _taking_back(store, each)) for each in champions_made_from(opened, entry)]


def _plain(made: list[tuple["Entry", str]]) -> list[dict[str, str]]:
    return [{"entry": entry.name, "kind": entry.card.kind, "command": command} for entry, command in made]


def _tell(made: list[tuple["Entry", str]], of: str) -> None:
    for entry, command in made:
        print(f"{entry.name} ({entry.card.kind}) was made of {of} and still speaks; `{command}` takes it back")


def _taking_back(store: str, entry: "Entry") -> str:
    """The command that takes a champion out of its lane: back to the one before, or out of use where there is none."""
    from voicemill.storage.voices.status import read_status

    kind = entry.card.kind
    words = ["--store", store, "--voice", entry.card.voice]
    if read_status(entry.folder.parent).previous_champion(kind):
        words = ["rollback", *words, "--kind", kind]
    else:
        words = ["retire", *words, "--number", str(entry.number)]
    return f"voicemill voices {shlex.join(words)} --reason ..."


def _by(reason: str) -> dict[str, str]:
    """Who changes a stage, when, and why."""
    from datetime import UTC, datetime

    from voicemill.flows.plans.options import user_name

    return {"who": user_name(), "when": datetime.now(UTC).isoformat(timespec="seconds"), "why": reason}

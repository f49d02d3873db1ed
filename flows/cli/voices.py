"""`voicemill voices`: trained voices, the status of their entries, the promotion gate; and `voicemill watermark`."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voicemill.flows.cli.judging import promote
from voicemill.flows.cli.options import JsonOption, StoreOption, VoiceOption
from voicemill.flows.cli.running import open_store, print_json

if TYPE_CHECKING:
    from voicemill.storage.store import Store
    from voicemill.storage.voices.cards import Entry
    from voicemill.storage.voices.status import VoiceStatus

voices = typer.Typer(help="List, promote, retire and roll back voices.", no_args_is_help=True)

KindOption = Annotated[str, typer.Option(help="Lane: trained, student, compressed or light")]
ReasonOption = Annotated[str, typer.Option(help="Reason, kept in the voice's history")]


@voices.command("list")
def list_voices(
    store: StoreOption,
    voice: Annotated[str, typer.Option(help="Only this voice")] = "",
    as_json: JsonOption = False,
) -> None:
    """List the entries of all voices with their status."""
    from voicemill.flows.display.terminal import say, table
    from voicemill.storage.voices import cards, registry, status

    opened, rows = open_store(store), []
    for name in [cards.check_voice_name(voice)] if voice else registry.voice_names(opened):
        now = status.read_status(opened.models / name)
        rows += [_row(entry, now) for entry in registry.entries(opened, name)]
    if as_json:
        print_json(rows)
    elif not rows:
        say(f"no voice yet: voicemill train --store {store}")
    else:
        columns = ("voice", "number", "kind", "status", "corpus", "made of", "created, UTC")
        keys = ("voice", "number", "kind", "stage", "corpus_version", "parent")
        table("voices", columns, [[*(row[key] for key in keys), _minute(row["created"])] for row in rows])


def _minute(time: str) -> str:
    """ISO 8601 -> the same time in UTC, to the minute."""
    from datetime import UTC, datetime

    return f"{datetime.fromisoformat(time).astimezone(UTC):%Y-%m-%d %H:%M}"


def _row(entry: "Entry", now: "VoiceStatus") -> dict[str, Any]:
    """An entry as `voices list --json` prints it."""
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
    number: Annotated[int, typer.Option(min=0, help="Entry; 0 = the one that speaks by default")] = 0,
    kind: KindOption = "",
    as_json: JsonOption = False,
) -> None:
    """Print the model card of an entry.

    Lineage, figures, intended use, rights, files and history.
    """
    from voicemill.flows.report.model_card import model_card
    from voicemill.storage.voices import registry, status

    opened = open_store(store)
    entry = registry.find(opened, voice or registry.only_voice(opened), kind, number, allow_retired=True)
    if not as_json:
        print(model_card(opened, entry))
        return
    now = status.read_status(entry.folder.parent)
    history = [asdict(change) for change in now.history if change.number == entry.number]
    print_json(_row(entry, now) | {"card": asdict(entry.card), "scores": registry.scores(entry), "history": history})


voices.command("promote")(promote)


@voices.command("retire")
def retire_voice(
    store: StoreOption,
    voice: Annotated[str, typer.Option(help="Name of the voice")],
    number: Annotated[int, typer.Option(min=1, help="Entry to retire")],
    reason: ReasonOption,
    as_json: JsonOption = False,
) -> None:
    """Retire an entry for good.

    It speaks only with --allow-retired. Champions made of it are listed, each with the command that takes it back.
    """
    from voicemill.storage.voices import registry, status

    opened = open_store(store)
    entry = registry.find(opened, voice, number=number, allow_retired=True)
    change = status.retire(entry.folder.parent, number, entry.card.kind, **_signature(reason))
    champion = status.read_status(entry.folder.parent).champions.get(entry.card.kind, 0)
    descendants = _champions_of(store, opened, entry)
    if as_json:
        result = {"entry": entry.name, "changed": change is not None, "champion": champion}
        print_json(result | {"made_of_it": _rows(descendants)})
        return
    print(f"{entry.name} {'is retired' if change else 'was retired before'}")
    if change and change.instead_of == number:
        where = f"--store {shlex.quote(store)} --voice {shlex.quote(voice)} --kind {entry.card.kind}"
        print(
            f"no champion ({entry.card.kind}) is left; the one before: voicemill voices rollback {where} --reason ..."
        )
    _warn(descendants, entry.name)


@voices.command("rollback")
def rollback_voice(
    store: StoreOption,
    reason: ReasonOption,
    voice: VoiceOption = "",
    kind: KindOption = "trained",
    as_json: JsonOption = False,
) -> None:
    """Make the previous champion of a lane champion again.

    Champions made of the one taken back are listed, each with the command that takes it back too.
    """
    from voicemill.storage.errors import ConfigError
    from voicemill.storage.voices import cards, registry, status

    if kind not in cards.KINDS:
        raise ConfigError(f"--kind {kind}: expected one of {', '.join(cards.KINDS)}")
    opened = open_store(store)
    name = cards.check_voice_name(voice or registry.only_voice(opened))
    change = status.rollback(opened.models / name, kind, **_signature(reason))
    replaced = next((entry for entry in registry.entries(opened, name) if entry.number == change.instead_of), None)
    descendants = _champions_of(store, opened, replaced) if replaced else []
    if as_json:
        print_json(asdict(change) | {"voice": name, "made_of_it": _rows(descendants)})
        return
    before = f" instead of {change.instead_of}" if change.instead_of else ""
    print(f"entry {change.number} of {name} is champion ({kind}) again{before}")
    _warn(descendants, f"{name}/{change.instead_of:04d}")


def _champions_of(store: str, opened: "Store", entry: "Entry") -> list[tuple["Entry", str]]:
    """Champions made of an entry, each with the command that removes it from its lane."""
    from voicemill.storage.voices.lineage import champions_made_from

    return [(champion, _removal(store, champion)) for champion in champions_made_from(opened, entry)]


def _rows(champions: list[tuple["Entry", str]]) -> list[dict[str, str]]:
    return [{"entry": entry.name, "kind": entry.card.kind, "command": command} for entry, command in champions]


def _warn(champions: list[tuple["Entry", str]], parent: str) -> None:
    for entry, command in champions:
        print(f"{entry.name} ({entry.card.kind}) was made of {parent} and still speaks; `{command}` takes it back")


def _removal(store: str, entry: "Entry") -> str:
    """The command that removes a champion from its lane: back to the one before it, or retired if there is none."""
    from voicemill.storage.voices import status

    kind = entry.card.kind
    words = ["--store", store, "--voice", entry.card.voice]
    if status.read_status(entry.folder.parent).previous_champion(kind):
        words = ["rollback", *words, "--kind", kind]
    else:
        words = ["retire", *words, "--number", str(entry.number)]
    return f"voicemill voices {shlex.join(words)} --reason ..."


def _signature(reason: str) -> dict[str, str]:
    """Author, time and reason of a change of status."""
    from datetime import UTC, datetime

    from voicemill.flows.plans.options import user_name

    return {"who": user_name(), "when": datetime.now(UTC).isoformat(timespec="seconds"), "why": reason}


# -- the watermark of synthesised speech

watermark = typer.Typer(help="Detect speech synthesised by voicemill.", no_args_is_help=True)


@watermark.command("check")
def check_watermark(
    file: Annotated[str, typer.Argument(help="Audio file of any format")],
    key: Annotated[str, typer.Option(help="Key that the watermark was made with")] = "voicemill",
    as_json: JsonOption = False,
) -> None:
    """Look for the watermark and the AI notice in an audio file."""
    import numpy as np

    from voicemill.model.audio.watermark import Settings, detect
    from voicemill.storage.audio.reading import open_audio, read_samples
    from voicemill.storage.errors import ConfigError
    from voicemill.storage.units import RATE
    from voicemill.storage.voices.notice import read_notice

    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"{file} is not a file: expected the path of an audio file")
    with open_audio(path) as source:
        wave = np.concatenate(list(read_samples(source)))
    detection, notice = detect(wave, RATE, Settings(key=key)), read_notice(path)
    synthetic = notice is not None and notice.synthetic
    if as_json:
        result = {"file": file, "watermark": asdict(detection), "notice": asdict(notice) if notice else None}
        print_json(result | {"synthetic": detection.present or synthetic})
        return
    score = f"score {detection.score:.1f}, threshold {detection.threshold:.1f}"
    if detection.present:
        span = f"{detection.start:.1f} s to {detection.stop:.1f} s"
        print(f"watermark: found in {span}, id {detection.payload} ({score})")
    else:
        print(f"watermark: not found ({score})")
    print(f"notice: {notice.comment}" if notice and synthetic else "notice: none in its metadata")

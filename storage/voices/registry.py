"""The registry of voices: `<store>/models/<voice>/0001/`, 0002, ...: weights with a card that says what they are from.

An entry is written beside its place and renamed: it is there whole or not at all. Its files never change: the card has
the sha256 of each. What is found of it later is added beside them (`evaluations/`), how it stands is kept by the voice
(`voicemill.storage.voices.status`).
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from voicemill.storage.errors import ConfigError, Retired, StoreError
from voicemill.storage.files import abandoned, numbered_folder, write_json
from voicemill.storage.keys import digest, file_digest
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds
from voicemill.storage.voices import status as stages
from voicemill.storage.voices.cards import (
    CARD,
    GRAPHS,
    KINDS,
    Card,
    Entry,
    File,
    Kind,
    Training,
    check_name,
    finite,
    name_of,
    read,
)

__all__ = [
    "KINDS",
    "Card",
    "Entry",
    "File",
    "Kind",
    "Training",
    "add",
    "add_scores",
    "check",
    "check_name",
    "check_usable",
    "entries",
    "find",
    "finite",
    "latest",
    "name_of",
    "names",
    "only",
    "scores",
]

EVALUATIONS = "evaluations"
ABANDONED: Seconds = 86_400.0
"""A half-written entry that is older than this has nobody who writes it."""


def entries(store: Store, voice: str) -> list[Entry]:
    """All entries of a voice, oldest first."""
    folders = sorted(path for path in (store.models / voice).glob("[0-9]*") if (path / CARD).is_file())
    return [Entry(path, read(path / CARD)) for path in folders]


def latest(store: Store, voice: str, kind: str = "") -> Entry | None:
    """The newest entry that is not retired, of one lane where it is named; None where there is none."""
    retired = stages.standing(store.models / voice).retired
    living = (entry for entry in reversed(entries(store, voice)) if entry.number not in retired)
    return next((entry for entry in living if kind in ("", entry.card.kind)), None)


def add(store: Store, card: Card, files: Mapping[str, Path]) -> Entry:
    """Write the next entry of a voice with copies of `files` (stem -> a file, or a folder).

    The same is there already where a killed run had come so far: it is returned, and stays one. The same is, of a
    trained entry, one of the same trainings; of another, one of the same origin and files.
    """
    if card.kind == "trained" and (same := _same(store, card)):
        return same
    root = store.models / card.voice
    for path in abandoned(root, ABANDONED):
        shutil.rmtree(path, ignore_errors=True)
    with numbered_folder(root) as entry:
        for stem, path in files.items():
            name = card.weights[stem]
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, entry.path / name)
        card = replace(card, files=_digests(entry.path))
        if same := _same(store, card):
            return same
        write_json(entry.path / CARD, asdict(card), indent=1, nan=False)
        return Entry(entry.take(), card)


def _same(store: Store, card: Card) -> Entry | None:
    def origin(of: Card) -> tuple[Any, ...]:
        files = None if of.kind == "trained" else of.files
        return of.kind, of.parent, [trained.folder for trained in of.trainings], files

    return next((entry for entry in entries(store, card.voice) if origin(entry.card) == origin(card)), None)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def check(entry: Entry) -> None:
    """Compare the files of an entry with its card; older cards name none.

    Raises:
        StoreError: one is gone or was changed.
    """
    for name, sha256 in entry.card.files.items():
        path = entry.folder / name
        if not path.is_file() or file_digest(path) != sha256:
            what = "was changed since it was written" if path.is_file() else "is gone"
            raise StoreError(
                f"entry {entry.name} is damaged: {path} {what}. Restore it from a backup of the store, or take another "
                f"entry: `voicemill voices list --voice {entry.card.voice}`"
            )


def find(store: Store, voice: str, kind: str = "", number: int = 0, allow_retired: bool = False) -> Entry:
    """The entry to speak with, its files checked. `kind` "": of any lane, champions in the order of `KINDS` first;
    `number` 0: the champion of the lane, or where there is none its newest entry that is not retired.

    Raises:
        Retired: there are only retired ones, and they are not allowed.
        StoreError: there is none, or it is damaged.
        ConfigError: no such kind.
    """
    if kind and kind not in KINDS:
        raise ConfigError(f"kind = {kind!r}: expected {', '.join(KINDS)}")
    every = entries(store, check_name(voice))
    if not every:
        have = ", ".join(names(store)) or "none"
        raise StoreError(f"{store.root} has no voice {voice!r}; it has {have}. `voicemill train` makes one")
    found = [entry for entry in every if kind in ("", entry.card.kind) and number in (0, entry.number)]
    if not found:
        have = ", ".join(f"{entry.number} ({entry.card.kind})" for entry in every)
        asked = " ".join(([f"number {number}"] if number else []) + ([f"of kind {kind}"] if kind else []))
        raise StoreError(f"voice {voice} has no entry {asked}; it has {have}")
    now = stages.standing(store.models / voice)
    champions = [now.champions[lane] for lane in KINDS if lane in now.champions]
    living = [entry for entry in found if entry.number not in now.retired]
    if not living and not allow_retired:
        raise _retired(store.models / voice, found[-1].number, now)
    best = [entry for champion in champions for entry in living if entry.number == champion]
    entry = (best or living[::-1] or found[::-1])[0]
    check(entry)
    return entry


def check_usable(path: Path | str, *, allow_retired: bool = False) -> None:
    """Refuse a file or folder that belongs to a retired entry of whatever store: of the entry, or of its graphs.

    Raises:
        Retired: it does, and that is not allowed.
    """
    for folder in (Path(path).resolve(), *Path(path).resolve().parents):
        graphs = folder.parent.name == GRAPHS
        if folder.name.isdigit() and (graphs or (folder / CARD).is_file()):
            voice = folder.parent.parent if graphs else folder.parent
            now = stages.standing(voice)
            if int(folder.name) in now.retired and not allow_retired:
                raise _retired(voice, int(folder.name), now)


def _retired(voice: Path, number: int, now: stages.Standing) -> Retired:
    last = [change for change in now.history if change.number == number][-1]
    return Retired(
        f"entry {number} of {voice.name} was retired on {last.when} ({last.why}): `voicemill voices list` names those "
        "that stand; --allow-retired loads it nevertheless"
    )


def names(store: Store) -> list[str]:
    """All voices with an entry."""
    return sorted({card.parents[1].name for card in store.models.glob(f"*/[0-9]*/{CARD}")})


def only(store: Store) -> str:
    """The voice of a store that has one.

    Raises:
        ConfigError: it has none, or several.
    """
    every = names(store)
    if len(every) != 1:
        have = f"{len(every)}: {', '.join(every[:10])}" if every else "none yet: `voicemill train` makes one"
        raise ConfigError(f"name a voice by --voice: {store.root} has {have}")
    return every[0]


def add_scores(entry: Entry, scores: Mapping[str, Any]) -> Path:
    """Keep an evaluation (`Scores.as_json()`) with its entry; the same twice is one file.

    Raises:
        ConfigError: it is of another entry.
    """
    if scores["voice"] != entry.name:
        raise ConfigError(f"scores of {scores['voice']!r} do not belong to entry {entry.name!r}")
    path = entry.folder / EVALUATIONS / f"{scores['testset'][:12]}-{digest(dict(scores))[:12]}.json"
    if not path.exists():
        write_json(path, scores, indent=1, nan=False)
    return path


def scores(entry: Entry, testset: str = "") -> list[dict[str, Any]]:
    """Evaluations of an entry, oldest first; with `testset` (sha256), those on that test set."""
    paths = (entry.folder / EVALUATIONS).glob(f"{testset[:12]}*.json")
    found = [json.loads(path.read_text("utf-8")) for path in sorted(paths, key=lambda p: (p.stat().st_mtime_ns, p))]
    return [each for each in found if testset in ("", each["testset"])]

"""The registry of voices: `<store>/models/<voice>/0001/`, 0002, ...: entries of weights with a card of their origin.

An entry is written beside its place and renamed: it is there whole or not at all. Its files never change: the card has
the sha256 of each. Evaluations are added beside them later (`evaluations/`); whether the entry is a candidate, champion
or retired is recorded by the voice (`voicemill.storage.voices.status`).
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from voicemill.storage.errors import ConfigError, Retired, StoreError
from voicemill.storage.files import abandoned, numbered_folder, read_json, write_json
from voicemill.storage.keys import digest, file_digest
from voicemill.storage.store import Store
from voicemill.storage.units import Seconds
from voicemill.storage.voices.cards import CARD, GRAPHS, KINDS, Card, Entry, check_voice_name, read_card
from voicemill.storage.voices.status import VoiceStatus, read_status

EVALUATIONS = "evaluations"
ABANDONED: Seconds = 86_400.0
"""Age from which a half-written entry counts as left by a killed process."""


def entries(store: Store, voice: str) -> list[Entry]:
    """All entries of a voice, oldest first."""
    folders = sorted(path for path in (store.models / voice).glob("[0-9]*") if (path / CARD).is_file())
    return [Entry(path, read_card(path / CARD)) for path in folders]


def latest(store: Store, voice: str, kind: str = "") -> Entry | None:
    """The newest entry that is not retired, of the lane `kind` or of any; None where there is none."""
    retired = read_status(store.models / voice).retired
    in_use = (entry for entry in reversed(entries(store, voice)) if entry.number not in retired)
    return next((entry for entry in in_use if kind in ("", entry.card.kind)), None)


def add(store: Store, card: Card, files: Mapping[str, Path]) -> Entry:
    """Write the next entry of a voice with copies of `files` (stem -> a file or a folder).

    An equal entry, as a killed run may have left it, is returned instead of a second one. Trained entries are equal if
    their trainings are; others if their parents, trainings and files are.
    """
    if card.kind == "trained" and (same := _equal_entry(store, card)):
        return same
    root = store.models / card.voice
    for path in abandoned(root, ABANDONED):
        shutil.rmtree(path, ignore_errors=True)
    with numbered_folder(root) as entry:
        for stem, path in files.items():
            name = card.weights[stem]
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, entry.path / name)
        card = replace(card, files=_digests(entry.path))
        if same := _equal_entry(store, card):
            return same
        write_json(entry.path / CARD, asdict(card), indent=1, nan=False)
        return Entry(entry.take(), card)


def _equal_entry(store: Store, card: Card) -> Entry | None:
    def origin(of: Card) -> tuple[Any, ...]:
        files = None if of.kind == "trained" else of.files
        return of.kind, of.parent, [training.folder for training in of.trainings], files

    return next((entry for entry in entries(store, card.voice) if origin(entry.card) == origin(card)), None)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def check_files(entry: Entry) -> None:
    """Compare the files of an entry with the digests of its card; cards of earlier versions have none.

    Raises:
        StoreError: a file is missing or was changed.
    """
    for name, sha256 in entry.card.files.items():
        path = entry.folder / name
        if not path.is_file() or file_digest(path) != sha256:
            damage = "was changed since it was written" if path.is_file() else "is missing"
            raise StoreError(
                f"entry {entry.name} is damaged: {path} {damage}. Restore it from a backup of the store, or take "
                f"another entry: `voicemill voices list --voice {entry.card.voice}`"
            )


def find(store: Store, voice: str, kind: str = "", number: int = 0, allow_retired: bool = False) -> Entry:
    """The entry to speak with, its files checked.

    Args:
        kind: lane; "" = any, champions first, in the order of `KINDS`.
        number: of the entry; 0 = the champion of the lane, or where there is none its newest entry that is not retired.
        allow_retired: retired entries are returned where there is no other.

    Raises:
        Retired: only retired entries match, and they are not allowed.
        StoreError: no entry matches, or it is damaged.
        ConfigError: `kind` is no lane.
    """
    if kind and kind not in KINDS:
        raise ConfigError(f"kind = {kind!r}: expected {', '.join(KINDS)}")
    every = entries(store, check_voice_name(voice))
    if not every:
        known = ", ".join(voice_names(store)) or "none"
        raise StoreError(f"{store.root} has no voice {voice!r}; it has {known}. `voicemill train` makes one")
    matches = [entry for entry in every if kind in ("", entry.card.kind) and number in (0, entry.number)]
    if not matches:
        known = ", ".join(f"{entry.number} ({entry.card.kind})" for entry in every)
        asked = " ".join(([f"number {number}"] if number else []) + ([f"of kind {kind}"] if kind else []))
        raise StoreError(f"voice {voice} has no entry {asked}; it has {known}")
    status = read_status(store.models / voice)
    champions = [status.champions[lane] for lane in KINDS if lane in status.champions]
    in_use = [entry for entry in matches if entry.number not in status.retired]
    if not in_use and not allow_retired:
        raise _retired(store.models / voice, matches[-1].number, status)
    best = [entry for champion in champions for entry in in_use if entry.number == champion]
    entry = (best or in_use[::-1] or matches[::-1])[0]
    check_files(entry)
    return entry


def check_usable(path: Path | str, *, allow_retired: bool = False) -> None:
    """Refuse a file or folder that belongs to a retired entry of any store, or to graphs made from one.

    Raises:
        Retired: it does, and that is not allowed.
    """
    for folder in (Path(path).resolve(), *Path(path).resolve().parents):
        graphs = folder.parent.name == GRAPHS
        if folder.name.isdigit() and (graphs or (folder / CARD).is_file()):
            voice = folder.parent.parent if graphs else folder.parent
            status = read_status(voice)
            if int(folder.name) in status.retired and not allow_retired:
                raise _retired(voice, int(folder.name), status)


def _retired(voice: Path, number: int, status: VoiceStatus) -> Retired:
    change = [change for change in status.history if change.number == number][-1]
    return Retired(
        f"entry {number} of {voice.name} was retired on {change.when} ({change.why}): `voicemill voices list` names "
        "the entries in use; --allow-retired loads it nevertheless"
    )


def voice_names(store: Store) -> list[str]:
    """Names of all voices with an entry."""
    return sorted({card.parents[1].name for card in store.models.glob(f"*/[0-9]*/{CARD}")})


def only_voice(store: Store) -> str:
    """Name of the voice of a store that has exactly one.

    Raises:
        ConfigError: it has none, or several.
    """
    names = voice_names(store)
    if len(names) != 1:
        known = f"{len(names)}: {', '.join(names[:10])}" if names else "none yet: `voicemill train` makes one"
        raise ConfigError(f"name a voice by --voice: {store.root} has {known}")
    return names[0]


def add_scores(entry: Entry, scores: Mapping[str, Any]) -> Path:
    """Store an evaluation (`Scores.as_json()`) with its entry; returns the path, the same for the same evaluation.

    Raises:
        ConfigError: it belongs to another entry.
    """
    if scores["voice"] != entry.name:
        raise ConfigError(f"scores of {scores['voice']!r} do not belong to entry {entry.name!r}")
    path = entry.folder / EVALUATIONS / f"{scores['testset'][:12]}-{digest(dict(scores))[:12]}.json"
    if not path.exists():
        write_json(path, scores, indent=1, nan=False)
    return path


def scores(entry: Entry, testset: str = "") -> list[dict[str, Any]]:
    """Evaluations of an entry, oldest first; with `testset` (sha256) those on that test set only."""
    paths = (entry.folder / EVALUATIONS).glob(f"{testset[:12]}*.json")
    ordered = sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path))
    evaluations = [read_json(path) for path in ordered]
    return [evaluation for evaluation in evaluations if testset in ("", evaluation["testset"])]

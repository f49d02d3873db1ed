"""Lineage of models: what each was made from, and which of them were trained on the speech of a speaker.

A model is an entry of a voice ("anna/0003") or another folder of `<store>/models` with a card. Cards are read leniently
here, as written by any version: one that does not name the speakers it was trained on counts as trained on all of its
corpus version. Two lines lead upwards: `parents`, which a card names, and `weights`, which also follows the files that
a training started from and those that a model speaks with, by path and by sha256. Rollback and model cards use the
parents; forgetting and held-out sets follow the weights, since a voice can repeat what its weights were trained on.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from voicemill.storage.files import erase_folder, read_loose
from voicemill.storage.store import Store
from voicemill.storage.voices import registry, status
from voicemill.storage.voices.cards import CARD, GRAPHS, KINDS, Entry
from voicemill.storage.voices.status import StatusChange, read_status

FORGOTTEN = "a speaker whose speech it was trained on was forgotten"
_FORGOTTEN_BEFORE = "somebody that it had learned from was forgotten"
"""The reason as earlier versions wrote it."""

Cards = Mapping[str, Mapping[str, Any]]
"""Model name -> its card, as JSON."""


def ancestors(store: Store, model: str, through: Literal["parents", "weights"]) -> list[str]:
    """Names of the models that a model was made from, however far back, the nearest first.

    At equal distance the parent comes first, then by name. A parent that is not in the store is named; what that one
    was made from is not known.
    """
    cards = _cards(store)
    direct = (
        _direct_ancestors(store, cards) if through == "weights" else {name: _parents(cards[name]) for name in cards}
    )
    lineage: list[str] = []
    generation = [model]
    while generation := [*dict.fromkeys(up for name in generation for up in _parent_first(name, cards, direct))]:
        generation = [name for name in generation if name not in lineage and name != model]
        lineage += generation
    return lineage


def champions_made_from(store: Store, entry: Entry) -> list[Entry]:
    """Champions of the same voice that have an entry among their parents, in the order of the lanes.

    A light voice trained beside it, on the same corpus and for the same reason, names it as its parent, too.
    """
    champions = read_status(entry.folder.parent).champions
    by_number = {other.number: other for other in registry.entries(store, entry.card.voice)}
    candidates = [by_number[champions[kind]] for kind in KINDS if champions.get(kind) in by_number]
    return [other for other in candidates if entry.name in ancestors(store, other.name, "parents")]


def models_trained_on(store: Store, versions: Collection[int], is_speaker: Callable[[str], bool]) -> list[str]:
    """Names of the models trained on the speech of a speaker, directly or through the weights of another; sorted.

    Args:
        versions: corpus versions with speech of the speaker.
        is_speaker: tells whether a name is the speaker's; forgetting knows only a hash of it.
    """
    cards = _cards(store)
    direct = _direct_ancestors(store, cards)
    models = {name for name, card in cards.items() if _trained_on(card, versions, is_speaker)}
    while heirs := {name for name in cards.keys() - models if direct[name] & models}:
        models |= heirs
    return sorted(models)


def retire_models(store: Store, models: Iterable[str], *, when: str) -> list[str]:
    """Retire the entries among the models because a speaker was forgotten, and delete the graphs made from them.

    Returns the names of those that were not retired before.
    """
    retired = []
    for name in models:
        folder = store.models / name
        card = read_loose(folder / CARD) if folder.name.isdigit() and (folder / CARD).is_file() else None
        if not isinstance(card, dict):
            continue
        kind = str(card.get("kind", "trained"))
        if status.retire(folder.parent, int(folder.name), kind, who="forget", when=when, why=FORGOTTEN):
            retired.append(name)
        for graphs in (folder.parent / GRAPHS).glob("[!.]*"):
            if graphs.name == folder.name or not graphs.name.isdigit():  # earlier versions did not name the entry
                erase_folder(graphs)
    return retired


def retired_by_forgetting(change: StatusChange) -> bool:
    """Whether an entry was retired by `retire_models`."""
    return change.why in (FORGOTTEN, _FORGOTTEN_BEFORE)


def lanes_to_retrain(store: Store, models: Collection[str], is_speaker: Callable[[str], bool]) -> list[str]:
    """Lanes, "base/trained", whose champion or only entries are among the models: to be trained anew on other speech.

    Voices of the forgotten speaker alone are left out.
    """
    cards, lanes = _cards(store), set()
    for name in models:
        voice, _, number = name.rpartition("/")
        speakers = cards.get(name, {}).get("speakers", [])
        if not number.isdigit() or not voice or (speakers and all(is_speaker(speaker) for speaker in speakers)):
            continue
        kind = str(cards[name].get("kind", "trained"))
        lane = {
            other
            for other, card in cards.items()
            if other.startswith(f"{voice}/") and card.get("kind", "trained") == kind
        }
        champion = read_status(store.models / voice).champions.get(kind, 0)
        if champion == int(number) or not lane - set(models):
            lanes.add(f"{voice}/{kind}")
    return sorted(lanes)


def _cards(store: Store) -> Cards:
    """The cards of all models; files that are no JSON object are passed over."""
    paths = [*store.models.glob(f"*/{CARD}"), *store.models.glob(f"*/*/{CARD}")]
    cards = {path.parent.relative_to(store.models).as_posix(): read_loose(path) for path in paths}
    return {name: card for name, card in cards.items() if isinstance(card, dict)}


def _trained_on(card: Mapping[str, Any], versions: Collection[int], is_speaker: Callable[[str], bool]) -> bool:
    if card.get("kind") == "compressed":  # it was not trained: its ancestors count
        return False
    heard = card.get("heard") or []
    in_version = card.get("corpus_version") in versions and (not heard or any(is_speaker(name) for name in heard))
    return in_version or any(is_speaker(name) for name in card.get("speakers", []))


def _parents(card: Mapping[str, Any]) -> set[str]:
    return {str(card.get("parent") or "")} - {""}


def _direct_ancestors(store: Store, cards: Cards) -> dict[str, set[str]]:
    """Model name -> its direct ancestors: its parent, and every model whose weights it started from or speaks with."""
    owners: dict[str, set[str]] = {}
    for name, card in cards.items():
        for sha256 in card.get("files", {}).values():
            owners.setdefault(sha256, set()).add(name)
    direct = {}
    for name, card in cards.items():
        base = [file for file in card.get("base", {}).values() if isinstance(file, dict)]
        paths = [Path(path) for path in (*(file.get("path", "") for file in base), *card.get("weights", {}).values())]
        folders = {folder for path in paths for folder in path.parents if folder.is_relative_to(store.models)}
        models = {folder.relative_to(store.models).as_posix() for folder in folders} & cards.keys()
        models |= {owner for file in base for owner in owners.get(file.get("sha256", ""), ())}
        direct[name] = (models | _parents(card)) - {name}
    return direct


def _parent_first(name: str, cards: Cards, direct: Mapping[str, set[str]]) -> list[str]:
    parent = cards.get(name, {}).get("parent")
    return sorted(direct.get(name, ()), key=lambda other: (other != parent, other))

"""What voices learned from: speech of somebody, a voice that they were made of, weights that they began with.

Old cards that do not say whose speech a voice was trained on count as trained on all of their corpus version.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from voicemill.storage.files import erase_folder, read_loose
from voicemill.storage.store import Store
from voicemill.storage.voices import status as stages
from voicemill.storage.voices.cards import CARD, GRAPHS

WHY = "somebody that it had learned from was forgotten"


def learned(store: Store, versions: Collection[int], theirs: Callable[[str], bool]) -> list[str]:
    """Models that used somebody, "anna/0003", sorted. `versions`: corpus versions with speech of theirs; `theirs`:
    whether a speaker is they."""
    cards = _cards(store)
    made_of = _made_of(store, cards)
    found = {name for name, raw in cards.items() if _heard(raw, versions, theirs)}
    while more := {name for name in cards.keys() - found if made_of[name] & found}:
        found |= more
    return sorted(found)


def origins(store: Store, model: str) -> list[str]:
    """Models that this one, "anna/0003", was made of or began with the weights of, however far; the nearest first.

    Of the same distance its parent comes first. One that is gone is named, if its child names it as parent; nothing is
    told of what that one was made of.
    """
    cards = _cards(store)
    made_of, found, last = _made_of(store, cards), list[str](), [model]
    while last := [*dict.fromkeys(name for each in last for name in _parent_first(each, cards, made_of))]:
        last = [name for name in last if name not in found and name != model]
        found += last
    return found


def retire(store: Store, models: Iterable[str], *, when: str) -> list[str]:
    """Retire those of the models that are entries of voices and stand yet, and delete the graphs that were made of
    them; the names of those that are retired now."""
    done = []
    for name in models:
        folder = store.models / name
        raw = read_loose(folder / CARD) if folder.name.isdigit() and (folder / CARD).is_file() else None
        if not isinstance(raw, dict):
            continue
        kind = str(raw.get("kind", "trained"))
        if stages.retire(folder.parent, int(folder.name), kind, who="forget", when=when, why=WHY):
            done.append(name)
        for graphs in (folder.parent / GRAPHS).glob("[!.]*"):
            if graphs.name == folder.name or not graphs.name.isdigit():  # else of a program that did not tell whose
                erase_folder(graphs)
    return done


def to_retrain(store: Store, models: Collection[str], theirs: Callable[[str], bool]) -> list[str]:
    """Lanes, "base/trained", that have a champion among these models or nothing but these: to be made again, of speech
    of others. Voices of the forgotten one alone are none of them."""
    cards, found = _cards(store), set()
    for name in models:
        voice, _, number = name.rpartition("/")
        speakers = cards.get(name, {}).get("speakers", [])
        if not number.isdigit() or not voice or (speakers and all(theirs(speaker) for speaker in speakers)):
            continue
        kind = str(cards[name].get("kind", "trained"))
        lane = {
            each for each, raw in cards.items() if each.startswith(f"{voice}/") and raw.get("kind", "trained") == kind
        }
        champion = stages.standing(store.models / voice).champions.get(kind, 0)
        if champion == int(number) or not lane - set(models):
            found.add(f"{voice}/{kind}")
    return sorted(found)


def _cards(store: Store) -> dict[str, Mapping[str, Any]]:
    """Name -> card, of all models; what is no JSON object is none."""
    paths = [*store.models.glob(f"*/{CARD}"), *store.models.glob(f"*/*/{CARD}")]
    raws = {path.parent.relative_to(store.models).as_posix(): read_loose(path) for path in paths}
    return {name: raw for name, raw in raws.items() if isinstance(raw, dict)}


def _heard(raw: Mapping[str, Any], versions: Collection[int], theirs: Callable[[str], bool]) -> bool:
    if raw.get("kind") == "compressed":  # of what it was made of
        return False
    heard = raw.get("heard") or []
    on_them = raw.get("corpus_version") in versions and (not heard or any(theirs(speaker) for speaker in heard))
    return on_them or any(theirs(speaker) for speaker in raw.get("speakers", []))


def _made_of(store: Store, cards: Mapping[str, Mapping[str, Any]]) -> dict[str, set[str]]:
    """Name -> models that it was made of at once: its parent, and whose files it began with, or speaks with."""
    owners: dict[str, set[str]] = {}
    for name, raw in cards.items():
        for sha256 in raw.get("files", {}).values():
            owners.setdefault(sha256, set()).add(name)
    found = {}
    for name, raw in cards.items():
        base = [file for file in raw.get("base", {}).values() if isinstance(file, dict)]
        paths = [Path(path) for path in (*(file.get("path", "") for file in base), *raw.get("weights", {}).values())]
        folders = {folder for path in paths for folder in path.parents if folder.is_relative_to(store.models)}
        of = {folder.relative_to(store.models).as_posix() for folder in folders} & cards.keys()
        of |= {owner for file in base for owner in owners.get(file.get("sha256", ""), ())}
        found[name] = (of | {str(raw.get("parent") or "")}) - {"", name}
    return found


def _parent_first(name: str, cards: Mapping[str, Mapping[str, Any]], made_of: Mapping[str, set[str]]) -> list[str]:
    parent = cards.get(name, {}).get("parent")
    return sorted(made_of.get(name, ()), key=lambda other: (other != parent, other))

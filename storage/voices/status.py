"""Stages of the entries of a voice: candidate, champion of its lane, retired. `<voice>/stages/00000001.json`, 2, ...

Each change is one file, written beside its place and linked to the next number: a link is there whole or not at all,
and never replaces one. So of two writers that saw the same state one gets the number; the other reads again and is
refused if what it compared with no longer stands. No lock, nothing to clear after a kill, and the history is the state.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from voicemill.storage.errors import StageConflict, StoreError
from voicemill.storage.files import abandoned, create_json
from voicemill.storage.units import Seconds

Stage = Literal["candidate", "champion", "retired"]
FOLDER = "stages"
ABANDONED: Seconds = 3_600.0
"""A half-written change that is older than this has nobody who writes it."""


@dataclass(frozen=True)
class Change:
    """One entry became champion of its lane, or was retired."""

    number: int
    """Of the entry."""
    kind: str
    """Its lane."""
    stage: Stage
    who: str
    when: str
    """ISO 8601."""
    why: str
    instead_of: int = 0
    """The lane's champion before; 0 = there was none."""
    forced: bool = False
    """Past the gate."""
    sequence: int = 0
    """Place in the history of the voice, from 1."""


@dataclass(frozen=True)
class Standing:
    """How the entries of a voice stand after all changes."""

    champions: Mapping[str, int]
    """Lane -> entry."""
    retired: frozenset[int]
    history: tuple[Change, ...]
    """Oldest first."""

    def of(self, number: int) -> Stage:
        """The stage of an entry."""
        if number in self.retired:
            return "retired"
        return "champion" if number in self.champions.values() else "candidate"

    def retirement(self, number: int) -> Change | None:
        """When and why an entry was retired; None where it was not."""
        return next((c for c in self.history if c.number == number and c.stage == "retired"), None)

    def before(self, kind: str) -> int:
        """The lane's last champion that is neither its present one nor retired; 0 = there is none."""
        now = self.champions.get(kind, 0)
        past = [c.number for c in self.history if c.kind == kind and c.stage == "champion"]
        return next((number for number in reversed(past) if number != now and number not in self.retired), 0)


def standing(voice: Path) -> Standing:
    """Of the voice in this folder; one of which no stage was ever changed has candidates alone.

    Raises:
        StoreError: a change cannot be read.
    """
    champions: dict[str, int] = {}
    retired: set[int] = set()
    history = tuple(_read(path) for path in sorted((voice / FOLDER).glob("[0-9]*.json")))
    for change in history:
        if change.stage == "champion":
            champions[change.kind] = change.number
        elif change.stage == "retired":
            retired.add(change.number)
            champions = {kind: number for kind, number in champions.items() if number != change.number}
    return Standing(champions, frozenset(retired), history)


def promote(
    voice: Path, number: int, kind: str, *, instead_of: int, who: str, when: str, why: str, forced: bool = False
) -> Change:
    """Make an entry the champion of its lane, if the lane's champion still is `instead_of` (0 = none).

    Raises:
        StageConflict: it no longer is.
        StoreError: the entry is retired, or the champion already.
    """

    def wanted(now: Standing) -> Change:
        champion = now.champions.get(kind, 0)
        if number in now.retired:
            raise StoreError(f"entry {number} of {voice.name} is retired, and stays so: train a new one")
        if champion != instead_of:
            raise StageConflict(
                f"entry {number} of {voice.name} was compared with {_named(instead_of)}, and meanwhile "
                f"{_named(champion)} became champion ({kind}): run `voicemill voices promote` again"
            )
        if champion == number:
            raise StoreError(f"entry {number} of {voice.name} is the champion ({kind}) already")
        return Change(
            number=number, kind=kind, stage="champion", who=who, when=when, why=why, instead_of=champion, forced=forced
        )

    return _append(voice, wanted)


def retire(voice: Path, number: int, kind: str, *, who: str, when: str, why: str) -> Change | None:
    """Retire an entry, for good; None: it was retired already. A champion leaves its lane without one."""

    def wanted(now: Standing) -> Change | None:
        champion = now.champions.get(kind, 0)
        return (
            None
            if number in now.retired
            else Change(number=number, kind=kind, stage="retired", who=who, when=when, why=why, instead_of=champion)
        )

    return _append_if(voice, wanted)


def rollback(voice: Path, kind: str, *, who: str, when: str, why: str) -> Change:
    """Make the champion before the present one champion again.

    Raises:
        StoreError: there is none that is not retired.
    """

    def wanted(now: Standing) -> Change:
        if not (before := now.before(kind)):
            raise StoreError(
                f"{voice.name} has no earlier champion ({kind}) that is not retired: "
                f"`voicemill voices list` names its entries, `voicemill voices promote` judges one"
            )
        return Change(
            number=before,
            kind=kind,
            stage="champion",
            who=who,
            when=when,
            why=why,
            instead_of=now.champions.get(kind, 0),
            forced=True,
        )

    return _append(voice, wanted)


def _append(voice: Path, wanted: Callable[[Standing], Change]) -> Change:
    change = _append_if(voice, wanted)
    if change is None:
        raise StoreError(f"no change of {voice} was wanted")
    return change


def _append_if(voice: Path, wanted: Callable[[Standing], Change | None]) -> Change | None:
    """Write the change that `wanted` makes of the present state; asked again where another writer came first."""
    folder = voice / FOLDER
    for path in abandoned(folder, ABANDONED):
        path.unlink(missing_ok=True)
    while True:
        now = standing(voice)
        change = wanted(now)
        if change is None:
            return None
        change = replace(change, sequence=now.history[-1].sequence + 1 if now.history else 1)
        if create_json(folder / f"{change.sequence:08d}.json", asdict(change)):
            return change


def _read(path: Path) -> Change:
    try:
        return Change(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise StoreError(f"{path} is no change of a stage: {error}. Restore it from a backup of the store") from error


def _named(number: int) -> str:
    return f"entry {number}" if number else "no champion"

"""Status of the entries of a voice: candidate, champion of its lane, retired. `<voice>/stages/00000001.json`, 2, ...

Each change is one file, written beside its place and linked to the next number: a link is there whole or not at all,
and never replaces one. So of two writers that saw the same state one gets the number; the other reads again and is
refused if the state it compared with is no longer the present one. No lock, nothing to clear after a kill, and the
history is the state.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from voicemill.storage.errors import StatusConflict, StoreDamaged, StoreError
from voicemill.storage.files import abandoned, create_json
from voicemill.storage.units import Seconds

Status = Literal["candidate", "champion", "retired"]
FOLDER = "stages"
ABANDONED: Seconds = 3_600.0
"""Age from which a half-written change counts as left by a killed process."""


@dataclass(frozen=True, kw_only=True)
class StatusChange:
    """One entry became champion of its lane, or was retired; a file of the history."""

    number: int
    """Number of the entry."""
    kind: str
    """Lane of the entry."""
    stage: Status
    """Status after the change."""
    who: str
    when: str
    """ISO 8601."""
    why: str
    instead_of: int = 0
    """Champion of the lane before the change; 0 = none."""
    forced: bool = False
    """Promoted past the gate."""
    sequence: int = 0
    """Place in the history of the voice, from 1."""


@dataclass(frozen=True)
class VoiceStatus:
    """Status of all entries of a voice, after all changes."""

    champions: Mapping[str, int]
    """Lane -> number of its champion."""
    retired: frozenset[int]
    history: tuple[StatusChange, ...]
    """Oldest first."""

    def of(self, number: int) -> Status:
        """Status of one entry."""
        if number in self.retired:
            return "retired"
        return "champion" if number in self.champions.values() else "candidate"

    def retirement(self, number: int) -> StatusChange | None:
        """The change that retired an entry; None where it is not retired."""
        return next((c for c in self.history if c.number == number and c.stage == "retired"), None)

    def previous_champion(self, kind: str) -> int:
        """The lane's last champion that is neither the present one nor retired; 0 = none."""
        present = self.champions.get(kind, 0)
        past = [c.number for c in self.history if c.kind == kind and c.stage == "champion"]
        return next((number for number in reversed(past) if number != present and number not in self.retired), 0)


def read_status(voice: Path) -> VoiceStatus:
    """Status of the voice in a folder; without any change all its entries are candidates.

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
    return VoiceStatus(champions, frozenset(retired), history)


def promote(
    voice: Path, number: int, kind: str, *, instead_of: int, who: str, when: str, why: str, forced: bool = False
) -> StatusChange:
    """Make an entry the champion of its lane, if the lane's champion still is `instead_of` (0 = none).

    Raises:
        StatusConflict: the lane has another champion meanwhile.
        StoreError: the entry is retired, or the champion already.
    """

    def promotion(status: VoiceStatus) -> StatusChange:
        champion = status.champions.get(kind, 0)
        if number in status.retired:
            raise StoreError(f"entry {number} of {voice.name} is retired for good: train a new one, `voicemill train`")
        if champion != instead_of:
            raise StatusConflict(
                f"entry {number} of {voice.name} was compared with {_named(instead_of)}, and meanwhile "
                f"{_named(champion)} became champion ({kind}): run `voicemill voices promote` again"
            )
        if champion == number:
            raise StoreError(f"entry {number} of {voice.name} is the champion ({kind}) already")
        return StatusChange(
            number=number,
            kind=kind,
            stage="champion",
            who=who,
            when=when,
            why=why,
            instead_of=champion,
            forced=forced,
        )

    return _append(voice, promotion)


def retire(voice: Path, number: int, kind: str, *, who: str, when: str, why: str) -> StatusChange | None:
    """Retire an entry for good; None where it was retired before. A champion leaves its lane without one."""

    def retirement(status: VoiceStatus) -> StatusChange | None:
        if number in status.retired:
            return None
        champion = status.champions.get(kind, 0)
        return StatusChange(
            number=number,
            kind=kind,
            stage="retired",
            who=who,
            when=when,
            why=why,
            instead_of=champion,
        )

    return _append_if(voice, retirement)


def rollback(voice: Path, kind: str, *, who: str, when: str, why: str) -> StatusChange:
    """Make the champion before the present one champion again.

    Raises:
        StoreError: the lane has no earlier champion that is not retired.
    """

    def reinstatement(status: VoiceStatus) -> StatusChange:
        if not (previous := status.previous_champion(kind)):
            raise StoreError(
                f"{voice.name} has no earlier champion ({kind}) that is not retired: "
                f"`voicemill voices list` names its entries, `voicemill voices promote` judges one"
            )
        return StatusChange(
            number=previous,
            kind=kind,
            stage="champion",
            who=who,
            when=when,
            why=why,
            instead_of=status.champions.get(kind, 0),
            forced=True,
        )

    return _append(voice, reinstatement)


def _append(voice: Path, change_of: Callable[[VoiceStatus], StatusChange]) -> StatusChange:
    change = _append_if(voice, change_of)
    assert change is not None
    return change


def _append_if(voice: Path, change_of: Callable[[VoiceStatus], StatusChange | None]) -> StatusChange | None:
    """Write the change that `change_of` derives from the present state; derived anew where another writer was first."""
    folder = voice / FOLDER
    for path in abandoned(folder, ABANDONED):
        path.unlink(missing_ok=True)
    while True:
        status = read_status(voice)
        change = change_of(status)
        if change is None:
            return None
        change = replace(change, sequence=status.history[-1].sequence + 1 if status.history else 1)
        if create_json(folder / f"{change.sequence:08d}.json", asdict(change)):
            return change


def _read(path: Path) -> StatusChange:
    try:
        return StatusChange(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise StoreDamaged(path, f"is no change of status ({error})") from error


def _named(number: int) -> str:
    return f"entry {number}" if number else "no champion"

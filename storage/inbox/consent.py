"""Consents: records of the speakers who allow the use of their voice.

There are two sources. `consents.csv` at the inbox root (columns: speaker, consent; optional: note, date) comes with the
recordings; `voicemill consent grant|withdraw` appends to `<store>/consents.jsonl`. The last record of the command
counts; in the table a "no" counts, unless a "yes" of the same name has a later date. A withdrawal by the command beats
any grant of the CSV; a grant by the command beats a "no" of the CSV, unless the CSV dates that "no" later, or the grant
has a date to come, which a clock wrote that was ahead. Without a record there is no consent. A "no" of a near-equal
name holds a speaker too (`names.py`), until a later grant names that speaker. A refusal may stand in what cannot be
read: a damaged line of the command withdraws what it may have, and a table that cannot be read whole is an error.
"""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Literal

from voicemill.storage.errors import ConfigError
from voicemill.storage.files import append_line
from voicemill.storage.inbox.consent_table import (
    CONSENTS,
    ConsentTable,
    TableRow,
    contradictions,
    find_table,
    read_table,
    standing_refusal,
    tables_elsewhere,
)
from voicemill.storage.inbox.consent_words import is_after
from voicemill.storage.inbox.inbox import Inbox
from voicemill.storage.inbox.listing import Listing, Problem, first_problems
from voicemill.storage.inbox.names import Slips, folded, near_keys, speaker_name
from voicemill.storage.store import Store

Action = Literal["grant", "withdraw"]

_SPEAKER = re.compile(r'"speaker": ("(?:[^"\\]|\\.)*")')
_UNDECODED = "\ufffd"
"""Character that `errors="replace"` puts in the place of bytes that are not UTF-8."""


@dataclass(frozen=True)
class Consent:
    """Present consent of one speaker."""

    granted: bool
    record: str
    """Text for `Upload.consent` when granted, and for the detail of a held upload when not."""
    withdrawn: bool = False
    """An explicit no; `--assume-consent` does not override it."""


NO_RECORD = Consent(False, "no consent on record")


@dataclass(frozen=True)
class Decision:
    """The record that decided about one speaker, and the file that it stands in."""

    consent: Consent
    place: str
    time: str = ""
    number: int = -1
    """Index among the records of the command; -1 = it stands in the table."""


@dataclass(frozen=True)
class Consents:
    """Consents of all speakers on record."""

    decisions: Mapping[str, Decision] = field(default_factory=dict)
    """Speaker -> the decision on that very name."""
    problems: tuple[Problem, ...] = ()
    unread: bool = False
    """Whether a refusal of a speaker without a record may stand in what was not read."""
    refusals: Mapping[str, tuple[tuple[str, Decision], ...]] = field(default_factory=dict)
    """Key of near-equal names -> those that have refused, and their decisions."""
    now: str = ""

    @property
    def by_speaker(self) -> Mapping[str, Consent]:
        """Speaker on record -> present consent."""
        return {speaker: self.of(speaker) for speaker in self.decisions}

    def of(self, speaker: str, assumed: str | None = None) -> Consent:
        """Consent of a speaker; `assumed` is the reason of `--assume-consent`, for speakers without a record."""
        name = speaker_name(speaker)
        decision = self.decisions.get(name)
        consent = decision.consent if decision else NO_RECORD
        if not consent.withdrawn and (other := self._near_refusal(name, decision)):
            record = other[1].consent.record  # without the name, which stays out of the tables
            record = f"{record}, of a name that is nearly this one: a grant of this very name ends it"
            return Consent(False, record, True)
        if assumed and not self.unread and not consent.granted and not consent.withdrawn:
            return Consent(True, f"assumed: {assumed}")
        return consent

    def _near_refusal(self, name: str, own: Decision | None) -> tuple[str, Decision] | None:
        """The first refusal of a near-equal name that no later grant of this name answers."""
        near = (row for key in sorted(near_keys(name, by_letters=True)) for row in self.refusals.get(key, ()))
        return next((row for row in near if row[0] != name and not self._answers(own, row[1])), None)

    def _answers(self, grant: Decision | None, refusal: Decision) -> bool:
        if grant is None or not grant.consent.granted:
            return False
        if refusal.number >= 0:
            return grant.number > refusal.number
        if grant.number >= 0:
            return not (grant.time > self.now or is_after(refusal.time, grant.time))
        return bool(refusal.time and grant.time) and grant.time <= self.now and is_after(grant.time, refusal.time)

    def slips(self, speakers: Collection[str]) -> list[Problem]:
        """Lines about speakers of the inbox whom a record under another name may mean, or who have nearly one name."""
        present = {speaker_name(name) for name in speakers}
        absent = Slips(name for name in self.decisions if name not in present)
        problems = []
        for speaker in sorted(present - {""}):
            own = self.decisions.get(speaker)
            if not (own and own.consent.withdrawn) and (refusal := self._near_refusal(speaker, own)):
                who, other = refusal
                message = (
                    f"{speaker!r} is held for the refusal of {who!r}, nearly the same name: {other.consent.record}"
                )
                problems.append(Problem(other.place, 0, message))
            elif own is None and (near := absent.of(speaker)):
                other = self.decisions[near[0]]
                words = "has consent" if other.consent.granted else "refused"
                message = f"no record of {speaker!r}; {near[0]!r}, whom nobody here is called, {words}: is it the same?"
                problems.append(Problem(other.place, 0, message))
        for _, group in groupby(sorted(present, key=lambda name: (folded(name), name)), folded):
            if len(names := list(group)) > 1:
                message = f"{', '.join(map(repr, names))} are nearly one name: taken as {len(names)} speakers"
                problems.append(Problem(names[0], 0, message))
        return problems


@dataclass(frozen=True)
class ConsentRecord:
    """One grant or withdrawal of a speaker."""

    speaker: str
    granted: bool
    time: str = ""
    """ISO 8601; "" = not dated."""
    note: str = ""


@dataclass
class _Source:
    records: list[ConsentRecord] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unread: str = ""
    """Place of a possible refusal of anyone that was not read; "" = none."""

    def doubt(self, speaker: str, line: str) -> None:
        """Take back the earlier grants that a damaged line may have withdrawn: of one speaker, or "" = of all."""
        self.unread = self.unread or ("" if speaker else line)
        for name in {speaker} if speaker else {record.speaker for record in self.records}:
            self.records.append(
                ConsentRecord(name, False, note=f"{line} cannot be read and may withdraw the consent; record it again")
            )


def append_record(store: Store, speaker: str, action: Action, *, time: str, note: str = "") -> None:
    """Append one record to `<store>/consents.jsonl`, under a lock; on the disk when this returns.

    Args:
        time: ISO 8601 in UTC, as "2026-09-01T12:00:00+00:00".

    Raises:
        ConfigError: the speaker's name is empty.
    """
    speaker = speaker_name(speaker)
    if not speaker:
        raise ConfigError("the speaker's name is empty: give it, `voicemill consent grant --speaker NAME`")
    line = {"time": time, "speaker": speaker, "action": action, "note": note}
    append_line(store.root / "consents.jsonl", json.dumps(line, ensure_ascii=False))


def recorded_consents(store: Store, speaker: str | None = None) -> list[ConsentRecord]:
    """Records that the command appended, oldest first; of one speaker or of all."""
    return [record for record in _jsonl(store).records if speaker is None or record.speaker == speaker_name(speaker)]


def consents_of(box: Inbox, listing: Listing, store: Store, speakers: Collection[str]) -> Consents:
    """Consents on record for an inbox with these speakers.

    Raises:
        ConfigError: its table cannot be read whole.
    """
    path, content = find_table(box, listing) or (CONSENTS, None)
    consents, elsewhere = read_consents(store, content, speakers=speakers, path=path), tables_elsewhere(listing)
    return replace(consents, unread=consents.unread or bool(elsewhere), problems=(*consents.problems, *elsewhere))


def read_consents(
    store: Store,
    table: str | bytes | None = None,
    *,
    now: str = "",
    speakers: Collection[str] = (),
    path: str = CONSENTS,
) -> Consents:
    """Read the consents of all speakers on record.

    Args:
        table: content of the inbox's consents.csv; None where there is none.
        now: ISO 8601 in UTC; "" = the present.
        speakers: names in the inbox: evidence for the encoding of the table, and compared with those on record.

    Raises:
        ConfigError: the table cannot be read whole; the message names the line.
    """
    now = now or datetime.now(UTC).isoformat(timespec="seconds")
    commands = _jsonl(store)
    stated = read_table(table, speakers, path) if table is not None else ConsentTable()
    by_command = {record.speaker: (number, record) for number, record in enumerate(commands.records)}
    by_table: dict[str, list[TableRow]] = defaultdict(list)
    for row in stated.rows:
        by_table[row.speaker].append(row)
    decisions = {
        speaker: _decide(by_command.get(speaker), by_table.get(speaker, []), path, now)
        for speaker in by_command.keys() | by_table.keys()
    }
    if commands.unread:
        unread = Consent(False, f"{commands.unread} cannot be read and may refuse it", True)
        decisions |= dict.fromkeys(by_table.keys() - by_command.keys(), Decision(unread, "consents.jsonl"))
    refusals: dict[str, dict[str, Decision]] = defaultdict(dict)
    present = {speaker_name(name) for name in speakers}
    for speaker, decision in sorted(decisions.items()):
        if decision.consent.withdrawn:
            names = {speaker}.union(*(row.readings for row in by_table.get(speaker, []) if not row.granted))
            for key in set().union(*(near_keys(name, by_letters=speaker not in present) for name in names)):
                refusals[key][speaker] = decision
    consents = Consents(
        decisions=decisions,
        unread=bool(commands.unread),
        refusals={key: tuple(rows.items()) for key, rows in refusals.items()},
        now=now,
    )
    problems = [*stated.problems, *contradictions(by_table, path)]
    listed = (*commands.problems, *first_problems(path, problems), *first_problems(path, consents.slips(speakers)))
    return replace(consents, problems=listed)


def _decide(command: tuple[int, ConsentRecord] | None, rows: list[TableRow], path: str, now: str) -> Decision:
    """The decision on one name, by the last record of the command and the rows of the table."""
    refusal = standing_refusal(rows, now)
    number, record = command or (-1, None)
    if record is None or (record.granted and refusal and (record.time > now or is_after(refusal.time, record.time))):
        row = refusal or [row for row in rows if row.granted][-1]
        consent = Consent(
            row.granted, _with_note(f"{path}: {'yes' if row.granted else 'no'}", row.note), not row.granted
        )
        return Decision(consent, path, row.time)
    verb = "granted" if record.granted else "withdrawn"
    text = _with_note(f"{verb} {record.time}".strip(), record.note)
    return Decision(Consent(record.granted, text, not record.granted), "consents.jsonl", record.time, number)


def _with_note(text: str, note: str) -> str:
    return f"{text} ({note})" if note else text


def _jsonl(store: Store) -> _Source:
    path, source = store.root / "consents.jsonl", _Source()
    lines: Iterable[str] = path.read_text("utf-8", "replace").split("\n") if path.exists() else ()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if _UNDECODED in line:
                raise ValueError("bytes that are not UTF-8")
            raw = json.loads(line)
            granted = {"grant": True, "withdraw": False}[raw["action"]]
            name = speaker_name(str(raw["speaker"]))
            record = ConsentRecord(name, granted, str(raw["time"]), str(raw.get("note", "")))
        except (ValueError, KeyError, TypeError):
            source.problems.append(Problem(path.name, number, "not a consent record: it grants nothing"))
            if (speaker := _may_refuse(line)) is not None:
                source.doubt(speaker, f"line {number} of {path.name}")
        else:
            source.records.append(record)
    return source


def _may_refuse(line: str) -> str | None:
    """Speaker whose consent an unreadable line may withdraw: "" = anyone's; None = nobody's.

    A line that was cut off before the name was never reported as recorded.
    """
    if '"action": "grant"' in line:
        return None
    if (found := _SPEAKER.search(line)) and _UNDECODED not in found[1]:
        return speaker_name(json.loads(found[1], strict=False))
    return "" if found or line.rstrip().endswith("}") else None

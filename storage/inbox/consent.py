"""Consents: records of the speakers who allow the use of their voice.

There are two sources. `consents.csv` at the inbox root (columns: speaker, consent; optional: note, date) comes with the
recordings; `voicemill consent grant|withdraw` appends to `<store>/consents.jsonl`. Per speaker the last record of each
counts. A withdrawal by the command beats any grant of the CSV; a grant by the command beats a "no" of the CSV, unless
the CSV dates that "no" later, or the grant has a date to come, which a clock wrote that was ahead. Without a record
there is no consent.
"""

import csv
import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from voicemill.storage.errors import ConfigError
from voicemill.storage.files import append_line
from voicemill.storage.inbox.inbox import Problem
from voicemill.storage.inbox.layouts import first_problems
from voicemill.storage.store import Store

CONSENTS = "consents.csv"
"""Name of the table at the inbox root."""

Action = Literal["grant", "withdraw"]

_YES = frozenset({"yes", "y", "true", "1", "granted", "grant"})
_NO = frozenset({"no", "n", "false", "0", "withdrawn", "withdraw", "refused"})


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
class Consents:
    """Consents of all speakers on record."""

    by_speaker: Mapping[str, Consent]
    problems: tuple[Problem, ...] = ()

    def of(self, speaker: str, assumed: str | None = None) -> Consent:
        """Consent of a speaker; `assumed` is the reason of `--assume-consent`, for speakers without a record."""
        consent = self.by_speaker.get(speaker, NO_RECORD)
        if assumed and not consent.granted and not consent.withdrawn:
            return Consent(True, f"assumed: {assumed}")
        return consent


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


def append_record(store: Store, speaker: str, action: Action, *, time: str, note: str = "") -> None:
    """Append one record to `<store>/consents.jsonl`, under a lock; on the disk when this returns.

    Args:
        time: ISO 8601 in UTC, as "2026-09-01T12:00:00+00:00".

    Raises:
        ConfigError: the speaker's name is empty.
    """
    if not speaker.strip():
        raise ConfigError("the speaker's name is empty: give it, `voicemill consent grant --speaker NAME`")
    line = {"time": time, "speaker": speaker, "action": action, "note": note}
    append_line(store.root / "consents.jsonl", json.dumps(line, ensure_ascii=False))


def recorded_consents(store: Store, speaker: str | None = None) -> list[ConsentRecord]:
    """Records that the command appended, oldest first; of one speaker or of all."""
    return [record for record in _jsonl(store).records if speaker in (None, record.speaker)]


def read_consents(store: Store, text: str | None = None, *, now: str = "") -> Consents:
    """Read the consents of all speakers on record.

    Args:
        text: content of the inbox's consents.csv; None where there is none.
        now: ISO 8601 in UTC; "" = the present.
    """
    now = now or datetime.now(UTC).isoformat(timespec="seconds")
    commands, table = _jsonl(store), _table(text) if text is not None else _Source()
    by_command = {record.speaker: record for record in commands.records}
    by_table = {record.speaker: record for record in table.records}
    by_speaker = {
        speaker: _consent(by_command.get(speaker), by_table.get(speaker), now)
        for speaker in by_command.keys() | by_table.keys()
    }
    problems = first_problems(CONSENTS, table.problems)
    return Consents(by_speaker, (*commands.problems, *problems))


def _consent(command: ConsentRecord | None, table: ConsentRecord | None, now: str) -> Consent:
    refused = command is not None and command.granted and table is not None and not table.granted
    if command is None or (refused and table and (command.time > now or _after(table, command))):
        granted, note = (table.granted, table.note) if table else (False, "")
        return Consent(granted, _with_note(f"{CONSENTS}: {'yes' if granted else 'no'}", note), not granted)
    verb = "granted" if command.granted else "withdrawn"
    return Consent(command.granted, _with_note(f"{verb} {command.time}", command.note), not command.granted)


def _after(record: ConsentRecord, other: ConsentRecord) -> bool:
    """Whether `record` is dated later; compared to the precision of its date (a day, or a second)."""
    return record.time > other.time[: len(record.time)]


def _with_note(text: str, note: str) -> str:
    return f"{text} ({note})" if note else text


def _jsonl(store: Store) -> _Source:
    path, source = store.root / "consents.jsonl", _Source()
    lines: Iterable[str] = path.read_text("utf-8", "replace").split("\n") if path.exists() else ()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
            granted = {"grant": True, "withdraw": False}[raw["action"]]
            record = ConsentRecord(_name(str(raw["speaker"])), granted, str(raw["time"]), str(raw.get("note", "")))
        except (ValueError, KeyError, TypeError):
            source.problems.append(Problem(path.name, number, "not a consent record: passed over"))
        else:
            source.records.append(record)
    return source


def _table(text: str) -> _Source:
    source = _Source()
    rows = csv.reader(text.splitlines())
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        if "speaker" not in header or "consent" not in header:
            message = (
                f"its first line must name the columns speaker and consent; it is {','.join(header)!r}: nothing granted"
            )
            return _Source(problems=[Problem(CONSENTS, 1, message)])
        for row in rows:
            if any(cell.strip() for cell in row):
                _row(dict(zip(header, row, strict=False)), rows.line_num, source)
    except csv.Error as error:
        source.problems.append(Problem(CONSENTS, rows.line_num, f"{error}: the rows from here on are not read"))
    return source


def is_grant(row: Mapping[str, str], speaker: str) -> bool:
    """Whether a row of the table grants the consent of this speaker."""
    return _name(row.get("speaker", "")) == speaker and row.get("consent", "").strip().lower() in _YES


def _name(speaker: str) -> str:
    """Name of a speaker as the listing has it: composed, so that a "no" is not missed for its spelling."""
    return unicodedata.normalize("NFC", speaker.strip())


def _row(row: Mapping[str, str], line: int, source: _Source) -> None:
    """Add the record of one row; any value that is not a clear yes is a no."""
    speaker, value = _name(row.get("speaker", "")), row.get("consent", "").strip().lower()
    if not speaker:
        source.problems.append(Problem(CONSENTS, line, "no speaker"))
        return
    if value not in _YES | _NO:
        message = f"consent of {speaker!r} is {value!r}, not yes or no: taken as no"
        source.problems.append(Problem(CONSENTS, line, message))
    date, note = (row.get("date") or "").strip(), (row.get("note") or "").strip()
    source.records.append(ConsentRecord(speaker, value in _YES, date, note))

"""Who allowed the use of their voice.

Two places say so. `consents.csv` at the inbox root (columns: speaker, consent; optional: note, date) comes with the
recordings; `<store>/consents.jsonl` is what `voicemill consent grant|withdraw` appended. Per speaker the last record of
each counts. A withdrawal by the command beats any grant of the CSV; a grant by the command beats a "no" of the CSV,
unless the CSV dates that "no" later. Without a record: no consent.
"""

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from voicemill.storage.errors import ConfigError
from voicemill.storage.files import append_line
from voicemill.storage.inbox.inbox import Problem
from voicemill.storage.store import Store

CONSENTS = "consents.csv"
"""Its name at the inbox root."""

Action = Literal["grant", "withdraw"]

_YES = frozenset({"yes", "y", "true", "1", "granted", "grant"})
_NO = frozenset({"no", "n", "false", "0", "withdrawn", "withdraw", "refused"})


@dataclass(frozen=True)
class Standing:
    """What is on record for one speaker."""

    granted: bool
    record: str
    """What `Upload.consent` holds when granted, and the detail of a held upload when not."""
    withdrawn: bool = False
    """An explicit no; `--assume-consent` does not override it."""


NO_RECORD = Standing(False, "no consent on record")


@dataclass(frozen=True)
class Consents:
    """All that is on record."""

    standings: Mapping[str, Standing]
    problems: tuple[Problem, ...] = ()

    def of(self, speaker: str, assumed: str | None = None) -> Standing:
        """The standing of a speaker; `assumed` is the reason of `--assume-consent`, for those without a record."""
        standing = self.standings.get(speaker, NO_RECORD)
        if assumed and not standing.granted and not standing.withdrawn:
            return Standing(True, f"assumed: {assumed}")
        return standing


@dataclass(frozen=True)
class Entry:
    """One record of a speaker."""

    speaker: str
    granted: bool
    time: str = ""
    """ISO 8601; "" = not dated."""
    note: str = ""


@dataclass
class _Read:
    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def append(store: Store, speaker: str, action: Action, *, time: str, note: str = "") -> None:
    """Append one record to `<store>/consents.jsonl`: one write under a lock, on disk when this returns.

    Args:
        time: ISO 8601 in UTC, as "2026-09-01T12:00:00+00:00".

    Raises:
        ConfigError: the speaker's name is empty.
    """
    if not speaker.strip():
        raise ConfigError("the speaker's name is empty: voicemill consent grant --speaker NAME")
    line = {"time": time, "speaker": speaker, "action": action, "note": note}
    append_line(store.root / "consents.jsonl", json.dumps(line, ensure_ascii=False))


def history(store: Store, speaker: str | None = None) -> list[Entry]:
    """What the command recorded, oldest first."""
    return [entry for entry in _jsonl(store).entries if speaker in (None, entry.speaker)]


def load(store: Store, text: str | None = None) -> Consents:
    """Everything on record.

    Args:
        text: content of the inbox's consents.csv; None where there is none.
    """
    commands, table = _jsonl(store), _table(text) if text is not None else _Read()
    by_command = {entry.speaker: entry for entry in commands.entries}
    by_table = {entry.speaker: entry for entry in table.entries}
    standings = {
        speaker: _standing(by_command.get(speaker), by_table.get(speaker))
        for speaker in by_command.keys() | by_table.keys()
    }
    return Consents(standings, (*commands.problems, *table.problems))


def _standing(command: Entry | None, table: Entry | None) -> Standing:
    if command is None or (table is not None and command.granted and not table.granted and _after(table, command)):
        granted, note = (table.granted, table.note) if table else (False, "")
        return Standing(granted, _words(f"{CONSENTS}: {'yes' if granted else 'no'}", note), not granted)
    verb = "granted" if command.granted else "withdrawn"
    return Standing(command.granted, _words(f"{verb} {command.time}", command.note), not command.granted)


def _after(entry: Entry, other: Entry) -> bool:
    """Whether `entry` is dated later; compared as far as it is dated (a day, or to the second)."""
    return entry.time > other.time[: len(entry.time)]


def _words(record: str, note: str) -> str:
    return f"{record} ({note})" if note else record


def _jsonl(store: Store) -> _Read:
    path, read = store.root / "consents.jsonl", _Read()
    lines: Iterable[str] = path.read_text("utf-8", "replace").split("\n") if path.exists() else ()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
            granted = {"grant": True, "withdraw": False}[raw["action"]]
            read.entries.append(Entry(str(raw["speaker"]), granted, str(raw["time"]), str(raw.get("note", ""))))
        except (ValueError, KeyError, TypeError):
            read.problems.append(Problem(path.name, number, "not a consent record: passed over"))
    return read


def _table(text: str) -> _Read:
    read = _Read()
    rows = csv.reader(text.splitlines())
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        if "speaker" not in header or "consent" not in header:
            words = (
                f"its first line must name the columns speaker and consent; it is {','.join(header)!r}: nothing granted"
            )
            return _Read(problems=[Problem(CONSENTS, 1, words)])
        for row in rows:
            if any(cell.strip() for cell in row):
                _row(dict(zip(header, row, strict=False)), rows.line_num, read)
    except csv.Error as error:
        read.problems.append(Problem(CONSENTS, rows.line_num, f"{error}: the rows from here on are not read"))
    return read


def _row(row: Mapping[str, str], line: int, read: _Read) -> None:
    """One row; whatever is not a clear yes is a no."""
    speaker, said = row.get("speaker", "").strip(), row.get("consent", "").strip().lower()
    if not speaker:
        read.problems.append(Problem(CONSENTS, line, "no speaker"))
        return
    if said not in _YES | _NO:
        read.problems.append(Problem(CONSENTS, line, f"consent of {speaker!r} is {said!r}, not yes or no: taken as no"))
    entry = Entry(speaker, said in _YES, (row.get("date") or "").strip(), (row.get("note") or "").strip())
    read.entries.append(entry)

"""The table of consents at the inbox root, in any encoding and with any of four separators: read whole, or not at all.

A "no" may stand in whatever is not read, so a table of which one line is not understood is an error with the line: no
row after it is guessed at. Each line is one row; a quote that is open at the end of a line would hide the rows behind
it. Any value that is not a clear yes is a no.
"""

import csv
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from voicemill.storage.errors import ConfigError
from voicemill.storage.inbox.consent_words import NO, YES, date_of, is_after, reason_ended
from voicemill.storage.inbox.decoding import (
    SEPARATOR_NAMES,
    Decoded,
    cells_of,
    decode_table,
    first_difference,
    header_of,
    lines_of,
)
from voicemill.storage.inbox.inbox import MOST_TABLE, Inbox
from voicemill.storage.inbox.listing import Listing, Problem
from voicemill.storage.inbox.names import caseless, means_everyone, names_in, speaker_name

CONSENTS = "consents.csv"
"""Name of the table at the inbox root."""
LATEST = "9999"
"""Time of a refusal whose date is not understood: no grant is later."""

_LOOKALIKE = re.compile(
    r"consents?\.txt|(?:.*[^a-z])?consents?(?:[^a-z].*)?\.(?:csv|tsv|psv|json|xls[xm]?|ods|numbers)"
)
_EXPECTED = (
    "expected: a first line that names the columns speaker and consent (optional: date, note), separated by commas, "
    "semicolons, tabs or bars, then a row a line, as anna,yes"
)
_SAMPLE = 1 << 15
"""Characters of a text in which names are counted to tell its encoding."""


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One row of the table."""

    line: int
    speaker: str
    readings: frozenset[str]
    """All names that a refusal may mean, this one included: its bytes in other encodings."""
    granted: bool
    time: str = ""
    """ISO 8601; "" = not dated."""
    note: str = ""


@dataclass(frozen=True)
class ConsentTable:
    """The table as it was read."""

    path: str = CONSENTS
    decoded: Decoded = field(default_factory=lambda: Decoded("", "utf-8"))
    rows: tuple[TableRow, ...] = ()
    problems: tuple[Problem, ...] = ()


def unread(path: str, line: int, reason: str) -> ConfigError:
    """The error of a table that cannot be read whole."""
    place = f"{path}:{line}" if line else path
    return ConfigError(
        f"{place}: {reason}; {_EXPECTED}. A refusal may stand in what is not read, so no consent is assumed, and "
        "nothing is prepared: fix it and run the command again"
    )


def find_table(box: Inbox, listing: Listing, name: str = CONSENTS) -> tuple[str, bytes] | None:
    """Path and content of a table at the inbox root; None without one. Another case counts where it is the only one.

    Raises:
        ConfigError: it cannot be read, or several files have this name in different cases.
    """
    present = [path for path in (*listing.others, *listing.refused) if "/" not in path and caseless(path) == name]
    if not present:
        return None
    if len(present) > 1:
        raise unread(name, 0, f"several files have this name in different cases ({', '.join(sorted(present))})")
    path = present[0]
    if path in listing.refused:
        raise unread(path, 0, f"it is not read: {listing.refused[path]}")
    try:
        return path, box.read_bytes(path, MOST_TABLE)
    except (OSError, ValueError) as error:
        raise unread(path, 0, str(error)) from error


def tables_elsewhere(listing: Listing) -> list[Problem]:
    """A line for each file that looks like a table of consents and is not read as one: a refusal may stand in it."""
    paths = [path for path in listing.others if _LOOKALIKE.fullmatch(caseless(path.rpartition("/")[2]))]
    message = (
        f"not read, so no consent is assumed: consents are read from {CONSENTS} at the inbox root; move or remove it"
    )
    return [Problem(path, 0, message) for path in paths if caseless(path) != CONSENTS]


def read_table(content: str | bytes, speakers: Collection[str] = (), path: str = CONSENTS) -> ConsentTable:
    """Read the content of the table.

    Args:
        speakers: names in the inbox: evidence for its encoding.

    Raises:
        ConfigError: it cannot be read whole; the message names the line and what was expected.
    """
    try:
        decoded = Decoded(content, "utf-8") if isinstance(content, str) else decode_table(content, _counter(speakers))
    except ValueError as error:
        raise unread(path, 0, str(error)) from error
    lines = lines_of(decoded.text)
    if (header := header_of(lines, ("speaker", "consent"))) is None:
        first = next((line.strip() for line in lines if line.strip()), "")
        number = next((at for at, line in enumerate(lines, 1) if line.strip()), 1)
        what = f"its first line names no columns speaker and consent; it is {first[:80]!r}" if first else "it is empty"
        raise unread(path, number, what)
    start, separator, names = header
    if (twice := first_difference(names)) in ("speaker", "consent", "date"):
        raise unread(path, start + 1, f"the column {twice} stands twice in the header")
    problems: list[Problem] = []
    if decoded.encoding != "utf-8" or separator != ",":
        how = f"read as {decoded.encoding.upper().replace('_', '-')}, separated by {SEPARATOR_NAMES[separator]}"
        problems.append(Problem(path, 0, f"{how}: save it as UTF-8 with commas if names in it look wrong"))
    rows: list[TableRow] = []
    for number, line in enumerate(lines[start + 1 :], start + 2):
        try:
            cells = cells_of(line, separator)
        except csv.Error as error:
            reason = f"a quote is not closed on its line, or stands inside of a cell ({error})"
            raise unread(path, number, reason) from error
        if any(cell.strip() for cell in cells):
            try:
                if separator == "|" and decoded.guessed and len(cells) != len(names):
                    raise ValueError(
                        "a bar is missing, or it is half of a character in another encoding than the guess"
                    )
                row = _row(number, names, cells, decoded, speakers)
            except ValueError as error:
                raise unread(path, number, str(error)) from error
            problems += (Problem(path, number, message) for message in row[1])
            rows += row[0]
    return ConsentTable(path, decoded, tuple(rows), tuple(problems))


def _row(
    line: int, names: list[str], cells: list[str], decoded: Decoded, speakers: Collection[str]
) -> tuple[list[TableRow], list[str]]:
    """The row, if it is about anybody, and what is to be reported about it.

    Raises:
        ValueError: it may refuse somebody, and whom cannot be told.
    """
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp") and char != "\t" for char in "".join(cells)):
        raise ValueError("a control character in it, which may part two rows")
    if len(cells) <= max(names.index("speaker"), names.index("consent")):
        raise ValueError(f"{len(cells)} cells, the header has {len(names)}")
    if any(cell.strip() for cell in cells[len(names) :]) and names[-1] != "note":
        raise ValueError(f"{len(cells)} cells, the header has {len(names)} (a name with the separator needs quotes)")
    cell = dict(zip(names, cells, strict=False))
    value = speaker_name(cell["consent"]).lower()
    speaker, ended = speaker_name(cell["speaker"]), reason_ended(cell)
    granted = value in YES and not ended
    if not speaker:
        if granted:
            return [], ["no speaker"]
        raise ValueError("a refusal without a speaker")
    if not granted and speaker not in speakers and means_everyone(speaker):
        raise ValueError(f"a refusal of {speaker!r}: give each speaker a row")
    messages = [f"consent of {speaker!r} is {value!r}, but {ended}: taken as no"] if ended and value in YES else []
    if value not in YES | NO:
        others = (speaker_name(text).lower() for name, text in zip(names, cells, strict=False) if name != "consent")
        if len(cells) != len(names) or NO & set(others):
            raise ValueError(f"consent is {value!r}, not yes or no, and a cell beside it may be the answer")
        messages.append(f"consent of {speaker!r} is {value!r}, not yes or no: taken as no")
    lost = "\ufffd" in speaker or ("?" in speaker and speaker not in speakers)
    if not granted and (lost or any(unicodedata.category(char) == "Cc" for char in speaker)):
        raise ValueError(f"a refusal of {speaker!r}: characters of the name were lost when the file was saved")
    time, known = date_of(cell.get("date", ""))
    if not known:
        messages.append(f"the date {cell['date'].strip()!r} is not ISO 8601, as 2026-03-31: its order is not known")
        time = "" if granted else LATEST
    note = speaker_name(",".join(cells[names.index("note") :]) if names[-1] == "note" else cell.get("note", ""))
    listed = [] if speaker in speakers else names_in(cell["speaker"])
    row = TableRow(
        line=line,
        speaker=speaker,
        readings=frozenset([speaker] if granted else [*map(speaker_name, decoded.readings(cell["speaker"])), *listed]),
        granted=granted,
        time=time,
        note=note,
    )
    return [row], messages


def _counter(speakers: Collection[str]) -> "_Known":
    return _Known(frozenset(speakers))


class _Known:
    """Number of known speakers in a text whose names are not in ASCII."""

    def __init__(self, speakers: frozenset[str]) -> None:
        self._speakers = frozenset(name for name in speakers if not name.isascii())

    def __call__(self, text: str) -> int:
        if not self._speakers:
            return 0
        cells = {cell for cell in re.split(r'[,;|\t"\r\n]', text[:_SAMPLE]) if not cell.isascii()}
        return sum(speaker_name(cell) in self._speakers for cell in cells)


def without_grants(box: Inbox, listing: Listing, speaker: str) -> tuple[str, bytes, bytes] | None:
    """Path of the table, and its bytes before and after the rows that grant the consent of this speaker are taken out;
    None where there are none.

    Raises:
        ConfigError: it cannot be read whole, or not be written in its encoding again.
    """
    if (found := find_table(box, listing)) is None:
        return None
    path, before = found
    table = read_table(before, {speaker}, path)
    lines = {row.line for row in table.rows if row.granted and row.speaker == speaker}
    parts = [line.encode(table.decoded.encoding) for line in lines_of(table.decoded.text)]
    if table.decoded.mark + b"".join(parts) != before:
        raise unread(path, 0, f"its text does not give its bytes again in {table.decoded.encoding}: save it as UTF-8")
    kept = [part for number, part in enumerate(parts, 1) if number not in lines]
    return (path, before, table.decoded.mark + b"".join(kept)) if lines else None


def contradictions(rows: Mapping[str, list[TableRow]], path: str) -> list[Problem]:
    """A line for each speaker with a yes and a no, of which the no counts."""
    problems = []
    for speaker, own in rows.items():
        if (no := standing_refusal(own, "")) and any(row.granted for row in own):
            message = (
                f"{speaker!r} has a no here and a yes elsewhere in the table: the no counts; date both, or drop one"
            )
            problems.append(Problem(path, no.line, message))
    return problems


def standing_refusal(rows: list[TableRow], now: str) -> TableRow | None:
    """The latest refusal of a speaker that no later dated grant ends; a grant dated after `now` ends none."""
    refusals = [row for row in rows if not row.granted]
    grants = [row.time for row in rows if row.granted and row.time and (not now or row.time <= now)]
    standing = [row for row in refusals if not row.time or not any(is_after(time, row.time) for time in grants)]
    return max(standing, key=lambda row: (row.time, row.line), default=None)

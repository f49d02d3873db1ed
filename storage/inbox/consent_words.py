"""Answers in a table of consents: yes, no, a yes that has ended, and dates that can be compared.

A cell beside a yes may take it back: a column of withdrawals with a mark in it, an end that has passed, an answer of a
later year, a note that speaks of a refusal. Of the two readings the no counts.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from voicemill.storage.inbox.names import speaker_name

YES = frozenset({"yes", "y", "true", "1", "granted", "grant"})
NO = frozenset({"no", "n", "false", "0", "withdrawn", "withdraw", "refused"})
_ISO = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?)?)?")
_ENDED = (
    r"revo[kc]|withdr[ae]w|refus|declin|den(?:y|ied)|opt(?:ed)?[ _-]?out|cancel|object(?:s|ed|ion)|widerr|zur.ckgezog|"
    r"abgelehn|撤回|撤销|撤銷|拒绝|拒絕|不同意|取消"
)
_END_COLUMN = re.compile(_ENDED + r"|retract|terminat|\bended", re.I)
_END_NOTE = re.compile(_ENDED + "|no longer", re.I)
_UNTIL = re.compile(r"expir|until|valid(?!.*from)|end[ _-]?date|bis$|到期", re.I)
_ABOUT = re.compile(r"date|form|file|by|from|id|doc|link|url|time|source|sign|where|note|text|name|type|given at", re.I)
"""Columns named after the consent that hold no answer."""


def reason_ended(cell: Mapping[str, str]) -> str:
    """Reason why a yes counts no longer, by the columns beside it; "" = there is none."""
    for name, text in cell.items():
        mark = speaker_name(text).lower()
        if name == "note":
            if _END_NOTE.search(mark):
                return "its note speaks of a refusal"
        elif name not in ("speaker", "consent", "date") and mark:
            until, known = date_of(text) if _UNTIL.search(name) else ("", True)
            over = _END_COLUMN.search(name) and mark not in NO - {"withdrawn", "withdraw", "refused"}
            past = not known or (until and not is_after(until, datetime.now(UTC).isoformat(timespec="seconds")))
            if over or past or ("consent" in name and mark not in YES and not _ABOUT.search(name)):
                return f"the column {name} says {mark[:40]!r}"
    return ""


def date_of(text: str) -> tuple[str, bool]:
    """Date of a row, in UTC where it has a zone; False where it is none that can be compared."""
    text = text.strip().replace(" ", "T")
    if not text or not _ISO.fullmatch(text):
        return "", not text
    if re.search(r"(Z|[+-]\d\d:?\d\d)$", text[10:]):
        try:
            return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds"), True
        except (ValueError, OverflowError):
            return "", False
    return text, True


def is_after(time: str, other: str) -> bool:
    """Whether `time` is later; compared to the precision of the coarser of the two (a day, or a second)."""
    size = min(len(time), len(other))
    return time[:size] > other[:size] if other else bool(time)

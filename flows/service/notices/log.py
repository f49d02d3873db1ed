"""Notices of a store: a file that always has them, and events of the server from which webhooks are called.

`<store>/prefect/notices.jsonl` holds one JSON object in each line. A notice has a key, and one of the same key is not
repeated: whoever looks every ten seconds may tell each time what is the case. Notices name no speaker and no file, so
that forgetting has nothing to erase here.
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from voicemill.flows.service.notices.posting import post_event
from voicemill.storage.errors import ServerError
from voicemill.storage.files import append_line
from voicemill.storage.flushing import locked_file
from voicemill.storage.store import Store

EVENT = "voicemill.notice"


class Kind(Enum):
    """Subject of a notice."""

    FAILED = "run failed", "a run ended with an error, and does not start again by itself"
    CRASHED = "run crashed", "a run died; a new one takes up its work, up to four attempts"
    LATE = "refresh late", "no refresh has completed for `late_days` days"
    ANSWER = "answer needed", "a run is suspended until a person answers its question"
    BREAKER = "breaker open", "a stage dropped or failed far more than in the version before: nothing was published"
    NOTHING_KEPT = "nothing kept", "no second of a new upload was kept"
    CONSENT = "consent missing", "uploads are held, because no consent of their speakers is on record"
    DISK = "disk nearly full", "less than `free_gb` GB are free where the store lies"

    def __init__(self, label: str, meaning: str) -> None:
        self.label, self.meaning = label, meaning


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One line of the file."""

    when: str
    """Time, ISO 8601, UTC."""
    kind: str
    """Label of a `Kind`."""
    text: str
    key: str
    """Subject and its instance, such as the id of a run; the same key is told once."""


def notices_file(store: Store) -> Path:
    """File of the notices."""
    return store.prefect / "notices.jsonl"


def read_notices(store: Store) -> list[Notice]:
    """All notices, oldest first; a line that a crash cut off is left out."""
    path, notices = notices_file(store), []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with suppress(ValueError, TypeError):
            notices.append(Notice(**json.loads(line)))
    return notices


def told_keys(store: Store) -> set[str]:
    """Keys of all notices."""
    return {notice.key for notice in read_notices(store)}


def key_of(kind: Kind, key: str) -> str:
    """Key of a notice, by its subject and the key within that."""
    return f"{kind.label}: {key}"


def tell(store: Store, kind: Kind, text: str, key: str) -> bool:
    """Write a notice down and send its event, unless one of the same key is there; returns whether it is new.

    Without a server, or with one that does not accept the event, the file alone has the notice.
    """
    key = key_of(kind, key)
    store.prefect.mkdir(parents=True, exist_ok=True)
    with locked_file(store.prefect / ".notices"):
        if key in told_keys(store):
            return False
        now = datetime.now(UTC).isoformat(timespec="seconds")
        notice = Notice(when=now, kind=kind.label, text=text, key=key)
        append_line(notices_file(store), json.dumps(asdict(notice), ensure_ascii=False))
    if "PREFECT_API_URL" not in os.environ:
        return True
    with suppress(ServerError):
        post_event(EVENT, f"voicemill.store:{store.root}", asdict(notice), {"voicemill.kind": kind.label})
    return True

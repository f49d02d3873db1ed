"""Receipts of forgetting: what was erased, by whom it can be checked, and which corpus versions held the speaker."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from voicemill.storage.corpus.rows import reading
from voicemill.storage.files import read_json
from voicemill.storage.forgetting.mentions import name_pattern
from voicemill.storage.store import Store


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """Record of one forgetting; `sealed` is the form that is stored."""

    created: str
    """ISO 8601."""
    salt: str
    who: str
    """sha256 (hex) of the salt and the speaker's name."""
    uploads: int
    rows: dict[str, int]
    """Table -> rows of the latest version."""
    files: int
    """Shards deleted, of all versions."""
    size: int
    """Bytes of those shards."""
    versions: tuple[int, ...]
    """Corpus versions that held the speaker; they read without the speaker now."""
    models: tuple[str, ...]
    """Models trained on the speech, directly or through another model: retired, where they are entries of voices."""
    retrain: tuple[str, ...] = ()
    """Lanes of other speakers' voices, "base/trained", that lost their champion or all their entries."""
    inbox: tuple[str, ...] = ()
    """Files deleted or rewritten in the inbox."""
    mentions: tuple[str, ...] = ()
    """Files that still hold the name (never audio, features or text): consents, history of runs, inbox metadata."""

    def matches(self, speaker: str) -> bool:
        """Whether this is the receipt of that speaker."""
        return self.who == salted_hash(self.salt, speaker)

    def erased(self, path: str) -> bool:
        """Whether this file of the inbox, or its digest, was deleted or rewritten."""
        return bool({path, salted_hash(self.salt, path)} & set(self.inbox))

    def sealed(self, speaker: str) -> "Receipt":
        """The receipt as it is stored: no name, no path of the inbox."""
        name, stand_in = name_pattern(speaker), self.who[:16].encode()

        def seal(text: str) -> str:
            if text.startswith("inbox:"):
                return f"inbox:{salted_hash(self.salt, text.removeprefix('inbox:'))}"
            return name.sub(stand_in, text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

        return replace(
            self,
            models=tuple(map(seal, self.models)),
            retrain=tuple(map(seal, self.retrain)),
            inbox=tuple(salted_hash(self.salt, path) for path in self.inbox),
            mentions=tuple(map(seal, self.mentions)),
        )


def interrupted_speakers(store: Store) -> list[str]:
    """Speakers whose forgetting was interrupted: forget them again to complete it."""
    return sorted(read_json(path)["speaker"] for path in store.root.glob("forgetting-*.json"))


def receipts(store: Store) -> list[Receipt]:
    """All receipts, oldest first."""
    return [read_receipt(path, read_json(path)) for path in sorted(store.receipts.glob("*.json"))]


def forgotten_versions(store: Store) -> frozenset[int]:
    """Numbers of the corpus versions that held a speaker whose forgetting is complete, running or interrupted.

    They read without the speaker, so two trainings on one of them would see different data: none trains on them again.
    """
    return frozenset(number for receipt in all_receipts(store) for number in receipt.versions)


def all_receipts(store: Store) -> list[Receipt]:
    """Receipts of all forgettings, also of running ones. The marks are read first: a mark is deleted after its receipt
    is written, so a forgetting that ends in between is found as one of the two."""
    marks = [(path, raw) for path in store.root.glob("forgetting-*.json") if (raw := read_json(path)) is not None]
    return [*(read_receipt(path, raw["receipt"]) for path, raw in marks), *receipts(store)]


def salted_hash(salt: str, speaker: str) -> str:
    return hashlib.sha256(f"{salt}{speaker}".encode("utf-8", "surrogatepass")).hexdigest()


def read_receipt(path: Path, raw: dict[str, Any]) -> Receipt:
    with reading(path):
        lists = {name: tuple(raw.get(name, ())) for name in ("versions", "models", "retrain", "inbox", "mentions")}
        return Receipt(**{**raw, **lists})

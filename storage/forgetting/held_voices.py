"""Uploads that are held because of whose voice they are: `<store>/held_voices.json`.

One record for each upload: its sha256, the speaker whose voice it is, and the similarity. No vector is stored. The
upload stays held while that speaker has not granted consent. When the speaker is forgotten, the name leaves the record,
and the upload stays held: what it holds was not forgotten by whoever sent it under another name.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from voicemill.storage.corpus.rows import reading
from voicemill.storage.files import read_json, write_json
from voicemill.storage.store import Store

FILE = "held_voices.json"


@dataclass(frozen=True)
class HeldVoice:
    """One upload, and whose voice it is."""

    upload: str
    """sha256 of its bytes."""
    speaker: str
    """Speaker without consent; "" = a forgotten one."""
    similarity: float
    """Cosine of the upload's voice to the speaker's."""

    @property
    def detail(self) -> str:
        """Reason of the hold for people. Not for tables: forgetting the speaker would have to find the name there."""
        if not self.speaker:
            return "held: its voice is that of a speaker who was forgotten"
        return (
            f"held: its voice is that of {self.speaker} (similarity {self.similarity:.2f}), who has not granted consent"
        )


IN_TABLES = f"its voice is that of a speaker without consent, whom {FILE} names"
"""Detail of such an upload in the table `uploads`."""


def read(store: Store) -> dict[str, HeldVoice]:
    """Upload -> record."""
    path = store.root / FILE
    with reading(path):
        return {row.upload: row for row in (HeldVoice(**raw) for raw in read_json(path, []))}


def add(store: Store, held: Iterable[HeldVoice]) -> None:
    """Add records; the caller holds the store's lock."""
    _write(store, read(store) | {row.upload: row for row in held})


def anonymise(store: Store, speaker: str) -> None:
    """Remove a speaker's name from the records; the caller holds the store's lock."""
    rows = read(store)
    if any(row.speaker == speaker for row in rows.values()):
        _write(store, {u: HeldVoice(u, "", 0.0) if row.speaker == speaker else row for u, row in rows.items()})


def _write(store: Store, rows: dict[str, HeldVoice]) -> None:
    write_json(store.root / FILE, [asdict(row) for _, row in sorted(rows.items())], indent=1)

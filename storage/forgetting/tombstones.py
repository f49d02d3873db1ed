"""What was forgotten and must not come back: digests of content, never names.

`<store>/tombstones.json`: {"content": [sha256 of files], "pcm": [sha256 of decoded samples]}, sorted.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from voicemill.storage.files import read_json, write_json
from voicemill.storage.store import Store


@dataclass(frozen=True)
class Tombstones:
    """Digests of what was forgotten."""

    content: frozenset[str] = frozenset()
    pcm: frozenset[str] = frozenset()


def read(store: Store) -> Tombstones:
    """All tombstones of a store."""
    raw = read_json(store.root / "tombstones.json", {})
    return Tombstones(frozenset(raw.get("content", ())), frozenset(raw.get("pcm", ())))


def bury(store: Store, content: Iterable[str], pcm: Iterable[str]) -> None:
    """Add digests; the caller holds the store."""
    old = read(store)
    raw = {"content": sorted(old.content | set(content)), "pcm": sorted((old.pcm | set(pcm)) - {""})}
    write_json(store.root / "tombstones.json", raw, indent=1)

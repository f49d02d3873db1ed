"""Tombstones: digests of forgotten content, so that it does not come back; never names.

`<store>/tombstones.json`: {"content": [sha256 of files], "pcm": [sha256 of decoded samples]}, sorted.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from voicemill.storage.corpus.rows import reading
from voicemill.storage.files import read_json, write_json
from voicemill.storage.store import Store


@dataclass(frozen=True)
class Tombstones:
    """Digests of forgotten uploads."""

    content: frozenset[str] = frozenset()
    pcm: frozenset[str] = frozenset()


def read(store: Store) -> Tombstones:
    """All tombstones of a store."""
    path = store.root / "tombstones.json"
    with reading(path):
        raw = read_json(path, {"content": (), "pcm": ()})
        return Tombstones(frozenset(raw["content"]), frozenset(raw["pcm"]))


def add(store: Store, content: Iterable[str], pcm: Iterable[str]) -> None:
    """Add digests; the caller holds the store's lock."""
    old = read(store)
    raw = {"content": sorted(old.content | set(content)), "pcm": sorted((old.pcm | set(pcm)) - {""})}
    write_json(store.root / "tombstones.json", raw, indent=1)

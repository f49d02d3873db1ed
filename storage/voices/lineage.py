"""Which entry was made of which: the students of a trained voice, the graphs of a student."""

from collections.abc import Iterator

from voicemill.storage.store import Store
from voicemill.storage.voices import registry as voices
from voicemill.storage.voices import status as stages
from voicemill.storage.voices.registry import Entry


def ancestors(store: Store, entry: Entry) -> Iterator[Entry]:
    """The entry that this one was made of, the one of that, ..., as far as they are there."""
    seen = {entry.name}
    while (parent := entry.card.parent) and parent not in seen:
        seen.add(parent)
        found = [each for each in voices.entries(store, parent.rpartition("/")[0]) if each.name == parent]
        if not found:
            return
        (entry,) = found
        yield entry


def champions_of(store: Store, made_of: Entry) -> list[Entry]:
    """Champions of the same voice that were made of an entry, or of what was; lanes in their order.

    A light system counts that was made beside it: on the same corpus, and for the same reason.
    """
    champions = stages.standing(made_of.folder.parent).champions
    every = {entry.number: entry for entry in voices.entries(store, made_of.card.voice)}
    found = [every[champions[kind]] for kind in voices.KINDS if champions.get(kind) in every]
    return [entry for entry in found if made_of in ancestors(store, entry)]

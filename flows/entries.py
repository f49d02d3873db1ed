"""New entries of a voice, as the flows that train, distil and compress add them."""

from collections.abc import Mapping
from pathlib import Path

from voicemill.flows.display import dashboard
from voicemill.flows.report import markdown
from voicemill.storage.forgetting.forget import retire_if_forgotten
from voicemill.storage.store import Store
from voicemill.storage.voices import registry
from voicemill.storage.voices.cards import Card, Entry


def add_entry(store: Store, card: Card, files: Mapping[str, Path]) -> Entry:
    """Write an entry, and retire it at once if a speaker whose speech it learned from was forgotten meanwhile."""
    entry = registry.add(store, card, files)
    if retire_if_forgotten(store, entry.name, when=entry.card.created):
        dashboard.log(f"{entry.name} is retired: a speaker whose speech it learned from was forgotten meanwhile")
    return entry


def file_list(entry: Entry) -> str:
    """Markdown list of an entry's weights."""
    return "\n".join(f"- {stem}: {markdown.code(entry.path(stem))}" for stem in entry.card.weights)

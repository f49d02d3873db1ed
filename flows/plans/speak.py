"""What `voicemill speak` speaks with: files that are named, or an entry of a store. No Prefect here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voicemill.storage.errors import ConfigError
from voicemill.storage.store import Store
from voicemill.storage.voices import registry as voices


@dataclass(frozen=True)
class Asked:
    """Options of the command that name a voice."""

    s1: Path | None = None
    s2: Path | None = None
    light: Path | None = None
    onnx: Path | None = None
    voice: str = ""
    store: str = ""
    kind: str = ""
    number: int = 0
    allow_retired: bool = False


@dataclass(frozen=True)
class Source:
    """What `open_voice` takes."""

    weights: Mapping[str, Path]
    content: str
    """The encoder that the card of the entry names; "" where files were named."""
    entry: str
    """"anna/0003"; "" where files were named."""


WAYS = "--s1 and --s2, --light, --onnx, or --store (with --voice)"


def source_of(asked: Asked) -> Source:
    """The weights to speak with.

    Raises:
        ConfigError: no voice is named, or more than one.
        Retired: it is retired, and that is not allowed.
        StoreError: no such store, voice or entry, or a damaged one.
    """
    files = {"s1": asked.s1, "s2": asked.s2, "light": asked.light, "onnx": asked.onnx}
    named = {stem: path for stem, path in files.items() if path is not None}
    from_store = bool(asked.voice or asked.store)
    given = [f"--{stem}" for stem in named] + (["--voice and --store"] if from_store else [])
    if not given:
        raise ConfigError(f"no voice is named: give {WAYS}")
    if (len(given) > 1 and named.keys() != {"s1", "s2"}) or (from_store and named):
        raise ConfigError(f"{', '.join(given)} name several voices: give one of {WAYS}")
    if not from_store:
        if missing := {"s1", "s2"} - named.keys() if named.keys() & {"s1", "s2"} else set():
            raise ConfigError(f"--{missing.pop()} is missing: s1 and s2 speak together; give {WAYS}")
        if asked.kind or asked.number:
            raise ConfigError("--kind and --number choose an entry of a store: give --store too, or leave them out")
        for path in named.values():
            voices.check_usable(path, allow_retired=asked.allow_retired)
        return Source(named, "", "")
    if not asked.store:
        raise ConfigError(f"--voice {asked.voice}: give --store, the folder of the store that it is in")
    store = Store.open(asked.store)
    entry = voices.find(store, asked.voice or voices.only(store), asked.kind, asked.number, asked.allow_retired)
    weights = {stem: path for stem, path in entry.weights.items() if stem in files}
    return Source(weights, entry.card.content if "s2" in weights else "", entry.name)

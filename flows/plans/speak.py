"""Choice of the weights that `voicemill speak` loads: named files, or an entry of a store. Imports no Prefect."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voicemill.model.voices.shipped import SHIPPED
from voicemill.storage.errors import ConfigError
from voicemill.storage.store import Store
from voicemill.storage.voices import registry


@dataclass(frozen=True)
class VoiceChoice:
    """Options of `voicemill speak` that name a voice."""

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
class VoiceSource:
    """Arguments of `open_voice`."""

    weights: Mapping[str, Path]
    content: str
    """Content encoder named by the entry's card; "" for named files."""
    entry: str
    """Name of the entry, "anna/0003"; "" for named files."""


WAYS = "--s1 and --s2, --light, --onnx, or --store (with --voice)"


def source_of(choice: VoiceChoice) -> VoiceSource:
    """Return the weights that the options name, those of the shipped voice where they name none.

    Raises:
        ConfigError: more than one voice is named, or an entry without its store.
        Retired: the entry is retired, and the options do not allow that.
        StoreError: the store, voice or entry does not exist, or the entry is damaged.
    """
    files = {"s1": choice.s1, "s2": choice.s2, "light": choice.light, "onnx": choice.onnx}
    named = {stem: path for stem, path in files.items() if path is not None}
    from_store = bool(choice.voice or choice.store)
    given = [f"--{stem}" for stem in named] + (["--voice and --store"] if from_store else [])
    if not given and not (choice.kind or choice.number):
        return VoiceSource({"onnx": SHIPPED}, "", "")
    if (len(given) > 1 and named.keys() != {"s1", "s2"}) or (from_store and named):
        raise ConfigError(f"{', '.join(given)} name several voices: give one of {WAYS}")
    if not from_store:
        if missing := {"s1", "s2"} - named.keys() if named.keys() & {"s1", "s2"} else set():
            raise ConfigError(f"--{missing.pop()} is missing: synthesis needs both, s1 and s2; give {WAYS}")
        if choice.kind or choice.number:
            raise ConfigError("--kind and --number choose an entry of a store: give --store too, or leave them out")
        for path in named.values():
            registry.check_usable(path, allow_retired=choice.allow_retired)
        return VoiceSource(named, "", "")
    if not choice.store:
        raise ConfigError(f"--voice {choice.voice}: give --store, the folder of its store")
    store = Store.open(choice.store)
    entry = registry.find(
        store, choice.voice or registry.only_voice(store), choice.kind, choice.number, choice.allow_retired
    )
    weights = {stem: path for stem, path in entry.weights.items() if stem in files}
    return VoiceSource(weights, entry.card.content if "s2" in weights else "", entry.name)

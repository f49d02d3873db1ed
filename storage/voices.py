"""Trained voices: `<store>/models/<voice>/0001/`, 0002, ...: weights with a card that says what they were made from.

An entry is written beside its place and renamed: it is there whole or not at all, and is never changed afterwards.
"""

import json
import math
import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from storage.errors import ConfigError
from storage.keys import file_digest
from storage.store import Store
from storage.tables import folder_of
from storage.units import Seconds

CARD = "card.json"
ABANDONED: Seconds = 86_400.0
"""A half-written entry that is older than this has nobody who writes it."""
_NAME = re.compile(r"\w[\w.-]{0,63}")


@dataclass(frozen=True)
class File:
    """A file of weights outside the entry."""

    path: str
    """As it was given; of the machine that trained."""
    sha256: str

    @classmethod
    def of(cls, path: Path | str) -> "File":
        """The file at `path` as it is now."""
        return cls(str(path), file_digest(Path(path)))


@dataclass(frozen=True)
class Training:
    """One network in one phase."""

    network: str
    phase: str
    adapt: str
    """full, lora or last."""
    outcome: str
    detail: str
    steps: int
    best_step: int
    best: float | None
    """Validation loss of the best step; None where nothing was held back."""
    losses: Mapping[str, float | None]
    """The last ones; None = not finite."""
    seconds: Seconds
    folder: str
    """In `<store>/training`; its name ends in the digest of all that it depends on."""


@dataclass(frozen=True)
class Card:
    """What an entry was made from."""

    voice: str
    corpus_version: int
    recipe: str
    """sha256 of the corpus's recipe."""
    speakers: tuple[str, ...]
    """Targets; empty = all of the corpus."""
    trainings: tuple[Training, ...]
    """In their order."""
    config: str
    """sha256 of the training settings."""
    base: Mapping[str, File]
    """"s1", "s2", "s2_discriminator" -> the checkpoint that the first phase started from; none: from scratch."""
    content: str
    """The content encoder that speaks with it: hub id, folder, or "mfcc"."""
    code: str
    """Version of voicemill, and 12 hex of the sha256 of its model code."""
    created: str
    """ISO 8601."""
    reason: str = ""
    """Why it was trained."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """"s1", "s2", ... -> name in the entry; or, where a network was not trained, the path of the one that it needs."""


@dataclass(frozen=True)
class Entry:
    """One numbered entry of a voice."""

    folder: Path
    card: Card

    @property
    def number(self) -> int:
        return int(self.folder.name)

    def path(self, network: str) -> Path:
        """The weights of "s1" or "s2"."""
        return self.folder / self.card.weights[network]


def check_name(voice: str) -> str:
    """The name itself.

    Raises:
        ConfigError: it is no name of a folder.
    """
    if not _NAME.fullmatch(voice):
        raise ConfigError(
            f"voice {voice!r}: a name is 1 to 64 letters, digits, `.`, `-` or `_`, a letter or digit first"
        )
    return voice


def name_of(speakers: Sequence[str]) -> str:
    """The voice of these speakers where nobody named it; "base" is that of all."""
    if not speakers:
        return "base"
    first = speakers[0] if _NAME.fullmatch(speakers[0]) else folder_of(speakers[0])
    return first if len(speakers) == 1 else f"{first[:40]}-and-{folder_of(chr(10).join(sorted(speakers)))[-12:]}"


def entries(store: Store, voice: str) -> list[Entry]:
    """All entries of a voice, oldest first."""
    folders = sorted(path for path in (store.models / voice).glob("[0-9]*") if (path / CARD).is_file())
    return [Entry(path, _read(path / CARD)) for path in folders]


def latest(store: Store, voice: str) -> Entry | None:
    """The newest entry; None for a voice that was never trained."""
    return next(reversed(entries(store, voice)), None)


def add(store: Store, card: Card, files: Mapping[str, Path]) -> Entry:
    """Write the next entry of a voice with copies of `files` (stem -> a file, or the folder of an adapter).

    An entry of the same trainings is there already where a killed run had come so far: it is returned, and stays one.
    """
    same = [trained.folder for trained in card.trainings]
    for entry in entries(store, card.voice):
        if [trained.folder for trained in entry.card.trainings] == same:
            return entry
    root = store.models / card.voice
    root.mkdir(parents=True, exist_ok=True)
    for path in root.glob(".*.tmp"):  # of writers that were killed
        if time.time() - path.stat().st_mtime > ABANDONED:
            shutil.rmtree(path, ignore_errors=True)
    temporary = root / f".{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        temporary.mkdir()
        for stem, path in files.items():
            name = card.weights[stem]
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, temporary / name)
        text = json.dumps(asdict(card), indent=1, ensure_ascii=False, allow_nan=False)
        (temporary / CARD).write_text(text, encoding="utf-8")
        for path in (file for file in temporary.rglob("*") if file.is_file()):
            with path.open("rb") as written:
                os.fsync(written.fileno())
        return Entry(_place(root, temporary), card)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _place(root: Path, temporary: Path) -> Path:
    """Rename to the next number; a folder that is there is never replaced."""
    while True:
        last = max((int(path.name) for path in root.glob("[0-9]*") if path.name.isdigit()), default=0)
        try:
            return temporary.rename(root / f"{last + 1:04d}")
        except OSError:  # another process took the number
            if not temporary.is_dir() or not (root / f"{last + 1:04d}").exists():
                raise


def finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def _read(path: Path) -> Card:
    raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    raw["speakers"] = tuple(raw["speakers"])
    raw["trainings"] = tuple(Training(**each) for each in raw["trainings"])
    raw["base"] = {name: File(**each) for name, each in raw["base"].items()}
    return Card(**raw)

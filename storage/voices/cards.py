"""The card of a voice's entry: what its weights were made from. JSON, written once, beside them."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from voicemill.storage.corpus.tables import folder_of
from voicemill.storage.errors import ConfigError
from voicemill.storage.keys import digest, file_digest
from voicemill.storage.units import Seconds

CARD = "card.json"
GRAPHS = "graphs"
"""Folder of a voice with the graphs that were made of its entries, `graphs/0001/...`; a cache."""
Kind = Literal["trained", "student", "compressed", "light"]
"""Lane of an entry, in which it can be champion: trained, distilled from a trained one, compressed from any, or the
light system. What is compressed competes whatever it was made of: there is one best small voice. Whoever names no lane
gets the first of these that has a champion."""
KINDS: tuple[Kind, ...] = get_args(Kind)
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
    """Version of voicemill and 12 hex digits of the versions of its speaking code; of its sources in older cards."""
    created: str
    """ISO 8601."""
    reason: str = ""
    """Why it was trained."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """"s1", "s2", "light", "onnx" (a folder), ... -> name in the entry; or, where a network was not trained, the path
    of the one that it needs."""
    kind: Kind = "trained"
    parent: str = ""
    """The entry it was made from, "anna/0003"; "" = none."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Name in the entry -> sha256, of each file but the card; `add` fills it in."""
    heard: tuple[str, ...] = ()
    """Speakers whose speech it was trained on; empty = all of the corpus version."""
    account: str = ""
    """Tables of what was measured when it was made, as Markdown; of a compressed entry its size, speed and output."""


@dataclass(frozen=True)
class Entry:
    """One numbered entry of a voice."""

    folder: Path
    card: Card

    @property
    def number(self) -> int:
        return int(self.folder.name)

    @property
    def name(self) -> str:
        """ "anna/0003"."""
        return f"{self.card.voice}/{self.folder.name}"

    @property
    def digest(self) -> str:
        """sha256 (hex) of names and contents: entries that speak alike have the same."""
        return digest([sorted(self.card.files.items()), sorted(self.card.weights.items())])

    def path(self, network: str) -> Path:
        """The weights of "s1", "s2", ...; a folder for "onnx"."""
        return self.folder / self.card.weights[network]

    @property
    def weights(self) -> dict[str, Path]:
        """All of them, as `open_voice` takes them."""
        return {stem: self.path(stem) for stem in self.card.weights}


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


def finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def read(path: Path) -> Card:
    """The card in a file; fields that came later have their defaults in older ones."""
    raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    raw["speakers"], raw["heard"] = tuple(raw["speakers"]), tuple(raw.get("heard", ()))
    raw["trainings"] = tuple(Training(**each) for each in raw["trainings"])
    raw["base"] = {name: File(**each) for name, each in raw["base"].items()}
    return Card(**raw)

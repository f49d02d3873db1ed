"""The card of a voice's entry: what its weights were made from. JSON, written once, beside them."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from voicemill.storage.corpus.rows import reading
from voicemill.storage.corpus.tables import folder_of
from voicemill.storage.errors import ConfigError
from voicemill.storage.keys import digest, file_digest
from voicemill.storage.units import Seconds

CARD = "card.json"
GRAPHS = "graphs"
"""Folder of a voice with the graphs exported from its entries, `graphs/0001/...`; a cache."""
Kind = Literal["trained", "student", "compressed", "light"]
"""Lane of an entry, in which it can be champion: trained, distilled from a trained one, compressed from any, or the
light voice. Compressed entries compete whatever they were made from: there is one best small voice. Where no lane is
named, the first of these with a champion is taken."""
KINDS: tuple[Kind, ...] = get_args(Kind)
_NAME = re.compile(r"\w[\w.-]{0,63}")


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights outside the entry."""

    path: str
    """Path as given, on the machine that trained."""
    sha256: str

    @classmethod
    def of(cls, path: Path | str) -> "WeightsFile":
        """Record of the file at `path` as it is now."""
        return cls(str(path), file_digest(Path(path)))


@dataclass(frozen=True, kw_only=True)
class Training:
    """Training of one network in one phase."""

    network: str
    phase: str
    adapt: str
    """full, lora or last."""
    outcome: str
    detail: str
    steps: int
    best_step: int
    best: float | None
    """Validation loss of the best step; None without a validation set."""
    losses: Mapping[str, float | None]
    """Last values; None = not finite."""
    seconds: Seconds
    folder: str
    """Name in `<store>/training`; it ends in the digest of all that the training depends on."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """Origin of an entry: corpus, trainings, settings, weights it started from."""

    voice: str
    corpus_version: int
    recipe: str
    """sha256 of the corpus's recipe."""
    speakers: tuple[str, ...]
    """Targets; empty = all of the corpus."""
    trainings: tuple[Training, ...]
    """Trainings in the order they ran."""
    config: str
    """sha256 of the training settings."""
    base: Mapping[str, WeightsFile]
    """"s1", "s2", "s2_discriminator" -> the checkpoint that the first phase started from; missing = from scratch."""
    content: str
    """Content encoder of the voice: hub id, folder, or a name such as "mfcc-cmvn"."""
    code: str
    """Version of voicemill, and 12 hex of the sha256 of its model code."""
    created: str
    """ISO 8601."""
    reason: str = ""
    """Why it was trained."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """"s1", "s2", "light", "onnx" (a folder), ... -> name in the entry; for a network that was not trained, the path
    of the one it needs."""
    kind: Kind = "trained"
    parent: str = ""
    """Entry it was made from, "anna/0003"; "" = none."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Name in the entry -> sha256, of each file but the card; filled in by `registry.add`."""
    heard: tuple[str, ...] = ()
    """Speakers whose speech it was trained on; empty = all of the corpus version."""
    account: str = ""
    """Tables of measurements taken when it was made, as Markdown; for a compressed entry its size, speed and output."""


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
        """Name of the entry in the store: "anna/0003"."""
        return f"{self.card.voice}/{self.folder.name}"

    @property
    def digest(self) -> str:
        """sha256 (hex) of file names and contents: equal for entries that synthesise the same."""
        return digest([sorted(self.card.files.items()), sorted(self.card.weights.items())])

    def path(self, network: str) -> Path:
        """Path of the weights of "s1", "s2", ...; a folder for "onnx"."""
        return self.folder / self.card.weights[network]

    @property
    def weights(self) -> dict[str, Path]:
        """Network -> path of its weights, as `open_voice` takes them."""
        return {stem: self.path(stem) for stem in self.card.weights}


def check_voice_name(voice: str) -> str:
    """Return the name of a voice if it is one.

    Raises:
        ConfigError: it cannot be the name of a folder.
    """
    if not _NAME.fullmatch(voice):
        raise ConfigError(
            f"voice {voice!r}: a name is 1 to 64 letters, digits, `.`, `-` or `_`, a letter or digit first"
        )
    return voice


def voice_name_of(speakers: Sequence[str]) -> str:
    """Default name of the voice of these speakers; "base" for all of the corpus (no speaker named)."""
    if not speakers:
        return "base"
    first = speakers[0] if _NAME.fullmatch(speakers[0]) else folder_of(speakers[0])
    return first if len(speakers) == 1 else f"{first[:40]}-and-{folder_of(chr(10).join(sorted(speakers)))[-12:]}"


def finite_or_none(value: float) -> float | None:
    """The value if it is finite, else None: JSON has no NaN."""
    return value if math.isfinite(value) else None


def read_card(path: Path) -> Card:
    """Read a card; fields that an earlier version did not write have their defaults.

    Raises:
        StoreDamaged: it is missing, or is no card.
    """
    with reading(path):
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        raw["speakers"], raw["heard"] = tuple(raw["speakers"]), tuple(raw.get("heard", ()))
        raw["trainings"] = tuple(Training(**training) for training in raw["trainings"])
        raw["base"] = {name: WeightsFile(**file) for name, file in raw["base"].items()}
        return Card(**raw)

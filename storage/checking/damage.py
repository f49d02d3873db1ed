"""Damage of a store: a file or folder that is not as the store says."""

from dataclasses import dataclass, field
from pathlib import Path

from voicemill.storage.store import Store


@dataclass(frozen=True, order=True)
class Damage:
    """A file or folder of a store that is not as the store says."""

    path: str
    """Relative to the store."""
    problem: str


@dataclass
class CheckResult:
    """Result of a check."""

    files: int = 0
    """Number of files that were read."""
    size: int = 0
    """Bytes of the published shards, as the logs state them."""
    damage: list[Damage] = field(default_factory=list)
    repaired: list[Damage] = field(default_factory=list)
    """Repaired damage, with what was done; it is not among `damage` any more."""
    lost: list[str] = field(default_factory=list)
    """Losses that a repair cannot undo."""


class Findings:
    """Damage found so far: the first problem of each file, all of a folder."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._damage: dict[Damage, None] = {}
        self._files: set[Path] = set()

    def report(self, path: Path, problem: str) -> None:
        """Note a problem."""
        if path not in self._files:
            self._damage[Damage(path.relative_to(self.store.root).as_posix(), problem)] = None
        if not path.is_dir():
            self._files.add(path)

    @property
    def damage(self) -> list[Damage]:
        """All, by path."""
        return sorted(self._damage)

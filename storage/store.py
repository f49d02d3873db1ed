"""The store's folders, and the lock that lets one refresh at a time work on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from voicemill.storage.errors import StoreBusy, StoreDamaged, StoreError
from voicemill.storage.files import read_loose, write_json
from voicemill.storage.filesystem import PROBES, check_file_system, drop_probes
from voicemill.storage.flushing import make_folder
from voicemill.storage.locks import FileLock

FORMAT = 1
"""Version of the folder layout, written to `<store>/store.json`."""
STARTED = (".store.json.*.tmp", PROBES)
"""Names of what a process that was killed while it made a store leaves."""


@dataclass(frozen=True)
class Store:
    """A store on a folder. Everything under `stages` is a cache: safe to delete."""

    root: Path

    @property
    def tables(self) -> Path:
        return self.root / "tables"

    @property
    def stages(self) -> Path:
        return self.root / "stages"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def training(self) -> Path:
        """Folder with one folder for each training: its settings, logs and checkpoints."""
        return self.root / "training"

    @property
    def receipts(self) -> Path:
        return self.root / "receipts"

    @property
    def prefect(self) -> Path:
        """Home of the private Prefect server: its SQLite database and logs."""
        return self.root / "prefect"

    @classmethod
    def open(cls, root: str | Path, *, create: bool = False, damaged: bool = False) -> "Store":
        """Open the store at `root`, or make one there; with `damaged` also one that has lost its mark, store.json.

        Raises:
            StoreDamaged: its mark, store.json, cannot be read.
            StoreError: the folder is missing or is not a store (and `create` is off), it holds something else, its
                layout is newer than this program, or the file system lacks what a store needs.
        """
        store = cls(Path(root).expanduser().resolve())
        mark = store.root / "store.json"
        if damaged and store.tables.is_dir():
            return store
        if mark.exists():
            raw = read_loose(mark)
            version = raw.get("format") if isinstance(raw, dict) else None
            if not isinstance(version, int):
                raise StoreDamaged(mark, f'does not hold {{"format": {FORMAT}}}')
            if version != FORMAT:
                raise StoreError(
                    f"{store.root} has store format {version}; this voicemill reads format {FORMAT}: upgrade voicemill"
                )
            return store
        if (store.tables / "versions").is_dir():
            raise StoreDamaged(mark, "is missing")
        if not create:
            raise StoreError(
                f"{root} is not a voicemill store (no store.json): `voicemill refresh --store {root}` makes one"
            )
        if store.root.exists() and not all(any(map(path.match, STARTED)) for path in store.root.iterdir()):
            raise StoreError(f"{root} is not empty and not a voicemill store: give an empty or a new folder")
        make_folder(store.root)
        check_file_system(store.root)
        write_json(mark, {"format": FORMAT})
        return store

    @contextmanager
    def locked(self, holder: str, *, wait: bool = False) -> Iterator[None]:
        """Hold the store for one writer; freed by the operating system when the process dies.

        Raises:
            StoreBusy: another process holds it and `wait` is off; the message names the holder.
            StoreError: the file system lacks what a store needs.
        """
        check_file_system(self.root)
        with FileLock(self.root / ".lock") as lock:
            if not lock.take(holder, wait=wait):
                raise StoreBusy(
                    f"{self.root} is held by {lock.holder()}. Wait for it to end, or run again with --wait to queue "
                    "behind it."
                )
            yield
            lock.note("")

    def drop_temporaries(self) -> None:
        """Delete temporary files of killed processes: those in the stage cache and those at the root of the store.

        The caller holds the lock, under which alone they are written; others write probes, each under its own lock.
        """
        names = ("forgetting-*", "held_voices.json", "tombstones.json", "store.json")
        for pattern in (*(f".{name}.*.tmp" for name in names), "stages/**/.*.tmp"):
            for path in self.root.glob(pattern):
                path.unlink(missing_ok=True)
        drop_probes(self.root)

"""Seals: size and sha256 of the files of a store, by which a check finds a changed bit and a missing file.

Every helper of `files` that writes in a store appends a line to `<store>/seals.log`, or `<store>/stages/seals.log` for
the cache, before the file gets its name: `<crc32 of the rest> <size> <sha256> <path as JSON>`. After it got the name a
line of size -2 confirms that: a kill may come between the two, so a file is whole if it matches its last confirmed
seal or one since, and it can only be missing if it was ever confirmed. Confirmations are not flushed, since a power cut
that loses them costs no more than that. Files of a cache have none: they match one of their last two seals, and may be
missing. The size -1 lifts a seal: the file is deleted on purpose. Delta's commits are sealed when they are flushed.

Not sealed: shards and downloads, whose names hold their digests; the working folders of trainings and the server's;
plans and marks of an erasure, which a completed command deletes. No path names a person: the folder of a voice, or of a
speaker's phones, stands as a digest.

Cost: hashing what is written, and a flush for each file that is flushed.
"""

import hashlib
import json
import re
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from voicemill.storage.flushing import append_line
from voicemill.storage.keys import file_digest

FILE = "seals.log"
_LINE = re.compile(r'([0-9a-f]{8}) ((-?\d+) ([0-9a-f]{64}|-) (".*"))')
_SEALED = ("tables", "stages", "reports", "models", "votes", "receipts")
_SEALED_FILES = ("consents.jsonl", "tombstones.json", "held_voices.json")
_CACHES = ("stages", "reports")
"""Folders whose files may be missing: they are made again."""


@dataclass(frozen=True)
class Seal:
    """Size and digest of a file."""

    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "Seal":
        """Seal of a file as it is now."""
        return cls(path.stat().st_size, file_digest(path))


LIFTED, PRESENT = Seal(-1, "-"), Seal(-2, "-")


@dataclass
class Seals:
    """Seals of a store."""

    of: dict[str, list[Seal]] = field(default_factory=dict)
    """Path, as `sealed_path` gives it -> the seals of which the file matches one; none where they were lifted."""
    present: set[str] = field(default_factory=set)
    """Paths of files that got their names."""
    problems: list[tuple[Path, str]] = field(default_factory=list)
    """Lines that are no seals."""


def store_of(path: Path) -> Path | None:
    """Folder of the store that a path lies in; None outside of stores."""
    return next((parent for parent in path.parents if (parent / "store.json").is_file()), None)


def sealed_path(path: PurePosixPath) -> str | None:
    """Path under which a file (relative to its store) is sealed; None for one without a seal."""
    top, *rest = path.parts
    hidden = any(part.startswith(".") for part in path.parts)
    shard = top == "tables" and not {"_delta_log", "versions"} & set(rest)
    if hidden or shard or rest[-1:] == [FILE] or top not in (_SEALED if rest else _SEALED_FILES):
        return None
    if path.is_relative_to("stages/plans") or path.is_relative_to("stages/inbox"):
        return None
    for at, folder in ((1, "models"), (1, "votes"), (2, "stages/phones"), (1, "reports")):
        if path.is_relative_to(folder) and at < len(path.parts):
            name = hashlib.sha256(path.parts[at].encode("utf-8", "surrogatepass")).hexdigest()[:12]
            return PurePosixPath(*path.parts[:at], f"#{name}", *path.parts[at + 1 :]).as_posix()
    return path.as_posix()


def may_be_missing(sealed: str) -> bool:
    """Whether a sealed file belongs to a cache."""
    return sealed.startswith(tuple(f"{top}/" for top in _CACHES)) or "/graphs/" in sealed


def seal(path: Path, source: Path | None = None, *, durable: bool = True) -> None:
    """Seal a file, or all files of a folder, before it gets the name `path`; `source` is where it lies until then."""
    source = path if source is None else source
    if (root := store_of(path)) is None:
        return
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    targets = {file: path / file.relative_to(source) for file in files if file.is_file() and not file.is_symlink()}
    _append(root, ((target, Seal.of(file)) for file, target in targets.items() if _is_sealed(root, target)), durable)


def seal_bytes(path: Path, data: bytes) -> None:
    """Seal a file that is about to hold `data`."""
    if (root := store_of(path)) is not None and _is_sealed(root, path):
        _append(root, [(path, Seal(len(data), hashlib.sha256(data).hexdigest()))], True)


def seal_new(paths: Iterable[Path]) -> list[Path]:
    """Seal those of the files that have no seal; returns them."""
    files = list(paths)
    if not files or (root := store_of(files[0])) is None:
        return []
    known = read(root).of
    new = [path for path in files if not known.get(sealed_path(_relative(root, path)) or "")]
    _append(root, ((path, Seal.of(path)) for path in new), True)
    _append(root, ((path, PRESENT) for path in new), False)
    return new


def confirm(path: Path) -> None:
    """Note that a file, or a folder, got its name, unless it is a cache."""
    if (root := store_of(path)) is not None:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        names = {file: sealed_path(_relative(root, file)) for file in files if file.is_file()}
        _append(root, ((file, PRESENT) for file, name in names.items() if name and not may_be_missing(name)), False)


def lift(paths: Iterable[Path]) -> None:
    """Lift the seals of files before they are deleted on purpose."""
    files = list(paths)
    if files and (root := store_of(files[0])) is not None:
        _append(root, ((path, LIFTED) for path in files if _is_sealed(root, path)), True)


def read(root: Path) -> Seals:
    """Seals of the store at `root`."""
    seals = Seals()
    for log in logs_of(root):
        for number, line in enumerate(log.read_bytes().split(b"\n")[:-1], 1):
            match = _LINE.fullmatch(line.decode("ascii", "replace"))
            if match is None or f"{zlib.crc32(match[2].encode()):08x}" != match[1]:
                seals.problems.append((log, f"line {number} is no seal"))
                continue
            name, state = json.loads(match[5]), Seal(int(match[3]), match[4])
            states = seals.of.setdefault(name, [])
            if state == PRESENT:
                states[:] = states[-1:]
                seals.present.add(name)
            elif state == LIFTED:
                states.clear()
                seals.present.discard(name)
            else:
                states[:] = [*(states[-1:] if may_be_missing(name) else states), state]
        if not log.read_bytes().endswith(b"\n"):
            seals.problems.append((log, "is empty or its last line is cut off"))
    return seals


def sealable_files(root: Path) -> dict[str, Path]:
    """Sealed path -> file, of all files of the store at `root` that have seals."""
    files = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            name = sealed_path(_relative(root, path))
            if name is not None:
                files[name] = path
    return files


def text_of(log: Path, of: Mapping[str, Iterable[Seal]], present: Collection[str]) -> str:
    """Text of a log that holds the seals `of` alone, and confirms those of the paths in `present`."""
    cached = log.parent.name == "stages"
    text = ""
    for path, states in sorted(of.items()):
        if path.startswith("stages/") == cached:
            confirmed = (PRESENT,) if path in present else ()
            text += "".join(f"{_line(path, state)}\n" for state in (*states, *confirmed))
    return text


def logs_of(root: Path) -> list[Path]:
    """Logs of the seals of the store at `root` that exist."""
    return [log for log in (root / FILE, root / "stages" / FILE) if log.exists()]


def _append(root: Path, states: Iterable[tuple[Path, Seal]], durable: bool) -> None:
    lines: dict[Path, list[str]] = {}
    for path, state in states:
        name = sealed_path(_relative(root, path))
        log = root / "stages" / FILE if name and name.startswith("stages/") else root / FILE
        lines.setdefault(log, []).append(_line(name or "", state))
    for log, texts in lines.items():
        append_line(log, "\n".join(texts), durable=durable and log.parent == root)


def _line(path: str, state: Seal) -> str:
    text = f"{state.size} {state.sha256} {json.dumps(path)}"
    return f"{zlib.crc32(text.encode()):08x} {text}"


def _relative(root: Path, path: Path) -> PurePosixPath:
    return PurePosixPath(path.relative_to(root).as_posix())


def _is_sealed(root: Path, path: Path) -> bool:
    return sealed_path(_relative(root, path)) is not None

"""Files: written whole or not at all, numbered, appended to, and erased so that a kill leaves nothing behind.

One idiom for each. A file or folder is written under a temporary name beside its place (`.<name>.<pid>.<hex>.tmp`) and
renamed, so a reader sees the old one, the new one, or none. Bytes and names are flushed to the disk before a call
returns. With `durable` off a kill loses nothing, and a power cut may lose or empty the newest writes: that is for what
can be made again (caches, pages), and for files that `sync_files` flushes together before a commit names them.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from voicemill.storage import flushing, seals
from voicemill.storage.errors import StoreDamaged, StoreError
from voicemill.storage.flushing import make_folder, sync, sync_tree
from voicemill.storage.units import Seconds

# -- whole or not at all


def temporary_path(path: Path) -> Path:
    """Name of a temporary file or folder beside `path`; `abandoned` and `Store.drop_temporaries` know its form."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


@contextmanager
def whole_file(path: Path, *, durable: bool = True, parents: bool = True) -> Iterator[Path]:
    """Yield a temporary path to write to; it replaces `path` when the block ends well and is removed when it does not.

    `parents` makes the folders above it.
    """
    if parents:
        make_folder(path.parent, durable=durable)
    temporary = temporary_path(path)
    try:
        yield temporary
        put(temporary, path, durable=durable)
    finally:
        temporary.unlink(missing_ok=True)


def put(temporary: Path, path: Path, *, durable: bool = True) -> None:
    """Rename a finished file to `path`, in place of what is there; in a store it is sealed before."""
    if durable:
        sync(temporary)
    seals.seal(path, temporary, durable=durable)
    os.replace(temporary, path)
    if durable:
        sync(path.parent)
    seals.confirm(path)


@contextmanager
def whole_folder(path: Path, *, replace: bool = False, durable: bool = True, parents: bool = True) -> Iterator[Path]:
    """Yield a temporary folder to fill; it takes the name `path` when the block ends well.

    A folder that has the name already is deleted before the rename with `replace`, and without it stays as it is.
    """
    if parents:
        make_folder(path.parent, durable=durable)
    with _scratch_folder(path) as temporary:
        yield temporary
        if durable:
            sync_tree(temporary)
        if replace and path.exists():
            seals.lift(file for file in path.rglob("*") if file.is_file())
            shutil.rmtree(path)
        if not place(temporary, path, durable=durable) and replace:
            raise FileExistsError(f"{path} was made by another process meanwhile")


@contextmanager
def numbered_folder(root: Path, *, width: int = 4) -> Iterator["Numbered"]:
    """Yield a temporary folder in `root` that `Numbered.take` gives the next number; removed where none is taken."""
    make_folder(root)
    with _scratch_folder(root / "entry") as temporary:
        yield Numbered(temporary, width)


class Numbered:
    """A folder on its way to a number."""

    def __init__(self, path: Path, width: int) -> None:
        self.path, self._width = path, width

    def take(self) -> Path:
        """Flush it and rename it to the number after the largest one beside it: 0001, 0002, ...; returns the path.

        Writers that take a number at the same time get different ones.
        """
        sync_tree(self.path)
        root = self.path.parent
        while True:
            numbers = (int(path.name) for path in root.glob("[0-9]*") if path.name.isdigit())
            target = root / f"{max(numbers, default=0) + 1:0{self._width}d}"
            if place(self.path, target, durable=True):
                return target


@contextmanager
def _scratch_folder(path: Path) -> Iterator[Path]:
    temporary = temporary_path(path)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def place(temporary: Path, target: Path, *, durable: bool = True) -> bool:
    """Give a finished file or folder its name in one step; False where the name is taken, which then stays as it is.

    A file keeps its temporary name too: a link is there whole or not at all and never replaces one, a rename would.
    """
    if durable and temporary.is_file():
        sync(temporary)
    seals.seal(target, temporary, durable=durable)
    if _take_name(temporary, target):
        if durable:
            sync(target.parent)
        seals.confirm(target)
        return True
    seals.seal(target, durable=durable)  # what was sealed before did not get the name
    return False


def _take_name(temporary: Path, target: Path) -> bool:
    try:
        os.rename(temporary, target) if temporary.is_dir() else os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError:
        if target.exists():
            return False
        if not temporary.is_file():
            raise
        os.replace(temporary, target)  # a file system without links: there the check and the rename are two steps
    return True


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file whole or not at all."""
    with whole_file(path, durable=durable) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a file of UTF-8 whole or not at all."""
    write_bytes(path, text.encode(), durable=durable)


def write_json(path: Path, value: Any, *, indent: int | None = None, nan: bool = True, durable: bool = True) -> None:
    """Write a file of JSON (UTF-8, not escaped) whole or not at all.

    Raises:
        ValueError: `nan` is off, and a number is not finite.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=nan)
    write_bytes(path, text.encode("utf-8", "surrogatepass"), durable=durable)


def create_json(path: Path, value: Any, *, durable: bool = True) -> bool:
    """Write a new file of JSON whole; False where its name is taken: of several writers one gets it."""
    make_folder(path.parent, durable=durable)
    temporary = temporary_path(path)
    try:
        temporary.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
        return place(temporary, path, durable=durable)
    finally:
        temporary.unlink(missing_ok=True)


def abandoned(folder: Path, age: Seconds) -> Iterator[Path]:
    """Temporary files and folders in `folder` that were not written to for `age` seconds: their writers were killed.

    One whose writer lives is none, whatever the clock says, which may have been set meanwhile.
    """
    from voicemill.storage.processes import pid_alive  # psutil, which few commands need

    for path in folder.glob(".*.tmp"):
        try:
            idle = time.time() - path.stat().st_mtime
        except FileNotFoundError:  # its writer has just ended
            continue
        process = path.name.split(".")[-3]
        if idle > age and not (process.isdigit() and pid_alive(int(process))):
            yield path


# -- appending, reading, erasing


def append_line(path: Path, line: str, *, durable: bool = True) -> None:
    """Append one line under a lock, in one write; a last line that a crash cut off is ended first and stays apart."""
    announce = partial(seals.seal_bytes, path)
    flushing.append_line(path, line, durable=durable, announce=announce, confirm=seals.confirm)


def read_json(path: Path, default: Any = None) -> Any:
    """The JSON in `path`, or `default` where there is no file.

    Raises:
        StoreDamaged: it lies in a store and holds no JSON.
        ValueError: it lies elsewhere and holds no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):  # not asked for before: it may be erased in between
        return default
    except ValueError as error:
        if seals.store_of(path) is None:
            raise
        raise StoreDamaged(path, f"holds no JSON ({error})") from None


def read_loose(path: Path) -> Any:
    """The JSON in `path`; None where the file holds none."""
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return None


def erase_folder(path: Path) -> None:
    """Delete a folder with all that is in it, out of reach of its writers at once.

    May be repeated after a kill, and run by several processes at the same time.

    Raises:
        StoreError: a part of it remains.
    """
    doomed = path.with_name(f".gone-{path.name}")
    while doomed.exists() or path.exists():
        try:
            if not doomed.exists():  # a kill may have left it
                path.rename(doomed)
            shutil.rmtree(doomed)
        except FileNotFoundError:  # another process erases it too
            continue
        except OSError as error:
            raise StoreError(
                f"{path} cannot be erased, and a part of it remains ({doomed.name}): {error}. Fix it and run the same "
                "command again, or delete both by hand"
            ) from error

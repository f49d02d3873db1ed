"""Flushing to the disk: the bytes of files, the names in folders, and lines appended to a file under its lock."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from voicemill.storage.locks import FileLock

_NO_FOLDERS = (errno.EINVAL, errno.EBADF, errno.ENOTSUP)
"""Errors of file systems that cannot flush a folder (network shares, FUSE); PostgreSQL ignores the first two too."""


def make_folder(path: Path, *, durable: bool = True) -> None:
    """Make a folder and those above it, and flush the names of the new ones."""
    if path.is_dir():
        return
    make_folder(path.parent, durable=durable)
    path.mkdir(exist_ok=True)
    if durable:
        sync(path.parent)


def sync(path: Path, *, without: Path | None = None) -> None:
    """Flush to the disk: the bytes of a file, the names in a folder (where the file system can flush folders).

    `without`: a file of the folder to delete just before.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if without is not None:
            without.unlink()
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDERS or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def sync_files(files: Iterable[Path], top: Path) -> None:
    """Flush files to the disk, then each of their folders up to `top` once, the deepest first.

    Cost: an fsync a file, 16 at a time, since each waits for the disk and not for the processor.
    """
    if not (files := list(files)):
        return
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(sync, files))
    folders = {folder for file in files for folder in file.parents if folder.is_relative_to(top)}
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        sync(folder)


def sync_folders(*tops: Path) -> None:
    """Flush the names in folders and in all below them, 16 at a time: what was deleted there stays deleted."""
    folders = [Path(folder) for top in tops for folder, _, _ in os.walk(top)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(_sync_present, folders))


def _sync_present(path: Path) -> None:
    with suppress(FileNotFoundError):  # deleted meanwhile, as a server does with its temporary folders
        sync(path)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder of `folder` to the disk, itself last."""
    for path in (*(item for item in folder.rglob("*") if not item.is_symlink()), folder):
        sync(path)


@contextmanager
def locked_file(path: Path) -> Iterator[FileLock]:
    """Yield the lock of a file, made where it is missing, exclusive; a file replaced meanwhile is opened again."""
    while True:
        with FileLock(path) as file:
            file.take(wait=True)
            if file.is_at(path):
                yield file
                return


def append_line(
    path: Path,
    line: str,
    *,
    durable: bool = True,
    announce: Callable[[bytes], None] | None = None,
    confirm: Callable[[Path], None] | None = None,
) -> None:
    """Append one line under a lock, in one write; a last line that a crash cut off is ended first and stays apart.

    `announce` is called with the bytes that the file will have, before it is written, and `confirm` afterwards.
    """
    make_folder(path.parent, durable=durable)
    with locked_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        data = ("\n" if torn else "").encode() + line.encode() + b"\n"
        if announce is not None:
            announce(os.pread(file.fileno(), size, 0) + data)
        with open(file.fileno(), "ab", closefd=False) as end:
            end.write(data)
        if durable:
            os.fsync(file.fileno())
            if size == 0:  # its name may be new
                sync(path.parent)
        if confirm is not None:
            confirm(path)

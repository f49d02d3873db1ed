"""Files written whole or not at all, read leniently, and folders erased so that a kill leaves nothing behind."""

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from voicemill.storage.errors import StoreError
from voicemill.storage.units import Seconds


def abandoned(folder: Path, age: Seconds) -> Iterator[Path]:
    """Temporaries in `folder` that nobody has written to for so long: their writers were killed."""
    for path in folder.glob(".*.tmp"):
        try:
            idle = time.time() - path.stat().st_mtime
        except FileNotFoundError:  # its writer has just ended
            continue
        if idle > age:
            yield path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it when the block ends well and removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that a reader sees the old file or the new one, never a part."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def read_json(path: Path, default: Any = None) -> Any:
    """The JSON in `path`, or `default` where there is no file."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):  # asked for only once: it may go meanwhile
        return default


def read_loose(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return None


def erase_folder(path: Path) -> None:
    """A folder with all that is in it, at once out of reach of whoever writes there. May be repeated after a kill, and
    by several at once.

    Raises:
        StoreError: something of it is left.
    """
    gone = path.with_name(f".gone-{path.name}")
    while gone.exists() or path.exists():
        try:
            if not gone.exists():  # else a kill left it
                path.rename(gone)
            shutil.rmtree(gone)
        except FileNotFoundError:  # somebody else erases it too
            continue
        except OSError as error:
            raise StoreError(
                f"{path} cannot be erased, and some of it is left ({gone.name}): {error}. Mend that and run the same "
                "command again, or delete both by hand"
            ) from error

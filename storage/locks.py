"""Locks between processes: `flock` on a file, freed by the operating system when its last holder ends.

A kill leaves nothing to clear, unlike with a file that says "locked" by its existence. The text in the file is for
people who wait; the lock alone decides.
"""

import fcntl
import os
import time
from pathlib import Path


class FileLock:
    """A lock file, open; taken by `take`, freed by `release`, by `close`, or by the end of the process.

    A process that inherits the descriptor (`pass_fds`) holds the lock as long as it lives.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)

    def take(self, holder: str | None = None, *, shared: bool = False, wait: bool = False) -> bool:
        """Take the lock, or change one that is held between exclusive and shared; False where others hold it.

        Args:
            holder: written into the file for those who wait; None leaves its text as it is.
            wait: until it is free.
        """
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(self._descriptor, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if holder is not None:
            self.note(holder)
        return True

    def note(self, holder: str) -> None:
        """Write who holds the lock; "" empties the file."""
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, holder.encode())

    def holder(self) -> str:
        """Text of the process that holds the lock; "another process" where it writes none within 0.2 s."""
        for _ in range(20):
            if text := os.pread(self._descriptor, 4096, 0).decode(errors="replace").strip():
                return text
            time.sleep(0.01)  # it may have taken the lock and not have written yet
        return "another process"

    def release(self) -> None:
        """Free the lock; the file stays open."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def is_at(self, path: Path) -> bool:
        """Whether the path still names the open file, which another process may have replaced."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def fileno(self) -> int:
        """Descriptor of the file."""
        return self._descriptor

    def close(self) -> None:
        """Close the file; may be repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def lock_holder(path: Path) -> str | None:
    """Text of the process that holds a lock file exclusively, "" before it is written; None where none holds it."""
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().decode(errors="replace").strip()
    except FileNotFoundError:
        pass
    return None

"""A bound on the processor time that reading an audio file may take: so much to open it, and a share of its duration.

A container can be made so that it takes long to read and holds nothing: millions of empty chunks, boxes, pages or
frames. Decoders look at each of them, in C, where nothing else can stop them; but they ask for the file's bytes on the
way, and there the time is looked at. It is that of this thread, and only while a decoder runs: what is done with the
samples does not count. Measured: honest files open in under 0.05 s and decode 100 times faster than they play, or more.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from voicemill.storage.errors import AudioError
from voicemill.storage.outcomes import Reason
from voicemill.storage.units import Seconds

START: Seconds = 5.0
"""Processor time for a file of any duration."""
SPEED = 10.0
"""Times real time that a file must be read beyond that."""

T = TypeVar("T")


class Budget:
    """Processor time spent on one file."""

    def __init__(self) -> None:
        self._spent: Seconds = 0.0
        self._since: Seconds | None = None
        self._played: Seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of this block."""
        self._since = time.thread_time()
        try:
            yield
        finally:
            self._spent += time.thread_time() - self._since
            self._since = None

    def metered(self, blocks: Iterator[T], duration: Callable[[T], Seconds]) -> Iterator[T]:
        """Yield the same blocks; the time of making them counts, and each adds its duration.

        Raises:
            AudioError: TOO_SLOW.
        """
        while True:
            with self.running():
                block = next(blocks, None)
            if block is None:
                return
            self._played += duration(block)
            self.check()
            yield block

    def check(self) -> None:
        """Raise TOO_SLOW where the time is spent."""
        spent = self._spent + (time.thread_time() - self._since if self._since is not None else 0.0)
        if spent > START + self._played / SPEED:
            message = (
                f"{spent:.0f} s of processor time spent for {self._played:.1f} s of audio: its container is made so"
            )
            raise AudioError(Reason.TOO_SLOW, message)


class WatchedFile:
    """A file open for reading whose budget is checked at each read and seek; errors pass through FFmpeg as they are."""

    def __init__(self, file: Any, budget: Budget) -> None:
        self._file, self._budget = file, budget
        self.name = file.name

    def read(self, size: int = -1) -> bytes:
        """Read bytes."""
        self._budget.check()
        data: bytes = self._file.read(size)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position."""
        self._budget.check()
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """Position in bytes."""
        return int(self._file.tell())

    def seekable(self) -> bool:
        """Whether it can be moved in: always."""
        return True

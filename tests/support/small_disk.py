"""A disk of its own for a test: a small tmpfs, which takes root to mount; elsewhere the test is skipped."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """A mounted tmpfs."""

    folder: Path

    def resize(self, size: str, files: int = 0) -> None:
        """Set its size, as 64m; and the number of files that it has room for, 0 = any."""
        mounted(f"remount,size={size},nr_inodes={files}", self.folder)

    def fill(self) -> None:
        """Write until no byte is left."""
        with (self.folder / "fill").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1024))
            except OSError:
                return


def mounted(options: str, folder: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, capture_output=True)


@contextmanager
def small_disk(folder: Path, size: str = "8m", files: int = 0) -> Iterator[Disk]:
    """Mount a disk on a folder, which is made."""
    folder.mkdir(parents=True)
    try:
        if os.geteuid() != 0:
            raise PermissionError
        mounted(f"size={size},nr_inodes={files}", folder)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a tmpfs takes root, and a machine that allows it")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)

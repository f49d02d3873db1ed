"""Requirements of a store on its file system: locks that exclude, and hard links.

Locks let one refresh at a time work on a store and tell who is there; a link gives a file its name in one step that
never replaces another. Without them two writers, also of two machines, damage a store in silence. Local file systems
and NFS 4 have both; NFS 3 without lockd, some FUSE and SMB mounts, and FAT lack one.
"""

import os
import sys
from pathlib import Path

from voicemill.storage.errors import StoreError
from voicemill.storage.files import temporary_path
from voicemill.storage.locks import FileLock

PROBES = ".probe.*.tmp"
"""Names of the temporary files of `what_is_missing`."""


def what_is_missing(folder: Path) -> str:
    """Requirement that the file system of a folder lacks, in words; "" = none. Two temporary files try it.

    Raises:
        OSError: nothing can be written there.
    """
    probe = temporary_path(folder / "probe")
    link = probe.with_name(f"{probe.name}-link.tmp")
    try:
        with FileLock(probe) as one, FileLock(probe) as other:
            try:
                if one.take() and other.take():
                    return "locks on files that exclude: two took the same one"
            except OSError as error:
                return f"locks on files (flock: {error.strerror})"
        try:
            link.hardlink_to(probe)
        except OSError as error:
            return f"hard links ({error.strerror})"
        return ""
    finally:
        for path in (link, probe):
            path.unlink(missing_ok=True)


def drop_probes(folder: Path) -> None:
    """Delete the temporary files of `what_is_missing` that a killed process left: nobody holds their locks."""
    for path in folder.glob(PROBES):
        with FileLock(path) as lock:
            if lock.take():
                path.unlink(missing_ok=True)


def free_inodes(folder: Path) -> int:
    """Number of files that the file system of a folder has room for; 2**63 - 1 where it sets no bound (btrfs, NFS)."""
    disk = os.statvfs(folder)
    return disk.f_favail if disk.f_files else sys.maxsize


def check_file_system(folder: Path) -> None:
    """Refuse a folder for a store where the file system lacks what a store needs.

    Raises:
        StoreError: it does; the message says what.
        OSError: nothing can be written there.
    """
    if missing := what_is_missing(folder):
        raise StoreError(
            f"the file system of {folder} lacks {missing}; without it two commands would damage a store. Put it on a "
            "local disk, on NFS 4, or on another file system with locks and hard links"
        )

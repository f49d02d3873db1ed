"""Listing of a folder: its files, names that are refused or passed over, and how names of files are read."""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_EXTENSIONS = """
wav wave rf64 w64 flac mp3 ogg oga opus webm mka m4a mp4 aac 3gp amr wma ape wv ac3 aif aiff aifc au snd caf sph nist
raw pcm
"""
AUDIO = frozenset(_EXTENSIONS.split())
"""Extensions of uploads. A name decides only whether a file counts as an upload; its format is read from its bytes."""

TEMPORARY = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", "~")

HIDDEN = "its name is hidden or temporary"
"""Reason why a folder is passed over."""

GONE = (errno.ENOENT, errno.ENOTDIR)
"""Errors of a folder that went away while its inbox was listed."""
UNLISTED = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP)
"""Errors of a folder that this process cannot list, and that stays."""

MOST_PROBLEMS = 1000
"""Problems of one file that are listed."""

DEFAULT_SPEAKER = "default"
"""Speaker of an upload at the inbox root without one in the metadata."""


@dataclass(frozen=True)
class Problem:
    """A file or line of the inbox that could not be used; it is reported, and the scan continues."""

    path: str
    line: int
    """Line number from 1; 0 = the whole file."""
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}" if self.line else f"{self.path}: {self.message}"


def first_problems(path: str, problems: list[Problem], most: int = MOST_PROBLEMS) -> list[Problem]:
    """The first problems of a file or folder, and the number of the others."""
    if (more := len(problems) - most) <= 0:
        return problems
    return [*problems[:most], Problem(path, 0, f"{more:,} more rows with problems, which are not listed")]


@dataclass(frozen=True)
class InboxFile:
    """One file of the inbox."""

    path: str
    """Relative to the inbox, forward slashes."""
    size: int
    """Bytes."""
    stamp: str
    """Changes when the file does (local: times of content and of inode); "" = the file system has none."""


@dataclass
class Listing:
    """All files of an inbox, sorted by path."""

    audio: list[InboxFile] = field(default_factory=list)
    others: dict[str, InboxFile] = field(default_factory=dict)
    """Path -> file, of those that are not audio: metadata, sidecars, and others that are ignored."""
    refused: dict[str, str] = field(default_factory=dict)
    """Path -> reason why it is not read."""
    passed_over: dict[str, str] = field(default_factory=dict)
    """Folder -> reason why its files are not looked for."""


def extension(path: str) -> str:
    """Extension of a path, in lower case, without the dot; "" = none."""
    stem, _, suffix = path.rpartition("/")[2].rpartition(".")
    return suffix.lower() if stem else ""


def without_extension(path: str) -> str:
    """Path up to the last dot of its name."""
    suffix = extension(path)
    return path[: -len(suffix) - 1] if suffix else path


def unsafe_path(name: str) -> str:
    """Reason why a path, as written in metadata, must not be followed; "" = it may be. Backslashes count as slashes."""
    parts = name.replace("\\", "/").split("/")
    if not name or "\0" in name:
        return "an empty path" if not name else "a path with a zero byte"
    if parts[0] == "" or (len(parts[0]) == 2 and parts[0][1] == ":") or "://" in name:
        return "an absolute path: paths are relative to the inbox or to the metadata's folder"
    return "a path with '..' in it" if ".." in parts else ""


def unfit_name(name: str) -> str:
    """Reason why a listing passes over or refuses a file or folder of this name; "" = it lists it."""
    if reason := bad_name(name):
        return reason
    return "a hidden or temporary name" if passed_over(name) else ""


def file_at(path: str, info: os.stat_result) -> InboxFile:
    """A local file at `path`."""
    return InboxFile(path, info.st_size, f"{info.st_mtime_ns} {info.st_ctime_ns}")


def walk(root: Path, listing: Listing) -> Iterator[InboxFile]:
    """Files of a folder. One that goes away while it is listed is not there: the next refresh sees what is.

    Raises:
        OSError: the inbox itself cannot be listed, or its disk fails.
    """
    folders = [""]
    while folders:
        prefix = folders.pop()
        try:
            with os.scandir(root / prefix) as items:
                for item in items:
                    yield from _item(root, item, prefix, listing, folders)
        except OSError as error:
            if not prefix or error.errno not in (*GONE, *UNLISTED):
                raise
            if error.errno in UNLISTED:
                listing.refused[prefix.rstrip("/")] = f"the folder cannot be listed: {error.strerror}"


def everything(root: Path) -> Iterator[Path]:
    """Paths of all files and links below a folder, hidden ones included; without recursion, whatever the depth.

    Raises:
        OSError: a folder cannot be listed.
    """
    folders = [str(root)]
    while folders:
        with os.scandir(folders.pop()) as items:
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    folders.append(item.path)
                else:
                    yield Path(item.path)


def _item(
    root: Path, item: "os.DirEntry[str]", prefix: str, listing: Listing, folders: list[str]
) -> Iterator[InboxFile]:
    """The file that an item of a folder is, if it is one; `folders` receives a folder."""
    path = prefix + item.name
    is_folder = item.is_dir(follow_symlinks=False)
    if reason := bad_name(item.name):
        listing.refused[os.fsencode(path).decode("utf-8", "backslashreplace")] = reason
    elif passed_over(item.name):
        if is_folder:
            listing.passed_over[path] = HIDDEN
    elif item.is_symlink() and (reason := _bad_link(root, Path(item.path))):
        listing.refused[path] = reason
    elif is_folder:
        folders.append(f"{path}/")
    elif item.is_file():
        with suppress(FileNotFoundError):
            yield file_at(path, item.stat())
    elif not item.is_dir():
        if extension(path) in AUDIO and os.path.lexists(item.path):
            listing.refused[path] = "no file: a device, a pipe or a socket"
    else:
        listing.passed_over[path] = "it is a link to a folder of the inbox, whose files are read there"


def _bad_link(root: Path, link: Path) -> str:
    """Reason why a link is not followed; "" = it is."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        return f"a broken link: {error}" if os.path.lexists(link) else ""
    return "" if target.is_relative_to(root) else "a link that leaves the inbox"


def passed_over(name: str) -> bool:
    """Whether a name is hidden or temporary."""
    return name.startswith(".") or name.lower().endswith(TEMPORARY)


def bad_name(name: str) -> str:
    """Reason why no file or folder of this name is read; "" = there is none."""
    if "\\" in name:
        return "a name with a backslash"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "a name that is not UTF-8"
    if name in ("", ".", ".."):
        return "a name with path parts"
    return "a name with control characters" if any(ord(c) < 32 or ord(c) == 127 for c in name) else ""

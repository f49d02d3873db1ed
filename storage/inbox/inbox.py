"""The inbox, a folder or an fsspec url with the recordings: listing it, reading small files, fetching an upload.

An upload is a file with an audio extension, in any case; hidden and temporary names are passed over. Nothing outside
the inbox is ever read: links that leave it and names with path parts are refused. A link to a folder inside it is not
followed (the files are listed at their own place).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from voicemill.storage.errors import InboxError
from voicemill.storage.files import temporary_path, whole_file
from voicemill.storage.keys import digest
from voicemill.storage.records import Upload
from voicemill.storage.store import Store

_EXTENSIONS = """
wav wave rf64 w64 flac mp3 ogg oga opus webm mka m4a mp4 aac 3gp amr wma ape wv ac3 aif aiff aifc au snd caf sph nist
raw pcm
"""
AUDIO = frozenset(_EXTENSIONS.split())
"""Extensions of uploads. A name decides only whether a file counts as an upload; its format is read from its bytes."""

TEMPORARY = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", "~")

MOST_METADATA = 128 * 2**20
"""Bytes of a file that describes uploads: two million rows, which take 20 s and 0.8 GB of memory."""
MOST_TABLE = 8 * 2**20
"""Bytes of `consents.csv` and `languages.csv`: 200,000 speakers."""
MOST_TEXT = 4 * 2**20
"""Bytes of a transcript or of turns: those of 24 hours have under one megabyte."""

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
    if reason := _bad_name(name):
        return reason
    return "a hidden or temporary name" if _passed_over(name) else ""


class Inbox:
    """An inbox on a folder (a path or file://) or on any file system that fsspec knows."""

    def __init__(self, url: str | Path) -> None:
        """Open an inbox.

        Raises:
            InboxError: it is missing or no folder, or its file system is not installed.
        """
        text = str(url)
        self._fs: Any = None
        if "://" not in text or text.startswith(("file://", "local://")):
            self.root = Path(text.removeprefix("file://").removeprefix("local://")).expanduser().resolve()
            self.url = str(self.root)
            if not self.root.is_dir():
                raise InboxError(
                    f"the inbox {text} is not a folder (looked at {self.root}): give the folder by --inbox"
                )
            return
        import fsspec

        try:
            self._fs, base = fsspec.core.url_to_fs(text)
            self._fs.invalidate_cache()
            exists = self._fs.isdir(base)
        except ImportError as error:
            raise InboxError(f"{text}: {error}. For s3:// install the extra: pip install 'voicemill[s3]'") from error
        except Exception as error:
            raise InboxError(f"the inbox {text} cannot be opened: {error}") from error
        if not exists:
            raise InboxError(f"the inbox {text} is not a folder")
        self._base = base.rstrip("/")
        self.url = text.rstrip("/")

    @property
    def local(self) -> bool:
        """Whether the inbox lies on this machine's file system."""
        return self._fs is None

    @cached_property
    def id(self) -> str:
        """Name of its listing cache: 16 hex of the digest of its address."""
        return digest(self.url)[:16]

    def listing(self) -> Listing:
        """All files, sorted by path.

        Raises:
            InboxError: it cannot be listed.
        """
        listing = Listing()
        try:
            walk = self._walk(self.root, "", listing) if self.local else self._find(listing)
            files = sorted(walk, key=lambda file: file.path)
        except OSError as error:
            raise InboxError(f"the inbox {self.url} cannot be listed: {error}") from error
        for file in files:
            if extension(file.path) in AUDIO:
                listing.audio.append(file)
            else:
                listing.others[file.path] = file
        return listing

    def _walk(self, folder: Path, prefix: str, listing: Listing) -> Iterator[InboxFile]:
        """Files of a folder. One that goes away while it is listed is not there: the next refresh sees what is."""
        with os.scandir(folder) as items:
            for item in items:
                path = prefix + item.name
                if reason := _bad_name(item.name):
                    listing.refused[os.fsencode(path).decode("utf-8", "backslashreplace")] = reason
                elif _passed_over(item.name):
                    continue
                elif item.is_symlink() and (reason := self._bad_link(Path(item.path))):
                    listing.refused[path] = reason
                elif item.is_dir(follow_symlinks=False):
                    try:
                        yield from self._walk(Path(item.path), f"{path}/", listing)
                    except PermissionError as error:
                        listing.refused[path] = f"the folder cannot be listed: {error.strerror}"
                    except (FileNotFoundError, NotADirectoryError):
                        continue
                elif item.is_file():
                    with suppress(FileNotFoundError):
                        yield _inbox_file(path, item.stat())

    def _bad_link(self, link: Path) -> str:
        """Reason why a link is not followed; "" = it is."""
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            return f"a broken link: {error}"
        return "" if target.is_relative_to(self.root) else "a link that leaves the inbox"

    def _find(self, listing: Listing) -> Iterator[InboxFile]:
        for name, info in self._fs.find(self._base, detail=True).items():
            path = name[len(self._base) :].lstrip("/")
            if any(_passed_over(part) for part in path.split("/")):
                continue
            if reason := next(filter(None, map(_bad_name, path.split("/"))), ""):
                listing.refused[path] = reason
            else:
                stamps = (
                    info.get(key) for key in ("ETag", "etag", "mtime", "LastModified", "last_modified", "created")
                )
                yield InboxFile(path, int(info.get("size") or 0), " ".join(str(s) for s in stamps if s is not None))

    def read_bytes(self, path: str, most: int = MOST_METADATA) -> bytes:
        """Content of a small file.

        Raises:
            OSError: it cannot be read.
            ValueError: it has more than `most` bytes.
        """
        if self.local:
            with self._inside(path).open("rb") as file:
                data: bytes = file.read(most + 1)
        else:
            data = self._fs.cat_file(f"{self._base}/{path}", start=0, end=most + 1)
        if len(data) > most:
            raise ValueError(f"over {most // 2**20} MB, which is more than is read: split it, or check what it is")
        return data

    def stamp(self, file: InboxFile) -> str:
        """Present stamp of a local file; that of the listing for a remote one (objects are replaced whole)."""
        return _inbox_file(file.path, self._inside(file.path).stat()).stamp if self.local else file.stamp

    @contextmanager
    def on_disk(self, path: str, scratch: Path) -> Iterator[Path]:
        """Yield the path of a file, or of a download in `scratch` that is removed at the end unless it was moved away.

        Raises:
            OSError: it cannot be read.
        """
        if self.local:
            yield self._inside(path)
            return
        scratch.mkdir(parents=True, exist_ok=True)
        target = temporary_path(scratch / "download")
        try:
            self._fs.get_file(f"{self._base}/{path}", str(target))
            yield target
        finally:
            target.unlink(missing_ok=True)

    def fetch(self, upload: Upload, store: Store) -> Path:
        """Path of the bytes of an upload on this machine: the file itself in a folder inbox, else a download.

        Raises:
            OSError: it cannot be read, or has become a link that leaves the inbox.
        """
        if self.local:
            return self._inside(upload.path)
        cached = download_path(store, upload.sha256)
        if not cached.exists() or cached.stat().st_size != upload.size:  # cut off by a power cut
            with whole_file(cached, durable=False) as temporary:
                self._fs.get_file(f"{self._base}/{upload.path}", str(temporary))
        return cached

    def _inside(self, path: str) -> Path:
        target = (self.root / path).resolve(strict=True)
        if not target.is_relative_to(self.root):
            raise PermissionError(f"{path} leaves the inbox")
        return target


def download_path(store: Store, sha256: str) -> Path:
    """Path of the download of an upload; a cache, safe to delete."""
    return store.stages / "inbox" / sha256


def _inbox_file(path: str, info: os.stat_result) -> InboxFile:
    return InboxFile(path, info.st_size, f"{info.st_mtime_ns} {info.st_ctime_ns}")


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name.lower().endswith(TEMPORARY)


def _bad_name(name: str) -> str:
    if "\\" in name:
        return "a name with a backslash"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "a name that is not UTF-8"
    if name in ("", ".", ".."):
        return "a name with path parts"
    return "a name with control characters" if any(ord(c) < 32 or ord(c) == 127 for c in name) else ""

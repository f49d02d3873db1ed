"""The inbox, a folder or an fsspec url with the recordings: listing it, reading small files, fetching an upload.

An upload is a file with an audio extension, in any case; hidden and temporary names are passed over. Nothing outside
the inbox is ever read: links that leave it and names with path parts are refused. A link to a folder inside it is not
followed (the files are listed at their own place).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from voicemill.storage.errors import InboxError
from voicemill.storage.files import temporary_path, whole_file
from voicemill.storage.inbox.listing import (
    AUDIO,
    HIDDEN,
    InboxFile,
    Listing,
    bad_name,
    extension,
    file_at,
    passed_over,
    walk,
)
from voicemill.storage.keys import digest
from voicemill.storage.records import Upload
from voicemill.storage.store import Store

MOST_METADATA = 128 * 2**20
"""Bytes of a file that describes uploads: two million rows, which take 20 s and 0.8 GB of memory."""
MOST_TABLE = 8 * 2**20
"""Bytes of `consents.csv` and `languages.csv`: 200,000 speakers."""
MOST_TEXT = 4 * 2**20
"""Bytes of a transcript or of turns: those of 24 hours have under one megabyte."""


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
            found = walk(self.root, listing) if self.local else self._find(listing)
            files = sorted(found, key=lambda file: file.path)
        except OSError as error:
            raise InboxError(f"the inbox {self.url} cannot be listed: {error}") from error
        for file in files:
            if extension(file.path) in AUDIO:
                listing.audio.append(file)
            else:
                listing.others[file.path] = file
        return listing

    def _find(self, listing: Listing) -> Iterator[InboxFile]:
        for name, info in self._fs.find(self._base, detail=True).items():
            path = name[len(self._base) :].lstrip("/")
            parts = path.split("/")
            hidden = next((n for n, part in enumerate(parts, 1) if passed_over(part)), 0)
            if hidden:
                if hidden < len(parts):
                    listing.passed_over["/".join(parts[:hidden])] = HIDDEN
            elif reason := next(filter(None, map(bad_name, parts)), ""):
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
        return file_at(file.path, self._inside(file.path).stat()).stamp if self.local else file.stamp

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

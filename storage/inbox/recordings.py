"""Recordings of an inbox by the paths and names under which tables speak of them.

Method, the first that finds something counts: the path from the folder of the table, then from the inbox root, exactly,
in another Unicode form, or in another case where that is unique (`names.py`); the same in the folders `wavs`, `wav`,
`clips` and `audio` beside the table; the same name with another audio extension, or with none; last, for a path of
another machine (`D:\\data\\x.wav`, `/data/x.wav`, `output/slicer_opt/x.wav`), the file of that name, as GPT-SoVITS'
reader does, where it is the only one, or the only one with the same folders above it. A file of that name elsewhere is
not meant where the inbox has the folder that the path names. Nothing outside the inbox is ever looked at.
"""

import posixpath
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from voicemill.storage.inbox.listing import AUDIO, Listing, extension, unsafe_path, without_extension
from voicemill.storage.inbox.names import Places, caseless, composed

AUDIO_FOLDERS = ("wavs", "wav", "clips", "audio")
"""Folders beside a table in which its project keeps the recordings."""
PARENT = "a path with '..' in it"


@dataclass(frozen=True)
class Match:
    """Recordings that a written path may mean."""

    paths: tuple[str, ...] = ()
    """One, none, or several between which it is open."""
    by_name: bool = False
    """Whether the path is not that of the recording, only its name is: then another row may mean the same file."""


def base_name(file: str) -> str:
    """Last part of a path as it is written on any system."""
    return file.replace("\\", "/").rstrip("/").rpartition("/")[2]


def clean_path(file: str) -> str:
    """Path without the spaces, quotes and marks that are put around paths."""
    return file.strip(" \t\r\n\"'\u202a")


class Recordings:
    """The audio files of one listing."""

    def __init__(self, listing: Listing) -> None:
        self._paths = [entry.path for entry in listing.audio]
        self._places = Places((path, path) for path in self._paths)

    @cached_property
    def _stems(self) -> Places:
        stems = defaultdict(list)
        for path in self._paths:
            stems[without_extension(path)].append(path)
        return Places((stem, paths[0]) for stem, paths in stems.items() if len(paths) == 1)

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = defaultdict(list)
        for path in self._paths:
            name = composed(path.rpartition("/")[2])
            names[name].append(path)
            names[without_extension(name)].append(path)
        return names

    @cached_property
    def folders(self) -> frozenset[str]:
        """Names of all folders with recordings, composed."""
        return frozenset(composed(part) for path in self._paths for part in path.split("/")[:-1])

    @cached_property
    def words(self) -> frozenset[str]:
        """Names of the recordings and their folders that are not ASCII: evidence for the encoding of a table."""
        names = {composed(part) for path in self._paths for part in path.split("/")}
        return frozenset(name for full in names for name in (full, without_extension(full)) if not name.isascii())

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(caseless(name) for name in self._by_name)

    def find(self, file: str, folder: str, *, by_name: bool = False) -> Match:
        """Recordings that a path may mean which is written in a table of this folder.

        `by_name`: of a relative path too the name alone is enough.
        """
        if "\0" in file or caseless(self._stem(base_name(file))) not in self._known:
            return Match()
        reason = unsafe_path(file)
        if not reason:
            name = posixpath.normpath(file.replace("\\", "/"))
            if paths := self._places.find(posixpath.join(folder, name), name):
                return Match(tuple(paths))
            for places, key in ((self._places, name), (self._stems, self._stem(name))):
                beside = [posixpath.join(folder, sub, key) for sub in AUDIO_FOLDERS]
                exact = dict.fromkeys(path for one in beside for path in places.find(one))
                if exact:
                    return Match(tuple(exact), places is self._stems)
                if places is self._stems and (paths := places.find(posixpath.join(folder, key), key)):
                    return Match(tuple(paths), True)
        elif reason == PARENT:
            return Match()
        return self._named(file, folder, 0 if reason or by_name else 1)

    @staticmethod
    def _stem(name: str) -> str:
        return without_extension(name) if extension(name) in AUDIO else name

    def _named(self, file: str, folder: str, least: int) -> Match:
        """Recordings of the same name, with at least so many folders above it the same."""
        parts = [composed(part) for part in file.replace("\\", "/").split("/") if part not in ("", ".")]
        if len(parts) < 2:
            return Match()
        paths = self._by_name.get(parts[-1]) or self._by_name.get(self._stem(parts[-1]), [])
        below = [path for path in paths if path.startswith(f"{folder}/")] if folder else paths
        depth: dict[str, int] = {path: self._shared(path, parts) for path in below or paths}
        most = max(depth.values(), default=0)
        best = tuple(path for path in depth if depth[path] == most)
        if most < least or (most == 0 and parts[-2] in self.folders):
            return Match()
        return Match(best, True)

    @staticmethod
    def _shared(path: str, parts: list[str]) -> int:
        """Number of folders above the file that two paths have in common."""
        own = [composed(part) for part in path.split("/")]
        pairs = zip(reversed(own[:-1]), reversed(parts[:-1]), strict=False)
        return next(
            (at for at, (a, b) in enumerate(pairs) if caseless(a) != caseless(b)), min(len(own), len(parts)) - 1
        )

"""Metadata files of an inbox: which files they are, who reads them, and the recordings that their rows mean.

`metadata.py` reads them, and `erasure.py` takes rows out of them: both see the same rows. The layouts themselves are
read in `storage/inbox/transcripts`.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from voicemill.storage.inbox.decoding import Decoded, decode_metadata
from voicemill.storage.inbox.listing import (
    DEFAULT_SPEAKER,
    MOST_PROBLEMS,
    Listing,
    Problem,
    extension,
    without_extension,
)
from voicemill.storage.inbox.names import caseless, composed, speaker_name
from voicemill.storage.inbox.recordings import AUDIO_FOLDERS, Match, Recordings, clean_path
from voicemill.storage.inbox.transcripts.columnar import COLUMNAR, read_columnar
from voicemill.storage.inbox.transcripts.delimited import read_delimited, read_list
from voicemill.storage.inbox.transcripts.kaldi import TRANS, read_ctm, read_trans, read_wav_scp
from voicemill.storage.inbox.transcripts.manifests import looks_like_manifest, read_manifest, recordings_in
from voicemill.storage.inbox.transcripts.rows import MetadataRow

Reader = Callable[[str], bytes]

MOST_CELLS = 100_000
"""Cells of a refused table that are kept as possible speakers; of a table with more every name is possible."""

_OTHERS = "consents.csv languages.csv clip_durations.tsv reported.tsv validated_sentences.tsv unvalidated_sentences.tsv"
NOT_METADATA = frozenset(_OTHERS.split())
"""Tables that describe something else, two of ours and four of Common Voice."""
_NAMED = re.compile(r"(metadata|filelist|transcripts?)([_.-].*)?\.(csv|tsv|psv|txt|parquet)|.*[_-]filelist\.txt", re.I)
"""Names that promise a table about recordings: if it cannot be read, a speaker's name may stand in it."""
_LISTS = re.compile(r"(train|val|valid|validation|dev|test|ood)([_-]?(list|texts|set))?\.txt", re.I)  # StyleTTS 2, ...
_TABLES, _MANIFESTS = ("csv", "tsv", "psv"), (".json", ".jsonl", ".jsonl.gz", ".json.gz")


def folder_speaker(path: str) -> str:
    """Speaker of an upload by its top-level folder; `default` for a file at the inbox root."""
    top, _, rest = path.partition("/")
    return (speaker_name(top) if rest else "") or DEFAULT_SPEAKER


def decode_text(data: bytes) -> str:
    """Decode UTF-8, with or without a byte order mark.

    Raises:
        ValueError: the encoding is another; the message names the first invalid byte.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"not UTF-8 (byte {data[error.start]:#04x} in line {line}): save it as UTF-8") from error


@dataclass(frozen=True)
class PossibleSpeakers:
    """Names one of which may be the speaker of an upload, and why that is not certain."""

    reason: str
    names: frozenset[str] | None
    """None = any name."""
    unlikely: bool = False
    """Whether only a recorded refusal of one of them counts: they stand in columns that are not known."""


@dataclass
class MetadataFile:
    """A metadata file that is being read."""

    path: str
    folder: str
    recordings: Recordings
    listing: Listing
    read: Reader
    problems: list[Problem]
    files: set[str]
    """Metadata files that were read."""
    decoded: Decoded = field(default_factory=lambda: Decoded("", "utf-8"))
    unread: bool = False
    """Whether the file, or the end of it, is not read."""
    refused: str = ""
    """Reason why no row is used, though the text can be read; "" = rows are used."""
    speakers: set[str] = field(default_factory=set)
    """Speakers that its rows name, as they are written."""
    cells: frozenset[str] | None = frozenset()
    """Cells of a refused table in the form of names; None = too many."""
    doubtful: dict[str, str] = field(default_factory=dict)
    """Path of an upload that a row names which cannot be used -> reason why its speaker is not known."""
    possible: dict[str, PossibleSpeakers] = field(default_factory=dict)
    """Path of an upload that a row names -> speakers that it may have."""
    _met: int = 0
    """Number of problems, listed or not."""
    _begin: int = 0
    _matches: dict[str, Match] = field(default_factory=dict)
    _claims: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @property
    def promised(self) -> bool:
        """Whether the name of the file says that it is about recordings."""
        name = self.path.rpartition("/")[2]
        return bool(_NAMED.fullmatch(name)) or extension(name) == "list" or name.lower() == "wav.scp"

    def problem(self, line: int, message: str, *, always: bool = False) -> None:
        """Add a problem; of many, the first ones stand for all, and `close` counts the rest."""
        self._met += not always
        if always or self._met <= MOST_PROBLEMS:
            self.problems.append(Problem(self.path, line, message))

    def __post_init__(self) -> None:
        self._begin = len(self.problems)

    def close(self) -> None:
        """Sort the problems by their lines, and add the number of those that were not listed."""
        self.problems[self._begin :] = sorted(self.problems[self._begin :], key=lambda problem: problem.line)
        if (more := self._met - MOST_PROBLEMS) > 0:
            self.problems.append(Problem(self.path, 0, f"{more:,} more rows with problems, which are not listed"))

    def beside(self, name: str) -> str:
        """Path of a file of this name in the folder of the table."""
        return f"{self.folder}/{name}" if self.folder else name

    def names_audio(self, file: str) -> bool:
        """Whether a recording has this name, or may have it."""
        return bool(self.recordings.find(clean_path(file), self.folder).paths)

    def is_speaker(self, name: str) -> bool:
        """Whether a folder with recordings has this name."""
        return composed(speaker_name(name)) in self.recordings.folders

    def text_of(self, path: str) -> str | None:
        """Text of another table of the folder; None where there is none, or it cannot be read."""
        if path not in self.listing.others:
            return None
        try:
            text = decode_metadata(self.read(path), path, self.recordings.words).text
        except (OSError, ValueError) as error:
            self.problems.append(Problem(path, 0, str(error)))
            return None
        self.files.add(path)
        return text

    def speaker_beside(self, path: str) -> str:
        """Speaker of the table's folder, for a recording in it or in its `wavs`; "" = the recording lies elsewhere."""
        folder = path.rpartition("/")[0]
        own = {self.folder, *map(self.beside, AUDIO_FOLDERS)}
        return folder_speaker(self.path) if folder in own else ""

    def named(self, file: str) -> tuple[str, ...]:
        """Uploads that a written path may mean, by itself."""
        if file not in self._matches:
            named = extension(self.path) == "list"  # as the reader of GPT-SoVITS does
            self._matches[file] = self.recordings.find(clean_path(file), self.folder, by_name=named)
        return self._matches[file].paths

    def lhotse(self) -> dict[str, str]:
        """Id -> path of the recordings that manifests of lhotse in this folder list."""
        found: dict[str, str] = {}
        for path in sorted(self.listing.others):
            name = path.rpartition("/")[2].lower()
            if path.rpartition("/")[0] == self.folder and name.endswith(_MANIFESTS) and "recording" in name:
                with suppress(OSError, ValueError):  # it is a problem when its own turn comes
                    found |= recordings_in(decode_metadata(self.read(path), path, frozenset()).text)
        return found

    def claim(self, rows: Collection[MetadataRow]) -> None:
        """Note which paths are written for each upload: of several that agree by their last part none is taken."""
        self.speakers = {row.description.speaker for row in rows}
        for file in {row.file for row in rows}:
            for path in self.named(file):
                self._claims[path].add(file)

    def place(self, row: MetadataRow) -> str | None:
        """Path of the upload that a row names; None where the inbox has none, or it is open which."""
        paths = self.named(row.file)
        if len(paths) != 1:
            return None
        return None if self._matches[row.file].by_name and self.rivals(row) else paths[0]

    def rivals(self, row: MetadataRow) -> set[str]:
        """Other written paths of the file that mean the same upload."""
        own = clean_path(row.file).replace("\\", "/")
        others = (file for path in self.named(row.file) for file in self._claims[path])
        return {file for file in others if clean_path(file).replace("\\", "/") != own}

    def unsearched(self, speaker: str) -> str:
        """Reason why rows of this speaker may stand in the file that are not known; "" = all are known."""
        if self.unread:
            return self.problems[-1].message
        if self.refused and (self.cells is None or speaker in self.cells):
            return self.refused
        if self.decoded.guessed and not all(name.isascii() or self.is_speaker(name) for name in self.speakers):
            return f"not UTF-8: read as {self.decoded.encoding}, and names in it may be others; save it as UTF-8"
        return ""

    def doubt(self, line: int, cells: Iterable[str]) -> None:
        """Note the uploads that the cells of a row may name which is not used, and which would name the speaker."""
        for upload in (upload for cell in cells for upload in self.named(cell)):
            self.doubtful.setdefault(upload, f"{self.path}:{line} names its speaker and is not used: fix that line")

    def refuse(self, line: int, message: str, rows: list[list[str]]) -> None:
        """Use no row of the table: its text can be read, and its columns are not known."""
        named = [path for cells in rows[:MOST_CELLS] for cell in cells for path in self.named(cell)]
        if not named and not self.promised:
            return  # a table about something else
        self.refused = message
        self.problem(line, message, always=True)
        cells = {speaker_name(cell) for row in rows for cell in row if len(cell) <= MOST_CELLS}
        self.cells = frozenset(cells) if len(cells) <= MOST_CELLS else None
        reason = f"{self.path} may name its speaker, and its layout is not known: write a header, or remove it"
        about = PossibleSpeakers(reason, self.cells)
        self.possible |= dict.fromkeys(named, about)
        self.unread = not named  # which recordings it speaks of is not known either


def below(source: MetadataFile) -> list[str]:
    """Uploads below the folder of a table, or all where there are none."""
    paths = [entry.path for entry in source.listing.audio]
    return [path for path in paths if path.startswith(source.beside(""))] or paths


def metadata_rows(
    listing: Listing, read: Reader, problems: list[Problem], files: set[str]
) -> Iterator[tuple[MetadataFile, Iterator[MetadataRow]]]:
    """Every metadata file of an inbox with its rows, the deepest first; `files` and `problems` receive what was met."""
    recordings = Recordings(listing)
    stems = {caseless(without_extension(entry.path)) for entry in listing.audio}
    for path in sorted(listing.others, key=lambda path: (-path.count("/"), path)):
        if not (kind := _kind(path, stems)):
            continue
        source = MetadataFile(
            path=path,
            folder=path.rpartition("/")[0],
            recordings=recordings,
            listing=listing,
            read=read,
            problems=problems,
            files=files,
        )
        try:
            rows = _rows_of(source, kind)
        except (OSError, ValueError) as error:
            source.unread, rows = source.promised, []
            if source.promised or kind != "cells":  # else it may be about anything
                source.problem(0, str(error))
        if rows or source.refused or (source.promised and not source.unread):
            files.add(path)
        if rows and source.decoded.guessed and not source.unread:
            name = source.decoded.encoding.upper().replace("_", "-")
            source.problem(0, f"read as {name}: save it as UTF-8 if names or texts in it look wrong", always=True)
        source.claim(rows)
        yield source, iter(rows)
        source.close()


def _kind(path: str, stems: set[str]) -> str:
    """Reader of a file: "cells", "list", "kaldi", "trans", "ctm", "manifest", "columnar"; "" = it is no metadata."""
    name = caseless(path.rpartition("/")[2])
    if name in NOT_METADATA:
        return ""
    if name == "wav.scp":
        return "kaldi"
    if name.endswith(TRANS):
        return "trans"
    if name.endswith(_MANIFESTS):
        return "manifest"
    if name.endswith(COLUMNAR):
        return "columnar"
    if (suffix := extension(name)) in ("list", "ctm"):
        return suffix
    beside = caseless(without_extension(path)) in stems
    named = _NAMED.fullmatch(name) or _LISTS.fullmatch(name)
    return "cells" if suffix in _TABLES or (named and not beside) else ""


def _rows_of(source: MetadataFile, kind: str) -> list[MetadataRow]:
    """Rows of a file.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    data = source.read(source.path)
    if kind == "columnar":
        return list(read_columnar(source, data))
    plain = kind == "manifest" and not source.path.lower().endswith(".gz")
    if plain and data.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0")[:1] not in (b"{", b"["):
        return []
    source.decoded = decode_metadata(data, source.path, source.recordings.words)
    text = source.decoded.text
    if kind == "manifest":
        return list(read_manifest(source, text, source.lhotse())) if looks_like_manifest(text) else []
    readers = {"cells": read_delimited, "list": read_list, "kaldi": read_wav_scp, "trans": read_trans, "ctm": read_ctm}
    return list(readers[kind](source, text))

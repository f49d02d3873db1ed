"""Metadata of an inbox: speaker, language, text and mark `mixed` of its uploads, in the layouts that corpora come in.

| file | rows |
|---|---|
| `metadata.csv`, header | columns speaker, file, language, text, mixed, in any order; only file is needed |
| `metadata.csv`, bars (LJSpeech) | `id|text|normalised text`, audio `wavs/<id>.*` beside it |
| `*.list` (GPT-SoVITS) | `path|speaker|language|text` |
| `wav.scp` (Kaldi) | `utterance path`, with `text` and `utt2spk` beside it |
| `<audio>.txt`, `<audio>.lab` | the text of the audio file of that name (read by `scan`) |
| `<audio>.rttm` | the turns of the people who speak in it, which make it mixed (read by `scan`) |

A file is looked for beside the metadata, then from the inbox root. The nearest metadata wins, and in it the first row
for a file. Without a stated speaker, the top-level folder is the speaker. Text is UTF-8. A row that cannot be used is a
`Problem`; a row whose path must not be followed refuses that path.
"""

import csv
import io
import posixpath
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from voicemill.storage.inbox.inbox import (
    AUDIO,
    DEFAULT_SPEAKER,
    Listing,
    Problem,
    extension,
    unsafe_path,
    without_extension,
)
from voicemill.storage.inbox.languages import normalise_language

Reader = Callable[[str], bytes]

SIDECARS = (".txt", ".lab")
"""Endings of a transcript beside an audio file, in the order in which they are looked for."""

TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0", "")
"""Marks of the column `mixed`, in any case."""

LONGEST_NAME = 200
"""Characters of a speaker's name."""


@dataclass(frozen=True)
class Description:
    """Speaker, language and text of one upload, as its metadata states them; "" = not stated."""

    speaker: str = ""
    language: str = ""
    text: str = ""
    mixed: bool = False
    """Several people speak in it."""


@dataclass
class Metadata:
    """All metadata of an inbox."""

    descriptions: dict[str, Description] = field(default_factory=dict)
    """Path of the upload -> its description."""
    refused: dict[str, str] = field(default_factory=dict)
    """Path, as written -> reason why it is not followed."""
    problems: list[Problem] = field(default_factory=list)
    files: set[str] = field(default_factory=set)
    """Metadata files that were read."""


@dataclass(frozen=True)
class _Row:
    line: int
    file: str
    description: Description


def folder_speaker(path: str) -> str:
    """Speaker of an upload by its top-level folder; `default` for a file at the inbox root."""
    top, _, rest = path.partition("/")
    return unicodedata.normalize("NFC", top) if rest else DEFAULT_SPEAKER


def normalise_text(text: str) -> str:
    """Text as it is stored: NFC, each run of white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


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


def read_metadata(listing: Listing, read: Reader) -> Metadata:
    """Read every metadata file of an inbox, the deepest first."""
    metadata = Metadata()
    places = {unicodedata.normalize("NFC", entry.path): entry.path for entry in listing.audio}
    kinds = {"metadata.csv": _csv_or_bars, "wav.scp": _kaldi}
    for path in sorted(listing.others, key=lambda path: (-path.count("/"), path)):
        parse = _list if extension(path) == "list" else kinds.get(path.rpartition("/")[2].lower())
        if parse is None:
            continue
        folder = path.rpartition("/")[0]
        source = _Source(path=path, folder=folder, places=places, listing=listing, read=read, metadata=metadata)
        try:
            rows = list(parse(source, decode_text(read(path))))
        except (OSError, ValueError) as error:
            source.problem(0, str(error))
            continue
        metadata.files.add(path)
        for row in rows:
            source.take(row)
    return metadata


@dataclass(frozen=True)
class _Source:
    """A metadata file that is being read."""

    path: str
    folder: str
    places: dict[str, str]
    listing: Listing
    read: Reader
    metadata: Metadata

    def problem(self, line: int, message: str) -> None:
        self.metadata.problems.append(Problem(self.path, line, message))

    def beside(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def place(self, file: str) -> str | None:
        """Path of the upload that a row names; None where the inbox has none."""
        name = unicodedata.normalize("NFC", posixpath.normpath(file.replace("\\", "/")))
        return self.places.get(self.beside(name)) or self.places.get(name)

    def take(self, row: _Row) -> None:
        reason = unsafe_path(row.file)
        path = None if reason else self.place(row.file)
        if reason := reason or unfit_speaker(row.description.speaker):
            self.problem(row.line, f"{row.file!r} is refused: {reason}")
            self.metadata.refused[path or row.file] = reason
            return
        if path is None:
            self.problem(row.line, f"no such audio file: {row.file!r}")
            return
        stated = row.description
        description = Description(stated.speaker, self.language(row), normalise_text(stated.text), stated.mixed)
        if self.metadata.descriptions.setdefault(path, description) != description:
            self.problem(row.line, f"{path!r} is described before, differently: the first description stays")

    def language(self, row: _Row) -> str:
        try:
            return normalise_language(row.description.language)
        except ValueError as error:
            self.problem(row.line, f"{error}: taken as unknown")
            return ""


def unfit_speaker(speaker: str) -> str:
    """Reason why this cannot be the name of a speaker; "" = it can."""
    if speaker in (".", "..") or "/" in speaker or "\\" in speaker:
        return f"a speaker with path parts: {speaker!r}"
    if len(speaker) > LONGEST_NAME or any(ord(c) < 32 or ord(c) == 127 for c in speaker):
        return f"a speaker's name with control characters or over {LONGEST_NAME} characters"
    return ""


def _csv_or_bars(source: _Source, text: str) -> Iterator[_Row]:
    lines = list(io.StringIO(text, newline=""))  # str.splitlines would also cut at U+2028 and others
    first = lines[0] if lines else ""
    header = [name.strip().lower() for name in next(csv.reader([first]), [])]
    if "file" in header:
        return _csv(source, lines, header)
    if "|" in first:
        return _bars(source, lines)
    raise ValueError(f"its first line names no column 'file' and has no bars; it is {first.strip()[:80]!r}: not read")


def _csv(source: _Source, lines: Sequence[str], header: list[str]) -> Iterator[_Row]:
    names = ("speaker", "file", "language", "text", "mixed")
    columns = {name: header.index(name) for name in names if name in header}
    for line, cells in _cells(source, lines):
        if len(cells) != len(header):
            source.problem(line, f"{len(cells)} cells, the header has {len(header)}: not used (a comma needs quotes)")
            continue
        cell = {name: cells[at].strip() for name, at in columns.items()}
        speaker = unicodedata.normalize("NFC", cell.get("speaker", ""))
        mark = cell.get("mixed", "").lower()
        if mark not in (*TRUE, *FALSE):
            source.problem(line, f"mixed is {mark[:20]!r}, neither true nor false: taken as true")
        texts = (speaker, cell.get("language", ""), cell.get("text", ""))
        yield _Row(line, cell["file"], Description(*texts, mixed=mark not in FALSE))


def _cells(source: _Source, lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Rows after the header with the line they begin in. After a broken quote, reading continues with the next line."""
    start = 1
    while start < len(lines):
        reader = csv.reader(lines[start:], strict=True)
        line = start + 1
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield line, cells
                line = start + reader.line_num + 1
            return
        except csv.Error as error:
            source.problem(line, f"{error}: the row is not used")
            start = line


def _bars(source: _Source, lines: Iterable[str]) -> Iterator[_Row]:
    """Rows of LJSpeech: the normalised text where a row has one, else the text."""
    stems = {without_extension(name): name for name in source.places}
    for number, line in enumerate(lines, 1):
        cells = line.rstrip("\r\n").split("|")
        if not line.strip():
            continue
        if len(cells) not in (2, 3):
            source.problem(number, f"{len(cells)} fields, LJSpeech has id|text|normalised text: not used")
            continue
        name = cells[0].strip()
        if unsafe_path(name):
            yield _Row(number, name, Description())
            continue
        stem = without_extension(name) if extension(name) in AUDIO else name
        path = stems.get(source.beside(f"wavs/{stem}")) or stems.get(source.beside(stem)) or f"wavs/{name}.wav"
        speaker = folder_speaker(source.path)
        yield _Row(number, path, Description(speaker, "", cells[-1].strip() or cells[1]))


def _list(source: _Source, text: str) -> Iterator[_Row]:
    """Rows of GPT-SoVITS: exactly three bars; spaces, quotes and U+202A around the path are not part of it."""
    for number, line in enumerate(text.split("\n"), 1):
        cells = line.split("|")
        if not line.strip():
            continue
        if len(cells) != 4:
            source.problem(number, f"{len(cells)} fields, a .list has path|speaker|language|text: not used")
            continue
        file, speaker, language, text_cell = cells
        speaker = unicodedata.normalize("NFC", speaker.strip())
        yield _Row(number, file.strip(" \t\"'\u202a"), Description(speaker, language, text_cell))


def _kaldi(source: _Source, text: str) -> Iterator[_Row]:
    tables = {name: _table(source, source.beside(name)) for name in ("text", "utt2spk")}
    if (segments := source.beside("segments")) in source.listing.others:
        source.metadata.problems.append(
            Problem(segments, 0, "texts of segments are not read, only texts of whole files")
        )
    for number, line in enumerate(text.split("\n"), 1):
        name, file = (*line.split(maxsplit=1), "", "")[:2]
        if not name:
            continue
        if not file or file.rstrip().endswith("|"):
            source.problem(number, f"{'a command, which is not run' if file else 'no path'}: not used")
            continue
        speaker = unicodedata.normalize("NFC", tables["utt2spk"].get(name, ""))
        yield _Row(number, file.strip(), Description(speaker, "", tables["text"].get(name, "")))


def _table(source: _Source, path: str) -> dict[str, str]:
    """Key -> value of Kaldi's `key value...` lines; empty without such a file."""
    if path not in source.listing.others:
        return {}
    try:
        lines = decode_text(source.read(path)).split("\n")
    except (OSError, ValueError) as error:
        source.metadata.problems.append(Problem(path, 0, str(error)))
        return {}
    source.metadata.files.add(path)
    pairs = (line.strip().split(maxsplit=1) for line in lines if line.strip())
    return {pair[0]: pair[1] if len(pair) > 1 else "" for pair in pairs}

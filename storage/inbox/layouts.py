"""Layouts of metadata: the rows of `metadata.csv`, LJSpeech, GPT-SoVITS and Kaldi, each with its lines in the file.

`metadata.py` reads them, and `erasure.py` takes rows out of them: both see the same rows.
"""

import csv
import io
import itertools
import posixpath
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from voicemill.storage.inbox.inbox import (
    AUDIO,
    DEFAULT_SPEAKER,
    Listing,
    Problem,
    extension,
    unsafe_path,
    without_extension,
)

Reader = Callable[[str], bytes]

KALDI_TABLES = ("text", "utt2spk")
"""Files beside `wav.scp` that are read."""

TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0", "")
"""Marks of the column `mixed`, in any case."""


@dataclass(frozen=True)
class Description:
    """Speaker, language and text of one upload, as its metadata states them; "" = not stated."""

    speaker: str = ""
    language: str = ""
    text: str = ""
    mixed: bool = False
    """Several people speak in it."""


@dataclass(frozen=True)
class MetadataRow:
    """One row of a metadata file, as it is written."""

    line: int
    """Line that it begins in, from 1."""
    stop: int
    """Line after its last one."""
    file: str
    description: Description
    key: str = ""
    """Kaldi's name of the utterance, under which other files of the folder speak of it."""


def folder_speaker(path: str) -> str:
    """Speaker of an upload by its top-level folder; `default` for a file at the inbox root."""
    top, _, rest = path.partition("/")
    return unicodedata.normalize("NFC", top) if rest else DEFAULT_SPEAKER


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
class MetadataFile:
    """A metadata file that is being read."""

    path: str
    folder: str
    places: dict[str, str]
    listing: Listing
    read: Reader
    problems: list[Problem]
    files: set[str]
    """Metadata files that were read."""

    def problem(self, line: int, message: str) -> None:
        self.problems.append(Problem(self.path, line, message))

    def beside(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def place(self, file: str) -> str | None:
        """Path of the upload that a row names; None where the inbox has none."""
        name = unicodedata.normalize("NFC", posixpath.normpath(file.replace("\\", "/")))
        return self.places.get(self.beside(name)) or self.places.get(name)


def metadata_rows(
    listing: Listing, read: Reader, problems: list[Problem], files: set[str]
) -> Iterator[tuple[MetadataFile, list[MetadataRow]]]:
    """Every metadata file of an inbox with its rows, the deepest first; `files` and `problems` receive what was met."""
    places = {unicodedata.normalize("NFC", entry.path): entry.path for entry in listing.audio}
    kinds = {"metadata.csv": _csv_or_bars, "wav.scp": _kaldi}
    for path in sorted(listing.others, key=lambda path: (-path.count("/"), path)):
        parse = _list if extension(path) == "list" else kinds.get(path.rpartition("/")[2].lower())
        if parse is None:
            continue
        folder = path.rpartition("/")[0]
        source = MetadataFile(
            path=path, folder=folder, places=places, listing=listing, read=read, problems=problems, files=files
        )
        try:
            rows = list(parse(source, decode_text(read(path))))
        except (OSError, ValueError) as error:
            source.problem(0, str(error))
            continue
        files.add(path)
        yield source, rows


def _csv_or_bars(source: MetadataFile, text: str) -> Iterator[MetadataRow]:
    lines = list(io.StringIO(text, newline=""))  # str.splitlines would also cut at U+2028 and others
    first = lines[0] if lines else ""
    header = [name.strip().lower() for name in next(csv.reader([first]), [])]
    if "file" in header:
        return _csv(source, lines, header)
    if "|" in first:
        return _bars(source, lines)
    raise ValueError(f"its first line names no column 'file' and has no bars; it is {first.strip()[:80]!r}: not read")


def _csv(source: MetadataFile, lines: Sequence[str], header: list[str]) -> Iterator[MetadataRow]:
    names = ("speaker", "file", "language", "text", "mixed")
    columns = {name: header.index(name) for name in names if name in header}
    for line, stop, cells in _cells(source, lines):
        if len(cells) != len(header):
            source.problem(line, f"{len(cells)} cells, the header has {len(header)}: not used (a comma needs quotes)")
            continue
        cell = {name: cells[at].strip() for name, at in columns.items()}
        speaker = unicodedata.normalize("NFC", cell.get("speaker", ""))
        mark = cell.get("mixed", "").lower()
        if mark not in (*TRUE, *FALSE):
            source.problem(line, f"mixed is {mark[:20]!r}, neither true nor false: taken as true")
        texts = (speaker, cell.get("language", ""), cell.get("text", ""))
        yield MetadataRow(line, stop, cell["file"], Description(*texts, mixed=mark not in FALSE))


def _cells(source: MetadataFile, lines: Sequence[str]) -> Iterator[tuple[int, int, list[str]]]:
    """Rows after the header with the line they begin in and the one after their last.

    After a broken quote, reading continues with the next line.
    """
    start = 1
    while start < len(lines):
        reader = csv.reader(itertools.islice(lines, start, None), strict=True)
        line = start + 1
        try:
            for cells in reader:
                stop = start + reader.line_num + 1
                if any(cell.strip() for cell in cells):
                    yield line, stop, cells
                line = stop
            return
        except csv.Error as error:
            source.problem(line, f"{error}: the row is not used")
            start = line


def _bars(source: MetadataFile, lines: Iterable[str]) -> Iterator[MetadataRow]:
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
            yield MetadataRow(number, number + 1, name, Description())
            continue
        stem = without_extension(name) if extension(name) in AUDIO else name
        path = stems.get(source.beside(f"wavs/{stem}")) or stems.get(source.beside(stem)) or f"wavs/{name}.wav"
        speaker = folder_speaker(source.path)
        yield MetadataRow(number, number + 1, path, Description(speaker, "", cells[-1].strip() or cells[1]))


def _list(source: MetadataFile, text: str) -> Iterator[MetadataRow]:
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
        file = file.strip(" \t\"'\u202a")
        yield MetadataRow(number, number + 1, file, Description(speaker, language, text_cell))


def _kaldi(source: MetadataFile, text: str) -> Iterator[MetadataRow]:
    tables = {name: _table(source, source.beside(name)) for name in KALDI_TABLES}
    if (segments := source.beside("segments")) in source.listing.others:
        source.problems.append(Problem(segments, 0, "texts of segments are not read, only texts of whole files"))
    for number, line in enumerate(text.split("\n"), 1):
        name, file = (*line.split(maxsplit=1), "", "")[:2]
        if not name:
            continue
        if not file or file.rstrip().endswith("|"):
            source.problem(number, f"{'a command, which is not run' if file else 'no path'}: not used")
            continue
        speaker = unicodedata.normalize("NFC", tables["utt2spk"].get(name, ""))
        description = Description(speaker, "", tables["text"].get(name, ""))
        yield MetadataRow(number, number + 1, file.strip(), description, key=name)


def _table(source: MetadataFile, path: str) -> dict[str, str]:
    """Key -> value of Kaldi's `key value...` lines; empty without such a file."""
    if path not in source.listing.others:
        return {}
    try:
        lines = decode_text(source.read(path)).split("\n")
    except (OSError, ValueError) as error:
        source.problems.append(Problem(path, 0, str(error)))
        return {}
    source.files.add(path)
    pairs = (line.strip().split(maxsplit=1) for line in lines if line.strip())
    return {pair[0]: pair[1] if len(pair) > 1 else "" for pair in pairs}

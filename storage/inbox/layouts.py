"""Layouts of metadata: the rows of `metadata.csv`, LJSpeech, GPT-SoVITS and Kaldi, each with its lines in the file.

`metadata.py` reads them, and `erasure.py` takes rows out of them: both see the same rows.
"""

import csv
import io
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from voicemill.storage.inbox.listing import (
    AUDIO,
    DEFAULT_SPEAKER,
    MOST_PROBLEMS,
    Listing,
    Problem,
    extension,
    unsafe_path,
    without_extension,
)
from voicemill.storage.inbox.names import Places, speaker_name

Reader = Callable[[str], bytes]

MOST_BROKEN, MOST_LINES = 1000, 1000
"""Rows with broken quotes after which a CSV is given up, and lines of one row."""

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
    upload: str = ""
    """Path of the upload, where the layout has found it."""


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


@dataclass
class MetadataFile:
    """A metadata file that is being read."""

    path: str
    folder: str
    places: Places
    listing: Listing
    read: Reader
    problems: list[Problem]
    files: set[str]
    """Metadata files that were read."""
    unread: bool = False
    """Whether the file, or the end of it, is not read."""
    doubtful: dict[str, str] = field(default_factory=dict)
    """Path of an upload that a row names which cannot be used -> reason why its speaker is not known."""
    _met: int = 0
    """Number of problems, listed or not."""

    def problem(self, line: int, message: str, *, always: bool = False) -> None:
        """Add a problem; of many, the first ones stand for all, and `close` counts the rest."""
        self._met += not always
        if always or self._met <= MOST_PROBLEMS:
            self.problems.append(Problem(self.path, line, message))

    def close(self) -> None:
        """Add the number of problems that were not listed."""
        if (more := self._met - MOST_PROBLEMS) > 0:
            self.problems.append(Problem(self.path, 0, f"{more:,} more rows with problems, which are not listed"))

    def beside(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def named(self, file: str) -> list[str]:
        """Uploads that a written path may mean."""
        name = posixpath.normpath(file.replace("\\", "/"))
        return self.places.find(self.beside(name), name)

    def place(self, row: MetadataRow) -> str | None:
        """Path of the upload that a row names; None where the inbox has none, or it is open which."""
        if row.upload:
            return row.upload
        uploads = self.named(row.file)
        return uploads[0] if len(uploads) == 1 else None

    def doubt(self, line: int, cells: Iterable[str]) -> None:
        """Note the uploads that the cells of a row may name which is not used, and which would name the speaker."""
        names = (cell.strip(" \t\r\n\"'\u202a") for cell in cells)
        for upload in (upload for name in names if name for upload in self.named(name)):
            self.doubtful.setdefault(upload, f"{self.path}:{line} names its speaker and is not used: fix that line")


def metadata_rows(
    listing: Listing, read: Reader, problems: list[Problem], files: set[str]
) -> Iterator[tuple[MetadataFile, Iterator[MetadataRow]]]:
    """Every metadata file of an inbox with its rows, the deepest first; `files` and `problems` receive what was met."""
    places = Places((entry.path, entry.path) for entry in listing.audio)
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
            rows = parse(source, decode_text(read(path)))
        except (OSError, ValueError) as error:
            source.problem(0, str(error))
            source.unread, rows = True, iter(())
        else:
            files.add(path)
        yield source, rows
        source.close()


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
    for line, stop, cells in _cells(source, lines, "speaker" in columns):
        if len(cells) != len(header):
            source.problem(line, f"{len(cells)} cells, the header has {len(header)}: not used (a comma needs quotes)")
            source.doubt(line, cells if "speaker" in columns else ())
            continue
        cell = {name: cells[at].strip() for name, at in columns.items()}
        speaker = speaker_name(cell.get("speaker", ""))
        mark = cell.get("mixed", "").lower()
        if mark not in (*TRUE, *FALSE):
            source.problem(line, f"mixed is {mark[:20]!r}, neither true nor false: taken as true")
        texts = (speaker, cell.get("language", ""), cell.get("text", ""))
        yield MetadataRow(line, stop, cell["file"], Description(*texts, mixed=mark not in FALSE))


def _cells(source: MetadataFile, lines: Sequence[str], speakers: bool) -> Iterator[tuple[int, int, list[str]]]:
    """Rows after the header with the line they begin in and the one after their last.

    After a broken quote, reading continues with the next line.
    """
    start, broken = 1, 0
    while start < len(lines):
        limit = [start + MOST_LINES]
        reader = csv.reader(_bounded(lines, start, limit), strict=True)
        line = start + 1
        try:
            for cells in reader:
                stop = start + reader.line_num + 1
                limit[0] = stop + MOST_LINES
                if any(cell.strip() for cell in cells):
                    yield line, stop, cells
                line = stop
            return
        except csv.Error as error:
            source.problem(line, f"{error}: the row is not used")
            source.doubt(line, lines[line - 1].split(",") if speakers else ())
            start, broken = line, broken + 1
            if broken == MOST_BROKEN:
                source.unread = True
                source.problem(line, f"{broken} broken rows: the lines from here on are not read", always=True)
                return


def _bounded(lines: Sequence[str], start: int, limit: list[int]) -> Iterator[str]:
    """Lines from `start` on; an error at the limit, by which a row has to end: else each quote would read the rest."""
    for number in range(start, len(lines)):
        if number >= limit[0]:
            raise csv.Error(f"a row of over {MOST_LINES} lines")
        yield lines[number]


def _bars(source: MetadataFile, lines: Iterable[str]) -> Iterator[MetadataRow]:
    """Rows of LJSpeech: the normalised text where a row has one, else the text."""
    stems = Places((without_extension(entry.path), entry.path) for entry in source.listing.audio)
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
        uploads = stems.find(source.beside(f"wavs/{stem}"), source.beside(stem))
        about = Description(folder_speaker(source.path), "", cells[-1].strip() or cells[1])
        upload = uploads[0] if len(uploads) == 1 else ""
        yield MetadataRow(number, number + 1, upload or f"wavs/{name}.wav", about, upload=upload)


def _list(source: MetadataFile, text: str) -> Iterator[MetadataRow]:
    """Rows of GPT-SoVITS: exactly three bars; spaces, quotes and U+202A around the path are not part of it."""
    for number, line in enumerate(text.split("\n"), 1):
        cells = line.split("|")
        if not line.strip():
            continue
        if len(cells) != 4:
            source.problem(number, f"{len(cells)} fields, a .list has path|speaker|language|text: not used")
            source.doubt(number, cells)
            continue
        file, speaker, language, text_cell = cells
        speaker = speaker_name(speaker)
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
        if (speakers := source.beside("utt2spk")) in source.listing.others and speakers not in source.files:
            source.doubt(number, [file])  # it cannot be read
        speaker = speaker_name(tables["utt2spk"].get(name, ""))
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

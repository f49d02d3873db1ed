"""Tables of cells: `metadata.csv` and its kin, separated by commas, semicolons, tabs or bars, with a header or without.

A header decides what the columns are (`columns.py`); without one the layout has to follow from the cells without doubt
(`inference.py`), else the table is refused. Commas and semicolons are read as CSV: a quote hides them. Of bars and tabs
most projects write quotes as plain characters; where each line has its cells they are read so, else as CSV.
"""

import csv
import io
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence

from voicemill.storage.inbox.transcripts.columns import KNOWN, column_name, is_header, roles_of, value
from voicemill.storage.inbox.transcripts.inference import LJSPEECH, PHONES, Layout, infer_layout
from voicemill.storage.inbox.transcripts.rows import FALSE, TRUE, Description, MetadataRow, Source, seconds

SEPARATORS = ("|", "\t", ",", ";")
QUOTING = (",", ";")
"""Separators whose tables are CSV."""
_NUMBERS = re.compile(r"\s*\d+(?:\s+\d+)*\s*")
MOST_BROKEN, MOST_LINES = 1000, 1000
"""Rows with broken quotes after which a CSV is given up, and lines of one row."""
SHOWN = 200
"""Characters of a first row that a refusal shows."""

UNJUDGED = {
    "invalidated.tsv": "listeners rejected them",
    "other.tsv": "not enough listeners have judged them; to use them, rename the table to metadata.tsv",
}
"""Tables of Common Voice whose texts are not used, and why."""


def read_delimited(source: Source, text: str) -> Iterator[MetadataRow]:
    """Rows of a table of cells; a table that is not understood is refused as a whole."""
    lines = list(io.StringIO(text, newline=""))  # str.splitlines would also cut at U+2028 and others
    filled = [at for at, line in enumerate(lines) if line.strip()]
    if len(filled) > 1 and lines[filled[0]].strip().lower().startswith("sep="):
        del filled[0]
    if not filled:
        return
    first = filled[0]
    headers = [
        (len(roles_of(cells)), len(cells), sep) for sep in SEPARATORS if is_header(cells := _split(lines[first], sep))
    ]
    if headers:
        separator = max(headers, key=lambda header: header[:2])[2]
        header = _split(lines[first], separator)
        yield from _with_header(source, lines, first, separator, header)
    else:
        yield from _without_header(source, lines, first)


def _with_header(
    source: Source, lines: Sequence[str], first: int, separator: str, header: list[str]
) -> Iterator[MetadataRow]:
    roles, shown = roles_of(header), lines[first].strip()[:SHOWN]
    names = [column_name(cell) for cell in header]
    if twice := sorted({name for name in names if name and names.count(name) > 1 and roles_of([name])}):
        rows = [cells for _, _, cells in _rows(source, lines, first + 1, separator, (), False)]
        source.refuse(first + 1, f"the column {twice[0]} stands twice in the header {shown!r}: not read", rows)
        return
    if len(header) > 1 and not roles.keys() & {"text", "speaker", "language", "mixed"}:
        rows = [cells for _, _, cells in _rows(source, lines, first + 1, separator, (), False)]
        source.refuse(
            first + 1, f"its header {shown!r} names files and nothing else that is known: not read; {KNOWN}", rows
        )
        return
    unjudged = UNJUDGED.get(posixpath.basename(source.path).lower(), "") if "client_id" in names else ""
    if unjudged and "text" in roles:
        del roles["text"]
        source.problem(0, f"the texts of this table of Common Voice are not used: {unjudged}", always=True)
    for line, stop, cells in _rows(source, lines, first + 1, separator, (len(header),), "speaker" in roles):
        yield described(source, roles, dict(enumerate(cells)), line, stop)


def described(
    source: Source, roles: Mapping[str, Sequence[int]], cells: Mapping[int, str], line: int, stop: int
) -> MetadataRow:
    """Row of a table with these columns."""
    cell = {role: value(cells, columns) for role, columns in roles.items()}
    mark = cell.get("mixed", "").lower()
    if mark not in (*TRUE, *FALSE):
        source.problem(line, f"mixed is {mark[:20]!r}, neither true nor false: taken as true")
    start, length, end = (seconds(cell.get(name, "")) for name in ("offset", "duration", "end"))
    if end is None and start is not None and length is not None:
        end = start + length
    about = Description(cell.get("speaker", ""), cell.get("language", ""), cell.get("text", ""), mark not in FALSE)
    span = (start, end) if start is not None and end is not None and 0 <= start < end else None
    known = {at for columns in roles.values() for at in columns}
    others = () if "speaker" in roles else tuple(text for at, text in cells.items() if at not in known and text)
    return MetadataRow(line=line, stop=stop, file=cell.get("file", ""), description=about, span=span, others=others)


def _without_header(source: Source, lines: Sequence[str], first: int) -> Iterator[MetadataRow]:
    tables = {}
    for separator in SEPARATORS:
        if separator in lines[first]:
            tables[separator] = list(_rows(_Silent(), lines, first, separator, (), False, plain=True))
    if not tables and all(
        source.names_audio(lines[at].strip()) for at in range(first, len(lines)) if lines[at].strip()
    ):
        return  # a list of files, as so-vits-svc writes it, which says nothing about them
    layouts = {sep: infer_layout(source, [cells for *_, cells in rows]) for sep, rows in tables.items()}
    certain = [sep for sep, layout in layouts.items() if layout]
    if len(certain) != 1:
        rows = [cells for table in tables.values() for *_, cells in table] or [[line.strip()] for line in lines[first:]]
        shown = lines[first].strip()[:SHOWN]
        message = (
            f"its first row {shown!r} is no header with a column of files, and what its columns are does not follow "
            f"from them: not read; write a first line that names them, as file|speaker|text; {KNOWN}"
        )
        source.refuse(first + 1, message, rows)
        return
    separator = certain[0]
    layout = layouts[separator] or ()
    widths = (2, 3) if layout == LJSPEECH else (len(layout),)
    if PHONES in layout and "text" not in layout:
        message = "its texts are phones, which are passed over: give the words, or let them be recognised"
        source.problem(0, message, always=True)
    for line, stop, cells in _rows(source, lines, first, separator, widths, "speaker" in layout, plain=True):
        yield _inferred(layout, line, stop, cells)


def _inferred(layout: Layout, line: int, stop: int, cells: list[str]) -> MetadataRow:
    cell: dict[str, str] = {}
    for role, content in zip(layout, cells, strict=False):
        if role and content.strip():
            cell[role] = content.strip()  # of two texts the second, which is the normalised one
    about = Description(cell.get("speaker", ""), cell.get("language", ""), cell.get("text", ""))
    return MetadataRow(line=line, stop=stop, file=cell.get("file", ""), description=about, of_table=True)


def read_list(source: Source, text: str) -> Iterator[MetadataRow]:
    """Rows of GPT-SoVITS, `path|speaker|language|text`, or of Bert-VITS2, with phones, tones and word2ph behind it."""
    for number, line in enumerate(text.split("\n"), 1):
        cells = line.rstrip("\r").split("|")
        if not line.strip():
            continue
        if len(cells) != 4 and not (len(cells) == 7 and _NUMBERS.fullmatch(cells[5]) and _NUMBERS.fullmatch(cells[6])):
            expected = "a .list has path|speaker|language|text, and Bert-VITS2's |phones|tones|word2ph behind it"
            source.problem(number, f"{len(cells)} fields, {expected}: not used")
            source.doubt(number, cells)
            continue
        file, speaker, language, words = cells[:4]
        yield MetadataRow(line=number, stop=number + 1, file=file, description=Description(speaker, language, words))


class _Silent:
    """A source whose problems nobody sees: that of a reading that is only tried."""

    path, unread = "", False

    def problem(self, line: int, message: str, *, always: bool = False) -> None:
        pass

    def doubt(self, line: int, cells: list[str]) -> None:
        pass

    def refuse(self, line: int, message: str, rows: list[list[str]]) -> None:
        pass

    def names_audio(self, file: str) -> bool:
        return False

    is_speaker = names_audio

    def beside(self, name: str) -> str:
        return name

    def text_of(self, path: str) -> str | None:
        return None


# -- cells


def _split(line: str, separator: str) -> list[str]:
    """Cells of one line."""
    line = line.rstrip("\r\n")
    if separator in QUOTING or '"' in line:
        try:
            return next(csv.reader([line], delimiter=separator, strict=True), [])
        except csv.Error:
            pass
    return _plain(line, separator)


def _plain(line: str, separator: str) -> list[str]:
    """Cells of a line in which quotes are characters, but for those around a whole cell."""
    return [_unquoted(cell) for cell in re.split(rf"(?<!\\){re.escape(separator)}", line.rstrip("\r\n"))]


def _unquoted(cell: str) -> str:
    """Cell without the escapes of EveryVoice and the quotes of CSV."""
    inner = cell.strip()
    if len(inner) > 1 and inner[0] == inner[-1] == '"' and '"' not in inner[1:-1].replace('""', ""):
        return inner[1:-1].replace('""', '"')
    return cell.replace("\\|", "|").replace('\\"', '"')


def _rows(
    source: Source,
    lines: Sequence[str],
    start: int,
    separator: str,
    widths: tuple[int, ...],
    speakers: bool,
    *,
    plain: bool = False,
) -> Iterator[tuple[int, int, list[str]]]:
    """Rows with one of these numbers of cells (any, if there is none), with the line they begin in and the one after
    their last; the others are problems. `plain`: quotes are characters between tabs and bars, whatever the rows are."""
    rows = _cells(source, lines, start, separator, speakers)
    if separator not in QUOTING:
        fits = all(len(cells) in widths for *_, cells in _lines(lines, start, separator))
        if plain or fits or not _whole(lines, start, separator, widths):
            rows = _lines(lines, start, separator)
    for line, stop, cells in rows:
        if not widths or len(cells) in widths:
            yield line, stop, cells
            continue
        hint = f" (a {'comma' if separator == ',' else 'semicolon'} needs quotes)" if separator in QUOTING else ""
        expected = f"the header has {widths[0]}" if not plain else f"{' or '.join(map(str, widths))} are expected"
        source.problem(line, f"{len(cells)} cells, {expected}: not used{hint}")
        source.doubt(line, cells if speakers else [])


def _lines(lines: Sequence[str], start: int, separator: str) -> Iterator[tuple[int, int, list[str]]]:
    return ((at + 1, at + 2, _plain(lines[at], separator)) for at in range(start, len(lines)) if lines[at].strip())


def _whole(lines: Sequence[str], start: int, separator: str, widths: tuple[int, ...]) -> bool:
    """Whether all rows are right if quotes are read as those of CSV."""
    reader = csv.reader(lines[start:], delimiter=separator, strict=True)
    try:
        return all(len(cells) in widths for cells in reader if any(cell.strip() for cell in cells))
    except csv.Error:
        return False


def _cells(
    source: Source, lines: Sequence[str], start: int, separator: str, speakers: bool
) -> Iterator[tuple[int, int, list[str]]]:
    """Rows of a CSV. After a broken quote, reading continues with the next line."""
    broken = 0
    while start < len(lines):
        limit = [start + MOST_LINES]
        reader = csv.reader(_bounded(lines, start, limit), delimiter=separator, strict=True)
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
            source.doubt(line, lines[line - 1].split(separator) if speakers else [])
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

"""Metadata of an inbox: speaker, language, text and mark `mixed` of its uploads, in the layouts that projects write.

`layouts.py` says which files are read, and `storage/README.md` lists the layouts. Beside an audio file of the same name
lie its text (`.txt`, `.lab`, TextGrid, subtitles) and its turns (`.rttm`), which `scan` reads.

The nearest metadata wins, and in it the first row for a file. Without a stated speaker, the top-level folder is the
speaker. Rows with times are passages of their recording: its text is theirs in order. If they name several speakers,
the recording is mixed, and the text is what its folder's speaker says. A row that cannot be used is a `Problem`; a row
whose path must not be followed refuses that path. Where such a row, or a file that is not read, may name the speaker of
an upload, whose voice that is stays open: `doubtful` for certain, `possible` unless all these names may be used.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise

from voicemill.storage.inbox.languages import normalise_language
from voicemill.storage.inbox.layouts import (
    MetadataFile,
    PossibleSpeakers,
    Reader,
    below,
    folder_speaker,
    metadata_rows,
)
from voicemill.storage.inbox.listing import Listing, Problem, unsafe_path
from voicemill.storage.inbox.names import speaker_name
from voicemill.storage.inbox.recordings import clean_path
from voicemill.storage.inbox.transcripts.rows import Description, MetadataRow, Passage, joined
from voicemill.storage.inbox.transcripts.subtitles import SRT, VTT
from voicemill.storage.inbox.transcripts.textgrid import TEXTGRID

TIMED = (TEXTGRID, SRT, VTT)
"""Endings of transcripts with times."""
SIDECARS = (".txt", ".lab", *TIMED)
"""Endings of a transcript beside an audio file, in the order in which they are looked for."""

LONGEST_NAME = 200
"""Characters of a speaker's name."""


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
    doubtful: dict[str, str] = field(default_factory=dict)
    """Path of an upload whose speaker is not known -> reason."""
    possible: dict[str, PossibleSpeakers] = field(default_factory=dict)
    """Path of an upload whose speaker may be one of several -> these."""


def read_metadata(listing: Listing, read: Reader) -> Metadata:
    """Read every metadata file of an inbox, the deepest first."""
    metadata = Metadata()
    sources = []
    for source, rows in metadata_rows(listing, read, metadata.problems, metadata.files):
        described: dict[str, str] = {}
        timed: dict[str, list[MetadataRow]] = defaultdict(list)
        for row in rows:
            if not row.listed and (path := _place(metadata, source, row)):
                if row.span is None:
                    _take(metadata, source, row, path, described)
                else:
                    timed[path].append(row)
        for path, own in timed.items():
            _take_passages(metadata, source, path, own)
        sources.append(source)
    for source in sources:
        metadata.doubtful |= source.doubtful
        stated = {path for path, row in metadata.descriptions.items() if row.speaker}
        metadata.possible |= {path: about for path, about in source.possible.items() if path not in stated}
        if source.unread:
            reason = f"{source.path} may name its speaker and cannot be read: repair or remove it"
            metadata.doubtful |= dict.fromkeys((path for path in below(source) if path not in stated), reason)
    return metadata


def unfit_speaker(speaker: str) -> str:
    """Reason why this cannot be the name of a speaker; "" = it can."""
    if speaker in (".", "..") or "/" in speaker or "\\" in speaker:
        return f"a speaker with path parts: {speaker!r}"
    if len(speaker) > LONGEST_NAME or any(ord(c) < 32 or ord(c) == 127 for c in speaker):
        return f"a speaker's name with control characters or over {LONGEST_NAME} characters"
    return ""


def normalise_text(text: str) -> str:
    """Text as it is stored: NFC, each run of white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def _place(metadata: Metadata, source: MetadataFile, row: MetadataRow) -> str | None:
    """Path of the upload that a row describes; None where it describes none, which is noted."""
    path, speaker = source.place(row), speaker_name(row.description.speaker)
    reason = unsafe_path(clean_path(row.file)) if path is None and not source.named(row.file) else ""
    if reason := reason or unfit_speaker(speaker):
        source.problem(row.line, f"{row.file!r} is refused: {reason}")
        metadata.refused[path or row.file] = reason
        return None
    if path is None:
        if similar := list(source.named(row.file)):
            rivals = sorted(source.rivals(row))[:3]
            others = f"{', '.join(map(repr, rivals))} would be the same file" if rivals else ""
            source.problem(row.line, f"{row.file!r} is {others or f'none of {similar} to the letter'}: not used")
            source.doubt(row.line, [row.file] if speaker else ())
        else:
            source.problem(row.line, f"no such audio file: {row.file!r}")
    elif row.others:
        names = frozenset(name for cell in row.others if (name := speaker_name(cell)) and len(name) <= LONGEST_NAME)
        reason = f"{source.path} names in a column that is not known one who refused: name that column speaker"
        metadata.possible.setdefault(path, PossibleSpeakers(reason, names, unlikely=True))
    elif speaker and source.decoded.guessed and not speaker.isascii():
        reason = f"{source.path} names its speaker in an encoding that is a guess: save it as UTF-8"
        names = frozenset(map(speaker_name, source.decoded.readings(row.description.speaker)))
        metadata.possible[path] = PossibleSpeakers(reason, names)
    return path


def _take(metadata: Metadata, source: MetadataFile, row: MetadataRow, path: str, described: dict[str, str]) -> None:
    """Add a row about a whole upload; `described`: path -> speaker, by the rows of this file before it."""
    stated = row.description
    speaker = speaker_name(stated.speaker) or (source.speaker_beside(path) if row.of_table else "")
    if described.setdefault(path, speaker) != speaker:
        source.doubtful[path] = f"{source.path}:{row.line} names another speaker for it than a row before"
    _add(
        metadata,
        source,
        path,
        row.line,
        Description(speaker, _language(source, row), normalise_text(stated.text), stated.mixed),
    )


def _add(metadata: Metadata, source: MetadataFile, path: str, line: int, description: Description) -> None:
    first = metadata.descriptions.setdefault(path, description)
    if replace(first, passages=()) != replace(description, passages=()):
        source.problem(line, f"{path!r} is described before, differently: the first description stays")


def _take_passages(metadata: Metadata, source: MetadataFile, path: str, rows: list[MetadataRow]) -> None:
    """Add the rows about parts of one upload: its text is theirs in order, without what stands there twice."""
    passages = _passages(rows)
    speakers = sorted({passage.speaker for passage in passages} - {""})
    languages = {language for row in rows if (language := _language(source, row))}
    language = languages.pop() if len(languages) == 1 else ""
    folder = folder_speaker(path)
    if len(speakers) > 1 and folder not in speakers:
        names = ", ".join(speakers[:5])
        source.doubtful[path] = (
            f"{source.path} names several people in it ({names}), and none is its folder's ({folder}): move it into "
            "the folder of the one for whom it is"
        )
        return
    own = tuple(passage for passage in passages if len(speakers) < 2 or passage.speaker == folder)
    line = rows[0].line
    if any(b.start < a.stop - (min(a.stop - a.start, b.stop - b.start) / 2) for a, b in pairwise(own)):
        source.problem(line, f"the times of the texts of {path!r} overlap by over a half: no text is used")
        own = passages = ()
    description = Description(
        speaker="" if len(speakers) > 1 else "".join(speakers),
        language=language,
        text=normalise_text(joined(own)),
        mixed=len(speakers) > 1 or any(row.description.mixed for row in rows),
        passages=passages,
    )
    _add(metadata, source, path, line, description)


def _passages(rows: Iterable[MetadataRow]) -> tuple[Passage, ...]:
    """Passages by time; what has the same times and text, or the same name, counts once."""
    passages: dict[object, Passage] = {}
    for row in rows:
        start, stop = row.span or (0.0, 0.0)
        passage = Passage(start, stop, row.description.text, speaker_name(row.description.speaker))
        passages.setdefault((row.key, start, stop, passage.text), passage)
    return tuple(sorted(passages.values(), key=lambda passage: (passage.start, passage.stop)))


def _language(source: MetadataFile, row: MetadataRow) -> str:
    try:
        return normalise_language(row.description.language)
    except ValueError as error:
        source.problem(row.line, f"{error}: taken as unknown")
        return ""

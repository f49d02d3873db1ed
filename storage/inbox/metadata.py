"""Metadata of an inbox: speaker, language, text and mark `mixed` of its uploads, in the layouts that corpora come in.

| file | rows |
|---|---|
| `metadata.csv`, header | columns speaker, file, language, text, mixed, in any order; only file is needed |
| `metadata.csv`, bars (LJSpeech) | `id|text|normalised text`, audio `wavs/<id>.*` beside it |
| `*.list` (GPT-SoVITS) | `path|speaker|language|text` |
| `wav.scp` (Kaldi) | `utterance path`, with `text` and `utt2spk` beside it |
| `<audio>.txt`, `<audio>.lab` | the text of the audio file of that name (read by `scan`) |
| `<audio>.rttm` | the turns of the people who speak in it, which make it mixed (read by `scan`) |

A file is looked for beside the metadata, then from the inbox root; exactly, then in another Unicode form, then in
another case where that is unique. The nearest metadata wins, and in it the first row
for a file. Without a stated speaker, the top-level folder is the speaker. Text is UTF-8. A row that cannot be used is a
`Problem`; a row whose path must not be followed refuses that path. Where such a row, or a file that is not read, may
name the speaker of an upload, whose voice that is stays open: `doubtful`.
"""

import unicodedata
from dataclasses import dataclass, field

from voicemill.storage.inbox.languages import normalise_language
from voicemill.storage.inbox.layouts import Description, MetadataFile, MetadataRow, Reader, metadata_rows
from voicemill.storage.inbox.listing import Listing, Problem, unsafe_path

SIDECARS = (".txt", ".lab")
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


def read_metadata(listing: Listing, read: Reader) -> Metadata:
    """Read every metadata file of an inbox, the deepest first."""
    metadata = Metadata()
    sources = []
    for source, rows in metadata_rows(listing, read, metadata.problems, metadata.files):
        described: dict[str, str] = {}
        for row in rows:
            _take(metadata, source, row, described)
        sources.append(source)
    for source in sources:
        metadata.doubtful |= source.doubtful
        if source.unread:
            reason = f"{source.path} may name its speaker and cannot be read: repair or remove it"
            metadata.doubtful |= dict.fromkeys(_open(source, metadata), reason)
    return metadata


def _open(source: MetadataFile, metadata: Metadata) -> list[str]:
    """Uploads that a file which is not read may describe: those below its folder, or all where there are none, without
    those whose speaker another row states."""
    paths = [entry.path for entry in source.listing.audio]
    below = [path for path in paths if path.startswith(source.beside(""))]
    stated = metadata.descriptions
    return [path for path in below or paths if path not in stated or not stated[path].speaker]


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


def _take(metadata: Metadata, source: MetadataFile, row: MetadataRow, described: dict[str, str]) -> None:
    """Add a row; `described`: path -> speaker, by the rows of this file before it."""
    reason = unsafe_path(row.file)
    path = None if reason else source.place(row)
    speaker = row.description.speaker
    if reason := reason or unfit_speaker(speaker):
        source.problem(row.line, f"{row.file!r} is refused: {reason}")
        metadata.refused[path or row.file] = reason
        return
    if path is None:
        if similar := source.named(row.file):
            source.problem(row.line, f"{row.file!r} is none of {similar} to the letter: not used")
            source.doubt(row.line, [row.file] if speaker else ())
        else:
            source.problem(row.line, f"no such audio file: {row.file!r}")
        return
    if described.setdefault(path, speaker) != speaker:
        source.doubtful[path] = f"{source.path}:{row.line} names another speaker for it than a row before"
    stated = row.description
    description = Description(speaker, _language(source, row), normalise_text(stated.text), stated.mixed)
    if metadata.descriptions.setdefault(path, description) != description:
        source.problem(row.line, f"{path!r} is described before, differently: the first description stays")


def _language(source: MetadataFile, row: MetadataRow) -> str:
    try:
        return normalise_language(row.description.language)
    except ValueError as error:
        source.problem(row.line, f"{error}: taken as unknown")
        return ""

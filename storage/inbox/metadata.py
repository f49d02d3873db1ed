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

import unicodedata
from dataclasses import dataclass, field

from voicemill.storage.inbox.inbox import Listing, Problem, unsafe_path
from voicemill.storage.inbox.languages import normalise_language
from voicemill.storage.inbox.layouts import Description, MetadataFile, MetadataRow, Reader, metadata_rows

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


def read_metadata(listing: Listing, read: Reader) -> Metadata:
    """Read every metadata file of an inbox, the deepest first."""
    metadata = Metadata()
    for source, rows in metadata_rows(listing, read, metadata.problems, metadata.files):
        for row in rows:
            _take(metadata, source, row)
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


def _take(metadata: Metadata, source: MetadataFile, row: MetadataRow) -> None:
    reason = unsafe_path(row.file)
    path = None if reason else source.place(row.file)
    if reason := reason or unfit_speaker(row.description.speaker):
        source.problem(row.line, f"{row.file!r} is refused: {reason}")
        metadata.refused[path or row.file] = reason
        return
    if path is None:
        source.problem(row.line, f"no such audio file: {row.file!r}")
        return
    stated = row.description
    description = Description(stated.speaker, _language(source, row), normalise_text(stated.text), stated.mixed)
    if metadata.descriptions.setdefault(path, description) != description:
        source.problem(row.line, f"{path!r} is described before, differently: the first description stays")


def _language(source: MetadataFile, row: MetadataRow) -> str:
    try:
        return normalise_language(row.description.language)
    except ValueError as error:
        source.problem(row.line, f"{error}: taken as unknown")
        return ""

"""Manifests of one JSON object a line: Hugging Face, NeMo and its Curator, and lhotse's cuts, recordings, supervisions.

Keys of NeMo, Curator and Hugging Face are columns (`columns.py`). A cut of lhotse names its recording and the times of
its supervisions within the cut; a supervision alone names the id of a recording, whose file another manifest of the
folder states, or whose name is the id. Sources that are a command or an address are not followed.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from voicemill.storage.inbox.transcripts.columns import KNOWN, roles_of
from voicemill.storage.inbox.transcripts.delimited import SHOWN, described
from voicemill.storage.inbox.transcripts.rows import Description, MetadataRow, Source, seconds

MOST_TRACKS = 64
"""Tracks of a mixed cut that are looked at."""
WHOLE_S = 0.05
"""Difference in seconds up to which a stretch is the whole recording."""

Record = Mapping[str, Any]


def read_manifest(source: Source, text: str, recordings: Mapping[str, str]) -> Iterator[MetadataRow]:
    """Rows of a manifest.

    Args:
        recordings: id of a recording of lhotse -> path that a manifest of the folder states.
    """
    for line, record in _records(source, text):
        if record is None:
            continue
        if "supervisions" in record or "tracks" in record:
            yield from _cut(source, record, line)
        elif "recording_id" in record and "start" in record and "duration" in record:
            name = str(record["recording_id"])
            yield _supervision(record, recordings.get(name, name), line, 0.0, None)
        elif "sources" in record:
            yield MetadataRow(line=line, stop=line + 1, file=_file_of(record), listed=True)
        else:
            yield from _plain(source, record, line)


def recordings_in(text: str) -> dict[str, str]:
    """Id -> path, of the recordings that a manifest of lhotse lists."""
    found: dict[str, str] = {}
    if '"sources"' not in text:
        return found
    for line in text.split("\n"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and "sources" in record and (path := _file_of(record)):
            found[str(record.get("id", ""))] = path
    return found


def looks_like_manifest(head: str) -> bool:
    """Whether a text begins with an object that names a recording, or with a list of such objects."""
    first = next((line for line in head.split("\n") if line.strip()), "").strip()
    if first.startswith("[") and "{" in head:
        first = head[head.index("{") : head.find("}") + 1]
    try:
        record = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and bool(
        record.keys() & {"supervisions", "tracks", "sources", "recording_id"} or "file" in roles_of(list(record))
    )


def _records(source: Source, text: str) -> Iterator[tuple[int, Record | None]]:
    if text.lstrip().startswith("["):
        try:
            records = json.loads(text)
        except (ValueError, RecursionError):
            records = []
        cells = [[*map(_text, record.values())] for record in records if isinstance(record, dict)]
        message = (
            f"a list of objects ({text.strip()[:SHOWN]!r}): one object a line is expected, as jq -c '.[]' writes it"
        )
        source.refuse(1, message, cells)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            problem = "" if isinstance(record, dict) else "no object"
        except (ValueError, RecursionError) as error:
            record, problem = None, f"no JSON ({error})"
        if problem:
            source.problem(number, f"{problem}: one JSON object a line is expected; not used")
            source.doubt(number, [part for part in line.split('"') if part.strip(" ,:{}")][:64])
            record = None
        yield number, record


def _plain(source: Source, record: Record, line: int) -> Iterator[MetadataRow]:
    roles = roles_of(list(record))
    if "file" not in roles:
        shown = json.dumps(record, ensure_ascii=False)[:SHOWN]
        source.problem(line, f"no key names a file in {shown}: not used; {KNOWN}")
        return
    values = (_text(value) for value in record.values())
    yield described(source, roles, dict(enumerate(values)), line, line + 1)


def _cut(source: Source, record: Record, line: int) -> Iterator[MetadataRow]:
    """Rows of the supervisions of a cut, with their times in its recording; of a mixed one, of its tracks."""
    tracks = record.get("tracks")
    if isinstance(tracks, list):
        for track in tracks[:MOST_TRACKS]:
            if isinstance(track, dict) and isinstance(cut := track.get("cut"), dict) and "tracks" not in cut:
                yield from _cut(source, cut, line)
        return
    recording, supervisions = record.get("recording"), record.get("supervisions")
    if not isinstance(recording, dict) or not isinstance(supervisions, list):
        return
    if not (file := _file_of(recording)):
        source.problem(line, "its recording is no file (a command, an address or memory): not used")
        return
    offset, length = seconds(record.get("start")) or 0.0, seconds(recording.get("duration"))
    for supervision in supervisions:
        if isinstance(supervision, dict):
            yield _supervision(supervision, file, line, offset, length)


def _supervision(record: Record, file: str, line: int, offset: float, length: float | None) -> MetadataRow:
    start, duration = seconds(record.get("start")), seconds(record.get("duration"))
    about = Description(_text(record.get("speaker")), _text(record.get("language")), _text(record.get("text")).strip())
    span = None
    if start is not None and duration is not None and duration > 0:
        span = (max(0.0, offset + start), offset + start + duration)
        if length is not None and span[0] <= WHOLE_S and span[1] >= length - WHOLE_S:
            span = None
    return MetadataRow(line=line, stop=line + 1, file=file, description=about, key=_text(record.get("id")), span=span)


def _file_of(recording: Record) -> str:
    """Path of the file of a recording; "" = it is no single file."""
    sources = recording.get("sources")
    if not isinstance(sources, list) or len(sources) != 1 or not isinstance(sources[0], dict):
        return ""
    return _text(sources[0].get("source")) if sources[0].get("type") in ("file", "url") else ""


def _text(value: object) -> str:
    """Value of a key as the text of a cell; "" for lists, objects and null."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else ""

"""Transcripts that came with uploads, and their language where none is stated.

A stated language counts; else the text tells its own (`voicemill.model.text.detect`), and where it cannot (one word, a
name) the sound does, through the recogniser of this machine.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from voicemill.model.text.detect import text_language
from voicemill.storage.outcomes import Failure, Reason
from voicemill.storage.records import Segment, Transcript, Upload

ENGINE = "given"
"""`Transcript.engine` of a text that came with its upload."""


def given_transcripts(upload: Upload, segments: Sequence[Segment], language: str) -> list[Transcript]:
    """Own transcript of an upload: at the index of its only kept segment, or -1 where it has several."""
    if not segments or not (text := " ".join(upload.text.split())):
        return []
    index, language = segments[0].index if len(segments) == 1 else -1, language or text_language(text)
    return [Transcript(upload=upload.sha256, index=index, text=text, language=language, engine=ENGINE)]


def with_language(
    given: Iterable[Transcript], recognised: Iterable[Transcript | Failure]
) -> list[Transcript | Failure]:
    """Given transcripts with the language that their sound was recognised in, or as they are where it is not known."""
    unknown = (Reason.UNKNOWN_LANGUAGE.value, Reason.NO_RECOGNISER.value)
    rows = (row for row in recognised if isinstance(row, Transcript) and row.reason not in unknown)
    language = next((row.language for row in rows if row.language), "")
    return [replace(row, language=row.language or language) for row in given]

"""`voicemill demo-corpus`: an inbox of sentences (`grammar`) that a neural voice (`teacher`) speaks, with transcripts.

    <inbox>/joe/000001.flac ...   one sentence each, 22.05 kHz
            metadata.csv          speaker, file, language and text of each
            consents.csv          joe: the recordings behind the voice are CC0
            LICENCE.txt           origin of voice and sentences

The same seed gives the same sentences; with `noise` and `rhythm` of 0 the same samples too. A command that was ended
goes on where it stopped: a recording is written whole, and the tables after each hundred.
"""

import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from voicemill.flows.demo.grammar import sentences
from voicemill.flows.demo.teacher import RATE, Teacher
from voicemill.model.embedded import PIPER
from voicemill.storage.errors import InboxError
from voicemill.storage.files import write_bytes, write_text
from voicemill.storage.units import Seconds

SPEAKER = "joe"
PAUSE: Seconds = 0.3
"""Silence before and behind each sentence: the teacher leaves nearly none, and slicing wants some."""
EVERY = 100
"""Recordings between two writings of the tables."""
LICENCE = f"""Speech of a synthetic voice, made by `voicemill demo-corpus`.

Voice: {PIPER.origin}; licence: {PIPER.licence}.
Sentences: voicemill's own, under the licence of voicemill.
"""


@dataclass(frozen=True)
class Taught:
    """Result of `teach`."""

    recordings: int
    seconds: Seconds
    spoken_now: int
    """Recordings of this run; the others were there."""


def teach(
    inbox: Path,
    hours: float,
    teacher: Teacher,
    seed: int = 1,
    progress: Callable[[Seconds], None] = lambda seconds: None,
) -> Taught:
    """Fill an inbox until its recordings last `hours`; `progress` is called with their seconds so far.

    Raises InboxError where the folder has recordings of another making: another seed, or not of this command.
    """
    import soundfile

    folder = inbox / SPEAKER
    folder.mkdir(parents=True, exist_ok=True)
    known = _texts(inbox)
    rows: list[tuple[str, str, str, str]] = []
    seconds, spoken = 0.0, 0
    for number, text in zip(count(1), sentences(seed), strict=False):
        if seconds >= hours * 3600:
            break
        name = f"{SPEAKER}/{number:06}.flac"
        if known.get(name, text) != text:
            raise InboxError(
                f"{inbox / name} says {known[name][:60]!r}, and sentence {number} of seed {seed} is {text[:60]!r}: "
                "continue with the seed that the inbox was made with, or name a new folder"
            )
        if not (inbox / name).exists():
            write_bytes(inbox / name, _flac(teacher, text))
            spoken += 1
        seconds += soundfile.info(inbox / name).duration
        rows.append((SPEAKER, name, "en", text))
        if number % EVERY == 0:
            _write_tables(inbox, rows)
        progress(seconds)
    _write_tables(inbox, rows)
    return Taught(recordings=len(rows), seconds=seconds, spoken_now=spoken)


def _flac(teacher: Teacher, text: str) -> bytes:
    import soundfile

    silence = np.zeros(math.ceil(PAUSE * RATE), np.float32)
    sink = io.BytesIO()
    wave = np.clip(np.concatenate([silence, teacher.speak(text), silence]), -1, 1)
    soundfile.write(sink, wave, RATE, format="FLAC", subtype="PCM_16")
    return sink.getvalue()


def _texts(inbox: Path) -> dict[str, str]:
    path = inbox / "metadata.csv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["file"]: row["text"] for row in csv.DictReader(file)}


def _write_tables(inbox: Path, rows: list[tuple[str, str, str, str]]) -> None:
    write_text(inbox / "metadata.csv", _csv([("speaker", "file", "language", "text"), *rows]))
    write_text(inbox / "consents.csv", _csv([("speaker", "consent", "note"), (SPEAKER, "yes", "synthetic voice")]))
    write_text(inbox / "LICENCE.txt", LICENCE)


def _csv(rows: list[tuple[str, ...]]) -> str:
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows(rows)
    return sink.getvalue()

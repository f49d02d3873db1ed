"""RTTM (Rich Transcription Time Marked): who speaks when in a recording, one turn a line, read and written.

    SPEAKER talk 1 3.16800 0.80000 <NA> <NA> ann <NA> <NA>

Fields: type, recording, channel, start and duration in seconds, spelling, subtype, name of the voice, confidence,
look-ahead (the last may be missing). Lines of other types of the standard describe words or people: they hold no turn.
Times are written with five digits, which are exact to the sample.
Source: NIST, "The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan", appendix A.
"""

import math
from collections.abc import Iterable, Mapping

from voicemill.storage.errors import ConfigError
from voicemill.storage.records import Turn
from voicemill.storage.units import to_samples, to_seconds

RTTM = ".rttm"
"""Ending of the turns beside a recording of the same name."""
OTHER_TYPES = {"SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH", "FILLER"}
OTHER_TYPES |= {"EDIT", "SU", "IP", "CB", "A/P", "SPKR-INFO"}
"""Types of the standard that hold no turn."""
FIELDS = "SPEAKER recording channel start duration <NA> <NA> voice <NA> <NA>"


def read_rttm(text: str, source: str) -> dict[str, tuple[Turn, ...]]:
    """Recording -> its turns by time; turns may overlap. `source` names the file in errors.

    Raises:
        ConfigError: a line is malformed; the message names the file, the line and the expected form.
    """
    turns: dict[str, list[Turn]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields or fields[0].startswith(";;") or fields[0] in OTHER_TYPES:
            continue
        if problem := _problem(fields):
            raise ConfigError(f"{source}:{number}: {problem}; expected: {FIELDS}; the line is {line.strip()[:80]!r}")
        start, duration = float(fields[3]), float(fields[4])
        if to_samples(start + duration) > to_samples(start):
            turns.setdefault(fields[1], []).append(Turn(to_samples(start), to_samples(start + duration), fields[7]))
    return {
        name: tuple(sorted(rows, key=lambda turn: (turn.start, turn.stop, turn.voice))) for name, rows in turns.items()
    }


def _problem(fields: list[str]) -> str:
    """Reason why the fields are no turn; "" = they are one."""
    if fields[0] != "SPEAKER":
        return f"{fields[0]!r} is no type of RTTM"
    if len(fields) not in (9, 10):
        return f"{len(fields)} fields instead of 10"
    for name, value in (("start", fields[3]), ("duration", fields[4])):
        try:
            seconds = float(value)
        except ValueError:
            return f"the {name} {value!r} is no number"
        if not math.isfinite(seconds) or seconds < 0:
            return f"the {name} {value} is not a finite number of seconds from 0"
    return "the name of the voice is missing" if fields[7] == "<NA>" else ""


def turns_of(recordings: Mapping[str, tuple[Turn, ...]], stem: str, source: str) -> tuple[Turn, ...]:
    """Turns of the recording with this name without extension, or of the only one in the file.

    Raises:
        ConfigError: the file has turns of several recordings, and none has this name.
    """
    if stem in recordings:
        return recordings[stem]
    if len(recordings) > 1:
        names = ", ".join(sorted(recordings)[:5])
        raise ConfigError(f"{source}: turns of {len(recordings)} recordings ({names}), and none of {stem!r}")
    return next(iter(recordings.values()), ())


def write_rttm(recording: str, turns: Iterable[Turn]) -> str:
    """Lines of the turns of one recording; white space in names becomes "_"."""
    return "".join(
        f"SPEAKER {_word(recording)} 1 {to_seconds(turn.start):.5f} {to_seconds(turn.stop - turn.start):.5f} "
        f"<NA> <NA> {_word(turn.voice)} <NA> <NA>\n"
        for turn in turns
    )


def _word(name: str) -> str:
    return "_".join(name.split()) or "_"

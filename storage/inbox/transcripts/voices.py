"""Names of voices in turns, subtitles and TextGrids, and their replacement where a speaker is erased.

Who speaks when in the recordings of others still counts there, under a neutral name; what was said stays, since it is
what others said. The names stand in the eighth field of a line of RTTM, in `<v Anna>` of WebVTT, and in front of the
kind of a TextGrid's tier (`anna - words`).
"""

import re
from collections.abc import Callable

_NAMES = {
    ".rttm": re.compile(r"^(?P<before>[ \t]*SPEAKER(?:[ \t]+\S+){6}[ \t]+)(?P<name>\S+)(?P<after>)", re.M),
    ".vtt": re.compile(r"(?P<before><v(?:\.[^\s>]*)?[ \t]+)(?P<name>[^>]*)(?P<after>)"),
    ".textgrid": re.compile(r'(?P<before>")(?P<name>(?:[^"\n]|"")*?)(?P<after> - [^"\n]*")'),
}
VOICED = tuple(_NAMES)
"""Endings of the files that name voices."""


def without_voice(text: str, ending: str, speaker: str, speaker_name: Callable[[str], str]) -> str:
    """The text with a neutral name where the speaker's stands; the same text where it does not occur.

    Args:
        speaker_name: the form in which names are compared.
    """
    pattern = _NAMES[ending]
    names = {speaker, "_".join(speaker.split())}
    voices = {speaker_name(match["name"]) for match in pattern.finditer(text)}
    if not voices & names:
        return text
    number = next(n for n in range(1, len(voices) + 2) if f"forgotten-{n}" not in voices)

    def neutral(match: re.Match[str]) -> str:
        name = f"forgotten-{number}" if speaker_name(match["name"]) in names else match["name"]
        return f"{match['before']}{name}{match['after']}"

    return pattern.sub(neutral, text)

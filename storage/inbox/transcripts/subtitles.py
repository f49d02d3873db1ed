"""SubRip (`.srt`) and WebVTT (`.vtt`): the passages of a recording by the times of its subtitles.

Markup is no text: tags, `{\\an8}`, entities, notes and styles go, `<v Anna>` says who speaks, dashes of a dialogue go.
Captions that roll (WebVTT with times within its lines, as YouTube writes it) repeat the line before: it counts once.
Sources: W3C, "WebVTT: The Web Video Text Tracks Format"; the SubRip format as Matroska's specification describes it.
"""

import html
import re
from collections.abc import Iterator

from voicemill.storage.inbox.transcripts.rows import Passage
from voicemill.storage.units import Seconds

SRT, VTT = ".srt", ".vtt"
_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?$")
_INDEX = re.compile(r"\s*\d+\s*$")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?[ \t]+([^>]*)>")
_TAG = {SRT: re.compile(r"</?(?:[biusc]|font|ruby|rt)\b[^>]*>|\{\\[^}]*\}", re.I), VTT: re.compile(r"<[^>]*>")}
_ROLLING = re.compile(r"<\d+:\d\d")


def read_subtitles(text: str, ending: str) -> tuple[Passage, ...]:
    """Passages by time; `ending` is that of the file.

    Raises:
        ValueError: there is not one cue in it.
    """
    lines = text.splitlines() if "\r" in text else text.split("\n")
    rolling = ending == VTT and _ROLLING.search(text) is not None
    passages: list[Passage] = []
    before: list[str] = []
    cues = 0
    for start, stop, own in _cues(lines, ending):
        cues += 1
        pairs = _voices(own, ending)
        plain = [words for _, words in pairs]
        if rolling:
            pairs = [pair for at, pair in enumerate(pairs) if plain[at] not in before[-2:]]
            before = plain or before
        for voice in dict.fromkeys(voice for voice, _ in pairs):
            words = " ".join(words for other, words in pairs if other == voice and words)
            if words:
                passages.append(Passage(start, max(stop, start), words, voice))
    if not cues:
        raise ValueError("not one subtitle in it: a line as 00:00:01,000 --> 00:00:02,500 is expected before each")
    return tuple(sorted(passages, key=lambda passage: passage.start))


def _cues(lines: list[str], ending: str) -> Iterator[tuple[Seconds, Seconds, list[str]]]:
    """Start, end and lines of each cue; of SubRip also those behind an empty line within one."""
    at = 0
    while at < len(lines):
        if not (match := _TIMING.match(lines[at])):
            at += 1
            continue
        at += 1
        own: list[str] = []
        while at < len(lines) and not _TIMING.match(lines[at]):
            follows = at + 1 < len(lines) and _TIMING.match(lines[at + 1])
            if (not lines[at].strip() and ending == VTT) or (follows and (_INDEX.match(lines[at]) or ending == VTT)):
                break
            own.append(lines[at])
            at += 1
        yield _seconds(match.groups()[:4]), _seconds(match.groups()[4:]), own


def _seconds(parts: tuple[str | None, ...]) -> Seconds:
    hours, minutes, whole, thousandths = parts
    return (
        int(hours or 0) * 3600
        + int(minutes or 0) * 60
        + int(whole or 0)
        + int((thousandths or "0").ljust(3, "0")) / 1000
    )


def _voices(lines: list[str], ending: str) -> list[tuple[str, str]]:
    """Voice and plain text of the parts of a cue."""
    pairs: list[tuple[str, str]] = []
    voice = ""
    for line in lines:
        parts = _VOICE.split(line) if ending == VTT else [line]
        for name, part in zip([None, *parts[1::2]], parts[::2], strict=True):
            voice = voice if name is None else " ".join(html.unescape(name).split())
            words = _TAG[ending].sub("", part)
            words = html.unescape(words) if ending == VTT else words
            words = " ".join(re.sub(r"^\s*[-\u2013\u2014]+\s+", "", words.replace("\u200b", "")).split())
            if words:
                pairs.append((voice, words))
    return pairs

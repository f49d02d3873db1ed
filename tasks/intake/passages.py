"""Recordings of which the times of texts are known: who speaks when, and which parts have a text.

Where several people speak, the recording is mixed, its turns are those of the passages, and its text is what its own
speaker says. Where the passages leave over a second and over a fifth of it without text, they are its turns too: what
lies outside of them is nobody's, and the text is placed within them. Else times are of no further use: `align` finds
those of the words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from voicemill.storage.inbox.metadata import normalise_text
from voicemill.storage.inbox.names import speaker_name
from voicemill.storage.inbox.transcripts.rows import Passage, covered, joined
from voicemill.storage.records import Turn
from voicemill.storage.units import Seconds, to_samples

LEAST_GAP_S: Seconds = 1.0
LEAST_GAP = 0.2
"""Seconds, and share of a recording, without text from which it counts as transcribed in part."""


@dataclass(frozen=True)
class TimedText:
    """What the passages of a recording say about it."""

    text: str
    turns: tuple[Turn, ...] = ()
    mixed: bool = False
    note: str = ""
    """Line for the report; "" = the text is that of the whole recording."""


def timed_text(passages: Sequence[Passage], speaker: str, seconds: Seconds) -> TimedText:
    """Text and turns of a recording of this speaker; `seconds`: its duration by its header, 0 = unknown."""
    voices = [speaker_name(passage.speaker) or speaker for passage in passages]
    several = len(set(voices)) > 1
    own = [passage for passage, voice in zip(passages, voices, strict=True) if not several or voice == speaker]
    text, with_text = normalise_text(joined(own)), covered(passages)
    partly = with_text > 0 and seconds - with_text > max(LEAST_GAP_S, LEAST_GAP * seconds)
    names = voices if several else [speaker] * len(passages)
    turns = tuple(
        Turn(to_samples(passage.start), to_samples(passage.stop), name)
        for passage, name in zip(passages, names, strict=True)
        if passage.text and to_samples(passage.stop) > to_samples(passage.start)
    )
    note = f"its texts cover {with_text:.1f} of {seconds:.1f} s: only these parts are used" if partly else ""
    if several and not own:
        people = sorted(set(voices))[:5]
        note = f"several people speak in it ({', '.join(people)}), none of them {speaker}: no text is used"
    return TimedText(text, turns if several or partly else (), several, note)

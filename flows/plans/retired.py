"""What a retrain says whose trainings make an entry that is retired: it was made before, or somebody was forgotten."""

from voicemill.storage.voices.learned import WHY
from voicemill.storage.voices.registry import Entry
from voicemill.storage.voices.status import Change

RETIRED = "Retired"
"""Verdict, and name of the state that the run ends in."""


def why_unusable(entry: Entry, change: Change) -> str:
    """Which entry, why it is out of use, and what makes another one."""
    mend = "`voicemill train` makes another one with another config, such as another seed in its section [loop], or of "
    mend += "a later corpus version"
    if change.why == WHY:
        mend = "`voicemill refresh` makes a corpus version without them; where it began with weights that knew them, "
        mend += "name others (--start-s1, --start-s2)"
    return f"its trainings make {entry.name}, which was retired on {change.when} ({change.why}), for good: {mend}"

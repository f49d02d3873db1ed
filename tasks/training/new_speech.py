"""Whether a corpus version holds enough new speech to train a voice again.

New is speech of uploads that the version which the voice was trained on had no utterance of: a changed recipe cuts the
same uploads differently, and that is nothing new to hear.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from voicemill.model.settings.training import RetrainSettings
from voicemill.storage.corpus.versions import CorpusVersion

RetrainVerdict = Literal["Forced", "First training", "New speech", "New speakers", "Nothing new", "Too little new"]


@dataclass(frozen=True)
class NewSpeech:
    """What a version holds that another one did not."""

    since: int
    """The other version; 0 = none."""
    minutes: float
    speakers: tuple[str, ...]
    """Of whom the other one had no utterance."""


@dataclass(frozen=True)
class Decision:
    """Whether to train, and why."""

    train: bool
    verdict: RetrainVerdict
    reason: str
    """A sentence for a reader."""
    new: NewSpeech


def find_new_speech(corpus: CorpusVersion, before: CorpusVersion | None, speakers: Iterable[str] = ()) -> NewSpeech:
    """Compare two versions; with `speakers`, by the speech of those alone."""
    now = _heard(corpus, speakers)
    then = _heard(before, speakers) if before else now.slice(0, 0)
    fresh = now.filter(pc.invert(pc.is_in(now["upload"], then["upload"].combine_chunks())))
    known = set(then["speaker"].to_pylist())
    seconds = pc.sum(fresh["seconds"]).as_py() or 0.0
    names = sorted(set(fresh["speaker"].to_pylist()) - known)
    return NewSpeech(before.version.number if before else 0, seconds / 60, tuple(names))


def _heard(corpus: CorpusVersion, speakers: Iterable[str]) -> pa.Table:
    rows = corpus.utterances(["upload", "speaker", "seconds"])
    if wanted := list(speakers):
        rows = rows.filter(pc.is_in(rows["speaker"].cast(pa.string()), pa.array(wanted, pa.string())))
    return rows


def decide_retraining(new: NewSpeech, version: int, settings: RetrainSettings, *, force: bool) -> Decision:
    """Whether a voice that was trained on version `new.since` is trained on `version`."""
    who = f"{len(new.speakers)} new speaker{'' if len(new.speakers) == 1 else 's'}"
    since = f"since version {new.since}" if new.since else "for a voice that was never trained"
    found = f"{new.minutes:.1f} min of new speech and {who} {since}"
    least = f"{settings.new_minutes:g} min or {settings.new_speakers}"
    if force:
        return Decision(True, "Forced", f"asked for, whatever is new: {found}", new)
    if not new.since:
        return Decision(True, "First training", f"the first training of this voice: {new.minutes:.1f} min", new)
    if new.since >= version:
        return Decision(False, "Nothing new", f"this voice was trained on version {new.since} already", new)
    if new.minutes >= settings.new_minutes:
        return Decision(True, "New speech", f"{found}: at least {settings.new_minutes:g} min are asked for", new)
    if len(new.speakers) >= settings.new_speakers:
        return Decision(True, "New speakers", f"{found}: at least {settings.new_speakers} are asked for", new)
    return Decision(False, "Too little new", f"{found}: at least {least} are asked for", new)

"""Whether a corpus version holds enough new speech to train a voice again.

New speech comes from uploads of which the version that the voice was trained on has no utterance: a changed recipe cuts
the same uploads differently, and that is no new speech.
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
    """Speech in a corpus version that an earlier one lacks."""

    since: int
    """Number of the earlier version; 0 = there is none."""
    minutes: float
    speakers: tuple[str, ...]
    """Speakers of whom the earlier version has no utterance."""


@dataclass(frozen=True)
class Decision:
    """Whether to train, and the reason."""

    train: bool
    verdict: RetrainVerdict
    reason: str
    """The reason as a sentence."""
    new: NewSpeech


def find_new_speech(corpus: CorpusVersion, before: CorpusVersion | None, speakers: Iterable[str] = ()) -> NewSpeech:
    """Compare two versions; with `speakers`, by the speech of those speakers only."""
    now = _utterances(corpus, speakers)
    then = _utterances(before, speakers) if before else now.slice(0, 0)
    fresh = now.filter(pc.invert(pc.is_in(now["upload"], then["upload"].combine_chunks())))
    known = set(then["speaker"].to_pylist())
    seconds = pc.sum(fresh["seconds"]).as_py() or 0.0
    names = sorted(set(fresh["speaker"].to_pylist()) - known)
    return NewSpeech(before.version.number if before else 0, seconds / 60, tuple(names))


def _utterances(corpus: CorpusVersion, speakers: Iterable[str]) -> pa.Table:
    rows = corpus.utterances(["upload", "speaker", "seconds"])
    if names := list(speakers):
        rows = rows.filter(pc.is_in(rows["speaker"].cast(pa.string()), pa.array(names, pa.string())))
    return rows


def decide_retraining(new: NewSpeech, version: int, settings: RetrainSettings, *, force: bool) -> Decision:
    """Whether a voice that was trained on version `new.since` is trained on `version`."""
    who = f"{len(new.speakers)} new speaker{'' if len(new.speakers) == 1 else 's'}"
    since = f"since version {new.since}" if new.since else "for a voice that was never trained"
    amount = f"{new.minutes:.1f} min of new speech and {who} {since}"
    least = f"{settings.new_minutes:g} min or {settings.new_speakers}"
    if force:
        return Decision(True, "Forced", f"asked for, whatever is new: {amount}", new)
    if not new.since:
        return Decision(True, "First training", f"the first training of this voice: {new.minutes:.1f} min", new)
    if new.since >= version:
        return Decision(False, "Nothing new", f"this voice was trained on version {new.since} already", new)
    if new.minutes >= settings.new_minutes:
        return Decision(True, "New speech", f"{amount}: at least {settings.new_minutes:g} min are asked for", new)
    if len(new.speakers) >= settings.new_speakers:
        return Decision(True, "New speakers", f"{amount}: at least {settings.new_speakers} are asked for", new)
    return Decision(False, "Too little new", f"{amount}: at least {least} are asked for", new)

"""The circuit breaker: a publish stops when far more was dropped, failed or vanished than in the version before.

A first version is held against absolute bounds, a later one against the version before it. The shares are of seconds of
audio, without duplicates, by which nothing is lost; failed and corrupt are also counted in uploads wholly lost, since
what cannot be decoded has no seconds.
"""

from collections.abc import Sequence

from pydantic import Field

from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.corpus.versions import Cause, CorpusVersion, Counts
from voicemill.storage.errors import BreakerOpen
from voicemill.storage.outcomes import Outcome, Reason, UploadState
from voicemill.storage.units import Seconds
from voicemill.tasks.contract.stage import StageSettings


class Settings(StageSettings):
    """The circuit breaker. All are shares of the audio; failed and corrupt also count uploads wholly lost.

    Our own defaults: a refresh that adds a fifth of bad audio to a corpus of good audio stops.
    """

    max_filtered_rise: float = Field(0.10, ge=0, le=1)
    """Share, 0..1: by how much the filtered share may rise over the version before."""
    max_failed_rise: float = Field(0.05, ge=0, le=1)
    """Share, 0..1: the same for failed."""
    max_corrupt_rise: float = Field(0.10, ge=0, le=1)
    """Share, 0..1: the same for corrupt."""
    max_silence_rise: float = Field(0.20, ge=0, le=1)
    """Share, 0..1: the same for silence (a broken voice activity detector shows here)."""
    max_vanished: float = Field(0.20, ge=0, le=1)
    """Share, 0..1, of the audio of the version before whose uploads may be gone from the inbox."""
    max_filtered_first: float = Field(0.60, ge=0, le=1)
    """Share, 0..1, that may be filtered in a first version."""
    max_failed_first: float = Field(0.20, ge=0, le=1)
    """Share, 0..1, that may have failed in a first version."""
    max_corrupt_first: float = Field(0.50, ge=0, le=1)
    """Share, 0..1, that may be corrupt in a first version."""
    max_silence_first: float = Field(0.95, ge=0, le=1)
    """Share, 0..1, that may be silence in a first version."""
    min_minutes: float = Field(5.0, ge=0)
    """Minutes of audio: the breaker says nothing about a corpus smaller than this, whose shares mean little."""


def check_breaker(before: Counts | None, now: Counts, settings: Settings) -> None:
    """Compare the shares of each outcome with the version before, or with the bounds of a first version.

    Duplicates are left out: nothing is lost by them.

    Raises:
        BreakerOpen: a share rose beyond its bound.
    """
    if _total(now) < settings.min_minutes * 60:
        return
    if before is not None and _total(before) < settings.min_minutes * 60:
        before = None
    for outcome in (Outcome.FAILED, Outcome.CORRUPT, Outcome.FILTERED, Outcome.SILENCE):
        name = f"max_{outcome}_{'first' if before is None else 'rise'}"
        bound: float = getattr(settings, name)
        for of in ("seconds", "uploads") if outcome in (Outcome.FAILED, Outcome.CORRUPT) else ("seconds",):
            was = _share(before, outcome, of) if before else 0.0
            share = _share(now, outcome, of)
            if share - was > bound:
                past = f", {was:.1%} in the version before" if before else ""
                rule = "may rise by" if before else "of a first version may be"
                raise BreakerOpen(
                    f"nothing was published: {share:.1%} of the {of} are {outcome}"
                    f"{past}; {rule} {bound:.0%} at most (publish.{name}). Most of it: {_most(now, outcome, before)}. "
                    f"Mend the cause, or publish all the same with --force-publish."
                )


def check_vanished(last: CorpusVersion, rows: Sequence[UploadRow], settings: Settings) -> None:
    """Compare the uploads at hand with those of the version before, by the sha256 of their bytes.

    Raises:
        BreakerOpen: too large a share of the audio is no longer there.
    """
    before = last.uploads(["sha256", "seconds", "state"]).to_pylist()
    here = {row.sha256 for row in rows}
    worked = [row for row in before if row["state"] in (UploadState.PREPARED, UploadState.FAILED)]
    total = sum(row["seconds"] for row in worked)
    gone = [row for row in worked if row["sha256"] not in here]
    share = sum(row["seconds"] for row in gone) / total if total else 0.0
    if total >= settings.min_minutes * 60 and share > settings.max_vanished:
        raise BreakerOpen(
            f"nothing was published: {len(gone)} uploads, {share:.1%} of the audio of version {last.version.number}, "
            f"are no longer in the inbox; {settings.max_vanished:.0%} may vanish (publish.max_vanished). Is all of the "
            f"inbox there? If they were meant to go, publish with --force-publish."
        )


def _total(counts: Counts) -> Seconds:
    return sum(cause.seconds for cause in counts.causes if cause.reason != Reason.DUPLICATE)


def _share(counts: Counts, outcome: Outcome, of: str) -> float:
    causes = [cause for cause in counts.causes if cause.reason != Reason.DUPLICATE]
    mine = [cause for cause in causes if cause.outcome == outcome]
    if of == "uploads":
        return sum(cause.lost for cause in mine) / max(counts.accounted, 1)
    return sum(cause.seconds for cause in mine) / max(sum(cause.seconds for cause in causes), 1e-9)


def _most(now: Counts, outcome: Outcome, before: Counts | None) -> str:
    """The cause that grew most, in words."""
    past = {(c.outcome, c.stage, c.reason): c for c in before.causes} if before else {}
    nothing = Cause(outcome="", stage="", reason="", seconds=0.0, lost=0)

    def growth(cause: Cause) -> tuple[Seconds, int]:
        old = past.get((cause.outcome, cause.stage, cause.reason), nothing)
        return cause.seconds - old.seconds, cause.lost - old.lost

    causes = [c for c in now.causes if c.outcome == outcome and c.reason != Reason.DUPLICATE]
    top = max(causes, key=growth)
    was = past.get((top.outcome, top.stage, top.reason), nothing)
    then = f" ({was.seconds:.0f} s before)" if before else ""
    return f"{top.reason} by stage {top.stage}, {top.seconds:.0f} s{then}, {top.lost} uploads wholly"

"""Circuit breaker: stops a publish when far more was dropped, failed or vanished than in the version before.

A first version is compared with absolute bounds, a later one with the version before it. Shares are of seconds of
audio, without duplicates, since they lose nothing; failed and corrupt are also counted in uploads wholly lost, since an
upload that cannot be decoded has no seconds.
"""

from collections.abc import Sequence

from pydantic import Field

from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.corpus.versions import Cause, CorpusVersion, Counts
from voicemill.storage.errors import BreakerOpen
from voicemill.storage.outcomes import Outcome, Reason, UploadState
from voicemill.storage.units import Seconds
from voicemill.tasks.contract.stage import StageSettings

REPEATED = (Reason.DUPLICATE.value, Reason.NEAR_DUPLICATE.value)
"""Reasons of audio that the corpus has from another upload."""


class Settings(StageSettings):
    """Bounds of the circuit breaker: shares of the audio; failed and corrupt also count uploads wholly lost.

    The defaults are our own: a refresh that adds a fifth of bad audio to a corpus of good audio stops.
    """

    max_filtered_rise: float = Field(0.10, ge=0, le=1)
    """Largest rise of the filtered share over the version before, 0..1."""
    max_failed_rise: float = Field(0.05, ge=0, le=1)
    """Largest rise of the failed share, 0..1."""
    max_corrupt_rise: float = Field(0.10, ge=0, le=1)
    """Largest rise of the corrupt share, 0..1."""
    max_silence_rise: float = Field(0.20, ge=0, le=1)
    """Largest rise of the silent share, 0..1: a broken voice activity detector shows here."""
    max_vanished: float = Field(0.20, ge=0, le=1)
    """Largest share, 0..1, of the audio of the version before whose uploads may be missing from the inbox."""
    max_filtered_first: float = Field(0.60, ge=0, le=1)
    """Largest filtered share of a first version, 0..1."""
    max_failed_first: float = Field(0.20, ge=0, le=1)
    """Largest failed share of a first version, 0..1."""
    max_corrupt_first: float = Field(0.50, ge=0, le=1)
    """Largest corrupt share of a first version, 0..1."""
    max_silence_first: float = Field(0.95, ge=0, le=1)
    """Largest silent share of a first version, 0..1."""
    min_minutes: float = Field(5.0, ge=0)
    """Minutes of audio below which the breaker is off: the shares of a small corpus mean little."""


def check_breaker(before: Counts | None, now: Counts, settings: Settings) -> None:
    """Compare the shares of each outcome with the version before, or with the bounds of a first version.

    Duplicates are left out: they lose nothing.

    Raises:
        BreakerOpen: a share is beyond its bound.
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
                    f"Fix the cause, or publish anyway with --force-publish."
                )


def check_vanished(last: CorpusVersion, rows: Sequence[UploadRow], settings: Settings) -> None:
    """Compare the present uploads with those of the version before, by the sha256 of their bytes.

    Raises:
        BreakerOpen: too large a share of the audio is missing.
    """
    before = last.uploads(["sha256", "seconds", "state"]).to_pylist()
    present = {row.sha256 for row in rows}
    worked = [row for row in before if row["state"] in (UploadState.PREPARED, UploadState.FAILED)]
    total = sum(row["seconds"] for row in worked)
    missing = [row for row in worked if row["sha256"] not in present]
    share = sum(row["seconds"] for row in missing) / total if total else 0.0
    if total >= settings.min_minutes * 60 and share > settings.max_vanished:
        raise BreakerOpen(
            f"nothing was published: {len(missing)} uploads, {share:.1%} of the audio of version "
            f"{last.version.number}, are no longer in the inbox; {settings.max_vanished:.0%} may vanish "
            "(publish.max_vanished). Check that the whole inbox is there. If they were removed on purpose, publish "
            "with --force-publish."
        )


def _total(counts: Counts) -> Seconds:
    return sum(cause.seconds for cause in counts.causes if cause.reason not in REPEATED)


def _share(counts: Counts, outcome: Outcome, of: str) -> float:
    causes = [cause for cause in counts.causes if cause.reason not in REPEATED]
    matching = [cause for cause in causes if cause.outcome == outcome]
    if of == "uploads":
        return sum(cause.lost for cause in matching) / max(counts.accounted, 1)
    return sum(cause.seconds for cause in matching) / max(sum(cause.seconds for cause in causes), 1e-9)


def _most(now: Counts, outcome: Outcome, before: Counts | None) -> str:
    """Description of the cause that grew most."""
    past = {(c.outcome, c.stage, c.reason): c for c in before.causes} if before else {}
    nothing = Cause(outcome="", stage="", reason="", seconds=0.0, lost=0)

    def growth(cause: Cause) -> tuple[Seconds, int]:
        old = past.get((cause.outcome, cause.stage, cause.reason), nothing)
        return cause.seconds - old.seconds, cause.lost - old.lost

    causes = [c for c in now.causes if c.outcome == outcome and c.reason not in REPEATED]
    top = max(causes, key=growth)
    was = past.get((top.outcome, top.stage, top.reason), nothing)
    then = f" ({was.seconds:.0f} s before)" if before else ""
    return f"{top.reason} by stage {top.stage}, {top.seconds:.0f} s{then}, {top.lost} uploads wholly"

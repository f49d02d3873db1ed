"""Notices of a refresh: the breaker is open, nothing of new uploads was kept, speakers have no consent on record; and
the question whether to publish all the same."""

from collections.abc import Iterable, Mapping

from voicemill.flows.service.notices.log import Kind, tell
from voicemill.flows.service.notices.questions import ask, can_ask, withdraw
from voicemill.storage.corpus import ledger
from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.corpus.versions import CorpusVersion, Version
from voicemill.storage.errors import BreakerOpen
from voicemill.storage.keys import digest
from voicemill.storage.outcomes import UploadState
from voicemill.storage.store import Store

_COLUMNS = ["upload", "start", "stop", "outcome"]


def confirm_breaker(store: Store, last: Version | None, refusal: BreakerOpen) -> None:
    """Tell that the circuit breaker stops a publish, and return once a person answers that it may go on.

    Raises:
        BreakerOpen: the answer is no, or the run cannot ask.
    """
    reason = str(refusal).partition("\n")[0]  # the lines after it name files
    _tell_breaker(store, last, reason)
    if can_ask():
        withdraw(store, "refresh")
    answer = ask(f"{reason} Publish all the same?", [last.number if last else 0, reason])
    if answer is None:
        raise refusal
    if not answer.yes:
        raise BreakerOpen(f"{refusal}\n{answer}")


def _tell_breaker(store: Store, last: Version | None, reason: str) -> None:
    """Tell that the circuit breaker stopped a publish, once after each version and for each reason."""
    number = last.number if last else 0
    where = f"after version {number}" if last else "as first version"
    rule = reason.partition(" Most of it: ")[0].rstrip(".")
    run = "the run waits for your answer: voicemill status" if can_ask() else "voicemill refresh --force-publish"
    text = f"{rule}, {where}; see the run, and if it is right: {run}"
    tell(store, Kind.BREAKER, text, f"{number} {digest(reason)[:16]}")


def tell_unkept(store: Store, version: Version | None, rows: Iterable[UploadRow], before: Iterable[UploadRow]) -> None:
    """Tell of uploads of which a new version keeps no second, duplicates left out; None: nothing was published."""
    if version is None:
        return
    known = {row.sha256 for row in before}
    usable = (row for row in rows if row.batch and row.state is not UploadState.DUPLICATE)
    new = {row.sha256 for row in usable if row.sha256 not in known}
    lines = ledger.summarise(CorpusVersion(store, version).ledger(_COLUMNS), "upload") if new else []
    kept = {line.name for line in lines if line.kept}
    if unkept := new - kept:
        text = (
            f"nothing of {len(unkept)} of {len(new)} new uploads was kept in version {version.number}; "
            f"see voicemill ledger --store {store.root} --by path"
        )
        tell(store, Kind.NOTHING_KEPT, text, str(version.number))


def tell_held(store: Store, held: Mapping[str, int]) -> None:
    """Tell that uploads are held, once for each set of speakers; `held`: speaker -> number of uploads."""
    if held:
        text = (
            f"{sum(held.values())} uploads of {len(held)} speakers are held, because no consent is on record; "
            f"see voicemill status --store {store.root}"
        )
        tell(store, Kind.CONSENT, text, digest(sorted(held))[:16])

"""The rows of the table `uploads`: what the scan found, joined with what the stages made of it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from voicemill.flows.lot import LotResult
from voicemill.flows.plans.refresh import RefreshPlan
from voicemill.storage.corpus import tables
from voicemill.storage.corpus.artifacts import Artifact
from voicemill.storage.corpus.ledger import SegmentVerdict, state_of
from voicemill.storage.corpus.rows import from_table
from voicemill.storage.corpus.table_rows import LedgerRow, UploadRow
from voicemill.storage.keys import digest
from voicemill.storage.outcomes import LedgerInterval, Outcome, Reason
from voicemill.storage.records import Batch, Decoded, ShardFile, Upload
from voicemill.storage.store import Store
from voicemill.storage.units import to_seconds
from voicemill.tasks.execute import artifact_path
from voicemill.tasks.publishing.publish import Shards
from voicemill.tasks.registry import SINK, SOURCE
from voicemill.tasks.stages.shards import write_broken


def shards_of(store: Store, plan: RefreshPlan, lots: Iterable[LotResult]) -> Shards:
    """What a version shall hold: the shards of the batches that ran, and of those that stand.

    A batch that broke as a whole (its worker died again and again, the disk was full) gets a ledger that says so.
    """
    batches = {batch.id: batch for batch in plan.batches}
    shards: dict[str, tuple[str, list[ShardFile] | None]] = {id_: (key, None) for id_, key in plan.unchanged.items()}
    for lot in lots:
        for id_, done in lot.shards.items():
            shards[id_] = (done.key, Artifact(artifact_path(store, SINK.name, done.key)).rows(ShardFile))
        for id_, error in lot.broken.items():
            shards[id_] = _broken_shards(store, batches[id_], error)
    return shards


def upload_rows(
    store: Store,
    plan: RefreshPlan,
    batches: Iterable[Batch],
    lots: Sequence[LotResult],
    shards: Shards,
    before: Iterable[UploadRow],
    others: Iterable[UploadRow],
) -> list[UploadRow]:
    """One row for each file of the inbox, sorted by path.

    Args:
        batches: every batch with its uploads as the inbox holds them now.
        before: the rows of the last version, which still hold for batches that did not run.
        others: rows of uploads that enter no batch: held, refused, same bytes as another.
    """
    rows, known = list(others), {row.sha256: row for row in before if row.batch}
    decoded = {id_: key for lot in lots for id_, key in lot.decoded.items()}
    for batch in batches:
        if batch.id in plan.unchanged:
            rows += [replace(known[u.sha256], path=u.path, consent=u.consent) for u in batch.uploads]
            continue
        found: Mapping[str, Decoded] = {}
        if key := decoded.get(batch.id):
            found = {row.upload: row for row in Artifact(artifact_path(store, SOURCE.name, key)).rows(Decoded)}
        ledger = _ledger(store, shards[batch.id][1] or ())
        rows += [_row(batch, u, found.get(u.sha256), ledger[u.sha256]) for u in batch.uploads]
    return sorted(rows, key=lambda row: row.path)


def _broken_shards(store: Store, batch: Batch, error: str) -> tuple[str, list[ShardFile]]:
    key = digest(["broken", batch.id, [upload.sha256 for upload in batch.uploads], error])
    stage, _, words = error.partition(": ")
    verdict = SegmentVerdict(Outcome.FAILED, Reason.STAGE_ERROR, stage, detail=words)
    return key, write_broken(store, batch, key, verdict)


def _ledger(store: Store, files: Iterable[ShardFile]) -> dict[str, list[LedgerInterval]]:
    """Upload -> its rows, from the ledger shards of one batch."""
    mine = [tables.File(file.path, file.speaker, file.size, file.rows) for file in files if file.table == "ledger"]
    found: dict[str, list[LedgerInterval]] = defaultdict(list)
    for r in from_table(tables.read_all(store, "ledger", mine), LedgerRow):
        said = (r.outcome, r.reason, r.stage, r.score, r.threshold, r.detail)
        found[r.upload].append(LedgerInterval(r.upload, r.start, r.stop, *said))
    return found


def _row(batch: Batch, upload: Upload, found: Decoded | None, ledger: list[LedgerInterval]) -> UploadRow:
    state, reason, detail = state_of(ledger)
    return UploadRow(
        upload.sha256,
        upload.speaker,
        upload.path,
        upload.size,
        found.codec if found else upload.codec,
        found.rate if found else upload.rate,
        found.channels if found else upload.channels,
        found.samples if found else 0,
        to_seconds(found.samples) if found else upload.seconds,
        upload.language,
        upload.consent,
        state,
        reason,
        detail,
        batch.id,
        batch.number,
        found.pcm if found else "",
    )

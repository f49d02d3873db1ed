"""Rows of the table `uploads`: the scan joined with the results of the stages."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from voicemill.flows.lot import LotResult
from voicemill.flows.plans.refresh import RefreshPlan
from voicemill.storage.corpus import tables
from voicemill.storage.corpus.artifacts import Artifact
from voicemill.storage.corpus.ledger import SegmentVerdict, upload_state
from voicemill.storage.corpus.rows import from_table
from voicemill.storage.corpus.table_rows import LedgerRow, UploadRow
from voicemill.storage.keys import digest
from voicemill.storage.outcomes import LedgerInterval, Outcome, Reason, UploadState
from voicemill.storage.records import Batch, Decoded, ShardFile, Upload
from voicemill.storage.store import Store
from voicemill.storage.units import to_seconds
from voicemill.tasks.contract.stage import Repeats
from voicemill.tasks.execute import artifact_path
from voicemill.tasks.publishing.publish import Shards
from voicemill.tasks.publishing.shards import write_broken
from voicemill.tasks.registry import SINK, SOURCE

HEARD = "heard before: "
"""Beginning of the part of a detail that names earlier uploads."""


def shards_of(store: Store, plan: RefreshPlan, lots: Iterable[LotResult]) -> Shards:
    """Shards of the next corpus version: of the batches that ran, and of the unchanged ones.

    A batch that broke as a whole (its worker died repeatedly, the disk was full) gets a ledger with the failure.
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
    """Rows of all files of the inbox, sorted by path.

    Args:
        batches: all batches, with their uploads as they are in the inbox now.
        before: rows of the last version, which remain valid for unchanged batches.
        others: rows of uploads outside all batches: held, refused, or with the bytes of another upload.
    """
    rows, known = list(others), {row.sha256: row for row in before if row.batch}
    repeats = {upload: parts for lot in lots for upload, parts in lot.repeats.items()}
    decoded = {id_: key for lot in lots for id_, key in lot.decoded.items()}
    for batch in batches:
        if batch.id in plan.unchanged:
            rows += [replace(known[u.sha256], path=u.path, consent=u.consent) for u in batch.uploads]
            continue
        formats: Mapping[str, Decoded] = {}
        if key := decoded.get(batch.id):
            formats = {row.upload: row for row in Artifact(artifact_path(store, SOURCE.name, key)).rows(Decoded)}
        ledger = _ledger(store, shards[batch.id][1] or ())
        rows += [_row(batch, u, formats.get(u.sha256), ledger[u.sha256], repeats) for u in batch.uploads]
    return sorted(with_originals(rows), key=lambda row: row.path)


def with_originals(rows: Sequence[UploadRow]) -> Iterator[UploadRow]:
    """Rows in which a duplicate, and one that was heard before in part, says of which uploads, by their present paths.

    The path of another speaker's upload is no part of a row: it would stay there when that speaker is forgotten.
    """
    first = {row.pcm: row for row in rows if row.pcm and row.state is not UploadState.DUPLICATE}
    by_content = {row.sha256: row for row in rows if row.batch}

    def named(other: UploadRow, row: UploadRow) -> str:
        return other.path if other.speaker == row.speaker else "an upload of another speaker"

    for row in rows:
        if row.state is UploadState.DUPLICATE and row.pcm in first and row.reason == Reason.DUPLICATE:
            row = replace(row, detail=f"same samples as {named(first[row.pcm], row)}"[:500])
        elif row.repeats and row.state in (UploadState.DUPLICATE, UploadState.PREPARED):
            seconds: dict[str, float] = defaultdict(float)
            for part in row.repeats:
                if part.upload in by_content:
                    seconds[named(by_content[part.upload], row)] += to_seconds(part.stop - part.start)
            words = ", ".join(f"{length:.1f} s are in {name}" for name, length in sorted(seconds.items()))
            own = row.detail.partition(HEARD)[0].removesuffix("; ")  # what `decode` said
            row = replace(row, detail="; ".join(filter(None, [own, words and HEARD + words]))[:500])
        yield row


def _broken_shards(store: Store, batch: Batch, error: str) -> tuple[str, list[ShardFile]]:
    key = digest(["broken", batch.id, [upload.sha256 for upload in batch.uploads], error])
    stage, _, message = error.partition(": ")
    verdict = SegmentVerdict(Outcome.FAILED, Reason.STAGE_ERROR, stage, detail=message)
    return key, write_broken(store, batch, key, verdict)


def _ledger(store: Store, files: Iterable[ShardFile]) -> dict[str, list[LedgerInterval]]:
    """Upload -> its intervals, from the ledger shards of one batch."""
    shards = [tables.File(file.path, file.speaker, file.size, file.rows) for file in files if file.table == "ledger"]
    intervals: dict[str, list[LedgerInterval]] = defaultdict(list)
    for row in from_table(tables.read_all(store, "ledger", shards), LedgerRow):
        intervals[row.upload].append(
            LedgerInterval(
                upload=row.upload,
                start=row.start,
                stop=row.stop,
                outcome=row.outcome,
                reason=row.reason,
                stage=row.stage,
                score=row.score,
                threshold=row.threshold,
                detail=row.detail,
            )
        )
    return intervals


def _row(
    batch: Batch, upload: Upload, decoded: Decoded | None, ledger: list[LedgerInterval], repeats: Repeats
) -> UploadRow:
    state, reason, detail = upload_state(ledger)
    if state is UploadState.PREPARED and decoded and not detail:
        reason, detail = reason or decoded.reason, decoded.detail
    return UploadRow(
        sha256=upload.sha256,
        speaker=upload.speaker,
        path=upload.path,
        size=upload.size,
        codec=decoded.codec if decoded else upload.codec,
        rate=decoded.rate if decoded else upload.rate,
        channels=decoded.channels if decoded else upload.channels,
        samples=decoded.samples if decoded else 0,
        seconds=to_seconds(decoded.samples) if decoded else upload.seconds,
        language=upload.language,
        consent=upload.consent,
        state=state,
        reason=reason,
        detail=detail,
        batch=batch.id,
        batch_number=batch.number,
        pcm=decoded.pcm if decoded else "",
        repeats=repeats.get(upload.sha256, ()),
    )

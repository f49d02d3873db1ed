"""shards: joins the outputs of all stages into Parquet files: utterances, ledger and features, for each speaker.

The prepared waveform of every kept utterance is stored as FLAC (lossless compression of its 16-bit rounding, no
dither, so that equal input gives equal bytes). Rows are in the order of the uploads in the batch, then of time; the
feature tables have the same rows in the same order. The files join the tables at `publish`.

Cost: FLAC encoding, 2,600 times real time per core (measured on speech); the rest is copying.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import pyarrow as pa

from voicemill.storage.corpus.ledger import SegmentVerdict, build_ledger, interval_of
from voicemill.storage.corpus.rows import to_table
from voicemill.storage.corpus.table_rows import FingerprintRow, LedgerRow, Utterance
from voicemill.storage.corpus.tables import ShardWriter, shard_file
from voicemill.storage.outcomes import Failure, LedgerInterval, Outcome
from voicemill.storage.records import Batch, Quality, Segment, ShardFile, Upload
from voicemill.storage.store import Store
from voicemill.storage.units import to_samples
from voicemill.tasks.contract.prepared import Prepared
from voicemill.tasks.contract.results import Name, Results, verdict
from voicemill.tasks.contract.stage import Inputs, RunContext, Stage, StageSettings
from voicemill.tasks.contract.tiers import TierSettings, reference_of, tier_of
from voicemill.tasks.contract.utterances import utterance_row
from voicemill.tasks.contract.voices import compare_voices

VERSION = 3


class Settings(StageSettings):
    """Rules on the text of segments, and the bounds of the tiers."""

    require_text: bool = False
    """Drop segments without text (`no_text`). Our own default: voices are also trained on untranscribed speech."""
    keep_unaligned: bool = False
    """Keep segments whose text does not align or fit. Our own default: it is in doubt (`unaligned`, `text_surplus`)."""
    tiers: TierSettings = TierSettings()
    """Bounds of the tiers of quality, from which trainings select."""


def run(inputs: Inputs, settings: Settings, context: RunContext) -> Iterator[ShardFile]:
    """Write the shards of a batch; yield them in the order of speaker, then table."""
    store, key, features = context.store, context.key, context.feature_tables
    if store is None:
        raise ValueError("shards needs a store to write to, but RunContext.store is None")
    results, waves = Results(inputs, tuple(features), compare_voices(inputs, context)), Prepared(inputs)
    by_speaker: dict[str, list[Upload]] = defaultdict(list)
    for upload in inputs.batch.uploads:
        by_speaker[upload.speaker].append(upload)
    for speaker, uploads in sorted(by_speaker.items()):
        ledger = {u.sha256: intervals(results, u, settings, context.failed.get(u.sha256)) for u in uploads}
        names = [name for upload in uploads for name in _kept(results.cut[upload.sha256], ledger[upload.sha256])]
        rows = [ledger_row(upload, row) for upload in uploads for row in ledger[upload.sha256]]
        yield _write(store, "ledger", speaker, key, [to_table(rows, LedgerRow)])
        decoded = (results.decoded[upload.sha256] for upload in uploads if upload.sha256 in results.decoded)
        prints = [FingerprintRow(row.upload, row.fingerprint) for row in decoded if row.fingerprint]
        if prints:
            yield _write(store, "fingerprints", speaker, key, [to_table(prints, FingerprintRow)])
        if names:
            known = {upload.sha256: upload for upload in uploads}
            own = [row for (sha256, _), row in results.quality.items() if sha256 in known]
            tier = partial(tier_of, reference=reference_of(own, settings.tiers.fewest), settings=settings.tiers)
            texts = (
                utterance_row(results, waves, known[n[0]], n, context.recipe, tier(_judged(results, n))) for n in names
            )
            tables = (to_table([row], Utterance) for row in texts)
            yield _write(store, "utterances", speaker, key, tables)
            for stage, table in sorted(features.items()):
                part = _matrices(results, stage, names)
                yield _write(store, table, speaker, key, [part])


def write_broken(store: Store, batch: Batch, key: str, failure: SegmentVerdict) -> list[ShardFile]:
    """Write the shards of a batch that could not be prepared: a ledger of failures, over the lengths in the headers."""
    by_speaker: dict[str, list[LedgerRow]] = defaultdict(list)
    for upload in batch.uploads:
        row = interval_of(upload.sha256, 0, to_samples(upload.seconds), failure)
        by_speaker[upload.speaker].append(ledger_row(upload, row))
    return [_write(store, "ledger", who, key, [to_table(rows, LedgerRow)]) for who, rows in sorted(by_speaker.items())]


def intervals(
    results: Results, upload: Upload, settings: Settings, failure: Failure | None = None
) -> list[LedgerInterval]:
    """Ledger of one upload: a single row where this stage itself has failed on it before (`failure`)."""
    sha256 = upload.sha256
    if failure:
        decoded = results.decoded.get(sha256)
        samples = decoded.samples if decoded else to_samples(upload.seconds)
        failed = SegmentVerdict(Outcome.FAILED, failure.reason.value, STAGE.name, detail=failure.error)
        return [interval_of(sha256, 0, samples, failed)]
    cut, rules = results.cut.get(sha256, []), settings.model_dump(exclude={"tiers"})
    verdicts = {s.index: verdict(results, s, **rules) for s in cut if s.outcome is Outcome.KEPT}
    failures = results.failures.get((sha256, -1), {})
    return build_ledger(upload, results.decoded.get(sha256), cut, verdicts, failures)


def ledger_row(upload: Upload, row: LedgerInterval) -> LedgerRow:
    """Row of the table `ledger` for an interval of an upload."""
    return LedgerRow(
        upload=upload.sha256,
        speaker=upload.speaker,
        path=upload.path,
        start=row.start,
        stop=row.stop,
        outcome=row.outcome,
        reason=row.reason,
        stage=row.stage,
        score=row.score,
        threshold=row.threshold,
        detail=row.detail,
    )


def _judged(results: Results, name: Name) -> Quality:
    """Measures of a segment, with the SNR that `screen` judged by."""
    return replace(results.quality[name], snr_db=results.screened[name].snr_db)


def _kept(cut: Iterable[Segment], ledger: Iterable[LedgerInterval]) -> list[Name]:
    """Segments that the ledger keeps, in time."""
    kept = {row.start for row in ledger if row.outcome is Outcome.KEPT}
    rows = sorted(cut, key=lambda segment: segment.start)
    return [(row.upload, row.index) for row in rows if row.outcome is Outcome.KEPT and row.start in kept]


def _matrices(results: Results, stage: str, names: list[Name]) -> pa.Table:
    places = results.places[stage]
    part = results.matrices[stage].take([places[name] for name in names])
    ids = pa.array([f"{upload[:16]}-{index:04}" for upload, index in names])
    return part.append_column("id", ids)


def _write(store: Store, table: str, speaker: str, key: str, parts: Iterable[pa.Table]) -> ShardFile:
    with ShardWriter(store, table, speaker, key) as writer:
        for part in parts:
            writer.write(part)
        return shard_file(table, writer.finish())


def _metadata(batch: Batch) -> list[list[str]]:
    return [[upload.sha256, upload.speaker, upload.path] for upload in batch.uploads]


STAGE = Stage(
    name="shards",
    version=VERSION,
    settings=Settings,
    needs=(),
    needs_all=True,
    row=ShardFile,
    run_in=run,
    metadata=_metadata,
    key_part=lambda context: [context.recipe, *([e.speaker, e.key, e.uploads] for e in context.enrolments)],
    sealed=True,
)

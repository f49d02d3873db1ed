"""Synthetic batches with outputs of every stage, so that tests of shards and versions run no audio stage.

    batch = make_batch(1, upload("ann"), upload("bob", text="..."))
    make = outputs(store, batch)                 # artifacts of all stages before shards
    key, files = shards(store, batch)            # runs the real stage `shards` on them
    version = corpus(store, [batch])             # and publishes

Names and numbers decide everything: two calls give the same bytes.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from voicemill.storage.corpus import ledger
from voicemill.storage.corpus.artifacts import Artifact, ArtifactMeta, ArtifactWriter, Wave
from voicemill.storage.corpus.rows import from_table
from voicemill.storage.corpus.table_rows import LedgerRow, UploadRow
from voicemill.storage.corpus.tables import File, read_all
from voicemill.storage.corpus.tensors import encode
from voicemill.storage.corpus.versions import Version
from voicemill.storage.keys import digest
from voicemill.storage.outcomes import Failure, LedgerInterval, Outcome
from voicemill.storage.records import (
    Aligned,
    Batch,
    Decoded,
    Denoised,
    Feature,
    Levelled,
    Quality,
    Screened,
    Segment,
    ShardFile,
    Transcript,
    Upload,
    Word,
)
from voicemill.storage.store import Store
from voicemill.storage.units import RATE
from voicemill.tasks.contract.stage import Inputs, RunContext
from voicemill.tasks.publishing import shards as stage
from voicemill.tasks.publishing.publish import Settings, publish
from voicemill.tasks.registry import BY_NAME, SINK

FEATURE_TABLES = {"content": "features/mfcc-00000001", "f0": "features/f0-00000002", "mel": "features/mel-00000003"}
DIMS = {"content": (39, 50), "f0": (1, 100), "mel": (128, 50)}
"""Stage -> dimensions, frames per second."""
RECIPE = digest("test recipe")
WHEN = "2025-01-01T00:00:00+00:00"


def upload(speaker: str, number: int = 0, seconds: float = 6.0, text: str = "", salt: str = "") -> Upload:
    """An upload of this speaker; the arguments decide its sha256."""
    sha256 = digest([speaker, number, seconds, text, salt])
    path = f"{speaker}/{number}.wav"
    size = round(seconds * RATE) * 2 + 44
    return Upload(
        sha256=sha256,
        speaker=speaker,
        path=path,
        size=size,
        language="en",
        text=text,
        consent="granted",
        codec="pcm_s16",
        rate=RATE,
        channels=1,
        seconds=seconds,
    )


def make_batch(number: int, *uploads: Upload) -> Batch:
    return Batch(digest(sorted(u.sha256 for u in uploads))[:16], number, uploads)


def noise(upload: str, index: int, samples: int) -> Wave:
    """float32 [samples]: noise, different for every segment."""
    seed = int(hashlib.sha256(f"{upload}{index}".encode()).hexdigest()[:16], 16)
    return (np.random.default_rng(seed).standard_normal(samples) * 0.05).astype(np.float32)


def matrix(name: str, upload: str, index: int, samples: int) -> Feature:
    """A feature matrix, different for every segment."""
    dims, rate = DIMS[name]
    frames = max(1, samples * rate // RATE)
    seed = int(hashlib.sha256(f"{name}{upload}{index}".encode()).hexdigest()[:16], 16)
    values = np.random.default_rng(seed).random((frames, dims)) * 100 + 80
    return Feature(upload=upload, index=index, frames=frames, dims=dims, data=encode(values))


@dataclass
class Made:
    """The rows of every stage; a test may change them before they are written."""

    rows: dict[str, list[Any]] = field(default_factory=dict)
    failures: dict[str, list[Failure]] = field(default_factory=dict)

    def drop(self, name: str, upload: str, index: int | None = None) -> None:
        """Remove a stage's rows of an upload, or of one segment."""
        self.rows[name] = [
            row for row in self.rows[name] if row.upload != upload or (index is not None and row.index != index)
        ]

    def change(self, name: str, upload: str, index: int, **values: Any) -> None:
        """Change a stage's row of one segment."""
        self.rows[name] = [
            replace(row, **values) if (row.upload, row.index) == (upload, index) else row for row in self.rows[name]
        ]


def make_rows(batch: Batch, pieces: int = 2) -> Made:
    """Rows of a batch. Each upload is 0.5 s of silence, then `pieces` segments of equal length 0.1 s apart."""
    made = Made({name: [] for name in SINK.needs}, {name: [] for name in SINK.needs})
    rows = made.rows
    for u in batch.uploads:
        samples = round(u.seconds * RATE)
        pcm = digest(["pcm", u.sha256])
        rows["decode"].append(
            Decoded(upload=u.sha256, samples=samples, pcm=pcm, codec=u.codec, rate=u.rate, channels=u.channels)
        )
        at, gap = min(RATE // 2, samples), RATE // 10
        length = (samples - at - gap * pieces) // pieces
        cut = [Segment(upload=u.sha256, index=-1, start=0, stop=at, outcome=Outcome.SILENCE, reason="no_speech")]
        for index in range(pieces):
            cut.append(Segment(upload=u.sha256, index=index, start=at, stop=at + length, outcome=Outcome.KEPT))
            end = samples if index == pieces - 1 else at + length + gap
            cut.append(
                Segment(
                    upload=u.sha256, index=-1, start=at + length, stop=end, outcome=Outcome.SILENCE, reason="no_speech"
                )
            )
            at = end
        rows["slice"] += cut
        for s in (s for s in cut if s.index >= 0):
            name, words = (u.sha256, s.index), tuple((u.text or f"words of {u.path}").split())
            step = length // max(len(words), 1)
            times = tuple(Word(w, s.start + n * step, s.start + (n + 1) * step, 0.9) for n, w in enumerate(words))
            rows["denoise"].append(Denoised(*name, 25.0, True))
            rows["loudness"].append(
                Levelled(
                    upload=u.sha256,
                    index=s.index,
                    before=-30.0,
                    after=-23.0,
                    gain_db=7.0,
                    peak_db=-3.0,
                    bound="",
                    measured="upload",
                )
            )
            rows["quality"].append(Quality(upload=u.sha256, index=s.index, engine="none"))
            rows["screen"].append(
                Screened(
                    upload=u.sha256,
                    index=s.index,
                    entropy=3.5,
                    snr_db=25.0,
                    clipped=0.0,
                    bandwidth_hz=12_000.0,
                    outcome=Outcome.KEPT,
                )
            )
            rows["transcribe"].append(
                Transcript(upload=u.sha256, index=s.index, text=" ".join(words), language="en", engine="given")
            )
            rows["align"].append(
                Aligned(
                    upload=u.sha256, index=s.index, text=" ".join(words), language="en", words=times, status="aligned"
                )
            )
            for feature in DIMS:
                rows[feature].append(matrix(feature, *name, length))
    return made


def outputs(store: Store, batch: Batch, change: Callable[[Made], None] | None = None) -> dict[str, Artifact]:
    """Write the artifacts of every stage before `shards`."""
    made = make_rows(batch)
    if change:
        change(made)
    lengths = {(s.upload, s.index): s.stop - s.start for s in made.rows["slice"]}
    artifacts = {}
    for name, rows in made.rows.items():
        key = digest([name, batch.id, len(rows), [repr(row) for row in rows], repr(made.failures[name])])
        path = store.stages / name / f"{key}.arrow"
        failures = tuple(made.failures[name])
        pending = tuple(sorted({failure.upload for failure in failures}))
        with ArtifactWriter(path) as writer:
            for row in rows if name == "denoise" else ():
                writer.audio(row.upload, row.index, noise(row.upload, row.index, lengths[row.upload, row.index]))
            for row in rows if name == "decode" else ():
                writer.audio(row.upload, -1, noise(row.upload, -1, row.samples))
            artifacts[name] = writer.finish(rows, BY_NAME[name].row, ArtifactMeta(name, key, failures, pending))
    return artifacts


def inputs_of(
    store: Store, batch: Batch, change: Callable[[Made], None] | None = None, recipe: str = RECIPE
) -> tuple[Inputs, RunContext]:
    """Everything that the stage `shards` reads for a batch."""
    artifacts = outputs(store, batch, change)
    key = digest([recipe, sorted(artifact.meta.key for artifact in artifacts.values())])
    return Inputs(batch, artifacts), RunContext(recipe, key=key, store=store, feature_tables=FEATURE_TABLES)


def shards(
    store: Store,
    batch: Batch,
    change: Callable[[Made], None] | None = None,
    recipe: str = RECIPE,
    settings: stage.Settings | None = None,
) -> tuple[str, list[ShardFile]]:
    """The key and files of a batch, written by the real stage; its own artifact too."""
    inputs, context = inputs_of(store, batch, change, recipe)
    files = list(stage.run(inputs, settings or stage.Settings(), context))
    inputs.close()
    with ArtifactWriter(store.stages / "shards" / f"{context.key}.arrow") as writer:
        writer.finish(files, ShardFile, ArtifactMeta("shards", context.key))
    return context.key, files


def upload_rows(store: Store, batch: Batch, files: Iterable[ShardFile]) -> list[UploadRow]:
    """Rows of the table `uploads`, with the states that follow from the ledger."""
    mine = [File(f.path, f.speaker, f.size, f.rows) for f in files if f.table == "ledger"]
    found: dict[str, list[LedgerInterval]] = {}
    for row in from_table(read_all(store, "ledger", mine), LedgerRow):
        interval = LedgerInterval(
            upload=row.upload,
            start=row.start,
            stop=row.stop,
            outcome=row.outcome,
            reason=row.reason,
            stage=row.stage,
            detail=row.detail,
        )
        found.setdefault(row.upload, []).append(interval)
    rows = []
    for u in batch.uploads:
        samples = found[u.sha256][-1].stop
        state, reason, detail = ledger.upload_state(found[u.sha256])
        rows.append(
            UploadRow(
                sha256=u.sha256,
                speaker=u.speaker,
                path=u.path,
                size=u.size,
                codec=u.codec,
                rate=u.rate,
                channels=u.channels,
                samples=samples,
                seconds=samples / RATE,
                language=u.language,
                consent=u.consent,
                state=state,
                reason=reason,
                detail=detail,
                batch=batch.id,
                batch_number=batch.number,
                pcm=digest(["pcm", u.sha256]),
            )
        )
    return rows


def corpus(
    store: Store,
    batches: Sequence[Batch],
    change: Callable[[Made], None] | None = None,
    recipe: str = RECIPE,
    settings: Settings | None = None,
    force: bool = False,
) -> Version | None:
    """Write the shards of all batches and publish them as a version; None where nothing is new."""
    made = {batch.id: shards(store, batch, change, recipe) for batch in batches}
    uploads = [row for batch in batches for row in upload_rows(store, batch, made[batch.id][1])]
    return publish(
        store,
        uploads=uploads,
        shards=made,
        recipe=recipe,
        config={"test": True},
        feature_tables=FEATURE_TABLES,
        created=WHEN,
        settings=settings or Settings(),
        force=force,
    )

"""publish: one version after the other, repeatable, never half."""

import hashlib
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support import factories as f
from support import kill_points

from voicemill.storage.checking.check import check
from voicemill.storage.corpus import tables, versions
from voicemill.storage.corpus.sweeping import sweep
from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.corpus.versions import CorpusVersion, Version
from voicemill.storage.errors import StoreError
from voicemill.storage.store import Store
from voicemill.tasks.publishing import publish as publish_

FIRST = [f.make_batch(1, f.upload("ann"), f.upload("bob")), f.make_batch(2, f.upload("cid"))]
SECOND = [*FIRST, f.make_batch(3, f.upload("ann", 1, 3), f.upload("dot"))]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def parquets(store: Store) -> dict[str, str]:
    """Path -> sha256 of every shard on disk."""
    files = [path for path in store.tables.rglob("*.parquet") if "versions" not in path.parts]
    return {str(p.relative_to(store.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}


def read(store: Store, number: int) -> dict[str, list[dict[str, Any]]]:
    """Every row of a version."""
    corpus = CorpusVersion.open(store, number)
    rows = {name: corpus.features(name).to_pylist() for name in f.DIMS}
    return (
        rows
        | {"utterances": corpus.utterances().to_pylist(), "ledger": corpus.ledger().to_pylist()}
        | {"uploads": corpus.uploads().to_pylist()}
    )


def publish(store: Store, shards: Mapping[str, Any], rows: list[UploadRow]) -> Version | None:
    return publish_.publish(
        store,
        uploads=rows,
        shards=shards,
        recipe="other",
        config={},
        feature_tables=f.FEATURE_TABLES,
        created=f.WHEN,
        settings=publish_.Settings(),
    )


def test_first_version_reads_back_what_the_stages_said(store: Store) -> None:
    batch = f.make_batch(1, f.upload("ann", text="hello there"), f.upload("Bob = 100 %/2"), f.upload("李", 3))
    version = f.corpus(store, [batch])
    assert version is not None
    assert version.number == 1
    corpus = CorpusVersion.open(store)
    rows = corpus.utterances(["id", "speaker", "text", "upload", "index"]).to_pylist()
    assert {(row["speaker"], row["index"]) for row in rows} == {(u.speaker, i) for u in batch.uploads for i in (0, 1)}
    assert {row["text"] for row in rows if row["speaker"] == "ann"} == {"hello there"}
    ids = [row["id"] for row in rows]
    for stage in ("content", "f0", "mel"):
        features = corpus.features(stage, ["id"])
        assert features["id"].to_pylist() == ids
    assert version.counts.utterances == 6
    assert version.counts.speakers == 3
    assert sum(version.counts.seconds.values()) == pytest.approx(18.0)
    assert corpus.utterances(["id"], speaker="ann").num_rows == 2


def test_nothing_new_is_no_version(store: Store) -> None:
    batches = [f.make_batch(1, f.upload("ann")), f.make_batch(2, f.upload("bob"))]
    first = f.corpus(store, batches)
    before = parquets(store)
    assert f.corpus(store, batches) is None
    assert versions.latest(store) == first
    assert parquets(store) == before


def test_same_bytes_from_two_runs(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        store = Store.open(tmp_path / name, create=True)
        f.corpus(store, SECOND)
        found.append(parquets(store))
    assert found[0] == found[1]
    assert len(found[0]) == 5 * 5 + 4  # five shards in five tables, and uploads of four speakers


def test_older_versions_stay_readable(store: Store) -> None:
    first = f.corpus(store, FIRST)
    assert first is not None
    before = read(store, 1)
    second = f.corpus(store, SECOND, recipe="other")
    assert second is not None
    assert (second.number, second.parent) == (2, 1)
    assert read(store, 1) == before
    assert read(store, 2) != before
    from deltalake import DeltaTable

    for table in tables.names(store):
        DeltaTable(store.tables / table).vacuum(dry_run=False)
    assert read(store, 1) == before
    assert CorpusVersion.open(store, 1).version == first
    assert versions.history(store) == [first, second]


def test_old_versions_outlive_checkpoints_of_the_log(store: Store) -> None:
    batches = {n: f.make_batch(n, f.upload("ann", n, 1.0)) for n in (1, 2)}
    first = f.corpus(store, [batches[1]])
    assert first is not None
    before = read(store, 1)
    made = [f.shards(store, batches[n])[1] for n in (2, 1)]
    mine = [[tables.File(s.path, s.speaker, s.size, s.rows) for s in m if s.table == "utterances"] for m in made]
    for turn in range(110):
        tables.commit(store, "utterances", mine[turn % 2])
    assert list((store.tables / "utterances" / "_delta_log").glob("*.checkpoint.parquet"))
    assert read(store, 1) == before


def test_a_stage_error_published_then_mended(store: Store) -> None:
    batch = FIRST[0]
    sha256 = batch.uploads[0].sha256

    def fail(made: f.Made) -> None:
        made.drop("mel", sha256, 0)
        made.failures["mel"].append(f.Failure(sha256, "ValueError: boom", 0))

    first = f.corpus(store, [batch], fail)
    assert first is not None
    assert first.counts.reasons == {"no_speech": pytest.approx(1.4), "stage_error": pytest.approx(2.65)}
    assert first.counts.uploads["failed"] == 1
    second = f.corpus(store, [batch])
    assert second is not None
    assert second.counts.uploads["failed"] == 0
    assert CorpusVersion.open(store, 1).utterances(["id"]).num_rows == 3
    assert CorpusVersion.open(store, 2).utterances(["id"]).num_rows == 4


def test_unchanged_batches_need_no_files(store: Store) -> None:
    f.corpus(store, FIRST)
    old = {batch.id: f.shards(store, batch) for batch in FIRST}
    new = f.make_batch(9, f.upload("new"))
    rows = [row for b in FIRST for row in f.upload_rows(store, b, old[b.id][1])]
    made = f.shards(store, new)
    rows += f.upload_rows(store, new, made[1])
    shutil.rmtree(store.stages)
    version = publish(store, {b: (key, None) for b, (key, _) in old.items()} | {new.id: made}, rows)
    assert version is not None
    assert version.counts.utterances == 4 + 2 + 2
    with pytest.raises(StoreError, match="batch x has no files"):
        publish(store, {"x": ("0" * 64, None)}, rows)


def test_a_batch_that_left_leaves_the_version(store: Store) -> None:
    f.corpus(store, FIRST)
    f.corpus(store, FIRST[:1], force=True)
    assert set(CorpusVersion.open(store, 2).utterances(["speaker"])["speaker"].to_pylist()) == {"ann", "bob"}
    assert set(CorpusVersion.open(store, 1).utterances(["speaker"])["speaker"].to_pylist()) == {"ann", "bob", "cid"}


def test_a_lost_shard_stops_the_publish(store: Store) -> None:
    batch = FIRST[0]
    key, files = f.shards(store, batch)
    rows = f.upload_rows(store, batch, files)
    lost = next(file for file in files if file.table == "utterances")
    (store.tables / lost.table / lost.path).unlink()
    assert tables.missing_shards(store, files) == [lost]
    with pytest.raises(StoreError, match="1 files of table utterances"):
        publish(store, {batch.id: (key, files)}, rows)
    assert versions.latest(store) is None


def test_sweep_takes_what_nobody_refers_to(store: Store) -> None:
    f.corpus(store, FIRST)
    kept = parquets(store)
    stray_key, stray = f.shards(store, f.make_batch(7, f.upload("eve")))
    (store.tables / "utterances" / "_delta_log" / "00000000000000000009.json#1").write_text("x")
    (store.tables / "ledger" / ".k.1.ab.tmp").write_text("x")
    assert (store.stages / "shards" / f"{stray_key}.arrow").exists()
    deleted = sweep(store, versions.pins(store))
    assert len(deleted) == len(stray) + 2
    assert parquets(store) == kept
    assert not (store.stages / "shards" / f"{stray_key}.arrow").exists()  # it would claim files that are gone
    assert read(store, 1)["utterances"]


def make_second(root: str) -> None:
    """What is killed: the shards are there, so that the file system is touched by the publish alone."""
    store = Store.open(root)
    publish(store, *pickle.loads((Path(root) / "second.pickle").read_bytes()))


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    full = Store.open(tmp_path / "full", create=True)
    f.corpus(full, FIRST)
    made = {batch.id: f.shards(full, batch, recipe="other") for batch in SECOND}
    rows = [row for batch in SECOND for row in f.upload_rows(full, batch, made[batch.id][1])]
    (full.root / "second.pickle").write_bytes(pickle.dumps((made, rows)))
    calm = Store.open(shutil.copytree(full.root, tmp_path / "calm"))
    events = kill_points.run(make_second, str(calm.root), root=tmp_path)
    want, shards, published = read(calm, 2), parquets(calm), 0
    for at in range(events, 0, -max(events // 20, 1)):
        store = Store.open(shutil.copytree(full.root, tmp_path / f"copy{at}"))
        kill_points.run(make_second, str(store.root), root=tmp_path, at=at)
        found = versions.history(store)
        assert [v.number for v in found] in ([1], [1, 2])
        assert read(store, 1) == read(calm, 1)
        published += len(found) == 2
        assert (publish(store, made, rows) is None) == (len(found) == 2)
        assert read(store, 2) == want
        assert len(versions.history(store)) == 2
        sweep(store, versions.pins(store))
        assert parquets(store) == shards
        assert check(store).damage == []
        shutil.rmtree(store.root)
    assert 3 <= published <= 10  # died before the version, and after it

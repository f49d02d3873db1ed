"""publish: one version after the other, repeatable, never half."""

import hashlib
from pathlib import Path

import factories as f
import pytest

from storage import versions
from storage.store import Store
from storage.versions import CorpusVersion


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def parquets(store: Store) -> dict[str, str]:
    """Path -> sha256 of every shard on disk."""
    files = [path for path in store.tables.rglob("*.parquet") if "versions" not in path.parts]
    return {str(p.relative_to(store.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}


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

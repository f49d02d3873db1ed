"""Phones: those of the front end, in the order of the shard, computed once."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support import factories as f

from voicemill.model.data import phones
from voicemill.model.data.index import LeftOut, index
from voicemill.model.settings.training import DataSettings
from voicemill.model.text import versions
from voicemill.model.text.frontend import phonemes
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.forgetting.erase import phones_folder
from voicemill.storage.forgetting.forget import forget_speaker
from voicemill.storage.store import Store

TEXTS = {"ann": "A quick brown fox.", "bob": "今天天气很好，我们去公园。"}


@pytest.fixture
def corpus(store: Store) -> CorpusVersion:
    def chinese(made: f.Made) -> None:
        for row in tuple(made.rows["align"]):
            made.change("align", row.upload, row.index, language="zh" if "天" in row.text else "en")

    f.corpus(store, [f.make_batch(1, *(f.upload(who, 0, 6, text) for who, text in TEXTS.items()))], chinese)
    return CorpusVersion.open(store)


def kept(store: Store) -> list[Path]:
    return sorted((store.stages / "phones").rglob("*.parquet"))


def test_they_are_those_of_the_front_end(corpus: CorpusVersion) -> None:
    found = index(corpus, DataSettings())
    for shard in found.shards:
        rows = pq.read_table(shard.phones, partitioning=None).to_pylist()
        language = "zh" if shard.speaker == "bob" else "en"
        expected = phonemes(TEXTS[shard.speaker], language).ids.tolist()
        same = {"verdict": "", "count": len(expected), "placed": True, "phones": expected}
        assert [{name: row[name] for name in same} for row in rows] == [same] * 2
        assert all(len(row["bounds"]) == 2 * len(expected) for row in rows)


def test_the_frames_of_words_are_those_of_the_alignment(corpus: CorpusVersion) -> None:
    """Four words of equal length, one behind the other; the full stop begins where the last one ends."""
    shard = next(shard for shard in index(corpus, DataSettings()).shards if shard.speaker == "ann")
    row = next(r for r in corpus.utterances().to_pylist() if r["speaker"] == "ann")
    edges = [round((word["stop"] - row["start"]) / 640) for word in row["words"]]
    found = np.array(pq.read_table(shard.phones, partitioning=None).to_pylist()[0]["bounds"]).reshape(-1, 2)
    said = phonemes(TEXTS["ann"], "en").runs[0].parts
    assert said is not None
    first = 0
    for (_, count), begin, end in zip(said, [0, *edges], edges, strict=False):
        assert found[first : first + count].tolist() == [[begin, end]] * count
        first += count
    assert found[first:].tolist() == [[edges[-1], (row["stop"] - row["start"]) // 640]]


def test_without_words_nothing_is_placed(store: Store) -> None:
    batch = f.make_batch(1, f.upload("ann", 0, 6, TEXTS["ann"]))
    sha256 = batch.uploads[0].sha256
    f.corpus(store, [batch], lambda made: made.change("align", sha256, 0, words=(), status="no_aligner"))
    found = index(CorpusVersion.open(store), DataSettings())
    assert found.placed.tolist() == [False, True]
    rows = pq.read_table(found.shards[0].phones, partitioning=None).to_pylist()
    assert rows[0]["bounds"] == []
    assert rows[0]["phones"] == rows[1]["phones"]


def test_another_version_of_the_columns_is_another_file(corpus: CorpusVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    index(corpus, DataSettings())
    before = kept(corpus.store)
    monkeypatch.setattr(phones, "VERSION", phones.VERSION + 1)
    index(corpus, DataSettings())
    assert len(kept(corpus.store)) == 2 * len(before)


def test_they_are_computed_once(corpus: CorpusVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    index(corpus, DataSettings())
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept(corpus.store)}
    asked = []
    monkeypatch.setattr(phones, "phonemes", lambda *given: asked.append(given) or phonemes(*given))
    index(corpus, DataSettings(shortest_s=0.1))
    assert asked == []
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept(corpus.store)} == before
    for path in before:
        path.unlink()
    index(corpus, DataSettings())
    assert len(asked) == 4
    assert {path: path.read_bytes() for path in kept(corpus.store)} == {path: raw for path, (_, raw) in before.items()}


def test_a_changed_front_end_gives_others(corpus: CorpusVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    index(corpus, DataSettings())
    before = kept(corpus.store)
    monkeypatch.setattr(versions, "VERSIONS", {**versions.VERSIONS, "zh": versions.VERSIONS["zh"] + 1})
    index(corpus, DataSettings())
    assert len(kept(corpus.store)) == 2 * len(before) == 4


def test_languages_that_are_not_installed_are_left_out(corpus: CorpusVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    index(corpus, DataSettings())
    before = kept(corpus.store)
    monkeypatch.setattr(phones, "installed_languages", lambda: frozenset({"en"}))
    assert index(corpus, DataSettings()).left_out == {LeftOut.LANGUAGE: 2}
    assert len(kept(corpus.store)) == 2 * len(before) == 4


def test_a_language_that_nobody_stated_is_guessed(store: Store) -> None:
    batch = f.make_batch(1, f.upload("bob", 0, 6, TEXTS["bob"]))
    f.corpus(store, [batch], lambda made: made.change("align", batch.uploads[0].sha256, 0, language=""))
    found = index(CorpusVersion.open(store), DataSettings())
    rows = pq.read_table(found.shards[0].phones, partitioning=None).to_pylist()
    assert rows[0]["phones"] == phonemes(TEXTS["bob"], "zh").ids.tolist()


def test_forgetting_takes_those_of_the_speaker_alone(corpus: CorpusVersion) -> None:
    store = corpus.store
    found = index(corpus, DataSettings())
    mine, other = (next(Path(s.phones) for s in found.shards if s.speaker == who) for who in ("ann", "bob"))
    (mine.parent / ".x.parquet.77.abcd.tmp").write_bytes(mine.read_bytes())
    secret, before = bytes(mine.read_bytes()), other.read_bytes()
    forget_speaker(store, "ann", created=f.WHEN)
    assert not phones_folder(store, "ann").exists()
    assert other.read_bytes() == before
    for path in (path for path in store.root.rglob("*") if path.is_file()):
        assert secret[4:-8] not in path.read_bytes()
    assert phones_folder(store, "ann").name not in os.listdir(store.stages / "phones")

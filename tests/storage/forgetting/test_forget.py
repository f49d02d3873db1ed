"""Forgetting: no byte of the speaker remains, other speakers lose nothing, and a kill at any moment is repaired."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import factories as f
from support import kill_points
from support.power_cuts import cut

from voicemill.storage.corpus import tables, versions
from voicemill.storage.corpus.flac import flac
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import StoreBusy, StoreDamaged, StoreError
from voicemill.storage.files import temporary_path, write_bytes
from voicemill.storage.forgetting import erase, tombstones
from voicemill.storage.forgetting.forget import collect_traces, forget_speaker, stored_speakers
from voicemill.storage.forgetting.receipts import forgotten_versions, interrupted_speakers, receipts
from voicemill.storage.forgetting.tombstones import Tombstones
from voicemill.storage.keys import digest
from voicemill.storage.records import Batch
from voicemill.storage.store import Store
from voicemill.storage.voices import votes
from voicemill.storage.voices.status import read_status
from voicemill.storage.voices.votes import Vote

WHO = "Zoë Forgotten"
TEXT = "xylophone quartz zephyr"
MINE = (f.upload(WHO, 0, 6, TEXT), f.upload(WHO, 1, 3, TEXT))
BATCHES = [
    f.make_batch(1, f.upload("ann"), MINE[0]),
    f.make_batch(2, f.upload("bob"), f.upload("zoe forgotten")),
    f.make_batch(3, MINE[1], f.upload("cid")),
]
PHONES = {WHO: "phones that only Zoë said", "ann": "phones of ann"}
COLUMNS = ["id", "speaker", "text", "audio"]


def fill(root: Path) -> Store:
    """A store of three versions, two of them with the speaker, and all other files that may hold the speaker."""
    store = Store.open(root, create=True)
    f.corpus(store, BATCHES[1:2])
    f.corpus(store, BATCHES[:2])
    f.corpus(store, BATCHES, recipe="another recipe")
    for batch in BATCHES:
        registry(store, batch)
    write_bytes(store.reports / "report.html", f"<h1>{WHO}</h1>".encode())
    write_bytes(store.root / "quarantine" / f"{MINE[0].sha256}.wav", b"sound")
    for who in (WHO, "ann"):
        phones = erase.phones_folder(store, who) / "0123.parquet"
        phones.parent.mkdir(parents=True)
        pq.write_table(pa.table({"phones": [list(who.encode())], "text": [PHONES[who]]}), phones)
    write_bytes(store.models / "s2-7" / "card.json", json.dumps({"corpus_version": 3}).encode())
    write_bytes(store.models / "s2-1" / "card.json", json.dumps({"corpus_version": 1}).encode())
    write_bytes(store.models / "zoe" / "0002" / "card.json", json.dumps({"corpus_version": 2}).encode())
    for number in (0, 1, 2, 3):
        lineage = {"corpus_version": number, "notes": [WHO] * (number != 1)} if number else [WHO]
        evaluation = {"lineage": lineage, "missing": {"mos": TEXT if number != 1 else "nobody"}}
        write_bytes(store.models / "zoe" / "0002" / "evaluations" / f"{number}.json", json.dumps(evaluation).encode())
    for number in (1, 2, 3):
        run = store.training / f"voice-v{number}"
        write_bytes(run / "run.json", json.dumps({"version": number, "speakers": [WHO] * (number > 1)}).encode())
        write_bytes(
            run / "tensorboard" / "events", f.noise(MINE[0].sha256, -1, 192_000)[:2000].tobytes() * (number > 1)
        )
    for upload in MINE:
        vote = Vote(
            time=f.WHEN,
            listener="lis",
            voice="zoe",
            a=1,
            b=2,
            testset=digest([TEXT]),
            sentence=f"{upload.sha256[:16]}-0000",
            choice="a",
            left="a",
            order=0,
        )
        votes.append(store, vote)
    (store.stages / "mel" / ".x.arrow.77.abcd.tmp").write_bytes(f.matrix("mel", MINE[0].sha256, 0, 9999).data)
    return store


def registry(store: Store, batch: Batch) -> None:
    uploads = [{"sha256": u.sha256, "speaker": u.speaker, "text": u.text, "size": u.size} for u in batch.uploads]
    raw = {"id": batch.id, "number": batch.number, "uploads": uploads}
    write_bytes(store.stages / "batches" / f"{batch.number}-{batch.id}.json", json.dumps(raw).encode())
    rows = {"path": [u.path for u in batch.uploads], "sha256": [u.sha256 for u in batch.uploads]}
    (store.stages / "scan").mkdir(exist_ok=True)
    pq.write_table(pa.table(rows), store.stages / "scan" / f"{batch.number}.parquet")


def secrets_of_speaker() -> Iterator[tuple[str, bytes]]:
    """Bytes that no file may hold: text, stored and decoded audio, features, digests of content."""
    yield "text", TEXT.encode()
    yield "name", WHO.encode()
    yield "phones", PHONES[WHO].encode()
    for upload in MINE:
        made = f.make_rows(f.make_batch(1, upload))
        for segment in (s for s in made.rows["slice"] if s.index >= 0):
            wave = f.noise(upload.sha256, segment.index, segment.stop - segment.start)
            yield "denoised float32", wave[1000:1016].tobytes()
            gained = wave * np.float32(10 ** (7 / 20))
            yield "FLAC", flac(gained)[2000:2032]
            for name in f.DIMS:
                yield name, f.matrix(name, upload.sha256, segment.index, len(wave)).data[200:232]
        yield "decoded float32", f.noise(upload.sha256, -1, 192_000)[1000:1016].tobytes()


@cache
def needles() -> list[tuple[str, bytes]]:
    return list(secrets_of_speaker())


def found(store: Store) -> set[str]:
    """Kinds of secrets found in any file of the store; Parquet text is compressed, so it is decoded too."""
    kinds = set()
    for path in store.root.rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            kinds |= {kind for kind, needle in needles() if needle in raw}
        if path.is_file() and path.suffix == ".parquet":
            text = repr(pq.read_table(path, use_threads=False, partitioning=None).to_pylist()).encode()
            kinds |= {kind for kind, needle in needles() if kind in ("text", "name", "phones") and needle in text}
    return kinds


def others(store: Store, number: int) -> list[dict[str, object]]:
    corpus = CorpusVersion.open(store, number)
    return [row for row in corpus.utterances(COLUMNS).to_pylist() if row["speaker"] != WHO]


def check_forgotten(store: Store, before: dict[int, list[dict[str, object]]]) -> None:
    assert found(store) == set()
    for number, rows in before.items():
        corpus = CorpusVersion.open(store, number)
        assert corpus.utterances(COLUMNS).to_pylist() == rows
        for name in ("content", "f0", "mel"):
            assert corpus.features(name, ["id"])["id"].to_pylist() == [row["id"] for row in rows]
        assert WHO not in corpus.ledger(["speaker"])["speaker"].to_pylist()
        assert WHO not in corpus.uploads(["speaker"])["speaker"].to_pylist()
    want = Tombstones(frozenset(u.sha256 for u in MINE), frozenset(digest(["pcm", u.sha256]) for u in MINE))
    assert tombstones.read(store) == want


def test_no_byte_is_left(tmp_path: Path) -> None:
    store = fill(tmp_path / "store")
    kinds = {kind for kind, _ in needles()}
    assert found(store) == kinds  # the scan finds every kind where it is there
    before = {number: others(store, number) for number in (1, 2, 3)}
    assert [len(rows) for rows in before.values()] == [4, 6, 8]
    receipt = forget_speaker(store, WHO, created=f.WHEN)
    check_forgotten(store, before)
    assert (receipt.uploads, receipt.versions, receipt.models) == (2, (2, 3), ("s2-7", "zoe/0002"))
    assert receipt.retrain == ("zoe/trained",)
    assert read_status(store.models / "zoe").of(2) == "retired"
    assert [path.name for path in store.training.iterdir()] == ["voice-v1"]
    assert [path.name for path in (store.models / "zoe" / "0002" / "evaluations").iterdir()] == ["1.json"]
    assert receipt.rows["utterances"] == 4
    assert receipt.mentions == ()
    assert receipts(store) == [receipt.sealed(WHO)]
    assert receipt.matches(WHO)
    assert not receipt.matches("zoe forgotten")
    assert WHO not in next(store.receipts.glob("*.json")).read_text()
    assert interrupted_speakers(store) == []
    assert len(votes.history(store, "zoe", 1, 2)) == 2  # they tell no name and no words
    kept = erase.phones_folder(store, "ann") / "0123.parquet"
    assert pq.read_table(kept, partitioning=None)["text"].to_pylist() == [PHONES["ann"]]
    assert (store.stages / "batches" / f"3-{BATCHES[2].id}.json").exists()  # cid's batch keeps its number
    with pytest.raises(StoreError, match="holds nothing of a speaker"):
        forget_speaker(store, WHO, created=f.WHEN)


@pytest.mark.parametrize("where", ["reports", "tables"])
def test_an_erasure_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """The forgetting counts as interrupted, and running it again completes it."""
    store = fill(tmp_path / "store")
    before = {number: others(store, number) for number in (1, 2, 3)}
    folder = store.reports if where == "reports" else store.tables / "utterances" / tables.folder_of(WHO)
    rmtree = shutil.rmtree

    def refused(path: Path, ignore_errors: bool = False) -> None:
        if folder.name in Path(path).name and Path(path).parent == folder.parent:
            if not ignore_errors:
                raise PermissionError(13, "Permission denied", str(path))
        else:
            rmtree(path, ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", refused)
    with pytest.raises(StoreError, match=r"cannot be erased, and a part of it remains.*Permission denied"):
        forget_speaker(store, WHO, created=f.WHEN)
    assert interrupted_speakers(store) == [WHO]
    monkeypatch.undo()
    forget_speaker(store, WHO, created="later")
    check_forgotten(store, before)
    assert not list(store.root.rglob(".gone-*"))


def test_the_next_version_continues_without_the_speaker(tmp_path: Path) -> None:
    store = fill(tmp_path / "store")
    forget_speaker(store, WHO, created=f.WHEN)
    rest = [Batch(b.id, b.number, tuple(u for u in b.uploads if u.speaker != WHO)) for b in BATCHES]
    version = f.corpus(store, rest, recipe="another recipe")
    assert version is not None
    assert version.number == 4
    assert others(store, 4) == CorpusVersion.open(store, 4).utterances(COLUMNS).to_pylist()
    assert CorpusVersion.open(store, 4).utterances(["id"]).num_rows == 8


def test_versions_that_held_a_forgotten_speaker_are_known(tmp_path: Path) -> None:
    store = fill(tmp_path / "store")
    assert forgotten_versions(store) == frozenset()
    forget_speaker(store, WHO, created=f.WHEN)
    assert forgotten_versions(store) == {2, 3}
    with pytest.raises(StoreError):
        forget_speaker(store, WHO, created=f.WHEN)
    assert forgotten_versions(store) == {2, 3}


def test_forgetting_a_speaker_makes_the_next_version_new(tmp_path: Path) -> None:
    """A new version is published even where its tables equal the present ones: no training runs on the old version."""
    store = Store.open(tmp_path / "store", create=True)
    batches = [f.make_batch(1, f.upload("ann")), f.make_batch(2, *MINE)]
    f.corpus(store, batches)
    assert f.corpus(store, batches) is None
    forget_speaker(store, WHO, created=f.WHEN)
    rest = f.corpus(store, batches[:1])
    assert rest is not None
    assert (rest.number, forgotten_versions(store)) == (2, {1})
    assert others(store, 1) == others(store, 2)
    assert f.corpus(store, batches[:1]) is None


def test_any_delta_reader_reads_old_versions(tmp_path: Path) -> None:
    from deltalake import DeltaTable

    store = fill(tmp_path / "store")
    pin = versions.get(store, 2).pins["utterances"]
    forget_speaker(store, WHO, created=f.WHEN)
    old = DeltaTable(store.tables / "utterances", version=pin)
    assert all(Path(uri).exists() for uri in old.file_uris())
    assert len(old.file_uris()) == 3


def test_votes_on_a_voice_of_that_name_are_listed(tmp_path: Path) -> None:
    """Votes are listed like other files that hold the name."""
    store = Store.open(tmp_path / "store", create=True)
    f.corpus(store, [f.make_batch(1, f.upload("ann"), f.upload("zoe"))])
    for voice in ("ann", "zoe"):
        votes.append(
            store,
            Vote(
                time=f.WHEN,
                listener="lis",
                voice=voice,
                a=1,
                b=2,
                testset="f" * 64,
                sentence="0123-0000",
                choice="a",
                left="a",
                order=0,
            ),
        )
    assert forget_speaker(store, "zoe", created=f.WHEN).mentions == ("votes/zoe/0001-0002.jsonl",)


def test_inbox_files_are_deleted_on_request(tmp_path: Path) -> None:
    store = fill(tmp_path / "store")
    inbox = tmp_path / "inbox" / "elsewhere"
    inbox.mkdir(parents=True)
    content = b"R" * 100
    sha256 = hashlib.sha256(content).hexdigest()
    uploads = [{"sha256": sha256, "speaker": WHO, "size": 100}]
    write_bytes(store.stages / "batches" / "9-x.json", json.dumps({"uploads": uploads}).encode())
    turns = f"SPEAKER talk 1 0.0 1.0 <NA> <NA> {WHO} <NA> <NA>".encode()
    texts = (("renamed.txt", TEXT.encode()), ("renamed.rttm", turns), ("other.rttm", turns))
    for name, raw in (("renamed.wav", content), ("other.wav", b"S" * 100), *texts):
        (inbox / name).write_bytes(raw)
    (tmp_path / "inbox" / "metadata.csv").write_text(f"speaker,file\n{WHO},renamed.wav\n")
    receipt = forget_speaker(store, WHO, created=f.WHEN, inbox=tmp_path / "inbox")
    assert sorted(path.name for path in inbox.iterdir()) == ["other.rttm", "other.wav"]
    files = ("elsewhere/renamed.rttm", "elsewhere/renamed.txt", "elsewhere/renamed.wav", "metadata.csv")
    assert receipt.inbox == files
    assert receipt.mentions == ("inbox:elsewhere/other.rttm",)
    (stored,) = receipts(store)
    assert all(stored.erased(path) for path in files)
    assert not stored.erased("elsewhere/other.wav")
    assert not any(path in next(store.receipts.glob("*.json")).read_text() for path in (*files, "other"))
    assert sha256 in tombstones.read(store).content


def test_a_locked_store_is_not_changed(tmp_path: Path) -> None:
    store = fill(tmp_path / "store")
    with store.locked("somebody"), pytest.raises(StoreBusy, match="somebody"):
        forget_speaker(store, WHO, created=f.WHEN)
    assert collect_traces(store, WHO).content == {u.sha256 for u in MINE}


def again(root: str) -> None:
    """The work that is killed, in a process of its own."""
    forget_speaker(Store.open(root), WHO, created=f.WHEN)


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    full = fill(tmp_path / "full")
    before = {number: others(full, number) for number in (1, 2, 3)}
    shutil.copytree(full.root, tmp_path / "calm")
    events = kill_points.run(again, str(tmp_path / "calm"), root=tmp_path)
    check_forgotten(Store.open(tmp_path / "calm"), before)
    interrupted = 0
    for at in range(events, 0, -max(events // 12, 1)):
        copy = tmp_path / f"copy{at}"
        shutil.copytree(full.root, copy)
        store = Store.open(copy)
        kill_points.run(again, str(copy), root=tmp_path, at=at)
        for number, rows in before.items():
            assert others(store, number) == rows  # half forgotten, the others still read
        interrupted += interrupted_speakers(store) == [WHO]
        forget_speaker(store, WHO, created="later")
        check_forgotten(store, before)
        (receipt,) = receipts(store)
        assert receipt.matches(WHO)
        assert (receipt.uploads, receipt.versions) == (2, (2, 3))
        shutil.rmtree(copy)
    assert interrupted >= 10


def test_leftovers_of_a_killed_forgetting_go_before_anything_else(tmp_path: Path) -> None:
    """Also before an error: nothing else leads to them where the store holds no more of the speaker."""
    store = fill(tmp_path / "store")
    forget_speaker(store, WHO, created=f.WHEN)
    for name in ("forgetting-0123.json", "held_voices.json"):
        temporary_path(store.root / name).write_text(f'{{"speaker": "{WHO}"')
    assert found(store) == {"name"}
    with pytest.raises(StoreError, match="holds nothing of a speaker"):
        forget_speaker(store, WHO, created=f.WHEN)
    assert found(store) == set()


def test_what_a_power_cut_left_unreadable_is_erased_too(tmp_path: Path) -> None:
    store = fill(tmp_path / "store")
    folder = store.tables / "ledger" / tables.folder_of(WHO)
    write_bytes(folder / "never-published.parquet", b"")
    write_bytes(store.stages / "plans" / "plan.json", f'[{{"speaker": "{WHO}", "text": "{TEXT}'.encode())
    write_bytes(store.stages / "decode" / "key.arrow", b"ARROW1" + TEXT.encode())
    assert len(collect_traces(store, WHO).content) == 2
    forget_speaker(store, WHO, created=f.WHEN)
    assert [path for path in store.root.rglob("*") if path.is_file() and TEXT.encode() in path.read_bytes()] == []
    assert not folder.exists()


def test_a_damaged_published_shard_stops_a_forgetting(tmp_path: Path) -> None:
    """Its uploads would get no tombstones, and come back."""
    store = fill(tmp_path / "store")
    path = min((store.tables / "uploads" / tables.folder_of(WHO)).glob("*.parquet"))
    cut(path, "truncated")
    with pytest.raises(StoreDamaged, match=path.name):
        forget_speaker(store, WHO, created=f.WHEN)


def test_what_was_stored_under_another_form_of_the_name_goes_too(tmp_path: Path) -> None:
    """Stores from before names had one form hold them as folders were written."""
    store = Store.open(tmp_path / "store", create=True)
    batches = [f.make_batch(1, f.upload("ann  lee"), f.upload("bob")), f.make_batch(2, f.upload("ann lee", 1))]
    f.corpus(store, batches[:1])
    f.corpus(store, batches)
    assert stored_speakers(store) == {"ann  lee", "ann lee", "bob"}
    forget_speaker(store, " ann lee\u200b", created=f.WHEN)
    assert stored_speakers(store) == {"bob"}
    folders = {path.parent.name for path in store.tables.rglob("*.parquet")} - {"versions"}
    assert not {tables.folder_of(name) for name in ("ann  lee", "ann lee")} & folders
    with pytest.raises(StoreError, match=r"holds nothing of a speaker 'ann lee': `voicemill ledger"):
        forget_speaker(store, "ann lee", created=f.WHEN)

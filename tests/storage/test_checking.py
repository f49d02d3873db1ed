"""Check of a store: each kind of damage to each kind of file is found, by name, repaired or named, and no traceback."""

import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from _pytest.mark import ParameterSet
from support import factories as f
from support import kill_points
from support.model_cards import make_card, make_training

from voicemill.storage.checking.check import check
from voicemill.storage.checking.repair import repair
from voicemill.storage.corpus import deltalog, tables, versions
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import StoreDamaged, VoicemillError
from voicemill.storage.files import whole_file, write_json, write_text
from voicemill.storage.forgetting import held_voices, tombstones
from voicemill.storage.forgetting.forget import forget_speaker
from voicemill.storage.forgetting.held_voices import HeldVoice
from voicemill.storage.forgetting.receipts import receipts
from voicemill.storage.inbox.consent import append_record, read_consents
from voicemill.storage.inbox.inbox import download_path
from voicemill.storage.keys import file_digest
from voicemill.storage.store import Store
from voicemill.storage.voices import registry, status, votes
from voicemill.storage.voices.votes import Vote

BATCHES = [f.make_batch(1, f.upload("ann")), f.make_batch(2, f.upload("bob"), f.upload("zoe"))]
VOTE = Vote(time="", listener="eve", voice="ann", a=1, b=2, testset="t", sentence="s", choice="a", left="a", order=0)
UNREAD = {".lock", "training/N/run.json", "prefect/N.db"}
"""Kinds of files that a check leaves out: text for people, a working folder, history of runs."""
Rows = dict[int, dict[str, list[dict[str, object]]]]


def fill(root: Path) -> Store:
    """A store with a file of every kind: two versions, a voice, a forgotten speaker, records, caches."""
    store = Store.open(root, create=True)
    f.corpus(store, BATCHES[:1])
    f.corpus(store, [*BATCHES, f.make_batch(3, f.upload("gone"))])
    change = {"who": "eve", "when": f.WHEN, "why": "test"}
    for weights in (b"one" * 999, b"two" * 999):
        path = root.with_name("s1.safetensors")
        path.write_bytes(weights)
        training = make_training(network="s1", folder=weights[:3].decode())
        card = make_card(voice="ann", speakers=("ann",), trainings=(training,), weights={"s1": path.name})
        entry = registry.add(store, card, {"s1": path})
        status.promote(store.models / "ann", entry.number, "trained", instead_of=entry.number - 1, **change)
    registry.add_scores(entry, {"voice": entry.name, "testset": "0" * 64, "lineage": {"corpus_version": 1}})
    append_record(store, "ann", "grant", time=f.WHEN)
    append_record(store, "bob", "withdraw", time=f.WHEN)
    votes.append(store, VOTE)
    held_voices.add(store, [HeldVoice("0" * 64, "bob", 0.9)])
    forget_speaker(store, "gone", created=f.WHEN)
    write_text(store.reports / "version-1.html", "<h1>report</h1>")
    for name in ("scan/0123456789ab.parquet", "phones/ann-0123456789ab/0123456789ab.parquet"):
        with whole_file(store.stages / name, durable=False) as temporary:
            pq.write_table(pa.table({"text": ["words"]}), temporary)
    write_json(store.stages / "batches" / "000001-0123456789abcdef.json", {"id": "0", "number": 1, "uploads": []})
    write_json(store.root / "training" / "1" / "run.json", {"version": 1})
    (store.root / "prefect").mkdir()
    (store.root / "prefect" / "1.db").write_bytes(b"history")
    path = root.with_name("download")
    path.write_bytes(b"bytes of an upload")
    (store.stages / "inbox").mkdir()
    shutil.copy(path, download_path(store, file_digest(path)))
    from deltalake import DeltaTable

    DeltaTable(store.tables / "ledger").create_checkpoint()
    deltalog.sync_log(store.tables / "ledger", store.root)
    return store


def kind(path: Path, root: Path) -> str:
    """The path with N for numbers and digests, S for folders of speakers."""
    parts = path.relative_to(root).as_posix()
    parts = re.sub(r"[a-z]+-[0-9a-f]{12}(?=/)", "S", parts)
    return re.sub(r"[0-9a-f]{8,}|\d+", "N", parts.replace("/ann/", "/V/"))


def kinds(store: Store) -> dict[str, list[Path]]:
    every: dict[str, list[Path]] = {}
    for path in sorted(store.root.rglob("*")):
        if path.is_file():
            every.setdefault(kind(path, store.root), []).append(path)
    return every


def flip(path: Path, at: float) -> None:
    """Flip one bit, at this share of the file."""
    raw = bytearray(path.read_bytes())
    raw[int(at * (len(raw) - 1))] ^= 4
    path.write_bytes(raw)


WAYS: dict[str, Callable[[Path], None]] = {
    "emptied": lambda path: os.truncate(path, 0),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "a bit flipped at its start": lambda path: flip(path, 0.0),
    "a bit flipped in its middle": lambda path: flip(path, 0.5),
    "a bit flipped near its end": lambda path: flip(path, 0.9),
    "missing": lambda path: path.unlink(),
}


CACHES = ("stages/", "reports/")


def cases(*on_each_push: str) -> list[ParameterSet]:
    """`way` and `alone` of a test: on a push the ways that are named, with all caches damaged at once."""
    # nightly: all ways, and each file is damaged alone
    night = [pytest.param(way, True, marks=pytest.mark.nightly) for way in WAYS]
    return [*(pytest.param(way, False) for way in on_each_push), *night]


def damaged_together(store: Store, places: set[int], *, alone: bool) -> list[list[Path]]:
    """Files that a test damages at the same time: of each kind those at these places of its list."""
    single: list[list[Path]] = []
    rows: list[Path] = []  # of caches; an output whose rows are damaged is not asked for its audio
    audio: list[Path] = []
    for name, paths in kinds(store).items():
        for path in sorted({paths[place] for place in places}):
            if name in UNREAD or not path.stat().st_size:
                continue
            if name.startswith(CACHES) and path.name != "seals.log" and not alone:
                (audio if name.endswith(".audio.arrow") else rows).append(path)
            else:
                single.append([path])
    return [*single, *(paths for paths in (rows, audio) if paths)]


LOG = "tables/utterances/_delta_log"


def read_everything(store: Store) -> Rows:
    """Rows of all versions; every record of the store is read too."""
    rows: Rows = {}
    for version in versions.history(store):
        corpus = CorpusVersion(store, version)
        every = {"uploads": corpus.uploads(), "ledger": corpus.ledger(), "utterances": corpus.utterances()}
        every |= {name: corpus.features(name) for name in version.features}
        rows[version.number] = {name: table.to_pylist() for name, table in every.items()}
    registry.find(store, "ann")
    read_consents(store)
    votes.history(store, "ann", 1, 2)
    held_voices.read(store)
    tombstones.read(store)
    receipts(store)
    return rows


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return fill(tmp_path_factory.mktemp("full") / "store")


@pytest.fixture
def store(full: Store, tmp_path: Path) -> Store:
    return Store(Path(shutil.copytree(full.root, tmp_path / "store")))


def test_a_whole_store_has_no_damage(full: Store) -> None:
    result = check(full)
    assert (result.damage, result.repaired, result.lost) == ([], [], [])
    assert result.files > 40
    shards = [path for path in full.tables.rglob("*.parquet") if path.parent.name != "_delta_log"]
    assert result.size == sum(path.stat().st_size for path in shards)
    assert kinds(full).keys() > UNREAD


@pytest.mark.slow
@pytest.mark.parametrize(("way", "alone"), cases("emptied", "truncated", "a bit flipped in its middle", "missing"))
def test_damage_to_every_kind_of_file_is_found(store: Store, way: str, alone: bool) -> None:
    """All but a missing file of a cache, which is made again as if it had never been there."""
    unnoticed = []
    for paths in damaged_together(store, {0, -1} if alone else {0}, alone=alone):
        whole = {path: path.read_bytes() for path in paths}
        names = [path.relative_to(store.root).as_posix() for path in paths]
        if way == "missing" and names[0].startswith(CACHES):
            continue
        for path in paths:
            WAYS[way](path)
        found = {damage.path for damage in check(store).damage}
        for name in names:
            if not any(name == item or name.startswith(f"{item}/") for item in found):
                unnoticed.append(f"{name}: {sorted(found)}")
        with suppress(VoicemillError):
            read_everything(store)
        for path, raw in whole.items():
            path.write_bytes(raw)
    assert unnoticed == []
    assert check(store).damage == []


@pytest.mark.slow
@pytest.mark.parametrize(("way", "alone"), cases("emptied", "missing"))
def test_after_a_repair_the_rows_are_there_or_the_loss_is_named(
    full: Store, tmp_path: Path, way: str, alone: bool
) -> None:
    rows, problems = read_everything(full), []
    for paths in damaged_together(full, {0}, alone=alone):
        store = Store(Path(shutil.copytree(full.root, tmp_path / "store")))
        names = [path.relative_to(full.root).as_posix() for path in paths]
        name = " ".join(names)
        for relative in names:
            WAYS[way](store.root / relative)
        result = repair(store)
        named = " ".join([*result.lost, *(damage.path for damage in (*result.damage, *result.repaired))])
        again = [damage.path for damage in result.repaired if "next `voicemill refresh`" in damage.problem]
        try:
            if read_everything(store) != rows:
                problems.append(f"{name}: other rows")
        except VoicemillError as error:
            if not (result.lost or again) or any(item.split("/_delta_log")[0] not in named for item in names):
                problems.append(f"{name}: {error}")
        if not (result.lost or again or check(store).damage == []):
            problems.append(f"{name}: {check(store).damage}")
        with suppress(VoicemillError):
            if [version.number for version in versions.history(store)] != [1, 2]:
                problems.append(f"{name}: versions have other numbers")
        shutil.rmtree(store.root)
    assert problems == []


@pytest.mark.parametrize("name", ["consents.jsonl", "tombstones.json", f"{LOG}/00000000000000000001.json"])
def test_a_flipped_bit_of_a_sealed_file_is_flipped_back(store: Store, name: str) -> None:
    raw = (store.root / name).read_bytes()
    flip(store.root / name, 0.3)
    result = repair(store)
    assert [(damage.path, damage.problem) for damage in result.repaired] == [
        (name, "had one flipped bit, which was flipped back")
    ]
    assert (result.damage, result.lost) == ([], [])
    assert (store.root / name).read_bytes() == raw


def test_a_reader_of_a_damaged_shard_names_it_and_the_command(store: Store) -> None:
    path = min((store.tables / "utterances").rglob("*.parquet"))
    WAYS["truncated"](path)
    with pytest.raises(StoreDamaged) as caught:
        read_everything(store)
    assert str(path) in str(caught.value)
    assert f"`voicemill check --store {store.root} --repair`" in str(caught.value)


def test_a_lost_log_of_versions_is_found(store: Store) -> None:
    shutil.rmtree(store.tables / "versions" / "_delta_log")
    assert "tables/versions/_delta_log" in [damage.path for damage in check(store).damage]
    with pytest.raises(StoreDamaged, match="lacks corpus versions"):
        versions.latest(store)


def test_features_without_their_rows_are_found(store: Store) -> None:
    mel = f.FEATURE_TABLES["mel"]
    files = [file for file in tables.active(store, mel).values() if file.speaker != "bob"]
    number = tables.commit(store, mel, files)
    version = versions.history(store)[-1]
    versions.append(store, replace(version, number=3, parent=2, pins={**version.pins, mel: number}))
    assert (f"tables/{mel}", "has other rows than the utterances in version 3") in [
        (damage.path, damage.problem) for damage in check(store).damage
    ]


def again(root: str) -> None:
    """The work that is killed, in a process of its own."""
    forget_speaker(Store.open(root), "zoe", created=f.WHEN)


@pytest.mark.slow
def test_a_killed_erasure_leaves_no_damage_once_it_is_complete(full: Store, tmp_path: Path) -> None:
    events = kill_points.run(again, shutil.copytree(full.root, tmp_path / "calm"), root=tmp_path)
    for at in range(events, 0, -(events // 5)):
        store = Store(Path(shutil.copytree(full.root, tmp_path / str(at))))
        kill_points.run(again, str(store.root), root=tmp_path, at=at)
        with suppress(VoicemillError):  # it was killed after the receipt
            forget_speaker(store, "zoe", created="later")
        assert check(store).damage == [], at
        assert {file.speaker for file in tables.active(store, "utterances").values()} == {"ann", "bob"}
        shutil.rmtree(store.root)


def decisions(root: str) -> None:
    """Writes of every kind, in a process of its own that is killed; they may be repeated."""
    store = Store(Path(root))
    append_record(store, "cid", "grant", time=f.WHEN)
    votes.append(store, VOTE)
    votes.append(store, replace(VOTE, a=2, b=3))
    tombstones.add(store, ["1" * 64], [])
    status.retire(store.models / "ann", 1, "trained", who="eve", when=f.WHEN, why="test")
    weights = store.root.with_name("s1.safetensors")
    weights.write_bytes(b"three" * 999)
    card = make_card(voice="ann", trainings=(make_training(network="s1", folder="3"),), weights={"s1": weights.name})
    registry.add(store, card, {"s1": weights})


@pytest.mark.slow
def test_a_kill_is_no_damage(full: Store, tmp_path: Path) -> None:
    """Between the seal and the name too, twice in a row, and after the next write."""
    events = kill_points.run(decisions, shutil.copytree(full.root, tmp_path / "calm" / "store"), root=tmp_path)
    assert check(Store(tmp_path / "calm" / "store")).damage == []
    for at in range(events, 0, -2):
        store = Store(Path(shutil.copytree(full.root, tmp_path / str(at) / "store")))
        for _ in range(2):
            with suppress(AssertionError):  # the second time it may have less to do
                kill_points.run(decisions, str(store.root), root=tmp_path, at=at)
            assert check(store).damage == [], at
        decisions(str(store.root))
        assert check(store).damage == [], at
        shutil.rmtree(store.root)


def test_a_store_without_seals_gets_them(store: Store) -> None:
    """A store made by an earlier release."""
    for path in store.root.rglob("seals.log"):
        path.unlink()
    assert [damage.path for damage in check(store).damage] == ["seals.log"]
    assert repair(store).damage == []
    shutil.rmtree(store.stages)
    assert check(store).damage == []
    flip(store.root / "tombstones.json", 0.5)
    assert [damage.path for damage in check(store).damage] == ["tombstones.json"]

"""The flow refresh, from inbox to corpus version: stages that run or are skipped, uploads that are added or removed."""

import hashlib
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import soundfile
from support.erasure_scan import needles, traces
from support.power_cuts import CUTS, cut
from support.refreshed_store import STAGE_NAMES, RefreshedStore, file_bytes, stages_run
from support.store_contents import contents, differences

from voicemill.storage.corpus.artifacts import audio_path, complete_artifact
from voicemill.storage.inbox.consent import recorded_consents
from voicemill.storage.store import Store
from voicemill.storage.units import to_seconds

pytestmark = pytest.mark.slow

BATCHES = 4
"""Batches of the small inbox, of 0.2 min each: two of ann, one of bob, one of cem."""
FOLLOW_SLICE = tuple(name for name in STAGE_NAMES if name not in ("decode", "diarise", "slice"))
FOLLOW_DENOISE = ("loudness", "screen", "speaker", "content", "f0", "mel", "shards")


@pytest.fixture
def copied(refreshed: RefreshedStore, tmp_path: Path) -> RefreshedStore:
    return refreshed.copy_to(tmp_path)


def settings(copied: RefreshedStore, text: str) -> Path:
    """Write the config of the first refresh, extended by `text`."""
    path = copied.config.with_name("other.toml")
    path.write_text(copied.config.read_text() + text)
    return path


def test_the_json_has_the_counts_of_the_refresh(refreshed: RefreshedStore) -> None:
    summary, corpus = refreshed.summary, refreshed.version()
    assert (summary["version"], summary["published"], summary["speakers"]) == (1, True, 3)
    assert summary["uploads"] == {"prepared": 6}
    assert stages_run(summary) == dict.fromkeys(STAGE_NAMES, BATCHES)
    assert all(count["skipped"] == count["failed"] == 0 for count in summary["stages"].values())
    audio = sum(soundfile.info(path).duration for path in refreshed.inbox.rglob("*.wav"))
    assert all(count["seconds"] == pytest.approx(audio, abs=0.01) for count in summary["stages"].values())
    assert set(summary["seconds"]) == {"kept", "silence", "filtered", "failed", "corrupt"}
    samples = sum(corpus.uploads(["samples"])["samples"].to_pylist())
    assert sum(summary["seconds"].values()) == pytest.approx(to_seconds(samples), abs=1e-6)
    dropped = sum(summary["seconds"].values()) - summary["seconds"]["kept"]
    assert sum(summary["reasons"].values()) == pytest.approx(dropped, abs=1e-6)
    assert summary["utterances"] == len(corpus.utterances(["id"])) == 6
    assert 0 < summary["wall_s"] < 600
    assert Path(summary["report"]).stat().st_size > 100_000


def test_a_first_refresh_without_consent_publishes_nothing(cli, refreshed: RefreshedStore, tmp_path: Path) -> None:
    """It ends before any stage runs; the next one, after `consent grant --all-in`, has its first version to make."""
    store, inbox = tmp_path / "store", shutil.copytree(refreshed.inbox, tmp_path / "inbox")
    (inbox / "consents.csv").unlink()
    ran = cli("refresh", "--inbox", inbox, "--store", store, "--json").json
    assert (ran["version"], ran["published"], ran["stages"]) == (0, False, {})
    assert (set(ran["held"]), sum(ran["held"].values())) == ({"ann", "bob", "cem"}, 6)
    assert Store.open(store).root.joinpath("tables").exists() is False
    assert not list(store.rglob("*.arrow"))
    cli("consent", "grant", "--all-in", inbox, "--store", store)
    assert {record.speaker for record in recorded_consents(Store.open(store))} == {"ann", "bob", "cem"}


def test_every_utterance_has_its_text_words_audio_and_features(refreshed: RefreshedStore) -> None:
    corpus = refreshed.version()
    rows = corpus.utterances().to_pylist()
    assert {row["path"]: row["text"] for row in rows} == {
        path.relative_to(refreshed.inbox).with_suffix(".wav").as_posix(): path.read_text("utf-8")
        for path in refreshed.inbox.rglob("*.txt")
    }
    english = [row for row in rows if row["language"] == "en"]
    assert len(english) == 5
    for row in english:
        assert [word["text"] for word in row["words"]] == row["text"].split()
        assert all(row["start"] <= w["start"] < w["stop"] <= row["stop"] for w in row["words"])
    for name in ("content", "f0", "mel"):
        assert corpus.features(name, ["id"])["id"].to_pylist() == [row["id"] for row in rows]


def test_nothing_new_runs_no_stage_and_publishes_nothing(alone, copied: RefreshedStore, record_property) -> None:
    before = file_bytes(copied.store / "tables")
    began = time.monotonic()
    summary = alone.refresh(copied.inbox, copied.store, "--config", copied.config)
    record_property("wall_s", round(time.monotonic() - began, 1))
    assert stages_run(summary) == {}
    assert all(count["skipped"] == BATCHES for count in summary["stages"].values())
    assert (summary["version"], summary["published"]) == (1, False)
    assert file_bytes(copied.store / "tables") == before
    kept = ("uploads", "seconds", "reasons", "speakers", "utterances", "report")
    assert {name: Path(summary[name]).name if name == "report" else summary[name] for name in kept} == {
        name: Path(copied.summary[name]).name if name == "report" else copied.summary[name] for name in kept
    }


def test_one_new_upload_runs_its_batch_alone(cli, copied: RefreshedStore, synthesised: Path) -> None:
    spare = Path(shutil.copy(synthesised.parent / "spare.wav", copied.inbox / "ann" / "spare.wav"))
    summary = cli.refresh(copied.inbox, copied.store, "--config", copied.config)
    assert stages_run(summary) == dict.fromkeys(STAGE_NAMES, 1)
    assert all(count["skipped"] == BATCHES for count in summary["stages"].values())
    seconds = soundfile.info(spare).duration
    assert all(count["seconds"] == pytest.approx(seconds, abs=0.01) for count in summary["stages"].values())
    assert (summary["version"], summary["published"]) == (2, True)
    assert copied.paths_with_utterances(2) - copied.paths_with_utterances(1) == {"ann/spare.wav"}


def test_another_f0_engine_runs_f0_and_shards(cli, copied: RefreshedStore) -> None:
    config = settings(copied, '[f0]\nengine = "autocorrelation"\n')
    summary = cli.refresh(copied.inbox, copied.store, "--config", config)
    assert stages_run(summary) == dict.fromkeys(("f0", "shards"), BATCHES)
    old, new = copied.version(1), copied.version(2)
    assert old.version.features["f0"] != new.version.features["f0"]
    assert {name: old.version.features[name] for name in ("content", "mel")} == {
        name: new.version.features[name] for name in ("content", "mel")
    }
    mel, f0 = ([version.features(name).sort_by("id") for version in (old, new)] for name in ("mel", "f0"))
    assert mel[0] == mel[1]
    assert f0[0].select(["id", "frames"]) == f0[1].select(["id", "frames"])
    assert f0[0]["data"] != f0[1]["data"]


def test_another_loudness_runs_loudness_and_what_follows(cli, copied: RefreshedStore) -> None:
    config = settings(copied, "[loudness]\ntarget_lufs = -27.0\n")
    summary = cli.refresh(copied.inbox, copied.store, "--config", config)
    assert stages_run(summary) == dict.fromkeys(FOLLOW_DENOISE, BATCHES)
    columns = ["id", "loudness_after", "bound"]
    before, after = (copied.version(n).utterances(columns).sort_by("id") for n in (1, 2))
    assert before["id"] == after["id"]
    reached = pc.equal(after["bound"], "")
    assert pc.sum(reached).as_py() > 0
    assert np.allclose(after.filter(reached)["loudness_after"].to_numpy(), -27.0, atol=0.5)


def test_new_content_under_an_old_name_is_detected(cli, copied: RefreshedStore, synthesised: Path) -> None:
    path = copied.inbox / "bob" / "1.wav"
    old = hashlib.sha256(path.read_bytes()).hexdigest()
    shutil.copy(synthesised.parent / "spare.wav", path)
    path.with_suffix(".txt").unlink()
    new = hashlib.sha256(path.read_bytes()).hexdigest()
    summary = cli.refresh(copied.inbox, copied.store, "--config", copied.config)
    assert summary["stages"]["decode"]["run"] == 2  # the new batch, and the one that lost an upload
    assert summary["stages"]["decode"]["skipped"] == BATCHES - 1
    for table in ("uploads", "ledger", "utterances"):
        name = "sha256" if table == "uploads" else "upload"
        before, after = (set(copied.version(n)._read(table, [name], None)[name].to_pylist()) for n in (1, 2))
        assert (before - after, after - before) == ({old}, {new}), table


def test_deleted_uploads_leave_the_next_version(cli, copied: RefreshedStore) -> None:
    gone = {"bob/0.wav", "cem/0.wav"}
    for path in gone:
        (copied.inbox / path).unlink()
        (copied.inbox / path).with_suffix(".txt").unlink()
    summary = cli.refresh(copied.inbox, copied.store, "--config", copied.config)
    assert summary["uploads"] == {"prepared": 4}
    assert summary["speakers"] == 2
    assert (
        copied.paths_with_utterances(1) - copied.paths_with_utterances(2) == copied.paths(1) - copied.paths(2) == gone
    )
    assert not gone & set(copied.version().ledger(["path"])["path"].to_pylist())


def test_a_changed_transcript_runs_the_text_stages(cli, copied: RefreshedStore) -> None:
    """Removing one runs the slicer, too: it cuts uploads with a known text into longer segments."""
    text = "We walked about the harbour for an hour."
    (copied.inbox / "bob" / "1.txt").write_text(text)
    (copied.inbox / "cem" / "0.txt").unlink()
    summary = cli.refresh(copied.inbox, copied.store, "--config", copied.config)
    told = dict.fromkeys(("transcribe", "align", "shards"), 2)
    deaf = ("decode", "diarise")
    assert stages_run(summary) == dict.fromkeys((name for name in STAGE_NAMES if name not in deaf), 1) | told
    rows = {row["path"]: row for row in copied.version(2).utterances(["path", "text", "words"]).to_pylist()}
    assert (rows["cem/0.wav"]["text"], rows["cem/0.wav"]["words"]) == ("", [])
    other = rows.get("bob/1.wav", {"text": text})  # its words may be filtered for a bad fit
    assert other["text"] == text


def test_withdrawing_consent_removes_uploads_and_granting_it_restores_them(cli, copied: RefreshedStore) -> None:
    cli("consent", "withdraw", "--speaker", "cem", "--store", copied.store, "--note", "by letter")
    without = cli.refresh(copied.inbox, copied.store, "--config", copied.config)
    assert without["uploads"] == {"held": 1, "prepared": 5}
    assert without["held"] == {"cem": 1}
    assert stages_run(without) == {}
    assert copied.paths_with_utterances(1) - copied.paths_with_utterances(2) == {"cem/0.wav"}
    assert copied.paths(2, "held") == {"cem/0.wav"}
    cli("consent", "grant", "--speaker", "cem", "--store", copied.store)
    again = cli.refresh(copied.inbox, copied.store, "--config", copied.config)
    assert (again["version"], again["uploads"]) == (3, {"prepared": 6})
    assert stages_run(again) == {}  # the stage cache still has all outputs
    assert copied.paths_with_utterances(3) == copied.paths_with_utterances(1)


def test_a_power_cut_before_the_first_publish_costs_the_damaged_outputs(cli, refreshed, copied: RefreshedStore) -> None:
    """The batches of each stage lose their rows or their audio in one of the ways; a shard and a listing are cut."""
    stages, tables = copied.store / "stages", copied.store / "tables"
    for log in sorted(tables.rglob("_delta_log")):
        shutil.rmtree(log)
    shutil.rmtree(tables / "versions")
    damaged = {}
    for number, name in enumerate(name for name in STAGE_NAMES if name not in ("mel", "shards")):
        outputs = [path for path in sorted((stages / name).glob("*.arrow")) if not path.stem.endswith(".audio")]
        assert len(outputs) == BATCHES
        for output, way in zip(outputs[: 1 + number % BATCHES], CUTS, strict=False):
            audio = audio_path(output)
            cut(audio if audio.exists() and way != "truncated" else output, way)
            assert complete_artifact(output) is None
        damaged[name] = 1 + number % BATCHES
    cut(min((tables / "utterances").rglob("*.parquet")), "emptied")
    cut(min((stages / "scan").iterdir()), "truncated")
    summary = cli.refresh(copied.inbox, copied.store, "--config", copied.config)
    assert stages_run(summary) == damaged | {"shards": 1}
    assert (summary["version"], summary["published"]) == (1, True)
    assert differences(contents(copied.store), contents(refreshed.store)) == []


def test_a_refresh_makes_damaged_shards_again(cli, refreshed, copied: RefreshedStore) -> None:
    """A refresh sees files that are missing or cut short; the check sees a flipped bit, and sets the shard aside."""
    store = Store.open(copied.store)
    shards = {path: path.read_bytes() for path in sorted(store.tables.rglob("*.parquet"))}

    def first(table: str) -> Path:
        return min((store.tables / table).rglob("*.parquet"))

    (mel,) = (path.name for path in (store.tables / "features").glob("mel-*"))
    flipped = first("utterances")
    raw = bytearray(flipped.read_bytes())
    raw[len(raw) // 2] ^= 1
    flipped.write_bytes(raw)
    cut(first(f"features/{mel}"), "emptied")
    cut(first("uploads"), "missing")
    cli("check", "--store", store.root, status=1)
    assert (
        cli("check", "--store", store.root, "--repair").out.count("is made again by the next `voicemill refresh`") == 3
    )
    assert not flipped.exists()
    summary = cli.refresh(copied.inbox, copied.store, "--config", copied.config)
    assert (summary["version"], summary["published"]) == (1, False)
    assert {path: path.read_bytes() for path in sorted(store.tables.rglob("*.parquet"))} == shards
    assert differences(contents(copied.store), contents(refreshed.store)) == []
    cli("check", "--store", store.root)


# nightly: a whole refresh. On a push test_kill.py (one worker) and test_faults.py (two) compare repaired stores with
# undisturbed ones
@pytest.mark.nightly
def test_one_worker_or_two_write_the_same_bytes(cli, refreshed: RefreshedStore, tmp_path: Path) -> None:
    """Parquet files of all tables but `versions`, which holds the time of the publish."""
    config = tmp_path / "one.toml"
    config.write_text(refreshed.config.read_text() + "[run]\nworkers = 1\n")
    cli.refresh(refreshed.inbox, tmp_path / "store", "--config", config)

    def shards(store: Path) -> dict[str, bytes]:
        found = file_bytes(store / "tables")
        return {name: raw for name, raw in found.items() if name.endswith(".parquet") and "versions/" not in name}

    one, two = shards(tmp_path / "store"), shards(refreshed.store)
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []
    tables = {name.split("/")[0] for name in one}
    assert tables == {"uploads", "ledger", "utterances", "fingerprints", "features"}


# -- forgetting


def test_a_forgotten_speaker_leaves_no_byte_and_does_not_return(alone, copied: RefreshedStore) -> None:
    """All bytes of the store, its private server's database included."""
    wanted = needles(copied, "ann")
    kinds = {"FLAC", "text", "words", "content", "f0", "mel", "bytes", "decode", "denoise"}
    assert {name.split(" of ")[0] for name in wanted} == kinds
    inbox = {name for name in wanted if name.startswith("bytes")}
    assert traces(copied.store, wanted).keys() == wanted.keys() - inbox  # the traces are in the store before
    others = copied.version(1).utterances()
    others = others.filter(pc.not_equal(others["speaker"], "ann"))

    receipt = alone("forget", "--speaker", "ann", "--store", copied.store, "--yes", "--json").json
    assert (receipt["uploads"], receipt["versions"]) == (3, [1])
    assert traces(copied.store, wanted) == {}
    assert copied.version(1).utterances() == others

    copies = copied.inbox / "cem"
    shutil.copy(copied.inbox / "ann" / "0.wav", copies / "renamed.wav")
    shutil.copy(copied.inbox / "ann" / "0.txt", copies / "renamed.txt")
    wave, rate = soundfile.read(copied.inbox / "ann" / "1.wav", dtype="int16")
    soundfile.write(copies / "lossless.flac", wave, rate, subtype="PCM_16")
    shutil.copy(copied.inbox / "ann" / "1.txt", copies / "lossless.txt")
    summary = alone.refresh(copied.inbox, copied.store, "--config", copied.config)
    refused = {"ann/0.wav", "ann/1.wav", "ann/both.wav", "cem/renamed.wav", "cem/lossless.flac"}
    assert copied.paths(state="refused") == refused
    assert summary["speakers"] == 2
    assert copied.version().utterances() == others
    assert traces(copied.store, wanted) == {}
    again = alone.refresh(copied.inbox, copied.store, "--config", copied.config)
    assert stages_run(again) == {}
    assert (again["published"], again["version"]) == (False, summary["version"])
    assert traces(copied.store, wanted) == {}


def test_a_moved_store_opens(refreshed: RefreshedStore, tmp_path: Path) -> None:
    """Reading a store needs no absolute path in it."""
    moved = Path(shutil.copytree(refreshed.store, tmp_path / "moved"))
    assert Store.open(moved).root == moved
    assert (
        refreshed.version().utterances()
        == RefreshedStore(refreshed.inbox, moved, refreshed.config, {}).version().utterances()
    )

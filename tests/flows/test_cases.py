"""Inputs that once went wrong, through `voicemill refresh`: their recordings, texts and consents are read as meant."""

import io
import shutil
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support.configs import plain
from support.refreshed_store import RefreshedStore, check_ledger

from voicemill.storage.store import Store
from voicemill.tasks.intake.scan import Settings, scan

CASES = Path(__file__).parents[2].parent / "shared" / "cases"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.slow,
    pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases"),
]
SOUNDS = ("chained_ogg", "concatenated_mp3", "dc_offset", "phase_inverted_stereo", "wav_data_size_0")
TABLES = ("coqui_metadata", "piper_multi_speaker")


def refreshed(cli: Any, folder: Path, inbox: Path, *options: str, config: str = "plain") -> RefreshedStore:
    done = cli.refresh(inbox, folder / "store", "--assume-consent", "test", "--config", config, *options)
    found = RefreshedStore(inbox, folder / "store", folder, done)
    check_ledger(found.version())
    return found


def together(cli: Any, folder: Path, names: tuple[str, ...]) -> RefreshedStore:
    """Several cases in one inbox, a folder each."""
    for name in names:
        shutil.copytree(CASES / name, folder / "inbox" / name, ignore=shutil.ignore_patterns("README"))
    config = folder / "config.toml"
    config.write_text(plain("[slice]\ndrop_repeats = false\n"))  # many of the cases are of one recording
    return refreshed(cli, folder, folder / "inbox", "--language", "en", config=str(config))


@pytest.fixture(scope="module")
def sounds(cli: Any, tmp_path_factory: pytest.TempPathFactory) -> RefreshedStore:
    return together(cli, tmp_path_factory.mktemp("sounds"), SOUNDS)


def uploads(found: RefreshedStore) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for row in found.version().uploads().to_pylist()}


def utterances(found: RefreshedStore) -> dict[str, list[dict[str, Any]]]:
    rows = defaultdict(list)
    for row in found.version().utterances().to_pylist():
        rows[row["path"]].append(row)
    return rows


def texts(found: RefreshedStore) -> dict[str, tuple[str, str]]:
    """Path -> speaker and text."""
    return {
        path: (rows[0]["speaker"], " ".join(row["text"] for row in rows)) for path, rows in utterances(found).items()
    }


def test_folders_that_differ_in_case_keep_their_own_texts(cli: Any, tmp_path: Path) -> None:
    inbox = Path(shutil.copytree(CASES / "case_collision", tmp_path / "inbox"))
    # neither text is what is said, which the aligner hears; before, each had the other's
    assert texts(refreshed(cli, tmp_path, inbox)) == {}
    read = scan(inbox, Store.open(tmp_path / "store"), Settings(), assume_consent="test").uploads
    assert {upload.path: upload.text for upload in read} == {
        "Anna/001.flac": "what Anna with a capital said in private",
        "anna/001.flac": "what anna in small letters said",
    }


def test_joined_recordings_are_read_to_their_end(sounds: RefreshedStore) -> None:
    rows = uploads(sounds)
    for name, seconds in {
        "chained_ogg/speaker/chained.opus": 13.2,
        "chained_ogg/speaker2/chained.ogg": 13.2,
        "chained_ogg/speaker3/opus48.opus": 5.06,
        "concatenated_mp3/a/concat2.mp3": 13.2,
    }.items():
        assert rows[name]["seconds"] == pytest.approx(seconds, abs=0.1), name
        assert rows[name]["state"] in ("prepared", "duplicate"), name
    assert rows["chained_ogg/speaker/chained.opus"]["state"] == "prepared"


def test_the_columns_of_other_projects_are_read_as_they_mean_them(cli: Any, tmp_path: Path) -> None:
    found = texts(together(cli, tmp_path, TABLES))
    assert found["coqui_metadata/wavs/a.flac"] == (
        "anna",
        "his statement of having been a shop boy was the thing i liked best of all",
    )
    assert found["piper_multi_speaker/wav/1.flac"] == (
        "male1",
        "i really liked that account of himself better than anything else he said",
    )
    assert found["piper_multi_speaker/wav/2.flac"][0] == "male2"


@pytest.mark.parametrize("name", ["x_rel", "x_win", "x_abs"])
def test_lists_of_gpt_sovits_name_recordings_by_their_last_part(cli: Any, name: str, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    shutil.copytree(CASES / "gpt_sovits_list" / "slicer_opt", inbox / "voice" / "slicer_opt")
    shutil.copy(CASES / "gpt_sovits_list" / f"{name}.list", inbox)
    found = refreshed(cli, tmp_path, inbox)
    path = "voice/slicer_opt/v.wav_0000000000_0000188480.flac"
    (row,) = uploads(found).values()
    assert (row["path"], row["speaker"], row["language"], row["state"]) == (path, "slicer_opt", "en", "prepared")
    (read,) = scan(inbox, Store.open(tmp_path / "store"), Settings(), assume_consent="test").uploads
    assert read.text.startswith("i really liked that account")
    # the texts of these lists are cut short, which the aligner hears
    assert {row["reason"] for row in found.version().ledger().to_pylist()} == {"no_speech", "text_incomplete"}


def test_an_offset_is_in_no_utterance(sounds: RefreshedStore) -> None:
    found = utterances(sounds)
    (moved,), (right,) = found["dc_offset/a/dc.wav"], found["dc_offset/b/nodc.wav"]
    waves = [soundfile.read(io.BytesIO(row["audio"]))[0] for row in (moved, right)]
    assert [abs(float(np.mean(wave))) for wave in waves] == pytest.approx([0, 0], abs=1e-3)
    assert moved["entropy"] == pytest.approx(right["entropy"], abs=0.05)
    assert moved["seconds"] == pytest.approx(right["seconds"], abs=0.05)
    assert moved["gain_db"] == pytest.approx(right["gain_db"], abs=0.3)


def test_channels_that_cancel_each_other_give_the_voice(sounds: RefreshedStore) -> None:
    states, kept = uploads(sounds), utterances(sounds)
    for name in ("a/st_inv.wav", "b/c4.wav", "c/st_left_quiet.wav"):
        path = f"phase_inverted_stereo/{name}"
        if states[path]["state"] == "duplicate":  # these cases are of one recording
            path = states[path]["detail"].removeprefix("same samples as ")
        rows = kept[path]
        assert sum(row["seconds"] for row in rows) > 3.5, name
        assert all(row["gain_db"] < 20 for row in rows), name


def test_wrong_lengths_in_headers_lose_no_samples(sounds: RefreshedStore) -> None:
    rows = uploads(sounds)
    for name in ("a/size0.wav", "b/size_too_small.wav", "a/rf64_ds0.wav"):
        row = rows[f"wav_data_size_0/{name}"]
        assert row["seconds"] == pytest.approx(5.06, abs=0.01), (name, row["state"], row["detail"])
        assert row["state"] in ("prepared", "duplicate"), name
        assert row["detail"], name


def test_a_no_in_another_unicode_form_holds(cli: Any, tmp_path: Path) -> None:
    inbox = Path(shutil.copytree(CASES / "consent_nfd", tmp_path / "inbox"))
    done = cli.refresh(inbox, tmp_path / "store", "--assume-consent", "test", "--config", "plain")
    assert done["held"] == {unicodedata.normalize("NFC", "José"): 1}
    assert done["uploads"] == {"held": 1}


@pytest.mark.parametrize("table", ["consents.csv", "semicolon.csv", "openquote.csv"])
def test_a_no_in_any_table_of_consents_holds_or_stops_the_refresh(cli: Any, table: str, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    shutil.copytree(CASES / "consent_unreadable", inbox, ignore=shutil.ignore_patterns("*.csv", "README"))
    shutil.copy(CASES / "consent_unreadable" / table, inbox / "consents.csv")
    words = ("refresh", "--inbox", inbox, "--store", tmp_path / "store", "--assume-consent", "test")
    if table == "openquote.csv":
        refused = cli(*words, "--config", "plain", status=2)
        assert "consents.csv" in refused.err
        assert not list((tmp_path / "store").rglob("*.parquet"))
    else:
        done = cli(*words, "--config", "plain", "--json").json
        assert done["held"] == {"anna": 1}
        assert done["uploads"] == {"held": 1, "prepared": 1}


def test_a_text_of_one_word_is_not_aligned_with_a_sentence(cli: Any, tmp_path: Path) -> None:
    inbox = Path(shutil.copytree(CASES / "incomplete_transcript", tmp_path / "inbox"))
    found = refreshed(cli, tmp_path, inbox, config="default")
    rows = [row for row in found.version().ledger().to_pylist() if row["outcome"] != "silence"]
    assert {row["reason"] for row in rows} == {"text_incomplete"}
    assert utterances(found) == {} or all(not row["text"] for row in utterances(found)["a.flac"])

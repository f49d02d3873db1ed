"""The flow evaluate on a real server: entries with random weights say held-back sentences, once, and are judged."""

import json
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from support.prefect_server import CHROMIUM, ask, driven
from support.refreshed_store import RefreshedStore
from support.voice_entries import WITHOUT_JUDGES, add_entry

from voicemill.flows.plans.evaluate import EvaluateOptions, plan_evaluation
from voicemill.model.judging.scores import Scores
from voicemill.model.settings.promotion import METRICS
from voicemill.storage.errors import StoreError
from voicemill.storage.files import write_bytes
from voicemill.storage.forgetting.forget import evaluation_folder, forget_speaker
from voicemill.storage.store import Store
from voicemill.storage.voices import registry, status

pytestmark = pytest.mark.slow

TEACHER = {"log_mel_distance", "token_agreement"}
UNHEARD = {"similarity", "identified", "cer", "wer", "mos"} | TEACHER


@pytest.fixture(scope="module")
def store(refreshed: RefreshedStore, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A refreshed store with two entries of one voice, the first of them champion, and a student of that one."""
    folder = tmp_path_factory.mktemp("judged")
    store = Store.open(refreshed.copy_to(folder).store)
    for prefix in ("tiny.model.", "other.model."):
        add_entry(store, folder, "ann", prefix)
    add_entry(store, folder, "ann", "student.model.", "student", "ann/0001")
    status.promote(store.models / "ann", 1, "trained", instead_of=0, who="test", when="2025", why="the first")
    return store


@pytest.fixture(scope="module")
def evaluated(cli: Any, store: Store) -> dict[str, Any]:
    ran = cli(*words(store))
    assert ran.err == ""
    return dict(ran.json)


def words(store: Store) -> tuple[object, ...]:
    numbers = ("--number", 2, "--number", 1, "--number", 3)
    others = ("--text", "Quite another sentence.", "--threads", 1, "--json")
    return ("evaluate", "--store", store.root, *numbers, *WITHOUT_JUDGES, *others)


def test_challenger_and_champion_are_judged_on_one_test_set(store: Store, evaluated: dict[str, Any]) -> None:
    assert [(each["entry"], each["role"]) for each in evaluated["entries"]] == [
        ("ann/0002", "trained, challenger"),
        ("ann/0001", "trained, champion"),
        ("ann/0003", "student, candidate"),
    ]
    for number, each in zip((2, 1, 3), evaluated["entries"], strict=True):
        entry = registry.find(store, "ann", number=number)
        (raw,) = registry.scores(entry, evaluated["testset"])
        scores = Scores.from_json(raw)
        assert scores.voice == entry.name == each["entry"]
        assert set(scores.totals) | set(scores.missing) == set(METRICS)
        assert set(scores.missing) - {"f0_error"} == (UNHEARD - TEACHER if number == 3 else UNHEARD)
        assert scores.totals["bytes"] == sum(entry.path(stem).stat().st_size for stem in ("s1", "s2"))
        assert scores.totals["parameters"] > 10_000
        assert len(scores.items["rtf"]) == evaluated["sentences"]
        assert len(scores.items["mcd"]) == evaluated["sentences"] - 1  # one has no recording
        assert scores.totals["mcd"] == pytest.approx(sum(scores.items["mcd"].values()) / len(scores.items["mcd"]))
        assert scores.lineage["threads"] == 1
    differences = [d for d in evaluated["differences"] if d["metric"] == "rtf"]
    assert [(d["challenger"], d["other"]) for d in differences] == [("ann/0002", "ann/0001"), ("ann/0002", "ann/0003")]
    for difference in differences:
        assert difference["samples"] == evaluated["sentences"]
        assert difference["low"] <= difference["mean"] <= difference["high"]


def test_a_student_stands_beside_its_teacher(evaluated: dict[str, Any]) -> None:
    """Its s1 has other weights, its s2 the same: the same codes sound alike."""
    totals = evaluated["entries"][2]["totals"]
    assert 0 <= totals["token_agreement"] < 1
    assert totals["log_mel_distance"] == 0


def test_by_default_the_newest_entry_its_champion_and_its_teacher_are_evaluated(store: Store) -> None:
    def evaluated_entries(*numbers: int) -> list[int]:
        options = EvaluateOptions(store=str(store.root), numbers=list(numbers))
        return [entry.number for entry in plan_evaluation(options).entries]

    assert evaluated_entries() == [3, 1]
    assert evaluated_entries(2, 2, 1) == [2, 1]
    with pytest.raises(StoreError, match="no entry number 9"):
        evaluated_entries(9)


def test_the_run_is_named_and_links_its_report(cli: Any, evaluated: dict[str, Any]) -> None:
    api = cli.environment["PREFECT_API_URL"]
    (run,) = ask(api, "flow_runs/filter", flow_runs={"id": {"any_": [evaluated["run"].rpartition("/")[2]]}})
    assert (run["name"], run["state_name"]) == ("evaluate · ann · 2 against 1 and 3", "Completed")
    tasks = ask(api, "task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
    assert sorted(task["name"] for task in tasks) == [
        *(f"judge · ann/000{n}" for n in (1, 2, 3)), *(f"speak · ann/000{n}" for n in (1, 2, 3)),
    ]  # fmt: skip
    (artifact,) = ask(api, "artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}})
    assert evaluated["report"] in artifact["data"]
    assert "| mcd | dB | " in artifact["data"]


def test_speech_is_not_synthesised_twice(cli: Any, store: Store, evaluated: dict[str, Any]) -> None:
    """A repeated evaluation has the same sounds, times and figures."""
    before = {path: path.stat().st_mtime_ns for path in (store.reports / "version-1" / "speech").rglob("*.*")}
    assert len(before) == 3 * 2 * evaluated["sentences"] + 1  # and the comparison with the teacher
    again = cli(*words(store)).json
    assert [each["scores"] for each in again["entries"]] == [each["scores"] for each in evaluated["entries"]]
    assert {path: path.stat().st_mtime_ns for path in (store.reports / "version-1" / "speech").rglob("*.*")} == before
    for each in again["entries"]:
        assert json.loads(Path(each["scores"]).read_text())["totals"] == each["totals"]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_page_plays_without_a_network(evaluated: dict[str, Any], tmp_path: Path) -> None:
    """Every sound can be decoded by a browser; nothing is loaded (# = a mark within its own picture)."""
    page = Path(evaluated["report"])
    html = page.read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="(?!data:|#)', html) == []
    sounds = html.count("<audio")
    assert sounds == 4 * evaluated["sentences"] - 1
    assert driven(page.as_uri(), DECODED, tmp_path / "profile") == sounds
    for entry in ("ann/0001", "ann/0002", "ann/0003"):
        assert entry in html


DECODED = """
(async () => {
  while (document.readyState !== "complete" || !document.querySelector("footer"))
    await new Promise(done => setTimeout(done, 100));
  const context = new OfflineAudioContext(1, 1, 32000);
  let long = 0;
  for (const player of document.querySelectorAll("audio")) {
    const bytes = await (await fetch(player.src)).arrayBuffer();
    long += (await context.decodeAudioData(bytes)).duration > 0.1;
  }
  return long;
})()
"""
"""Script that counts the sounds that the browser can decode."""


# nightly: whisper transcribes. On a push tests/model/judging/test_embedded_judges.py reads and runs the same judges
@pytest.mark.nightly
def test_without_an_option_the_embedded_models_judge_voice_and_recordings(cli: Any, store: Store) -> None:
    """Random weights do not speak: every figure is there, and worse than that of the recordings."""
    own = ("--store", store.root, "--number", 1, "--sentences", 2, "--listened", 1, "--threads", 1, "--json")
    result = cli("evaluate", *own).json
    assert {role: name.split()[0] for role, name in result["judges"].items()} == {
        "pitch": "swift",
        "speaker": "ge2e",
        "recogniser": "whisper-tiny.en",
        "opinion": "distill-mos",
    }
    (entry,) = result["entries"]
    real = result["recordings"]
    assert {"similarity", "identified", "cer", "wer", "mos"} <= set(entry["totals"]) & set(real)
    assert real["wer"] < 0.5 < entry["totals"]["wer"]
    for better in ("similarity", "mos"):
        assert real[better] > entry["totals"][better]
    html = Path(result["report"]).read_text(encoding="utf-8")
    assert html.count('class="spectrogram"') == 2
    assert '<section id="matrix">' in html
    assert "Judged by" in html
    assert "whisper-tiny.en" in html


def test_forgetting_a_speaker_during_an_evaluation_leaves_nothing(
    cli: Any, refreshed: RefreshedStore, tmp_path: Path
) -> None:
    copied = refreshed.copy_to(tmp_path)
    store = Store.open(copied.store)
    for prefix in ("tiny.model.", "other.model."):
        add_entry(store, tmp_path, "ann", prefix)
    pair = ("--number", 2, "--number", 1, *WITHOUT_JUDGES, "--text", "Another sentence.")
    with cli.start(*words(store)[:3], *pair) as process:
        end = time.monotonic() + 600
        while not list(store.reports.glob("version-1/speech/*/*")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGSTOP)  # else a slow forgetting might itself erase what the evaluation writes
        forget_speaker(store, "ann", created="2026-01-01T00:00:00+00:00")
        process.send_signal(signal.SIGCONT)
        err = process.communicate(timeout=600)[1]
    assert process.returncode != 0
    assert "was forgotten meanwhile" in err
    assert not [path for path in store.reports.rglob("*") if path.is_file()]
    assert not list(store.models.glob("*/*/evaluations/*"))
    write_bytes(evaluation_folder(store, 1) / "speech" / "0a1b" / "sentence.flac", b"left by a killed evaluation")
    shutil.rmtree(copied.inbox / "ann")
    cli.refresh(copied.inbox, store.root, "--config", copied.config)
    assert not evaluation_folder(store, 1).exists()


def test_forgetting_the_speaker_erases_the_speech(cli: Any, store: Store, tmp_path: Path, evaluated: Any) -> None:
    copy = shutil.copytree(store.root, tmp_path / "store")
    assert list((copy / "reports").rglob("*.flac"))
    cli("forget", "--speaker", "ann", "--store", copy, "--yes", "--json")
    assert not list(copy.rglob("*.flac"))
    assert not (copy / "reports").exists()
    assert not list(copy.glob("models/*/*/evaluations/*"))

"""`voicemill produce` on real recordings: from an inbox to champions of every lane that speak with every engine."""

import csv
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import soundfile
from support.prefect_server import ask

from voicemill.storage.store import Store
from voicemill.storage.units import RATE
from voicemill.storage.voices import registry
from voicemill.storage.voices.status import read_status

SPEECH = Path(__file__).parents[3] / "shared" / "speech" / "recordings"
SPEAKERS = {"vctk_p225": 10, "vctk_p228": 6}
LANES = ["trained", "student", "light", "compressed"]
LIMIT_S = 1200
"""Time limit of a whole run; alone on two cores it takes a fifth of this."""
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.slow,
    # on a push the flows of the chain run one by one: test_retrain, _distill, _compress, _promote, _chain
    pytest.mark.nightly,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not SPEECH.is_dir(), reason="no ../shared/speech"),
]


def inbox(folder: Path) -> Path:
    with (SPEECH / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    left = dict(SPEAKERS)
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, ["speaker", "file", "language", "text"])
        out.writeheader()
        for row in rows:
            if left.get(row["speaker"], 0):
                left[row["speaker"]] -= 1
                (folder / row["file"]).parent.mkdir(exist_ok=True)
                shutil.copy(SPEECH / row["file"], folder / row["file"])
                out.writerow({name: row[name] for name in out.fieldnames})
    assert not any(left.values())
    return folder


def test_recordings_become_champions_that_speak(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.environment, "VOICEMILL_LOCKS", str(tmp_path / "locks"))
    (tmp_path / "inbox").mkdir()
    folder, store = inbox(tmp_path / "inbox"), tmp_path / "store"
    words = ("produce", "--inbox", folder, "--store", store, "--assume-consent", "test", "--training", "tiny")
    words += ("--speaker", "vctk_p225", "--voice", "anna", "--json")
    began = time.monotonic()
    result = cli(*words, timeout=2 * LIMIT_S).json
    took = time.monotonic() - began
    assert took < LIMIT_S
    opened = Store.open(store)
    assert list(read_status(opened.models / "anna").champions) == LANES
    assert [each["verdict"] for each in result["promotions"]][:3] == ["Promoted"] * 3
    assert {(each["kind"], each["engine"]) for each in result["said"]} == {
        *((kind, engine) for kind in LANES[:3] for engine in ("torch", "onnx")),
        ("compressed", "onnx"),
    }
    for each in result["said"]:
        wave, rate = soundfile.read(each["path"])
        assert rate == RATE
        assert len(wave) == pytest.approx(each["seconds"] * RATE, abs=RATE / 1000)
        assert wave.std() > 0
    the_chain_is_in_the_dashboard(cli, result)
    a_champion_speaks_by_name(cli, folder, store, tmp_path)
    nothing_is_done_twice(cli, words, opened, result)


def the_chain_is_in_the_dashboard(cli: Any, result: dict[str, Any]) -> None:
    """Every step is a subflow of the chain, and every promotion links its report and its evaluation."""
    api = cli.environment["PREFECT_API_URL"]
    (chain,) = ask(api, "flow_runs/filter", flow_runs={"id": {"any_": [result["run"].rpartition("/")[2]]}})
    below = {"flow_runs": {"parent_flow_run_id": {"any_": [chain["id"]]}}}
    runs = sorted(ask(api, "flow_runs/filter", **below), key=lambda run: run["start_time"])
    names = [run["name"].partition(" · ")[0] for run in runs]
    assert names == ["refresh", "retrain", "promote", "distill", "compress", "compress", *["promote"] * 4], names
    assert {run["state_type"] for run in runs} == {"COMPLETED"}
    for run in runs:
        if run["name"].startswith("promote"):
            (found,) = ask(api, "artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}})
            assert "evaluation-anna" in found["data"]
            assert "/runs/flow-run/" in found["data"]


def a_champion_speaks_by_name(cli: Any, folder: Path, store: Path, out: Path) -> None:
    like = sorted((folder / "vctk_p225").iterdir(), key=lambda path: path.stat().st_size)[-1]
    for kind in LANES:
        words = ("speak", "--store", store, "--voice", "anna", "--kind", kind, "--reference", like)
        cli(*words, "--text", "Good morning.", "--out", out / f"{kind}.wav", "--json")
        assert soundfile.info(out / f"{kind}.wav").duration > 0.3


def nothing_is_done_twice(cli: Any, words: tuple[Any, ...], store: Store, before: dict[str, Any]) -> None:
    """The repeated command finds every training, student and graph, and changes no champion."""
    entries = [entry.name for entry in registry.entries(store, "anna")]
    champions = read_status(store.models / "anna").champions
    result = cli(*words, timeout=2 * LIMIT_S).json
    assert [entry.name for entry in registry.entries(store, "anna")] == entries
    assert read_status(store.models / "anna").champions == champions
    spoken = [[{**said, "took_s": 0} for said in each["said"]] for each in (before, result)]
    assert spoken[0] == spoken[1]

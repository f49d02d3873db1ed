"""The flow distill on a real server: a trained entry becomes students that speak; a killed run resumes."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.refreshed_store import RefreshedStore
from support.tiny_voice import VOICE_TOML

from voicemill.model.voices.opening import open_voice
from voicemill.storage.store import Store
from voicemill.storage.voices import registry

pytestmark = pytest.mark.slow

SENTENCES = ("The morning train was late again and nobody minded.", "She keeps a small garden behind the house.")
"""Text of the reference recording."""
CONFIG = f"""{VOICE_TOML}
[distill]
layers = 1
s2_sizes = {{ upsample_channels = 32 }}
[light.speaker.sizes]
channels = 16
bottleneck = 8
[light.acoustic.sizes]
width = 16
units = 16
[light.vocoder]
discriminator = false
segment = 16
[light.vocoder.sizes]
upsample_channels = 32
resblock_kernels = [3]
resblock_dilations = [1, 3]
[phases.distill]
steps = 6
rate = 1e-3
teach = "alone"
[phases.joint]
steps = 4
rate = 1e-3
networks = ["s2"]
teach = "joint"
[phases.light]
steps = 4
rate = 1e-3
networks = ["light_speaker", "light", "light_vocoder"]
"""


@pytest.fixture(scope="module")
def taught(
    cli: Any, voiced: tuple[RefreshedStore, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[RefreshedStore, dict[str, Any]]:
    """The store after both students of ann's first entry were made, and the JSON of that run."""
    folder = tmp_path_factory.mktemp("taught")
    (folder / "training.toml").write_text(CONFIG)
    copied = voiced[0].copy_to(folder)
    ran = cli(*words(copied, "--which", "both"))
    assert ran.err == ""
    return copied, ran.json


def words(copied: RefreshedStore, *more: object) -> tuple[object, ...]:
    return ("distill", "--store", copied.store, "--config", copied.store.parent / "training.toml", *more, "--json")


def test_an_entry_teaches_students_that_speak(cli: Any, taught: tuple[RefreshedStore, dict[str, Any]]) -> None:
    trained, done = taught
    assert (done["voice"], done["version"], done["teacher"]) == ("ann", 1, "ann/0001")
    full, light = done["students"]
    assert [(t["network"], t["phase"], t["outcome"], t["steps"]) for t in full["trainings"]] == [
        ("s2", "distill", "finished", 6),
        ("s1", "distill", "finished", 6),
        ("s2", "joint", "finished", 4),
    ]
    assert [t["network"] for t in light["trainings"]] == ["light_speaker", "light", "light_vocoder"]
    assert full["bytes"] < full["teacher_bytes"]

    store = Store.open(trained.store)
    teacher, student, small = registry.entries(store, "ann")
    for entry, kind, stems in ((student, "student", {"s1", "s2"}), (small, "light", {"light"})):
        assert (entry.card.kind, entry.card.parent, set(entry.card.weights)) == (kind, "ann/0001", stems)
        assert entry.card.content == teacher.card.content == "mfcc-cmvn"
        registry.check_files(entry)
    assert set(student.card.base) == {"s1", "s2"}

    for entry in (student, small):
        voice = open_voice(entry.weights, content=entry.card.content, device="cpu")
        reference = voice.reference([trained.inbox / "ann" / "both.wav"], " ".join(SENTENCES), "en")
        speech = voice.speak("A small garden.", reference)
        assert len(speech.wave) > 3200
        assert np.isfinite(speech.wave).all()

    before = {path: path.stat().st_mtime_ns for path in (trained.store / "training").rglob("*") if path.is_file()}
    again = cli(*words(trained, "--which", "both")).json
    assert again["students"] == done["students"]
    after = {path: path.stat().st_mtime_ns for path in (trained.store / "training").rglob("*") if path.is_file()}
    assert {path.name for path in before if before[path] != after[path]} <= {".lock"}
    assert len(registry.entries(store, "ann")) == 3


# nightly: three runs. On a push test_retrain.py resumes a killed training
@pytest.mark.nightly
def test_a_killed_distillation_resumes(cli: Any, taught: tuple[RefreshedStore, dict[str, Any]], tmp_path: Path) -> None:
    """Killed in the joint phase after a checkpoint, it ends with the same weights as an undisturbed run."""
    trained = taught[0].copy_to(tmp_path)
    (tmp_path / "training.toml").write_text(CONFIG.replace("[phases.joint]\nsteps = 4", "[phases.joint]\nsteps = 30"))
    whole = cli(*words(trained)).json["students"][0]
    folder = trained.store / "training" / whole["trainings"][-1]["folder"]
    digests = {path.name: path.read_bytes() for path in Path(whole["entry"]).glob("*.safetensors")}
    folder.rename(trained.store / "kept")
    with cli.start(*words(trained)) as process:
        end = time.monotonic() + 300
        while not list(folder.glob("checkpoints/step-*")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=120)
    again = cli(*words(trained)).json["students"][0]
    steps = [json.loads(line)["step"] for line in (folder / "progress.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 31))
    assert {path.name: path.read_bytes() for path in Path(again["entry"]).glob("*.safetensors")} == digests
    assert again["entry"] == whole["entry"]


def test_missing_inputs_are_reported_before_a_server_starts(alone: Any, refreshed: RefreshedStore) -> None:
    ran = alone("distill", "--store", refreshed.store, "--config", "tiny", status=2)
    assert "name a voice by --voice" in ran.err
    assert ran.err.count("\n") == 1

"""A stage is registered once: a module and its entry in the list are all that a new feature stage needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from support.configs import plain
from support.signals import speechlike
from support.toy_stage import add_toy_stage

from voicemill.storage.store import Store
from voicemill.storage.units import RATE
from voicemill.tasks.registry import BY_NAME, SINK, STAGES

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"

PREPARE = """
import json, sys
from pathlib import Path
from support import factories
from voicemill.storage.corpus.artifacts import Artifact
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.records import ShardFile
from voicemill.storage.store import Store
from voicemill.tasks import config as config_
from voicemill.tasks.execute import Work, execute
from voicemill.tasks.intake import batches, scan
from voicemill.tasks.publishing.publish import publish
from voicemill.tasks.recipe import Recipe
from voicemill.tasks.registry import SINK

inbox, folder, config = sys.argv[1:]
store, recipe = Store.open(folder, create=True), Recipe(config_.load(config))
found = scan.scan(inbox, store, recipe.config.scan, assume_consent="a test")
(batch,) = batches.form_batches(store, found.uploads, (), recipe.config.batches)
keys, results = recipe.keys(batch), {}
for stage in recipe.stages:
    inputs = {name: results[name].key for name in stage.inputs_of(recipe.config.of(stage.name))}
    results[stage.name] = execute(Work(
        stage=stage.name, key=keys[stage.name], batch=batch, inputs=inputs, config=recipe.config, store=folder,
        inbox=inbox, recipe=recipe.id, feature_tables=recipe.feature_tables,
    ))
files = Artifact(Path(results[SINK.name].uri)).rows(ShardFile)
publish(
    store,
    uploads=factories.upload_rows(store, batch, files),
    shards={batch.id: (results[SINK.name].key, files)},
    recipe=recipe.id,
    config=recipe.config.model_dump(mode="json"),
    feature_tables=recipe.feature_tables,
    created=factories.WHEN,
    settings=recipe.config.publish,
    force=True,
)
version = CorpusVersion.open(store)
print(json.dumps({
    "order": [stage.name for stage in recipe.stages],
    "pending": sorted({upload for result in results.values() for upload in result.pending}),
    "config": version.version.config["toy"],
    "tables": version.version.features,
    "utterances": version.utterances(["id", "seconds"]).to_pylist(),
    "toy": version.features("toy").select(["id", "frames", "dims"]).to_pylist(),
    "mel": version.features("mel").select(["id"]).to_pylist(),
}))
"""

LENIENT = plain("""
[slice]
engine = "webrtc"
whole_when_transcribed = false
[screen]
min_entropy = 0.0
max_entropy = 6.33
max_clipped = 1.0
min_snr_db = -20.0
min_bandwidth_hz = 0.0
[align]
engine = "off"
[toy]
window_s = 0.02
""")
"""Keeps what is not speech."""


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a package that has the toy stage."""
    return add_toy_stage(ROOT, tmp_path_factory.mktemp("extended"))


def python(extended: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python where the package has the toy stage."""
    path = os.pathsep.join([str(extended), str(TESTS)])
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, cwd=extended)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "lenient.toml"
    path.write_text(LENIENT)
    return path


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    for number, name in enumerate(("ann/0.wav", "ann/1.wav", "bob/0.wav")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, speechlike(4.0, seed=number), RATE)
    return folder


@pytest.mark.slow
def test_a_feature_stage_is_added_by_its_module_and_an_entry(
    extended: Path, inbox: Path, config: Path, tmp_path: Path
) -> None:
    run = python(extended, "-c", PREPARE, inbox, tmp_path / "store", config)
    assert run.returncode == 0, run.stderr
    made = json.loads(run.stdout)
    assert set(made["order"]) == {*BY_NAME, "toy"}
    assert made["order"].index("screen") < made["order"].index("toy") < made["order"].index("shards")
    assert (made["pending"], made["config"]) == ([], {"window_s": 0.02})
    assert list(made["tables"]) == ["content", "f0", "mel", "toy"]
    assert made["tables"]["toy"].startswith("features/toy-")
    ids = [row["id"] for row in made["utterances"]]
    assert len(ids) >= 3
    assert [row["id"] for row in made["toy"]] == [row["id"] for row in made["mel"]] == ids
    for row, utterance in zip(made["toy"], made["utterances"], strict=True):
        assert (row["frames"], row["dims"]) == (int(utterance["seconds"] / 0.02 + 1e-6), 1)


@pytest.mark.slow
def test_a_refresh_runs_an_added_stage_in_its_workers(
    extended: Path, inbox: Path, config: Path, tmp_path: Path
) -> None:
    command = ("-m", "voicemill.flows.cli.main", "refresh", "--inbox", inbox, "--store", tmp_path / "store")
    options = ("--config", config, "--assume-consent", "a test", "--force-publish", "--json")
    run = python(extended, *command, *options)
    assert run.returncode == 0, run.stdout + run.stderr
    summary = json.loads(run.stdout)
    assert (summary["published"], summary["broken"], summary["stages"]["toy"]["run"]) == (True, {}, 1)
    tables = sorted(path.name for path in (Store.open(tmp_path / "store").root / "tables" / "features").iterdir())
    assert [name.split("-")[0] for name in tables] == ["f0", "mel", "mfcc", "toy"]


def test_names_and_records_of_the_list() -> None:
    assert len(BY_NAME) == len(STAGES)
    rooms = {stage.name: "publishing" if stage is SINK else "stages" for stage in STAGES}
    assert all(stage.settings.__module__.endswith(f".{rooms[stage.name]}.{stage.name}") for stage in STAGES)

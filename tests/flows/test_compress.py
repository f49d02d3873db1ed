"""The flow compress on a real server: an entry becomes graphs, which speak, and says what that did to it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support.refreshed_store import RefreshedStore
from support.voice_entries import add_entry

from voicemill.model.export.folder import read_folder
from voicemill.storage.store import Store
from voicemill.storage.voices import registry, status

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(refreshed: RefreshedStore, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A refreshed store with an entry and a student of it."""
    folder = tmp_path_factory.mktemp("compressed")
    store = Store.open(refreshed.copy_to(folder).store)
    add_entry(store, folder, "ann", "tiny.model.")
    add_entry(store, folder, "ann", "student.model.", "student", "ann/0001")
    rng = np.random.default_rng(1)
    tone = 0.1 * np.sin(np.arange(4 * 16000) * 0.05) + rng.normal(0, 0.01, 4 * 16000)
    soundfile.write(folder / "reference.wav", tone, 16000)
    return store


@pytest.fixture(scope="module")
def compressed(cli: Any, store: Store) -> dict[str, Any]:
    ran = cli("compress", "--store", store.root, "--sentences", 1, "--json")
    return dict(ran.json)


def test_the_student_becomes_an_entry_of_its_own(store: Store, compressed: dict[str, Any]) -> None:
    entry = registry.find(store, "ann", "compressed")
    assert (entry.number, compressed["number"], compressed["parent"]) == (3, 3, "ann/0002")
    assert (entry.card.parent, entry.card.weights) == ("ann/0002", {"onnx": "onnx"})
    assert entry.card.content == "mfcc"
    folder = read_folder(entry.path("onnx"))
    assert folder.manifest.precision == "int8"
    assert {part["network"]: part["after"] for part in compressed["parts"]} == {
        "s1": folder.bytes_of("s1"),
        "s2": folder.bytes_of("s2"),
        "total": folder.bytes,
    }
    exact, auto, graphs = compressed["spoken"]
    assert exact["log_mel_distance"] is None
    assert graphs["way"] == "onnx, int8"
    assert 0.5 < graphs["token_agreement"] <= 1
    assert graphs["log_mel_distance"] < 0.05
    assert min(way["real_time_factor"] for way in (exact, auto, graphs)) > 0
    assert f"| {graphs['real_time_factor']:.3f} |" in entry.card.account


def test_a_repeated_compression_finds_its_entry(cli: Any, store: Store, compressed: dict[str, Any]) -> None:
    ran = cli("compress", "--store", store.root, "--sentences", 1)
    assert "ann entry 3 (compressed)" in ran.out
    assert [entry.number for entry in registry.entries(store, "ann")] == [1, 2, 3]


def test_a_compressed_entry_is_refused(cli: Any, store: Store, compressed: dict[str, Any]) -> None:
    ran = cli("compress", "--store", store.root, "--number", 3, status=2)
    assert "entry ann/0003 is compressed: expected one that is student, trained, light, such as ann/0002" in ran.err


def spoken(cli: Any, store: Store, out: Path, *more: object) -> dict[str, Any]:
    words = ("--reference", store.root.parent / "reference.wav", "--reference-text", "what it says", "--language", "en")
    ran = cli("speak", *more, *words, "--text", "Good morning.", "--out", out, "--no-watermark", "--json")
    return dict(json.loads(ran.out)) | {"err": ran.err}


def test_every_engine_speaks(
    cli: Any, store: Store, compressed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cli.environment, "XDG_CACHE_HOME", str(tmp_path / "cache"))
    from_store = ("--store", store.root)
    said = {
        "torch": spoken(cli, store, tmp_path / "torch.wav", *from_store, "--number", 1, "--precision", "float32"),
        "onnx": spoken(cli, store, tmp_path / "onnx.wav", *from_store, "--number", 1, "--engine", "onnx"),
        "compressed": spoken(cli, store, tmp_path / "small.wav", *from_store, "--kind", "compressed"),
        "folder": spoken(cli, store, tmp_path / "folder.wav", "--onnx", Path(compressed["entry"]) / "onnx"),
    }
    assert said["compressed"]["entry"] == "ann/0003"
    assert said["torch"]["entry"] == "ann/0001"
    assert "exported this voice to ONNX graphs" in said["onnx"]["err"]
    heard = {name: soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("torch", "onnx", "small", "folder")}
    np.testing.assert_allclose(heard["onnx"], heard["torch"], atol=1e-3)
    assert np.array_equal(heard["small"], heard["folder"])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--number", "2"), "--kind and --number choose an entry of a store"),
        (("--s1", "a.ckpt"), "--s2 is missing"),
        (("--s1", "a", "--s2", "b", "--onnx", "c"), "--s1, --s2, --onnx name several voices"),
        (("--light", "a", "--store", "b"), "--light, --voice and --store name several voices"),
        (("--voice", "ann"), "give --store"),
        (("--onnx", "a", "--kind", "student"), "--kind and --number choose an entry of a store"),
        (("--onnx", "nowhere"), "nowhere is not a folder of graphs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_voice_is_named_once(here: Any, tmp_path: Path, more: tuple[str, ...], words: str) -> None:
    said = ("--reference", "r.wav", "--text", "x", "--out", tmp_path / "x.wav")
    ran = here("speak", *more, *said, status=2)
    assert words in " ".join(ran.err.split())
    assert len(ran.err.strip().splitlines()) == 1


def test_a_retired_entry_speaks_only_where_that_is_allowed(cli: Any, store: Store, tmp_path: Path) -> None:
    status.retire(store.models / "ann", 1, "trained", who="test", when="2025", why="a test")
    files = [store.models / "ann" / "0001" / f"{stem}.safetensors" for stem in ("s1", "s2")]
    named = ("--s1", files[0], "--s2", files[1])
    said = ("--reference", store.root.parent / "reference.wav", "--text", "Hello.", "--out", tmp_path / "x.wav")
    for more in (named, ("--store", store.root, "--number", 1)):
        assert "--allow-retired" in cli("speak", *more, *said, status=2).err
    cli("speak", *named, *said, "--allow-retired", "--language", "en")
    assert (tmp_path / "x.wav").is_file()

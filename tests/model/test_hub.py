"""Models by hub id or local folder: found, refused, digested."""

import os
from pathlib import Path

import pytest

from voicemill.model.hub import digest_of, resolve
from voicemill.storage.errors import ModelMissing


def _model(folder: Path, weights: bytes = b"w") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv("VOICEMILL_MODELS", str(folder))
    return folder


def _cached(cache: Path, repo: str, commit: str = "c0ffee", ref: str = "main") -> Path:
    root = cache / f"models--{repo.replace('/', '--')}"
    (root / "refs").mkdir(parents=True, exist_ok=True)
    (root / "refs" / ref).write_text(commit)
    return _model(root / "snapshots" / commit)


def test_a_local_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = _model(tmp_path / "hubert")
    assert resolve(str(folder), "content.model") == folder


def test_a_hub_id_is_found_in_the_cache_by_branch_and_by_commit(cache: Path) -> None:
    folder = _cached(cache, "org/hubert")
    assert resolve("org/hubert", "content.model") == folder
    assert resolve("org/hubert@c0ffee", "content.model") == folder


def test_the_cache_layout_is_that_of_the_hub_client(cache: Path) -> None:
    from huggingface_hub import snapshot_download

    folder = _cached(cache, "org/hubert")
    assert snapshot_download("org/hubert", cache_dir=cache, local_files_only=True) == str(folder)


@pytest.mark.parametrize("name", ["org/absent", "", "./absent", "org/hubert@other"])
def test_a_missing_model_is_one_error_that_names_the_setting(cache: Path, name: str) -> None:
    _cached(cache, "org/hubert")
    with pytest.raises(ModelMissing, match=r"content\.model") as caught:
        resolve(name, "content.model")
    if name.startswith("org"):
        assert str(cache) in str(caught.value)
        assert "voicemill models fetch" in str(caught.value)


def test_half_a_download_is_missing(cache: Path) -> None:
    folder = _cached(cache, "org/hubert")
    weights = folder / "model.safetensors"
    weights.unlink()
    weights.symlink_to(cache / "blobs" / "gone")
    with pytest.raises(ModelMissing, match="only partly"):
        resolve("org/hubert", "content.model")


def test_the_digest_follows_weights_and_config_and_nothing_else(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    folder = _model(tmp_path / "a")
    first = digest_of(folder, memory)
    assert digest_of(_model(tmp_path / "b"), memory) == first
    (folder / "README.md").write_text("prose")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x").write_text("y")
    assert digest_of(folder, memory) == first
    (folder / "config.json").write_text('{"layers": 3}')
    second = digest_of(folder, memory)
    assert second != first
    (folder / "model.safetensors").write_bytes(b"v")
    assert digest_of(folder, memory) not in {first, second}


def test_a_digest_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    memory, file = tmp_path / "memory", tmp_path / "x.onnx"
    file.write_bytes(b"1")
    first = digest_of(file, memory)
    (note,) = memory.iterdir()
    note.write_text("f" * 64)
    assert digest_of(file, memory) == "f" * 64  # read from the memory, not from the file
    time = file.stat().st_mtime_ns
    file.write_bytes(b"2")
    os.utime(file, ns=(time, time))
    assert digest_of(file, memory) not in {first, "f" * 64}


def test_the_digest_needs_no_writable_memory(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    folder = _model(tmp_path / "a")
    assert digest_of(folder, blocked / "memory") == digest_of(folder, tmp_path / "memory")


def test_the_digest_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        digest_of(tmp_path / "absent", tmp_path / "memory")

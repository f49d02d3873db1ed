"""File systems without working locks or hard links are refused, and the message says what is missing."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from voicemill.storage.errors import StoreError
from voicemill.storage.filesystem import what_is_missing
from voicemill.storage.locks import FileLock
from voicemill.storage.store import Store


def refuse(number: int) -> Any:
    def call(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize(
    ("module", "name", "behaviour", "message"),
    [
        (fcntl, "flock", refuse(errno.ENOLCK), r"locks on files \(flock: No locks available\)"),
        (fcntl, "flock", lambda *_: None, r"locks on files that exclude: two took the same one"),
        (os, "link", refuse(errno.EPERM), r"hard links \(Operation not permitted\)"),
    ],
    ids=["no locks", "locks of each process", "no links"],
)
def test_a_file_system_that_lacks_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, behaviour: Any, message: str
) -> None:
    """The system call answers as such file systems do: NFS without lockd, SMB and FUSE with local locks, FAT."""
    there = Store.open(tmp_path / "there", create=True)
    monkeypatch.setattr(module, name, behaviour)
    with pytest.raises(StoreError, match=rf"{tmp_path}/new lacks {message}; .* NFS 4"):
        Store.open(tmp_path / "new", create=True)
    assert not (tmp_path / "new" / "store.json").exists()
    assert Store.open(there.root) == there  # reading needs neither
    with pytest.raises(StoreError, match=message), there.locked("a refresh"):
        raise AssertionError("locked")


def test_a_local_disk_has_all_and_nothing_remains(tmp_path: Path) -> None:
    assert what_is_missing(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_probe_leaves_is_deleted_and_stops_no_store(tmp_path: Path) -> None:
    def leave() -> list[Path]:
        probe = tmp_path / "store" / ".probe.123.abcd.tmp"
        probe.touch()
        (link := probe.with_name(f"{probe.name}-link.tmp")).hardlink_to(probe)
        return [probe, link]

    (tmp_path / "store").mkdir()
    left = leave()
    store = Store.open(tmp_path / "store", create=True)
    store.drop_temporaries()
    assert not any(path.exists() for path in left)
    with FileLock(leave()[0]) as alive:
        assert alive.take()
        store.drop_temporaries()
        assert all(path.exists() for path in left)
    store.drop_temporaries()
    assert [path.name for path in store.root.iterdir()] == ["store.json"]

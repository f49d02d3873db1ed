"""Files written whole, numbered, locked and appended to: by one helper each, for every writer of the tree."""

import errno
import multiprocessing
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from voicemill.storage import files
from voicemill.storage.locks import FileLock, lock_holder

ROOT = Path(__file__).resolve().parents[2]
IDIOMS = re.compile(r"\bfcntl\b|\bos\.(link|replace|rename|fsync|O_APPEND)\b|\.with_name\(f\"\.\{|\.open\(\"x")
HELPERS = {"storage/files.py", "storage/flushing.py", "storage/locks.py"}


def test_the_idioms_stand_in_the_helpers_alone() -> None:
    uses = {
        f"{path.relative_to(ROOT).as_posix()}: {line.strip()}"
        for floor in ("flows", "tasks", "model", "storage")
        for path in (ROOT / floor).rglob("*.py")
        if path.relative_to(ROOT).as_posix() not in HELPERS
        for line in path.read_text(encoding="utf-8").splitlines()
        if IDIOMS.search(line)
    }
    assert uses == set()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    files.write_bytes(path, b"old")
    with pytest.raises(OSError, match="full"), files.whole_file(path, durable=True) as temporary:
        temporary.write_bytes(b"ne")
        raise OSError("full")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(FileNotFoundError), files.whole_file(tmp_path / "none" / "file", parents=False) as temporary:
        temporary.write_bytes(b"new")


def test_json_keeps_any_text(tmp_path: Path) -> None:
    value = {"name": "Łukasz \udcff 王", "value": float("inf")}
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == value
    assert "Łukasz".encode() in (tmp_path / "a.json").read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "b.json", value, nan=False)
    assert files.read_json(tmp_path / "b.json", default=0) == 0


def test_the_temporary_of_a_living_writer_is_not_abandoned(tmp_path: Path) -> None:
    """Not even after a clock that was wrong: its age is then anything."""
    mine = files.temporary_path(tmp_path / "entry.json")
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    theirs = mine.with_name(mine.name.replace(str(os.getpid()), ended.stdout.decode().strip()))
    for path in (mine, theirs, tmp_path / ".other.tmp"):
        path.touch()
        os.utime(path, (0, 0))
    assert sorted(files.abandoned(tmp_path, 86_400)) == sorted([theirs, tmp_path / ".other.tmp"])
    assert list(files.abandoned(tmp_path, 1e12)) == []


def test_a_new_file_never_replaces_one(tmp_path: Path) -> None:
    assert files.create_json(tmp_path / "n" / "1.json", 1)
    assert not files.create_json(tmp_path / "n" / "1.json", 2)
    assert files.read_json(tmp_path / "n" / "1.json") == 1
    assert len(list((tmp_path / "n").iterdir())) == 1


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for text, replace, expected in (("one", False, "one"), ("two", False, "one"), ("three", True, "three")):
        with files.whole_folder(path, replace=replace) as temporary:
            (temporary / "file").write_text(text)
        assert (path / "file").read_text() == expected
    with pytest.raises(OSError, match="full"), files.whole_folder(path, replace=True):
        raise OSError("full")
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]
    assert (path / "file").read_text() == "three"


def test_writers_at_the_same_time_get_different_numbers(tmp_path: Path) -> None:
    start, taken = threading.Barrier(8), []

    def write(name: str) -> None:
        with files.numbered_folder(tmp_path / "voice") as folder:
            (folder.path / "file").write_text(name)
            start.wait()
            taken.append((folder.take().name, name))

    writers = [threading.Thread(target=write, args=(str(number),)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(number for number, _ in taken) == [f"{number:04d}" for number in range(1, 9)]
    assert all((tmp_path / "voice" / number / "file").read_text() == name for number, name in taken)
    with files.numbered_folder(tmp_path / "voice"):  # no number is taken
        pass
    assert len(list((tmp_path / "voice").iterdir())) == 8


def _append(path: Path, name: str) -> None:
    for number in range(50):
        files.append_line(path, f"{name} {number} " + "x" * 5000, durable=False)


def test_lines_of_several_processes_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lines"
    files.append_line(path, "first")
    with path.open("ab") as file:
        file.write(b"cut o")  # as a crash leaves it
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(path, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = path.read_text().split("\n")
    assert (lines[:2], lines[-1]) == (["first", "cut o"], "")
    assert sorted(lines[2:-1]) == sorted(f"{name} {number} " + "x" * 5000 for name in "ab" for number in range(50))


def test_a_lock_names_its_holder_and_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert lock_holder(path) is None
    program = (
        "import sys, time; from pathlib import Path; from voicemill.storage.locks import FileLock\n"
        "lock = FileLock(Path(sys.argv[1])); lock.take('the dead'); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with FileLock(path) as lock:
            assert not lock.take("me")
            assert not lock.take(shared=True)
            assert (lock.holder(), lock_holder(path)) == ("the dead", "the dead")
            process.kill()
            assert lock.take("me", wait=True)
            assert lock_holder(path) == "me"
            lock.note("")
            assert lock_holder(path) == ""
    assert lock_holder(path) is None


def test_a_shared_lock_becomes_exclusive_when_it_is_the_last(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as one, FileLock(tmp_path / "lock") as two:
        assert one.take(shared=True)
        assert two.take(shared=True)
        assert not one.take()
        two.release()
        assert one.take()
        one.close()
        assert two.take()
        one.close()


def test_a_file_system_that_cannot_flush_folders_still_flushes_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush, failing, flushed = os.fsync, [stat.S_ISDIR], []

    def fsync(descriptor: int) -> None:
        if any(fails(os.fstat(descriptor).st_mode) for fails in failing):
            raise OSError(errno.EINVAL, "Invalid argument")
        flushed.append(descriptor)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    files.write_text(tmp_path / "a" / "b" / "c", "text")
    assert (len(flushed), (tmp_path / "a" / "b" / "c").read_text()) == (1, "text")
    failing.append(stat.S_ISREG)
    with pytest.raises(OSError, match="Invalid argument"):
        files.write_text(tmp_path / "a" / "b" / "c", "other")
    assert (tmp_path / "a" / "b" / "c").read_text() == "text"

"""Power cuts: the image of a loop-mounted ext4 is copied at each flush of a publish, a forgetting and a promotion.

A copy holds what a disk holds when the power fails at that moment: the file system commits its journal every 300 s, and
every file that was not flushed is missing, empty or torn. Each copy is mounted, opened and gets the next command. The
tests need root and a loop device, and say so where these cannot be had.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Lock

import pytest
from support import factories as f
from support.model_cards import make_card, make_training
from support.store_contents import Rows, contents, differences, numbers

from voicemill.storage import files
from voicemill.storage.corpus import deltalog, tables
from voicemill.storage.errors import StoreError
from voicemill.storage.forgetting.forget import forget_speaker
from voicemill.storage.forgetting.receipts import receipts
from voicemill.storage.inbox.consent import append_record, recorded_consents
from voicemill.storage.store import Store
from voicemill.storage.voices import registry, votes
from voicemill.storage.voices.status import promote, read_status
from voicemill.storage.voices.votes import Vote

pytestmark = [pytest.mark.slow]

BATCHES = [
    f.make_batch(1, f.upload("ann")),
    f.make_batch(2, f.upload("bob"), f.upload("zoe")),
    f.make_batch(3, f.upload("cid")),
]
VOTE = Vote(time="", listener="eve", voice="ann", a=1, b=2, testset="t", sentence="s", choice="a", left="a", order=0)
OPTIONS = "loop,commit=300,noauto_da_alloc"
Say = Callable[[str], None]


class Disk:
    """A mounted file system on an image, and copies of the image at moments of a course, with what was reported."""

    def __init__(self, folder: Path) -> None:
        self.image, self.root, self._lock = folder / "disk.img", folder / "disk", Lock()
        self.copies: list[tuple[Path, tuple[str, ...]]] = []
        self._reported: list[str] = []
        with self.image.open("wb") as file:
            file.truncate(48 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0", self.image], check=True)

    def report(self, line: str) -> None:
        """Note a promise, as the last line of a command is one; the power fails right after it."""
        self._reported.append(line)
        self.copy()

    def copy(self) -> None:
        """Copy the image; again if the disk was written to meanwhile, since a power cut has one moment."""
        target = self.image.with_name(f"copy-{len(self.copies):03d}.img")
        while True:
            before = self.image.stat().st_mtime_ns
            subprocess.run(["cp", "--sparse=always", self.image, target], check=True)
            if self.image.stat().st_mtime_ns == before:
                break
        self.copies.append((target, tuple(self._reported)))

    @contextmanager
    def copying(self, patch: pytest.MonkeyPatch, every: int = 1) -> Iterator[None]:
        """Copy before each flush of this process, or before one of `every` flushes."""
        flush, flushes = os.fsync, count()

        def fsync(descriptor: int) -> None:
            with self._lock:
                if next(flushes) % every == 0:
                    self.copy()
            flush(descriptor)

        with patch.context() as context:
            context.setattr(os, "fsync", fsync)
            yield


@contextmanager
def mounted(image: Path, root: Path) -> Iterator[Path]:
    """Mount an image, and give the folder of the store in it."""
    root.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-o", OPTIONS, image, root], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no loop mount here: {done.stderr.strip()}")
    try:
        yield root / "store"
    finally:
        subprocess.run(["umount", root], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4") or sys.platform != "linux":
        pytest.skip("mounting an image needs root, Linux and mkfs.ext4")
    return Disk(tmp_path)


def problems_of(disk: Disk, check: Callable[[Path, tuple[str, ...]], list[str]]) -> list[str]:
    """Mount every copy and check it against what had been reported by then."""
    problems = []
    for image, reported in disk.copies:
        with mounted(image, disk.root) as store:
            try:
                found = check(store, reported)
            except Exception as error:  # any error is a problem of this copy
                found = [f"{type(error).__name__}: {error}"]
        problems += [f"{image.name} after {reported}: {line}" for line in found]
        image.unlink()
    return problems


def publishing(root: Path, say: Say) -> dict[int, dict[str, Rows]]:
    """Three versions; returns the rows of each."""
    store, rows = Store.open(root, create=True), {}
    for number in (1, 2, 3):
        assert f.corpus(store, BATCHES[:number])
        rows[number] = contents(root)
        say(f"{number}")
    return rows


def publish_problems(root: Path, reported: tuple[str, ...], rows: dict[int, dict[str, Rows]]) -> list[str]:
    store, known = Store.open(root, create=True), len(reported)
    found = numbers(root)
    problems = [] if found in ([*range(1, known + 1)], [*range(1, known + 2)]) else [f"it has versions {found}"]
    if found:  # readable before any repair, and whole
        problems += differences(contents(root), rows[found[-1]])
    f.corpus(store, BATCHES)
    if found[-1:] != [3]:
        problems += [] if numbers(root) == [*found, len(found) + 1] else [f"then it has versions {numbers(root)}"]
    return problems + differences(contents(root), rows[3])


# nightly: three times as many moments
@pytest.mark.parametrize(("every", "moments"), [(23, 10), pytest.param(7, 30, marks=pytest.mark.nightly)])
def test_a_published_version_survives(disk: Disk, monkeypatch: pytest.MonkeyPatch, every: int, moments: int) -> None:
    with mounted(disk.image, disk.root) as root, disk.copying(monkeypatch, every):
        rows = publishing(root, disk.report)
    assert len(disk.copies) >= moments
    assert problems_of(disk, lambda store, reported: publish_problems(store, reported, rows)) == []


def test_the_copies_lack_what_is_not_flushed(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tables, deltalog):
        monkeypatch.setattr(module, "sync_files", lambda paths, top: list(paths) and None)
    with mounted(disk.image, disk.root) as root:

        def say(line: str) -> None:
            files.write_text(root / "other", line)  # another program flushes something: the journal is committed
            disk.report(line)

        rows = publishing(root, say)
    problems = problems_of(disk, lambda store, reported: publish_problems(store, reported, rows))
    assert len({line.partition(" ")[0] for line in problems}) == 3


# nightly: three times as many moments
@pytest.mark.parametrize(("every", "moments"), [(16, 10), pytest.param(5, 30, marks=pytest.mark.nightly)])
def test_a_receipt_comes_after_the_erasure(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, every: int, moments: int
) -> None:
    with mounted(disk.image, disk.root) as root:
        store = Store.open(root, create=True)
        f.corpus(store, BATCHES)
        os.sync()
        with disk.copying(monkeypatch, every):
            forget_speaker(store, "zoe", created=f.WHEN)
            disk.report("receipt")
        rows = contents(root)

    def check(root: Path, reported: tuple[str, ...]) -> list[str]:
        store = Store.open(root)
        if receipts(store):  # from then on nothing of the speaker is on the disk
            folder = tables.folder_of("zoe")
            problems = [str(path) for path in root.rglob(folder)] + differences(contents(root), rows)
            problems += [] if len(receipts(store)) == 1 else ["two receipts"]
        else:
            problems = ["no receipt"] if reported else []
        try:
            forget_speaker(store, "zoe", created=f.WHEN)
        except StoreError as error:
            problems += [] if receipts(store) else [str(error)]
        return problems + differences(contents(root), rows)

    assert len(disk.copies) >= moments
    assert problems_of(disk, check) == []


def test_what_a_person_decided_survives(disk: Disk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights = tmp_path / "s1.safetensors"
    weights.write_bytes(b"weights" * 10_000)

    def entry(store: Store, name: str) -> None:
        training = make_training(network="s1", folder=name)
        card = make_card(voice="ann", speakers=("ann",), trainings=(training,), weights={"s1": weights.name})
        registry.add(store, card, {"s1": weights})

    def steps(store: Store) -> dict[str, Callable[[], object]]:
        change = {"who": "eve", "when": f.WHEN, "why": "test"}
        return {
            "entry 1": lambda: entry(store, "one"),
            "promotion 1": lambda: promote(store.models / "ann", 1, "trained", instead_of=0, **change),
            "entry 2": lambda: entry(store, "two"),
            "vote": lambda: votes.append(store, VOTE),
            "promotion 2": lambda: promote(store.models / "ann", 2, "trained", instead_of=1, **change),
            "grant": lambda: append_record(store, "ann", "grant", time=f.WHEN),
            "withdrawal": lambda: append_record(store, "ann", "withdraw", time=f.WHEN),
        }

    def state(store: Store) -> list[str]:
        """Names of the steps whose result the store has."""
        entries = registry.entries(store, "ann")
        assert all((item.folder / "s1.safetensors").read_bytes() == weights.read_bytes() for item in entries)
        history = [f"promotion {change.number}" for change in read_status(store.models / "ann").history]
        cast = ["vote"] * len(votes.history(store, "ann", 1, 2))
        consents = ["grant" if record.granted else "withdrawal" for record in recorded_consents(store)]
        return [*(f"entry {number}" for number, _ in enumerate(entries, 1)), *history, *cast, *consents]

    with mounted(disk.image, disk.root) as root:
        store = Store.open(root, create=True)
        with disk.copying(monkeypatch):
            for name, step in steps(store).items():
                step()
                disk.report(name)

    def check(root: Path, reported: tuple[str, ...]) -> list[str]:
        store = Store.open(root)
        problems = [f"{name} is lost" for name in reported if name not in state(store)]
        for name, step in steps(store).items():
            if name not in state(store):
                step()
        return problems + [f"{name} twice or not" for name in steps(store) if state(store).count(name) != 1]

    assert len(disk.copies) >= 20
    assert problems_of(disk, check) == []


@pytest.mark.parametrize("tail", [b"", b'{"commitInfo":{"tim'])
def test_a_torn_commit_is_ignored_and_made_again(tmp_path: Path, tail: bytes) -> None:
    rows, store = publishing(tmp_path / "store", lambda line: None), Store(tmp_path / "store")
    log = store.tables / "versions" / "_delta_log"
    (log / f"{deltalog.head(log.parent):020}.json").write_bytes(tail)  # the row was flushed before: it counts
    assert numbers(store.root) == [1, 2, 3]
    torn = store.tables / "ledger" / "_delta_log" / f"{deltalog.head(store.tables / 'ledger') + 1:020}.json"
    torn.write_bytes(tail)
    assert differences(contents(store.root), rows[3]) == []
    assert f.corpus(store, BATCHES, recipe="another") is not None
    assert numbers(store.root) == [1, 2, 3, 4]
    assert all(json.loads(line) for path in log.iterdir() for line in path.read_text().splitlines())

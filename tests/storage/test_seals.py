"""Logs of seals: short, without erased names, and complete whoever writes at the same time."""

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from support import factories as f

from voicemill.storage import seals
from voicemill.storage.checking.check import check
from voicemill.storage.corpus.sweeping import compact_seals
from voicemill.storage.files import write_text
from voicemill.storage.forgetting.forget import forget_speaker
from voicemill.storage.store import Store


def make_store(root: Path) -> Store:
    """A store of two speakers, one of whom a tombstone stands for."""
    store = Store.open(root, create=True)
    f.corpus(store, [f.make_batch(1, f.upload("ann")), f.make_batch(2, f.upload("zoe"), f.upload("bob"))])
    forget_speaker(store, "bob", created=f.WHEN)
    return store


def test_the_logs_of_seals_keep_no_erased_voice_and_do_not_grow(tmp_path: Path) -> None:
    """After a forgetting no line is left of files that are gone; a publication drops what no check needs."""
    store = make_store(tmp_path / "store")
    report = store.reports / "version-1" / "speaker-zoe.html"
    write_text(report, "page")
    digest = hashlib.sha256(b"version-1").hexdigest()[:12]
    logs = seals.logs_of(store.root)
    assert len(logs) == 2
    assert any(f"reports/#{digest}/" in log.read_text() for log in logs)
    forget_speaker(store, "zoe", created=f.WHEN)
    assert not any(f"#{digest}" in log.read_text() for log in logs)
    for number in range(50):
        write_text(store.root / "tombstones.json", (store.root / "tombstones.json").read_text())
        write_text(store.stages / "one" / f"{number}.json", "{}")
    shutil.rmtree(store.stages / "one")
    long = sum(log.stat().st_size for log in logs)
    compact_seals(store)
    short = sum(log.stat().st_size for log in logs)
    assert short < long - 50 * 100
    compact_seals(store)
    assert sum(log.stat().st_size for log in logs) == short
    assert check(store).damage == []


def test_a_seal_written_while_the_log_is_replaced_is_kept(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    paths = [store.models / f"v{number}" / "note.json" for number in range(200)]
    with ThreadPoolExecutor(4) as pool:
        written = [pool.submit(write_text, path, "{}") for path in paths]
        while not all(item.done() for item in written):
            compact_seals(store)
        for item in written:
            item.result()
    known = seals.read(store.root)
    names = [seals.sealed_path(PurePosixPath(path.relative_to(store.root).as_posix())) for path in paths]
    assert [name for name in names if name not in known.present or not known.of[name]] == []

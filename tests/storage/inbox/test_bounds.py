"""Inboxes that are too large, made to be slow, or changing while they are listed: bounded, and said in one line."""

import os
import threading
import time
from pathlib import Path

import pytest

from voicemill.storage.inbox import consent
from voicemill.storage.inbox.inbox import MOST_METADATA, Inbox
from voicemill.storage.inbox.languages import LANGUAGES, read_folder_languages
from voicemill.storage.inbox.listing import MOST_PROBLEMS
from voicemill.storage.inbox.metadata import Metadata, read_metadata
from voicemill.storage.inbox.transcripts.delimited import MOST_BROKEN, MOST_LINES
from voicemill.storage.store import Store


def read(folder: Path) -> Metadata:
    box = Inbox(folder)
    return read_metadata(box.listing(), box.read_bytes)


HEAD = "file,speaker,text\n"
SLOW = {
    "quotes inside": HEAD + 'ann/1.wav,"x"y,some\n' * 400_000,
    "quotes that stay open": HEAD + "".join(f'ann/{n}.wav,x,"some\n' for n in range(400_000)),
    "rows that end in the next one": HEAD + 'x","\n' * 1_500_000,
    "one quote that never closes": HEAD + 'ann/1.wav,"x,y\n' + "ann/1.wav,x,y\n" * 400_000,
    "rows without a file": HEAD + "".join(f"ann/{n}.wav,ann,words\n" for n in range(300_000)),
    "too many cells": HEAD + "a,a,a,a\n" * 800_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_rows_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    """86 MB of such rows were not read in 100 s, and 8 MB of some neither; good rows after them are used."""
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "a.wav").write_bytes(b"x")
    (tmp_path / "metadata.csv").write_text(SLOW[name] + "ann/a.wav,bob,words\n")
    began = time.process_time()
    metadata = read(tmp_path)
    assert time.process_time() - began < 10
    assert len(metadata.problems) <= MOST_PROBLEMS + 2
    if name in ("rows without a file", "too many cells", "one quote that never closes"):
        assert metadata.descriptions["ann/a.wav"].speaker == "bob"
    if name in ("rows without a file", "too many cells"):
        assert "more rows with problems, which are not listed" in str(metadata.problems[-1])
    elif name != "one quote that never closes":
        assert f"{MOST_BROKEN} broken rows: the lines from here on are not read" in str(metadata.problems[-1])


def test_a_row_of_many_lines_is_read_up_to_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    (tmp_path / "metadata.csv").write_text('file,text\na.wav,"' + "\n" * (MOST_LINES - 1) + 'end"\n')
    assert read(tmp_path).descriptions["a.wav"].text == "end"
    (tmp_path / "metadata.csv").write_text('file,text\na.wav,"' + "\n" * MOST_LINES + 'end"\n')
    assert [p.message for p in read(tmp_path).problems if p.line == 2] == [
        f"a row of over {MOST_LINES} lines: the row is not used"
    ]


def test_metadata_of_more_than_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    with (tmp_path / "metadata.csv").open("wb") as file:
        file.truncate(MOST_METADATA + 1)
    began = time.process_time()
    (problem,) = read(tmp_path).problems
    assert str(problem) == ("metadata.csv: over 128 MB, which is more than is read: split it, or check what it is")
    assert time.process_time() - began < 2


def test_problems_of_tables_are_counted(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    rows = "".join(f"s{n},maybe\n" for n in range(MOST_PROBLEMS + 5))
    stated = consent.read_consents(store, "speaker,consent\n" + rows)
    assert (len(stated.problems), len(stated.by_speaker)) == (MOST_PROBLEMS + 1, MOST_PROBLEMS + 5)
    assert str(stated.problems[-1]) == "consents.csv: 5 more rows with problems, which are not listed"
    folders = read_folder_languages("folder,language\n" + rows.replace("maybe", "not a language"))
    assert str(folders.problems[-1]) == f"{LANGUAGES}: 5 more rows with problems, which are not listed"


def test_a_listing_that_changes_while_it_is_read(tmp_path: Path) -> None:
    """Files and folders come and go; those that stay are listed each time, and nothing is an error."""
    stay = [f"ann/{n:03}.wav" for n in range(50)]
    (tmp_path / "ann").mkdir()
    for path in stay:
        (tmp_path / path).write_bytes(b"x")
    stop = threading.Event()

    def change() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            folder = tmp_path / f"gone{n % 5}"
            folder.mkdir(exist_ok=True)
            for name in ("a.wav", "b.wav"):
                (folder / name).write_bytes(b"x")
                (tmp_path / "ann" / f"{n % 7}-{name}").write_bytes(b"x")
            for path in (*folder.iterdir(), *(tmp_path / "ann").glob("*-*.wav")):
                path.unlink()
            folder.rmdir()

    changer = threading.Thread(target=change)
    changer.start()
    try:
        box = Inbox(tmp_path)
        met, rounds, end = 0, 0, time.monotonic() + 60
        while rounds < 400 or (met <= 5 and time.monotonic() < end):  # on a busy machine the two seldom meet
            rounds += 1
            paths = [file.path for file in box.listing().audio]
            met += len(paths) > len(stay)
            assert set(stay) <= set(paths)
    finally:
        stop.set()
        changer.join()
    assert met > 5


def test_a_folder_that_goes_before_it_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, at a chosen moment."""
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "c.wav").write_bytes(b"x")
    scandir = os.scandir

    def listing(folder: str | Path) -> object:
        if Path(folder).name == "folder":
            (tmp_path / "folder" / "c.wav").unlink()
            (tmp_path / "folder").rmdir()
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", listing)
    assert [file.path for file in Inbox(tmp_path).listing().audio] == ["a.wav", "b.wav"]

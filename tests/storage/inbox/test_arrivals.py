"""Copies into an inbox: whole files only, none over another, and repeating changes nothing."""

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support import kill_points

from voicemill.storage.errors import ConfigError, InboxError
from voicemill.storage.inbox.arrivals import Arrival, bring_uploads
from voicemill.storage.inbox.inbox import Inbox

RATE = 16_000


def recording(path: Path, seed: int, text: str = "") -> Path:
    """Write half a second of noise, and its transcript."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, RATE // 2).astype(np.float32), RATE)
    if text:
        path.with_suffix(".txt").write_text(text)
    return path


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    (tmp_path / "inbox").mkdir()
    return Inbox(tmp_path / "inbox")


def brought(inbox: Inbox, *sources: Path, speaker: str = "ann") -> list[Arrival]:
    return list(bring_uploads(sources, inbox, speaker))


def test_files_and_transcripts_are_copied_into_the_folder_of_the_speaker(inbox: Inbox, tmp_path: Path) -> None:
    one, two = recording(tmp_path / "a" / "one.wav", 1, "hello"), recording(tmp_path / "a" / "two.wav", 2)
    arrivals = brought(inbox, one, two)
    assert [(a.outcome, a.path, a.transcript) for a in arrivals] == [
        ("new", "ann/one.wav", True),
        ("new", "ann/two.wav", False),
    ]
    assert (inbox.root / "ann" / "one.wav").read_bytes() == one.read_bytes()
    assert (inbox.root / "ann" / "one.txt").read_text() == "hello"
    assert arrivals[0].size == one.stat().st_size
    assert {e.path for e in inbox.listing().audio} == {"ann/one.wav", "ann/two.wav"}
    assert set(inbox.listing().others) == {"ann/one.txt"}


def test_names_in_capitals_and_in_another_unicode_form_bring_their_transcripts(inbox: Inbox, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    loud, nfc = recording(folder / "A.WAV", 1), recording(folder / unicodedata.normalize("NFC", "é.wav"), 2)
    near, other = recording(folder / "b.wav", 3), recording(folder / "B.wav", 4)
    (folder / "A.TXT").write_text("in capitals")
    (folder / "A.RTTM").write_text("SPEAKER A 1 0.0 0.5 <NA> <NA> ann <NA> <NA>\n")
    (folder / unicodedata.normalize("NFD", "é.Lab")).write_text("of a Mac")
    (folder / "b.txt").write_text("of the small one")
    arrivals = brought(inbox, loud, nfc, near, other)
    assert [a.transcript for a in arrivals] == [True, True, True, False]
    own = inbox.root / "ann"
    assert (own / "A.txt").read_text() == "in capitals"
    assert (own / "A.rttm").exists()
    assert (own / unicodedata.normalize("NFC", "é.lab")).read_text() == "of a Mac"
    assert (own / "b.txt").read_text() == "of the small one"
    assert [a.outcome for a in brought(inbox, loud, nfc, near, other)] == ["there"] * 4


def test_repeating_changes_nothing(inbox: Inbox, tmp_path: Path) -> None:
    one = recording(tmp_path / "one.wav", 1, "hello")
    brought(inbox, one)
    before = {path: path.stat().st_mtime_ns for path in inbox.root.rglob("*")}
    copy = Path(shutil.copy(one, tmp_path / "renamed.wav"))
    assert [(a.outcome, a.path) for a in brought(inbox, one, copy)] == [("there", "ann/one.wav")] * 2
    assert {path: path.stat().st_mtime_ns for path in inbox.root.rglob("*")} == before


def test_a_missing_transcript_is_added_later(inbox: Inbox, tmp_path: Path) -> None:
    one = recording(tmp_path / "one.wav", 1)
    brought(inbox, one)
    one.with_suffix(".lab").write_text("late")
    assert [a.outcome for a in brought(inbox, one)] == ["there"]
    assert (inbox.root / "ann" / "one.lab").read_text() == "late"


def test_another_recording_of_the_same_name_gets_a_new_one(inbox: Inbox, tmp_path: Path) -> None:
    files = [recording(tmp_path / str(n) / "take.wav", n, f"text {n}") for n in range(3)]
    files.append(recording(tmp_path / "3" / "TAKE.flac", 3, "text 3"))  # a transcript is found whatever the case
    arrivals = brought(inbox, *files)
    assert [a.path for a in arrivals] == ["ann/take.wav", "ann/take-2.wav", "ann/take-3.wav", "ann/TAKE-4.flac"]
    assert len({a.path.rpartition(".")[0].lower() for a in arrivals}) == 4
    for number, arrival in enumerate(arrivals):
        target = inbox.root / arrival.path
        assert target.read_bytes() == files[number].read_bytes()
        assert target.with_suffix(".txt").read_text() == f"text {number}"
    assert all("another file has its name" in a.detail for a in arrivals[1:])


def test_a_stray_transcript_is_not_given_to_another_recording(inbox: Inbox, tmp_path: Path) -> None:
    (inbox.root / "ann").mkdir()
    (inbox.root / "ann" / "one.txt").write_text("of something else")
    (arrival,) = brought(inbox, recording(tmp_path / "one.wav", 1))
    assert arrival.path == "ann/one-2.wav"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("noise.wav", b"this is no sound", "not_audio"),
        ("empty.wav", b"", "empty"),
        ("gone.wav", None, "no such file"),
        (".hidden.wav", "audio", "hidden"),
        ("half.wav.part", "audio", "temporary"),
        ("sound.dat", "audio", "no audio extension"),
    ],
)
def test_files_that_are_no_uploads_are_refused(
    inbox: Inbox, tmp_path: Path, name: str, content: bytes | str | None, why: str
) -> None:
    path = tmp_path / name
    if content == "audio":
        recording(tmp_path / "x.wav", 1).rename(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    good = recording(tmp_path / "good.wav", 2)
    refused, taken = brought(inbox, path, good)
    assert (refused.outcome, taken.outcome) == ("refused", "new")
    assert why in refused.detail
    assert [e.path for e in inbox.listing().audio] == ["ann/good.wav"]


def test_folders_and_impossible_speakers_are_refused(inbox: Inbox, tmp_path: Path) -> None:
    (arrival,) = brought(inbox, tmp_path)
    assert "folder" in arrival.detail
    one = recording(tmp_path / "one.wav", 1)
    for speaker in ("..", "a/b", ".hidden", "x~", "a\nb", ""):
        with pytest.raises(ConfigError, match="speaker"):
            brought(inbox, one, speaker=speaker)
    outside = tmp_path / "outside"
    outside.mkdir()
    (inbox.root / "eve").symlink_to(outside)
    with pytest.raises(InboxError, match="leaves the inbox"):
        brought(inbox, one, speaker="eve")
    assert list(outside.iterdir()) == []


def work(root: Path, sources: list[Path]) -> None:
    """The work that is killed, in a process of its own."""
    list(bring_uploads(sources, Inbox(root), "ann"))


def test_killed_anywhere_no_scan_sees_half_a_file(tmp_path: Path) -> None:
    """Repeating it copies what is missing, under the same names."""
    sources = [recording(tmp_path / "from" / f"{n}.wav", n, f"text {n}") for n in range(2)]
    (tmp_path / "whole").mkdir()
    steps = kill_points.run(work, tmp_path / "whole", sources, root=tmp_path / "whole")
    assert steps > 6
    for at in range(1, steps + 1):
        root = tmp_path / f"killed-{at}"
        root.mkdir()
        kill_points.run(work, root, sources, root=root, at=at)
        listing = Inbox(root).listing()
        for entry in listing.audio:
            original = tmp_path / "from" / Path(entry.path).name
            assert (root / entry.path).read_bytes() == original.read_bytes()
            assert (root / entry.path).with_suffix(".txt").read_text() == original.with_suffix(".txt").read_text()
        work(root, sources)
        listing = Inbox(root).listing()
        assert [e.path for e in listing.audio] == ["ann/0.wav", "ann/1.wav"]
        assert set(listing.others) == {"ann/0.txt", "ann/1.txt"}


def test_turns_come_along_before_the_recording_that_they_make_mixed(inbox: Inbox, tmp_path: Path) -> None:
    talk = recording(tmp_path / "talk.wav", 1, text="hello")
    talk.with_suffix(".rttm").write_text("SPEAKER talk 1 0.0 0.2 <NA> <NA> ann <NA> <NA>\n")
    (arrival,) = bring_uploads([talk], inbox, "ann")
    assert (arrival.outcome, arrival.transcript) == ("new", True)
    names = sorted(path.name for path in (inbox.root / "ann").iterdir())
    assert names == ["talk.rttm", "talk.txt", "talk.wav"]
    (inbox.root / "ann" / "talk.rttm").unlink()
    (arrival,) = bring_uploads([talk], inbox, "ann")
    assert (arrival.outcome, (inbox.root / "ann" / "talk.rttm").is_file()) == ("there", True)

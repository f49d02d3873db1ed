"""Recordings of which the times of texts are known, and refused tables, through a scan."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from voicemill.storage.inbox.transcripts.rows import Passage
from voicemill.storage.records import Turn
from voicemill.storage.store import Store
from voicemill.storage.units import RATE
from voicemill.tasks.intake.passages import TimedText, timed_text
from voicemill.tasks.intake.scan import ScanResult, Settings, scan


def put(path: Path, seconds: float = 4.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(int(seconds * 16_000), len(path.name) / 100, np.float32), 16_000)


def look(folder: Path) -> ScanResult:
    store = Store.open(folder.parent / "store", create=True)
    return scan(folder, store, Settings(), assume_consent="test")


def test_parts_and_people() -> None:
    rows = (Passage(0.0, 1.0, "a b"), Passage(1.5, 4.0, "c", "bob"))
    assert timed_text(rows[:1], "ann", 1.5) == TimedText("a b")
    turn = Turn(0, RATE, "ann")
    note = "its texts cover 1.0 of 4.0 s: only these parts are used"
    assert timed_text(rows[:1], "ann", 4.0) == TimedText("a b", (turn,), note=note)
    both = (turn, Turn(RATE * 3 // 2, RATE * 4, "bob"))
    assert timed_text(rows, "ann", 4.0) == TimedText("a b", both, mixed=True)
    other = timed_text((Passage(0, 1, "x", "eve"), Passage(1, 4, "y", "bob")), "ann", 4.0)
    assert (other.text, other.mixed, len(other.turns)) == ("", True, 2)
    assert other.note == "several people speak in it (bob, eve), none of them ann: no text is used"


@pytest.mark.parametrize("ending", ["srt", "vtt", "TextGrid"])
def test_transcripts_with_times_beside_the_audio(tmp_path: Path, ending: str) -> None:
    inbox = tmp_path / "inbox"
    put(inbox / "ann" / "a.wav")
    head = "WEBVTT\n\n" if ending == "vtt" else "1\n"
    text = f"{head}00:00:00.500 --> 00:00:01.500\nhello there\n"
    if ending == "TextGrid":
        text = (
            '"ooTextFile"\n"TextGrid"\n0\n4\n<exists>\n1\n"IntervalTier"\n"words"\n0\n4\n1\n0.5\n1.5\n"hello there"\n'
        )
    (inbox / "ann" / f"a.{ending}").write_text(text, encoding="utf-16")
    (upload,) = (result := look(inbox)).uploads
    assert (upload.text, upload.mixed, upload.turns) == ("hello there", False, (Turn(RATE // 2, RATE * 3 // 2, "ann"),))
    assert [str(problem) for problem in result.problems] == [
        "ann/a.wav: its texts cover 1.0 of 4.0 s: only these parts are used"
    ]


def test_a_refused_table_holds_only_those_whom_a_refusal_may_mean(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    put(inbox / "ann" / "a.wav")
    put(inbox / "ann" / "bb.wav")
    (inbox / "metadata.csv").write_text("ann/a.wav|zoe|yes\nann/bb.wav|eve|no\n")
    result = look(inbox)
    assert [(upload.path, upload.text) for upload in result.uploads] == [("ann/a.wav", ""), ("ann/bb.wav", "")]
    assert "its first row 'ann/a.wav|zoe|yes' is no header" in str(result.problems[0])
    (inbox / "consents.csv").write_text("speaker,consent\nzoe,no\n")
    assert {row.path for row in look(inbox).others if row.reason == "unknown_speaker"} == {"ann/a.wav", "ann/bb.wav"}


def test_a_speaker_in_a_column_that_is_not_known(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    put(inbox / "all" / "a.wav")
    put(inbox / "all" / "bb.wav")
    (inbox / "all" / "metadata.csv").write_text("file;text;Sprecher\na.wav;hello;Anna\nbb.wav;bye;Bob\n")
    assert len(look(inbox).uploads) == 2
    (inbox / "consents.csv").write_text("speaker,consent\nanna,no\n")
    result = look(inbox)
    assert [(upload.path, upload.text) for upload in result.uploads] == [("all/bb.wav", "bye")]
    assert [(row.path, row.reason) for row in result.others] == [("all/a.wav", "unknown_speaker")]


def test_the_consent_of_a_speaker_whom_a_table_names(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    for name in ("a.wav", "bb.wav"):
        put(inbox / "all" / name)
    (inbox / "all" / "metadata.csv").write_text("audio_file|text|speaker_name\na.wav|hello|Zoe\u0308\nbb.wav|bye|ann\n")
    (inbox / "consents.csv").write_text("speaker,consent\nZo\u00eb,no\n")
    result = look(inbox)
    assert [(upload.path, upload.speaker, upload.text) for upload in result.uploads] == [("all/bb.wav", "ann", "bye")]
    assert result.held == {"Zo\u00eb": 1}

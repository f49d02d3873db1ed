"""scan: every file of an inbox gets one state, and a quiet inbox is not read again."""

import os
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.errors import ConfigError, InboxError
from voicemill.storage.forgetting import tombstones
from voicemill.storage.inbox import consent
from voicemill.storage.keys import file_digest
from voicemill.storage.outcomes import UploadState
from voicemill.storage.records import Upload
from voicemill.storage.store import Store
from voicemill.tasks.intake.scan import ScanResult, Settings, fetch, scan

SHARED = Path(__file__).resolve().parents[4] / "shared" / "speech"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def put(path: Path, seed: int = 0, seconds: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * 8000))
    soundfile.write(path, wave, 8000, format="WAV")
    return path


def look(inbox: Path | str, store: Store, assume: str | None = "test", **more: Any) -> ScanResult:
    return scan(inbox, store, Settings(), assume_consent=assume, **more)


def states(result: ScanResult) -> dict[str, str]:
    return {row.path: row.state.value for row in result.others} | {upload.path: "" for upload in result.uploads}


@pytest.mark.realdata
@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/speech")
def test_the_recordings_are_read_right(store: Store) -> None:
    result = look(SHARED / "recordings", store)
    assert (len(result.uploads), len({u.speaker for u in result.uploads})) == (566, 138)
    assert (result.others, result.problems, result.ignored) == ((), (), 1)
    assert sum(u.seconds for u in result.uploads) / 60 == pytest.approx(83.16, abs=0.01)
    assert {u.rate for u in result.uploads} <= set(range(8000, 48_001))
    assert sum(bool(u.text) for u in result.uploads) == 466
    by_path = {u.path: u for u in result.uploads}
    first = by_path["libri_1688/1688-142285-0000.flac"]
    assert first.language == "en"
    assert first.text.startswith("there's iron they say in all our blood")
    assert sum(u.language == "zh" for u in result.uploads) == 164
    assert look(SHARED / "recordings", store).hashed == 0


@pytest.mark.realdata
@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/speech")
def test_a_flat_inbox_has_the_default_speaker(store: Store) -> None:
    result = look(SHARED / "formats", store)
    assert (len(result.uploads), {u.speaker for u in result.uploads}) == (45, {"default"})


def test_a_header_is_described_and_a_file_that_is_no_audio_is_still_an_upload(inbox: Path, store: Store) -> None:
    put(inbox / "anna" / "a.WAV", seconds=2)
    (inbox / "anna" / "b.mp3").write_text("no audio")
    a, b = look(inbox, store).uploads
    assert (a.codec, a.rate, a.channels, a.seconds, a.consent) == ("wav/pcm_16", 8000, 1, 2.0, "assumed: test")
    assert a.sha256 == file_digest(inbox / "anna" / "a.WAV")
    assert (b.codec, b.seconds, b.size) == ("", 0.0, 8)


def test_a_quiet_inbox_is_not_read_again(inbox: Path, store: Store) -> None:
    for number in range(5):
        put(inbox / "anna" / f"{number}.wav", number)
    (inbox / "anna" / "0.txt").write_text("Eins  zwei\n")
    first = look(inbox, store)
    assert first.hashed == 5
    memory = next((store.stages / "scan").iterdir())
    written = memory.stat().st_mtime_ns
    second = look(inbox, store)
    assert (second.hashed, second.uploads, memory.stat().st_mtime_ns) == (0, first.uploads, written)
    assert second.uploads[0].text == "Eins zwei"


def test_turns_beside_a_recording_make_it_mixed(inbox: Path, store: Store) -> None:
    for number, name in enumerate(("plain", "told", "Talk", "bad")):
        put(inbox / "anna" / f"{name}.wav", number)
    line = "SPEAKER {} 1 0.5 1.0 <NA> <NA> {} <NA> <NA>\n"
    (inbox / "anna" / "talk.RTTM").write_text(line.format("any", "anna") + line.format("any", "bo"))
    (inbox / "anna" / "bad.rttm").write_text("SPEAKER bad 1 0.5\n")
    (inbox / "anna" / "other.rttm").write_text(line.format("other", "bo"))
    (inbox / "metadata.csv").write_text("file,mixed\nanna/told.wav,yes\n")
    result = look(inbox, store)
    facts = {upload.path[5:-4]: (upload.mixed, [turn.voice for turn in upload.turns]) for upload in result.uploads}
    assert facts == {
        "plain": (False, []), "told": (True, []), "Talk": (True, ["anna", "bo"]), "bad": (True, []),
    }  # fmt: skip
    (problem,) = result.problems
    assert str(problem).startswith("anna/bad.rttm: line 1: 4 fields instead of 10")
    assert str(problem).endswith("the voices are told apart by their sound")
    assert result.ignored == 1


def test_other_content_under_the_same_path_size_and_time_is_seen(inbox: Path, store: Store) -> None:
    path = put(inbox / "anna" / "a.wav", 1)
    old, (before,) = path.stat(), look(inbox, store).uploads
    put(path, 2)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert path.stat().st_size == old.st_size
    (after,) = look(inbox, store).uploads
    assert after.sha256 == file_digest(path) != before.sha256


def test_a_damaged_memory_costs_one_reading(inbox: Path, store: Store) -> None:
    put(inbox / "anna" / "a.wav")
    first = look(inbox, store)
    next((store.stages / "scan").iterdir()).write_bytes(b"PAR1 not really")
    again = look(inbox, store)
    assert (again.hashed, again.uploads) == (1, first.uploads)


def test_hidden_temporary_and_other_files_are_no_uploads(inbox: Path, store: Store) -> None:
    for name in (".a.wav", "a.wav.part", "b.tmp", "c.wav~", ".cache/d.wav", "notes.pdf", "README.md"):
        put(inbox / "anna" / name)
    put(inbox / "anna" / "e.wav")
    result = look(inbox, store)
    assert [u.path for u in result.uploads] == ["anna/e.wav"]
    assert result.ignored == 2


def test_folders_that_are_passed_over_are_named(inbox: Path, store: Store) -> None:
    for name in (".hidden/a.wav", "ann/takes.tmp/b.wav", "ann/c.wav"):
        put(inbox / name, len(name))
    (inbox / "again").symlink_to(inbox / "ann", target_is_directory=True)
    os.mkfifo(inbox / "pipe.wav")
    result = look(inbox, store)
    assert states(result) == {"ann/c.wav": "", "pipe.wav": "refused"}
    named = {problem.path: problem.message for problem in result.problems}
    assert named == {
        ".hidden": "passed over: its name is hidden or temporary",
        "ann/takes.tmp": "passed over: its name is hidden or temporary",
        "again": "passed over: it is a link to a folder of the inbox, whose files are read there",
    }


def test_a_tree_deeper_than_the_stack_and_than_a_path_may_be(inbox: Path, store: Store) -> None:
    """1,500 folders, one in the other: the recordings whose path the system takes are read, the rest is named."""
    recording = put(inbox.parent / "r.wav")
    place = os.open(inbox, os.O_RDONLY)
    for depth in range(2500):
        os.mkdir("d", dir_fd=place)
        place, above = os.open("d", os.O_RDONLY, dir_fd=place), place
        os.close(above)
        if depth in (1500, 2400):
            target = os.open("r.wav", os.O_WRONLY | os.O_CREAT, dir_fd=place)
            os.write(target, recording.read_bytes())
            os.close(target)
    os.close(place)
    result = look(inbox, store)
    assert [upload.path.count("/") for upload in result.uploads] == [1501]
    assert [row.detail for row in result.others] == ["the folder cannot be listed: File name too long"]
    subprocess.run(["rm", "-r", str(inbox)], check=True)  # shutil.rmtree ends in a RecursionError


def test_what_goes_away_while_it_is_listed_is_not_there(inbox: Path, store: Store) -> None:
    put(inbox / "ann" / "stays.wav")
    command = f"""
import os, shutil
while True:
    for n in range(20):
        os.makedirs("{inbox}/bob/%d/in" % n, exist_ok=True)
        open("{inbox}/bob/%d/in/x.wav" % n, "wb").write(b"RIFF")
        open("{inbox}/bob/%d/in/x.txt" % n, "w").write("text")
    shutil.rmtree("{inbox}/bob")
"""
    churn = subprocess.Popen([sys.executable, "-c", command])
    try:
        met: set[int] = set()
        end = time.monotonic() + 60
        while len(met) < 5 and time.monotonic() < end:
            result = look(inbox, store)
            assert "ann/stays.wav" in {upload.path for upload in result.uploads}
            met.add(len(result.uploads) + len(result.others))
        assert len(met) > 1
    finally:
        churn.kill()
        churn.wait()


def test_links_that_leave_and_bad_names_are_refused(tmp_path: Path, inbox: Path, store: Store) -> None:
    outside = put(tmp_path / "outside" / "secret.wav", 3)
    put(inbox / "anna" / "a.wav", 1)
    (inbox / "anna" / "link.wav").symlink_to(outside)
    (inbox / "bob").symlink_to(outside.parent)
    (inbox / "anna" / "gone.wav").symlink_to(inbox / "nowhere")
    (inbox / "anna" / "same.wav").symlink_to("a.wav")
    (inbox / "carl").symlink_to(inbox / "anna")
    put(inbox / "anna" / "..\\..\\x.wav", 4)
    Path(os.fsdecode(os.fsencode(inbox / "anna") + b"/\xff.wav")).write_bytes(b"RIFF")
    result = look(inbox, store)
    assert states(result) == {
        "anna/a.wav": "",
        "anna/same.wav": "duplicate",
        "anna/link.wav": "refused",
        "anna/gone.wav": "refused",
        "anna/..\\..\\x.wav": "refused",
        "anna/\\xff.wav": "refused",
        "bob": "refused",
    }
    assert file_digest(outside) not in {u.sha256 for u in result.uploads} | {r.sha256 for r in result.others}


def test_a_file_that_becomes_a_link_is_not_fetched(tmp_path: Path, inbox: Path, store: Store) -> None:
    path = put(inbox / "anna" / "a.wav")
    (upload,) = look(inbox, store).uploads
    assert fetch(str(inbox), upload, store) == path
    path.unlink()
    path.symlink_to(put(tmp_path / "secret.wav"))
    with pytest.raises(PermissionError, match="leaves the inbox"):
        fetch(str(inbox), upload, store)


def test_paths_in_metadata_that_leave_the_inbox_are_refused(tmp_path: Path, inbox: Path, store: Store) -> None:
    secret = put(tmp_path / "secret.wav", 5)
    put(inbox / "sub" / "a.wav")
    rows = ["../secret.wav", str(secret), "sub\\a.wav", "..\\secret.wav", "C:\\secret.wav", "sub/../../secret.wav"]
    lines = "\n".join(f"anna,{row},en,hello" for row in rows)
    (inbox / "metadata.csv").write_text(f"speaker,file,language,text\n{lines}\neve/../x,sub/a.wav,en,hi\n")
    result = look(inbox, store)
    assert {path for path, state in states(result).items() if state == "refused"} == {*rows, "sub/a.wav"} - {
        "sub\\a.wav"
    }
    assert result.uploads == ()
    assert [problem.line for problem in result.problems] == [2, 3, 5, 6, 7, 8]


def test_the_same_bytes_stay_once(inbox: Path, store: Store) -> None:
    for name in ("b", "a", "c"):
        put(inbox / "anna" / f"{name}.wav", 7)
    result = look(inbox, store)
    assert states(result) == {"anna/a.wav": "", "anna/b.wav": "duplicate", "anna/c.wav": "duplicate"}
    assert result.others[0].detail == "same bytes as anna/a.wav"
    known = row_of(replace(result.uploads[0], path="anna/c.wav"))  # which had arrived first
    assert [u.path for u in look(inbox, store, known=[known]).uploads] == ["anna/a.wav"]
    assert [u.path for u in look(inbox, store, known=[replace(known, path="gone.wav")]).uploads] == ["anna/a.wav"]


def row_of(upload: Upload) -> UploadRow:
    return UploadRow(
        sha256=upload.sha256,
        speaker=upload.speaker,
        path=upload.path,
        size=upload.size,
        codec="",
        rate=0,
        channels=0,
        samples=0,
        seconds=0.0,
        language="",
        consent="",
        state=UploadState.PREPARED,
        reason="",
        detail="",
        batch="0" * 16,
        batch_number=1,
        pcm="",
    )


def test_the_same_bytes_under_two_speakers_need_both_consents(inbox: Path, store: Store) -> None:
    put(inbox / "anna" / "a.wav", 7)
    put(inbox / "bob" / "a.wav", 7)
    consent.append_record(store, "bob", "grant", time="2026-01-01T00:00:00+00:00")
    result = look(inbox, store, None)
    assert states(result) == {"anna/a.wav": "held", "bob/a.wav": "held"}
    consent.append_record(store, "anna", "grant", time="2026-01-02T00:00:00+00:00")
    result = look(inbox, store, None)
    assert states(result) == {"anna/a.wav": "", "bob/a.wav": "duplicate"}
    assert "several speakers (anna, bob): counted for anna" in str(result.problems[0])
    bobs = row_of(replace(result.uploads[0], speaker="bob", path="bob/older.wav"))
    put(inbox / "bob" / "b.wav", 7)
    result = look(inbox, store, None, known=[bobs])  # bob had them first, and keeps them
    assert states(result) == {"anna/a.wav": "duplicate", "bob/a.wav": "", "bob/b.wav": "duplicate"}


def test_of_many_problems_the_first_are_listed(inbox: Path, store: Store) -> None:
    rows = "file,text\n" + "".join(f"{n}.wav,words\n" for n in range(1000))
    for n in range(12):
        put(inbox / f"s{n:02}" / "a.wav", 7)
        (inbox / f"s{n:02}" / "metadata.csv").write_text(rows)
    problems = look(inbox, store).problems
    assert len(problems) == 10_001
    assert str(problems[-1]) == ".: 2,001 more rows with problems, which are not listed"
    for n in range(12):
        (inbox / f"s{n:02}" / "metadata.csv").unlink()
    (problem,) = look(inbox, store).problems
    assert "several speakers (s00, s01, s02, s03, s04 and 7 more): counted for s00" in str(problem)


# nightly: 20 s. On a push the same steps run on a few files
@pytest.mark.nightly
@pytest.mark.slow
def test_a_hundred_thousand_empty_files(inbox: Path, store: Store) -> None:
    """Processor time of the first scan 11 s, of the next ones 4 s; one upload, and a row for each of the others."""
    for speaker in range(100):
        (inbox / f"s{speaker}").mkdir()
        for n in range(1000):
            (inbox / f"s{speaker}" / f"{n}.wav").touch()
    for limit in (40, 15):
        began = time.process_time()
        result = look(inbox, store)
        assert time.process_time() - began < limit
        assert ([upload.path for upload in result.uploads], result.problems) == (["s0/0.wav"], ())
        assert len(result.others) == 99_999
        assert {row.state for row in result.others} == {UploadState.DUPLICATE}


def test_empty_files_of_two_speakers_are_no_conflict(inbox: Path, store: Store) -> None:
    for speaker in ("anna", "bob"):
        put(inbox / speaker / "a.wav").write_bytes(b"")
    (inbox / "consents.csv").write_text("speaker,consent\nbob,yes\n")
    result = look(inbox, store, None)
    assert states(result) == {"anna/a.wav": "held", "bob/a.wav": ""}
    assert result.problems == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("consents.csv", b"speaker,consent\nbob,no\n\xff"),
        ("consents.csv", b"speaker,consent\nbob,no\n" + b"\n" * (8 << 20)),
        ("consents.csv", "speaker,consent\nbob,no\n".encode("utf-16")[:-1]),
        ("Consents.CSV", b"name\nbob\n"),
    ],
    ids=["a byte", "too large", "cut off", "another case"],
)
def test_a_consent_table_that_cannot_be_read_stops_the_refresh(
    inbox: Path, store: Store, name: str, content: bytes
) -> None:
    """A refusal may stand in it, also of those whom the command granted."""
    put(inbox / "anna" / "a.wav")
    (inbox / name).write_bytes(content)
    consent.append_record(store, "anna", "grant", time="2026-01-01T00:00:00+00:00")
    with pytest.raises(ConfigError, match=rf"^{name}:?.*expected.*nothing is prepared: fix it and run"):
        look(inbox, store, "our own voices")


def test_a_consent_table_that_leaves_the_inbox_or_is_there_twice_stops_the_refresh(
    tmp_path: Path, inbox: Path, store: Store
) -> None:
    put(inbox / "anna" / "a.wav")
    (tmp_path / "elsewhere.csv").write_text("speaker,consent\nanna,no\n")
    (inbox / "consents.csv").symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(ConfigError, match="it is not read: a link that leaves the inbox"):
        look(inbox, store)
    (inbox / "consents.csv").unlink()
    for name in ("consents.csv", "CONSENTS.csv"):
        (inbox / name).write_text("speaker,consent\nanna,no\n")
    with pytest.raises(ConfigError, match=r"several files have this name in different cases \(CONSENTS.csv, cons"):
        look(inbox, store)
    (inbox / "consents.csv").unlink()
    assert states(look(inbox, store)) == {"anna/a.wav": "held"}


@pytest.mark.parametrize(
    "name",
    ["bob/consents.csv", "Consents.txt", "consent.csv", "consents.xlsx", "consents (1).csv", "x_consents-2.json"],
)
def test_beside_a_table_of_consents_under_another_name_none_is_assumed(inbox: Path, store: Store, name: str) -> None:
    """A refusal may stand in it."""
    for number, speaker in enumerate(("anna", "bob")):
        put(inbox / speaker / "a.wav", number)
    (inbox / "consents.csv").write_text("speaker,consent\nanna,yes\n")
    assert set(states(look(inbox, store)).values()) == {""}
    (inbox / name).write_text("speaker,consent\nbob,no\n")
    result = look(inbox, store)
    assert states(result) == {"anna/a.wav": "", "bob/a.wav": "held"}
    assert str(result.problems[0]).startswith(f"{name}: not read, so no consent is assumed: consents are read from")


UNREADABLE_METADATA = {
    "another encoding": "file,speaker\nbob/a.wav,Zoë\n".encode("latin-1"),
    "no column file": b"path,who\nbob/a.wav,zoe\n",
    "a cell too many": b"file,speaker\nbob/a.wav,zoe,more\n",
    "an open quote": b'file,speaker\nbob/a.wav,"zoe\n',
    "two speakers": b"file,speaker\nbob/a.wav,bob\nbob/a.wav,zoe\n",
}


@pytest.mark.parametrize("content", UNREADABLE_METADATA.values(), ids=UNREADABLE_METADATA)
def test_uploads_whose_speaker_stands_in_metadata_that_cannot_be_read_are_held(
    inbox: Path, store: Store, content: bytes
) -> None:
    """They would count for the speaker of the folder, and the refusal of the other would be missed."""
    put(inbox / "bob" / "a.wav")
    (inbox / "consents.csv").write_text("speaker,consent\nbob,yes\nzoe,no\n")
    (inbox / "metadata.csv").write_bytes(content)
    result = look(inbox, store)
    (row,) = result.others
    assert (row.state, row.reason, "metadata.csv" in row.detail) == (UploadState.HELD, "unknown_speaker", True)
    assert (result.uploads, result.held) == ((), {})
    assert f".: 1 upload is held: {row.detail}" in map(str, result.problems)
    (inbox / "metadata.csv").unlink()
    assert states(look(inbox, store)) == {"bob/a.wav": ""}


def test_metadata_that_cannot_be_read_holds_what_is_below_its_folder(inbox: Path, store: Store) -> None:
    for number, path in enumerate(("bob/a.wav", "bob/sub/b.wav", "bob/c.wav", "ann/d.wav")):
        put(inbox / path, number)
    (inbox / "bob" / "x.list").write_text("c.wav|bob|en|words\n")
    (inbox / "bob" / "metadata.csv").write_text("who,where\n")
    assert states(look(inbox, store)) == {
        "bob/a.wav": "held", "bob/sub/b.wav": "held", "bob/c.wav": "", "ann/d.wav": "",
    }  # fmt: skip


def test_folders_and_files_that_differ_in_case_keep_their_own_texts(inbox: Path, store: Store) -> None:
    names = {"Anna/001": "001.txt", "anna/001": "001.TXT", "mix/U": "U.lab", "mix/u": "u.txt", "one/Talk": "talk.Txt"}
    for number, (stem, text) in enumerate(names.items()):
        put(inbox / f"{stem}.wav", number)
        (inbox / stem).with_name(text).write_text(f"words of {stem}")
    nfc, nfd = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    for number, name in enumerate((nfc, nfd)):
        put(inbox / "forms" / f"{name}.wav", 10 + number)
        (inbox / "forms" / f"{name}.txt").write_text(f"words of {len(name)}")
    result = look(inbox, store)
    texts = {upload.path.removesuffix(".wav"): upload.text for upload in result.uploads}
    assert texts == {stem: f"words of {stem}" for stem in names} | {
        f"forms/{nfc}": "words of 1", f"forms/{nfd}": "words of 2",
    }  # fmt: skip
    assert (result.ignored, [str(problem) for problem in result.problems]) == (
        0, ["Anna: 'Anna', 'anna' are nearly one name: taken as 2 speakers"],
    )  # fmt: skip


PARTS = ("a", "A", "é", "e\u0301", "É", "a ", "ß", "ss", "b")


@settings(max_examples=25, deadline=None)
@given(st.sets(st.lists(st.sampled_from(PARTS), min_size=2, max_size=4).map("/".join), min_size=1, max_size=8))
def test_in_a_random_tree_every_recording_has_the_text_beside_it(stems: set[str]) -> None:
    """Names differ in case, Unicode form and spaces; each recording and its text state whose they are."""
    with tempfile.TemporaryDirectory() as root:
        inbox = Path(root, "inbox")
        for number, stem in enumerate(sorted(stems)):
            put(inbox / f"{stem}.wav", number)
            (inbox / f"{stem}.txt").write_text(f"words of {number}")
        result = look(inbox, Store.open(Path(root, "store"), create=True))
        texts = {upload.path.removesuffix(".wav"): upload.text for upload in result.uploads}
        assert texts == {stem: f"words of {number}" for number, stem in enumerate(sorted(stems))}
        assert result.ignored == 0


def test_a_stated_language_counts_and_a_text_in_another_is_named(inbox: Path, store: Store) -> None:
    texts = {
        "anna/a": "Das ist nicht das, was ich wollte.",
        "anna/b": "Es war einmal und ist nicht mehr.",
        "bo/c": "我们今天去看电影",
    }
    texts |= {"bo/d": "Seven.", "cy/e": "This is what they said of it."}
    for number, (name, text) in enumerate(texts.items()):
        put(inbox / f"{name}.wav", number)
        (inbox / f"{name}.txt").write_text(text)
    result = look(inbox, store, language="en")
    assert {upload.language for upload in result.uploads} == {"en"}
    lines = [(problem.path, problem.message.partition(": ")[0]) for problem in result.problems]
    assert lines == [
        ("anna/a.wav", "language en is stated and counts, but 2 texts of anna read as texts in de"),
        ("bo/c.wav", "language en is stated and counts, but its text reads as one in zh"),
    ]
    assert look(inbox, store).problems == ()


def test_a_text_that_may_belong_to_two_recordings_is_used_for_none(inbox: Path, store: Store) -> None:
    for number, name in enumerate(("Node", "nodE")):
        put(inbox / "bob" / f"{name}.wav", number)
    (inbox / "bob" / "NODE.txt").write_text("whose?")
    (inbox / "bob" / "node.rttm").write_text("SPEAKER a 1 0.0 1.0 <NA> <NA> x <NA> <NA>\n")
    result = look(inbox, store)
    assert [(upload.text, upload.mixed, upload.turns) for upload in result.uploads] == [("", True, ())] * 2
    assert [str(problem) for problem in result.problems] == [
        "bob/NODE.txt: not used: it differs from the name of Node, nodE and is not the only one",
        "bob/node.rttm: not used: it differs from the name of Node, nodE and is not the only one",
    ]


def test_a_refusal_is_found_in_any_spelling(inbox: Path, store: Store) -> None:
    """Composed and decomposed letters are one name."""
    put(inbox / unicodedata.normalize("NFC", "zoë") / "a.wav")
    (inbox / "consents.csv").write_text(unicodedata.normalize("NFD", "speaker,consent\nzoë,no\n"), encoding="utf-8")
    assert list(states(look(inbox, store, "our own voices")).values()) == ["held"]


def test_without_consent_an_upload_is_held(inbox: Path, store: Store) -> None:
    for number, speaker in enumerate(("anna", "bob", "carl", "dora")):
        put(inbox / speaker / "a.wav", number)
    (inbox / "consents.csv").write_text("speaker,consent,note\nanna,yes,by mail\nbob,no,\ndora,perhaps,\n")
    result = look(inbox, store, None)
    assert [(u.speaker, u.consent) for u in result.uploads] == [("anna", "consents.csv: yes (by mail)")]
    assert {row.speaker: row.detail for row in result.others} == {
        "bob": "consents.csv: no",
        "carl": "no consent on record",
        "dora": "consents.csv: no",
    }
    assert result.held == {"bob": 1, "carl": 1, "dora": 1}
    assert [str(problem) for problem in result.problems] == [
        "consents.csv:4: consent of 'dora' is 'perhaps', not yes or no: taken as no"
    ]
    assumed = look(inbox, store, "our own voices")
    assert [(u.speaker, u.consent) for u in assumed.uploads[1:]] == [("carl", "assumed: our own voices")]


def test_what_was_forgotten_does_not_come_back(inbox: Path, store: Store) -> None:
    path = put(inbox / "anna" / "a.wav")
    tombstones.add(store, [file_digest(path)], [])
    put(inbox / "bob" / "under another name.wav").write_bytes(path.read_bytes())
    result = look(inbox, store)
    assert {(row.state, row.detail) for row in result.others} == {(UploadState.REFUSED, "forgotten")}
    assert (len(result.others), result.uploads) == (2, ())


UNREADABLE = """
import os, sys
from pathlib import Path
import av, soundfile, soxr
from voicemill.storage.store import Store
from voicemill.tasks.intake.scan import Settings, scan
if os.geteuid() == 0:
    os.seteuid(65534)  # root may read everything
result = scan(sys.argv[1], Store(Path(sys.argv[2])), Settings(), assume_consent="test")
for upload in result.uploads:
    print(upload.path, "ready")
for row in result.others:
    print(row.path, row.state, row.reason)
for problem in result.problems:
    print(problem.path, "problem")
"""


def as_nobody(inbox: Path, store: Path) -> list[str]:
    command = [sys.executable, "-c", UNREADABLE, str(inbox), str(store)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_file_that_cannot_be_read_is_failed_and_tried_again() -> None:
    with tempfile.TemporaryDirectory() as name:  # where everybody may look
        inbox, store = Path(name, "inbox"), Path(name, "store")
        put(inbox / "anna" / "a.wav", 1)
        blocked = put(inbox / "anna" / "b.wav", 2)
        blocked.chmod(0)
        store.mkdir()
        store.chmod(0o777)
        Path(name).chmod(0o755)
        assert as_nobody(inbox, store) == ["anna/a.wav ready", "anna/b.wav failed unreadable"]
        blocked.chmod(0o644)
        assert as_nobody(inbox, store) == ["anna/a.wav ready", "anna/b.wav ready"]
        blocked.chmod(0)
        assert as_nobody(inbox, store) == ["anna/a.wav ready", "anna/b.wav ready", "anna/b.wav problem"]


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[str]:
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.pipe("/box/anna/a.wav", put(tmp_path / "a.wav", 1).read_bytes())
    fs.pipe("/box/bob/b.wav", put(tmp_path / "b.wav", 2).read_bytes())
    fs.pipe("/box/anna/a.txt", "Grüße".encode())
    fs.pipe("/box/consents.csv", b"speaker,consent\nanna,yes\n")
    yield "memory://box"
    fs.rm("/box", recursive=True)


def test_an_inbox_on_another_file_system(remote: str, tmp_path: Path, store: Store) -> None:
    result = look(remote, store, None)
    (upload,) = result.uploads
    assert (upload.path, upload.text, upload.sha256) == ("anna/a.wav", "Grüße", file_digest(tmp_path / "a.wav"))
    assert states(result) == {"anna/a.wav": "", "bob/b.wav": "held"}
    downloads = store.stages / "inbox"
    assert [path.name for path in downloads.iterdir()] == [upload.sha256]
    assert look(remote, store, None).hashed == 0
    (downloads / upload.sha256).unlink()
    assert file_digest(fetch(remote, upload, store)) == upload.sha256


def test_file_urls_are_folders(inbox: Path, store: Store) -> None:
    put(inbox / "anna" / "a.wav")
    assert look(f"file://{inbox}", store).uploads == look(inbox, store).uploads


@pytest.mark.parametrize("url", ["/no/such/folder", "memory://nowhere", "nosuchprotocol://x"])
def test_an_inbox_that_is_not_there_is_one_clear_error(url: str, store: Store) -> None:
    with pytest.raises(InboxError, match=r"inbox|nosuchprotocol"):
        look(url, store)


def test_a_wrong_default_language_is_refused_by_name() -> None:
    assert Settings(default_language="zh-CN").default_language == "zh"
    with pytest.raises(ValidationError, match=r"scan\.default_language"):
        Settings(default_language="klingonish")


def test_metadata_then_the_folder_then_the_option_then_the_setting_state_the_language(
    inbox: Path, store: Store
) -> None:
    for seed, path in enumerate(("anna/0.wav", "anna/1.wav", "ben/0.wav")):
        put(inbox / path, seed)
    (inbox / "metadata.csv").write_text("file,language\nanna/0.wav,fr\n")
    (inbox / "languages.csv").write_text("folder,language\nanna,de\n")
    settings = Settings(default_language="ja")

    def languages(**more: Any) -> dict[str, str]:
        result = scan(inbox, store, settings, assume_consent="test", **more)
        assert (result.problems, result.ignored) == ((), 0)
        return {upload.path: upload.language for upload in result.uploads}

    assert languages() == {"anna/0.wav": "fr", "anna/1.wav": "de", "ben/0.wav": "ja"}
    assert languages(language="Mandarin") == {"anna/0.wav": "fr", "anna/1.wav": "de", "ben/0.wav": "zh"}
    with pytest.raises(ConfigError, match="--language: 'klingonish!'"):
        languages(language="klingonish!")


CUE = "WEBVTT\n\n00:00.000 --> 00:00.100\n{}\n"


def test_of_transcripts_in_several_languages_the_spoken_one_counts(inbox: Path, store: Store) -> None:
    """A translation is no transcript: it is named and not used; the only language that there is is then stated."""
    for number, name in enumerate(("a", "b", "c", "d", "e")):
        put(inbox / "ann" / f"{name}.wav", number)
    for name in ("a.en.vtt", "b.en.vtt", "b.de.vtt", "c.de.vtt", "d.de.vtt", "e.en.forced.vtt", "d.vtt"):
        (inbox / "ann" / name).write_text(CUE.format(name))

    def texts(language: str) -> dict[str, tuple[str, str]]:
        uploads = look(inbox, store, language=language).uploads
        return {upload.path[4]: (upload.language, upload.text) for upload in uploads}

    assert texts("") == {
        "a": ("en", "a.en.vtt"), "b": ("", ""), "c": ("de", "c.de.vtt"), "d": ("", "d.vtt"), "e": ("", ""),
    }  # fmt: skip
    assert texts("en") == {
        "a": ("en", "a.en.vtt"), "b": ("en", "b.en.vtt"), "c": ("en", ""), "d": ("en", "d.vtt"), "e": ("en", ""),
    }  # fmt: skip
    said = [str(problem) for problem in look(inbox, store).problems]
    assert said == [
        "ann/b.de.vtt: not used: it is open which language is spoken: state it, as --language or in languages.csv",
        "ann/b.en.vtt: not used: it is open which language is spoken: state it, as --language or in languages.csv",
        "ann/e.en.forced.vtt: not used: it has only what is in another language",
    ]


@pytest.mark.parametrize(("granted", "state"), [("", "held"), ("bob,yes\n", "")])
def test_metadata_takes_nobody_out_of_the_folder_of_a_refusal(
    inbox: Path, store: Store, granted: str, state: str
) -> None:
    put(inbox / "anna" / "1.wav")
    put(inbox / "carl" / "1.wav", 1)
    (inbox / "metadata.csv").write_text("file,speaker,text\nanna/1.wav,bob,yes\ncarl/1.wav,bob,yes\n")
    (inbox / "consents.csv").write_text(f"speaker,consent\nanna,no\n{granted}")
    result = look(inbox, store)
    assert states(result) == {"anna/1.wav": state, "carl/1.wav": ""}
    assert "anna" not in "".join(row.detail for row in result.others)

"""Erasure in the inbox: after it, a scan reads nothing of the speaker through any door, and all of everybody else."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import unicodedata
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from support import factories as f
from support import kill_points

from voicemill.storage.errors import InboxError, StoreError
from voicemill.storage.forgetting import tombstones
from voicemill.storage.forgetting.forget import forget_speaker
from voicemill.storage.forgetting.mentions import name_pattern
from voicemill.storage.forgetting.receipts import interrupted_speakers, receipts
from voicemill.storage.inbox.erasure import local_inbox, plan_erasure, uploads_of
from voicemill.storage.inbox.inbox import MOST_METADATA, MOST_TABLE
from voicemill.storage.inbox.transcripts.delimited import MOST_BROKEN
from voicemill.storage.store import Store
from voicemill.tasks.intake import scan

WHO = "Zoë Ångström"
TEXT = "xylophone quartz zephyr"
OTHER = "words of others"
RTTM = "SPEAKER talk 1 {at} 1.0 <NA> <NA> {who} <NA> <NA>\n"
WORD = "Zoë_Ångström"

TABLES = {
    "metadata.csv": ("\ufeffspeaker,file,language,text\r\n", f'ann,ann/a.wav,en,"{OTHER},\r\nsecond line"\r\n',
                     f'{WHO},shared/1.wav,en,"{TEXT},\r\nof two lines"\r\n', f"bob,shared/2.wav,en,{OTHER}\r\n",
                     f"{WHO},shared/lost.wav,en,{TEXT}\r\n"),
    "list/train.list": (f"b.wav|bob|en|{OTHER}\n", f'"z.wav"|{WHO}|en|{TEXT}\n', f"b2.wav|bob|en|{OTHER}"),
    "kaldi/wav.scp": ("u1 k1.wav\n", "u2 k2.wav\n"),
    "kaldi/text": (f"u1 {TEXT}\n", f"u2 {OTHER}\n"),
    "kaldi/utt2spk": (f"u1 {WHO}\n", "u2 bob\n"),
    f"{WHO}/metadata.csv": (f"lj1|{TEXT}|{TEXT}\n",),
    "languages.csv": ("folder,language\n", f"{WHO},en\n", f"{WHO}/sub,de\n", "ann,de\n"),
    "consents.csv": ("speaker,consent,note\n", f"{WHO},yes,signed\n", "ann,yes,\n", "bob,yes,\n"),
}  # fmt: skip
"""Path -> lines."""
KEPT = {
    "metadata.csv": (0, 1, 3), "list/train.list": (0, 2), "kaldi/wav.scp": (1,), "kaldi/text": (1,),
    "kaldi/utt2spk": (1,), f"{WHO}/metadata.csv": (), "languages.csv": (0, 3), "consents.csv": (0, 2, 3),
}  # fmt: skip
"""Path -> lines that stay, byte for byte."""
MINE = [f"{WHO}/one.WAV", f"{WHO}/sub/two.flac", f"{WHO}/wavs/lj1.wav", "shared/1.wav", "list/z.wav", "kaldi/k1.wav"]
THEIRS = ["ann/a.wav", "shared/2.wav", "list/b.wav", "list/b2.wav", "kaldi/k2.wav"]


def fill(inbox: Path) -> None:
    for number, path in enumerate((*MINE, *THEIRS)):
        write(inbox / path, bytes([number + 1]) * (1000 + number))
    for path, lines in TABLES.items():
        write(inbox / path, "".join(lines).encode())
    write(inbox / "ann" / "copy.mp3", (inbox / MINE[0]).read_bytes())  # the same bytes in another folder
    write(inbox / "ann" / ".hidden.wav", (inbox / MINE[0]).read_bytes())
    for path in (f"{WHO}/one.TXT", f"{WHO}/One.Lab", f"{WHO}/sub/two.txt", "ann/COPY.Txt"):
        write(inbox / path, TEXT.encode())
    write(inbox / WHO / "ONE.Rttm", RTTM.format(at=0, who=WORD).encode())
    write(inbox / "ann" / "a.rttm", (RTTM.format(at=0, who="ann") + RTTM.format(at=1, who=WORD)).encode())
    write(inbox / "blobs" / "0.bin", b"linked" * 100)
    (inbox / "shared" / "link.wav").symlink_to(inbox / WHO / "one.WAV")
    (inbox / WHO / "outer.wav").symlink_to(inbox / "blobs" / "0.bin")


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def scanned(inbox: Path, store: Store) -> scan.ScanResult:
    return scan.scan(inbox, store, scan.Settings(), assume_consent="test")


def everything(inbox: Path) -> dict[str, bytes]:
    return {path.relative_to(inbox).as_posix(): path.read_bytes() for path in inbox.rglob("*") if path.is_file()}


def check_erased(inbox: Path, store: Store) -> None:
    after = scanned(inbox, store)
    assert sorted(upload.path for upload in after.uploads) == sorted(THEIRS)
    assert {upload.speaker for upload in after.uploads} == {"ann", "bob"}
    assert after.others == ()
    name = name_pattern(WHO)
    for path, data in everything(inbox).items():
        assert TEXT.encode() not in data, path
        assert not name.search(data), path
        assert not name.search(path.encode()), path
    for path, kept in KEPT.items():
        text = "".join(TABLES[path][number] for number in kept).encode()
        assert (inbox / path).read_bytes() == text if text else not (inbox / path).exists(), path
    turns = (inbox / "ann" / "a.rttm").read_text()
    assert turns == RTTM.format(at=0, who="ann") + RTTM.format(at=1, who="forgotten-1")
    assert not (inbox / WHO).exists()
    assert not [path for path in inbox.rglob("*") if path.is_symlink()]
    assert not (inbox / "blobs").exists()


def test_every_door_of_a_scan(tmp_path: Path) -> None:
    inbox, store = tmp_path / "inbox", Store.open(tmp_path / "store", create=True)
    fill(inbox)
    before = scanned(inbox, store)
    found = {upload.path for upload in before.uploads if upload.speaker == WHO}
    assert found | {row.path for row in before.others} >= {*MINE, "ann/copy.mp3", "shared/link.wav"}
    receipt = forget_speaker(store, unicodedata.normalize("NFD", WHO), created=f.WHEN, inbox=inbox)
    check_erased(inbox, store)
    assert receipt.mentions == ()
    assert set(MINE) < set(receipt.inbox)
    assert {f"{WHO}/one.TXT", f"{WHO}/One.Lab", f"{WHO}/ONE.Rttm", "ann/COPY.Txt", "metadata.csv"} < set(receipt.inbox)
    (path,) = store.receipts.glob("*.json")
    assert not name_pattern(WHO).search(path.read_bytes())
    (stored,) = receipts(store)
    assert stored.matches(WHO)
    assert all(stored.erased(path) for path in receipt.inbox)
    write(inbox / "ann" / "again.wav", bytes([1]) * 1000)  # never in a version, and yet it does not come back
    assert [row.detail for row in scanned(inbox, store).others] == ["forgotten"]
    with pytest.raises(StoreError, match=r"holds nothing of a speaker .*, nor does "):
        forget_speaker(store, WHO, created=f.WHEN, inbox=inbox)


def test_rows_without_audio_are_enough(tmp_path: Path) -> None:
    inbox, store = tmp_path / "inbox", Store.open(tmp_path / "store", create=True)
    write(inbox / "metadata.csv", f"file,text,speaker\n1.wav,{TEXT},zoe\n2.wav,{OTHER},ann\n".encode())
    assert forget_speaker(store, "zoe", created=f.WHEN, inbox=inbox).inbox == ("metadata.csv",)
    assert (inbox / "metadata.csv").read_text() == f"file,text,speaker\n2.wav,{OTHER},ann\n"


def test_a_refusal_stays(tmp_path: Path) -> None:
    """Without it, an assumed consent would apply to whatever comes under that name again."""
    inbox, store = tmp_path / "inbox", Store.open(tmp_path / "store", create=True)
    write(inbox / "zoe" / "1.wav", b"1" * 100)
    write(inbox / "consents.csv", b"speaker,consent\nzoe,yes\nzoe,no\nann,yes\n")
    receipt = forget_speaker(store, "zoe", created=f.WHEN, inbox=inbox)
    assert (inbox / "consents.csv").read_text() == "speaker,consent\nzoe,no\nann,yes\n"
    assert receipt.mentions == ("inbox:consents.csv",)
    assert receipts(store)[0].mentions[0].startswith("inbox:")
    assert "consents" not in receipts(store)[0].mentions[0]
    write(inbox / "zoe" / "2.wav", b"2" * 100)
    assert [row.state for row in scanned(inbox, store).others] == ["held"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "cp1252", "utf-8-sig", "utf-32"])
def test_a_table_of_consents_in_another_encoding(tmp_path: Path, encoding: str) -> None:
    """The rows that grant go, and the others stay byte for byte."""
    inbox, store = tmp_path / "inbox", Store.open(tmp_path / "store", create=True)
    write(inbox / WHO / "1.wav", b"1" * 100)
    write(inbox / "ann" / "a.wav", b"2" * 100)
    before = f"speaker;consent;note\r\nJosé;yes;\r\n{WHO};yes;signed\r\nann;no;\r\n".encode(encoding)
    write(inbox / "consents.csv", before)
    forget_speaker(store, WHO, created=f.WHEN, inbox=inbox)
    assert (inbox / "consents.csv").read_bytes() == "speaker;consent;note\r\nJosé;yes;\r\nann;no;\r\n".encode(encoding)
    assert [row.path for row in scanned(inbox, store).others] == ["ann/a.wav"]


def test_what_is_beside_a_name_in_another_case_stays_with_its_owner(tmp_path: Path) -> None:
    """The text of the other speaker is never read for what remains, and a text that may be the forgotten one's goes."""
    inbox, store = tmp_path / "inbox", Store.open(tmp_path / "store", create=True)
    rows = "file,speaker\n" + "".join(f"mix/{name}.wav,{owner}\n" for name, owner in OWNERS.items())
    write(inbox / "metadata.csv", rows.encode())
    for number, (name, owner) in enumerate(OWNERS.items()):
        write(inbox / "mix" / f"{name}.wav", bytes([number + 1]) * (100 + number))
        write(inbox / owner / "001.wav", bytes([number + 9]) * (200 + number))
        write(inbox / owner / "001.txt", f"private words of {owner}".encode())
    for name in ("U", "u", "NODE"):
        write(inbox / "mix" / f"{name}.txt", f"{name}".encode())
    texts = {upload.path: upload.text for upload in scanned(inbox, store).uploads}
    assert texts["Anna/001.wav"] == "private words of Anna"
    assert texts["anna/001.wav"] == "private words of anna"
    assert [texts[f"mix/{name}.wav"] for name in OWNERS] == ["U", "u", "", ""]
    forget_speaker(store, "anna", created=f.WHEN, inbox=inbox)
    left = {path: data.decode() for path, data in everything(inbox).items() if path.endswith(".txt")}
    assert left == {"Anna/001.txt": "private words of Anna", "mix/U.txt": "U"}
    assert {upload.path: upload.text for upload in scanned(inbox, store).uploads} == {
        "Anna/001.wav": "private words of Anna",
        "mix/U.wav": "U",
        "mix/Node.wav": "",
    }


OWNERS = {"U": "Anna", "u": "anna", "Node": "Anna", "nodE": "anna"}


def test_a_name_that_nobody_has_is_answered_with_the_nearest(tmp_path: Path) -> None:
    inbox, store = tmp_path / "inbox", Store.open(tmp_path / "store", create=True)
    for name in ("Anna", "hanna", "bob"):
        write(inbox / name / "1.wav", name.encode() * 10)
    with pytest.raises(StoreError, match=r"holds nothing of a speaker 'anna', nor does .*; nearest: 'Anna', 'hanna': "):
        forget_speaker(store, "anna ", created=f.WHEN, inbox=inbox)


def test_an_inbox_elsewhere_is_an_error(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    for url, message in (("memory://box", "not a folder"), (str(tmp_path / "none"), "is not a folder")):
        with pytest.raises(InboxError, match=message):
            forget_speaker(store, WHO, created=f.WHEN, inbox=url)


def test_a_table_that_changes_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    fill(tmp_path)
    box = local_inbox(tmp_path)
    plan = plan_erasure(box, WHO, uploads_of(box, WHO))
    (tmp_path / "metadata.csv").write_text("file,text\nann/a.wav,newer\n")
    with pytest.raises(InboxError, match=r"metadata\.csv changed .* again"):
        plan.carry_out()
    assert (tmp_path / "metadata.csv").read_text() == "file,text\nann/a.wav,newer\n"
    assert all((tmp_path / path).exists() for path in MINE)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("metadata.csv", b"\0" * (MOST_METADATA + 1), "over 128 MB"),
        ("consents.csv", b"\0" * (MOST_TABLE + 1), "over 8 MB"),
        ("talk.rttm", b"\0" * (MOST_METADATA + 1), "over 128 MB"),
        ("metadata.csv", b"file,speaker\n" + b'x.wav,"x"y\n' * MOST_BROKEN, "the lines from here on are not read"),
        ("metadata.csv", "file,speaker\nx.wav,Zo\xeb\n".encode("latin-1"), "not UTF-8"),
    ],
    ids=["metadata", "consents", "turns", "broken rows", "latin-1"],
)
def test_a_table_that_cannot_be_searched(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    """The command says so, and ends the erasure once the table is repaired."""
    inbox, store = tmp_path / "inbox", Store.open(tmp_path / "store", create=True)
    fill(inbox)
    before = "".join(TABLES.get(name, ())).encode()
    write(inbox / name, content)
    with pytest.raises(InboxError, match=rf"^{name} may name the speaker.*{reason}.*Nothing was erased in the inbox"):
        forget_speaker(store, WHO, created=f.WHEN, inbox=inbox)
    assert all((inbox / path).exists() for path in MINE)
    (inbox / name).unlink()
    if before:
        write(inbox / name, before)
    forget_speaker(store, WHO, created=f.WHEN, inbox=inbox)
    check_erased(inbox, store)


def test_a_rewritten_table_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    inbox, store = tmp_path / "inbox", Store.open(tmp_path / "store", create=True)
    write(inbox / "real.csv", f"file,speaker\nshared/1.wav,zoe\nshared/2.wav,ann\n{TEXT},zoe\n".encode())
    write(inbox / "shared" / "1.wav", b"1" * 10)
    (inbox / "real.csv").chmod(0o640)
    (inbox / "metadata.csv").symlink_to("real.csv")
    forget_speaker(store, "zoe", created=f.WHEN, inbox=inbox)
    assert (inbox / "metadata.csv").is_symlink()
    assert (inbox / "real.csv").read_text() == "file,speaker\nshared/2.wav,ann\n"
    assert (inbox / "real.csv").stat().st_mode & 0o777 == 0o640


def again(root: str) -> None:
    """The work that is killed, in a process of its own."""
    forget_speaker(Store.open(Path(root) / "store"), WHO, created=f.WHEN, inbox=Path(root) / "inbox")


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    def make(name: str) -> Path:
        fill(tmp_path / name / "inbox")
        Store.open(tmp_path / name / "store", create=True)
        return tmp_path / name

    calm = make("calm")
    events = kill_points.run(again, str(calm), root=tmp_path)
    check_erased(calm / "inbox", Store.open(calm / "store"))
    interrupted = 0
    for at in range(events, 0, -max(events // 12, 1)):
        root = make(f"killed{at}")
        store = Store.open(root / "store")
        kill_points.run(again, str(root), root=tmp_path, at=at)
        if interrupted_speakers(store) == [WHO]:
            interrupted += 1
        if not receipts(store):
            forget_speaker(store, WHO, created="later", inbox=root / "inbox")
        check_erased(root / "inbox", store)
        (receipt,) = receipts(store)
        assert all(receipt.erased(path) for path in (*MINE, "metadata.csv"))
    assert interrupted >= 4


@pytest.mark.parametrize("rewrites", range(12))
def test_killed_between_two_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rewrites: int) -> None:
    """The keys of Kaldi's tables lead from one to the other, also where one of them is gone whole."""
    inbox, store = tmp_path / "inbox", Store.open(tmp_path / "store", create=True)
    fill(inbox)
    write(inbox / "own" / "wav.scp", b"u9 lost.wav\n")
    write(inbox / "own" / "utt2spk", f"u9 {WHO}\n".encode())
    write(inbox / "own" / "text", f"u9 {TEXT}\n".encode())
    done, read = [], Path.read_bytes

    def killed(path: Path) -> bytes:
        if sys._getframe(1).f_code.co_name == "carry_out":
            done.append(path)
            if len(done) > rewrites:
                raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        forget_speaker(store, WHO, created=f.WHEN, inbox=inbox)
    monkeypatch.undo()
    forget_speaker(store, WHO, created="later", inbox=inbox)
    check_erased(inbox, store)
    assert not any((inbox / "own" / name).exists() for name in ("wav.scp", "utt2spk", "text"))


def test_killed_before_the_empty_folders_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in them leads to them any more: the mark does, and their names hold the speaker's."""
    inbox, store = tmp_path / "inbox", Store.open(tmp_path / "store", create=True)
    fill(inbox)

    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rmdir", killed)
    with pytest.raises(KeyboardInterrupt):
        forget_speaker(store, WHO, created=f.WHEN, inbox=inbox)
    monkeypatch.undo()
    assert (inbox / WHO / "sub").is_dir()
    forget_speaker(store, WHO, created="later", inbox=inbox)
    check_erased(inbox, store)


@pytest.mark.parametrize("name", ["Zoë Ångström", "李雷", "anna_b", "o'neil & sons", 'a"b', "ann"])
def test_every_form_of_a_name_is_found(tmp_path: Path, name: str) -> None:
    """In Prefect's database too, in pages that SQLite has freed, in its log, and across the blocks of a large file."""
    store = Store.open(tmp_path / "store", create=True)
    write(tmp_path / "inbox" / name / "1.wav", b"1" * 100)
    texts = {"plain": name, "nfd": unicodedata.normalize("NFD", name), "once": json.dumps([name])}
    texts |= {"twice": json.dumps(json.dumps({"name": name})), "line": json.dumps(f"speakers:\n{name}")}
    texts["upper"] = re.sub(r"\\u[0-9a-f]{4}", lambda code: code[0].upper().replace("U", "u"), json.dumps(name))
    for kind, text in texts.items():
        store.prefect.mkdir(exist_ok=True)
        database = sqlite3.connect(store.prefect / f"{kind}.sqlite")
        database.execute("PRAGMA secure_delete=OFF")
        database.execute("CREATE TABLE runs (parameters TEXT)")
        database.executemany("INSERT INTO runs VALUES (?)", [(text,)] * 50)
        database.commit()
        database.execute("DELETE FROM runs")  # the bytes stay in freed pages
        database.commit()
        database.close()
    write(store.prefect / "large.log", b" " * ((1 << 22) - 3) + json.dumps(name).encode() + b" " * 10)
    write(store.prefect / "hannah.log", b"hannah xannb zo")
    mentions = set(forget_speaker(store, name, created=f.WHEN, inbox=tmp_path / "inbox").mentions)
    assert mentions == {f"prefect/{kind}.sqlite" for kind in texts} | {"prefect/large.log"}


def test_waits_for_the_store(tmp_path: Path) -> None:
    import threading
    import time

    store = Store.open(tmp_path / "store", create=True)
    write(tmp_path / "inbox" / "zoe" / "1.wav", b"1" * 100)
    held, order = threading.Event(), list[str]()

    def hold() -> None:
        with store.locked("a refresh"):
            held.set()
            time.sleep(0.3)
            order.append("refresh")

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    forget_speaker(store, "zoe", created=f.WHEN, inbox=tmp_path / "inbox", wait=True)
    order.append("forget")
    holder.join()
    assert order == ["refresh", "forget"]
    assert os.listdir(tmp_path / "inbox") == []
    assert len(tombstones.read(store).content) == 1


def test_files_below_1100_folders_are_erased(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    deep = inbox / "ann" / "/".join("d" * 1100)
    subprocess.run(["mkdir", "-p", str(deep)], check=True)  # Path.mkdir ends in a RecursionError
    for path in (deep / "a.wav", inbox / "bob" / "b.wav"):
        write(path, path.name.encode() * 500)
    plan = plan_erasure(local_inbox(inbox), "ann", uploads_of(local_inbox(inbox), "ann"))
    assert plan.deleted == ((deep / "a.wav").relative_to(inbox).as_posix(),)
    plan.carry_out()
    assert [path.name for path in inbox.iterdir()] == ["bob"]


VTT = "WEBVTT\n\n00:00.000 --> 00:01.000\n<v {who}>{text}</v>\n<v.loud ann>words of others</v>\n"
GRID = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nname = "{who} - words"\nname = "ann - words"\n'


def test_voices_of_others_recordings_languages_in_names_and_packed_tables(tmp_path: Path) -> None:
    """The words of a speaker in the recording of another stay there, under a neutral name: that recording stays too."""
    inbox, store = tmp_path / "inbox", Store.open(tmp_path / "store", create=True)
    write(inbox / WHO / "1.wav", b"1" * 100)
    write(inbox / "ann" / "a.wav", b"2" * 100)
    for path in ("1.en.vtt", "1.de.srt", "1.en-US.sdh.vtt", "1.zh.txt"):
        write(inbox / WHO / path, TEXT.encode())
    write(inbox / "ann" / "a.vtt", VTT.format(who=WHO, text="hello").encode("utf-16"))
    write(inbox / "ann" / "a.TextGrid", GRID.format(who=unicodedata.normalize("NFD", WHO)).encode())
    table = pyarrow.table({"file": ["ann/a.wav", "lost.wav"], "text": [OTHER, TEXT], "speaker": ["ann", WHO]})
    pyarrow.parquet.write_table(table, inbox / "metadata.parquet", compression="ZSTD")
    write(inbox / "languages.csv", f"folder;language\n{WHO};en\nann;de\n".encode("cp1252"))
    receipt = forget_speaker(store, WHO, created=f.WHEN, inbox=inbox)
    assert receipt.mentions == ()
    left = everything(inbox)
    assert sorted(left) == ["ann/a.TextGrid", "ann/a.vtt", "ann/a.wav", "languages.csv", "metadata.parquet"]
    assert left["ann/a.vtt"].decode("utf-16") == VTT.format(who="forgotten-1", text="hello")
    assert left["ann/a.TextGrid"].decode() == GRID.format(who="forgotten-1")
    assert left["languages.csv"] == b"folder;language\nann;de\n"
    assert pyarrow.parquet.read_table(inbox / "metadata.parquet").to_pylist() == table.slice(0, 1).to_pylist()

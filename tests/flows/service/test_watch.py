"""The watcher under a clock of the test: settled files only, many as one, and a memory that survives a restart."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicemill.flows.service.watch import LONGEST, SETTLE, NewFiles, Watcher, memory_of
from voicemill.storage.errors import InboxError
from voicemill.storage.inbox.inbox import Inbox


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox" / "ann").mkdir(parents=True)
    return tmp_path / "inbox"


def watcher(inbox: Path) -> Watcher:
    return Watcher(str(inbox), inbox.parent / "memory.json")


def run(watching: Watcher, start: float, seconds: float, step: float = 1.0) -> list[tuple[float, NewFiles]]:
    """Poll every `step` seconds; returns what was announced, and when."""
    found, now = [], start
    while now <= start + seconds:
        if arrived := watching.poll(now):
            watching.confirm(now)
            found.append((now, arrived))
        now += step
    return found


def test_two_hundred_files_in_ten_seconds_are_one_arrival(inbox: Path) -> None:
    watching, found = watcher(inbox), []
    for number in range(200):
        (inbox / "ann" / f"{number}.wav").write_bytes(bytes(1000))
        if number % 10 == 0:
            found += run(watching, number * 0.05, 0.0)
    found += run(watching, 10.0, 60.0)
    assert [arrived for _, arrived in found] == [NewFiles(200, 0.2)]
    assert found[0][0] == pytest.approx(9.95 + SETTLE, abs=1.0)


def test_a_file_that_grows_is_left_alone(inbox: Path) -> None:
    watching, path = watcher(inbox), inbox / "ann" / "long.wav"
    for second in range(60):
        with path.open("ab") as file:
            file.write(bytes(100))
        assert watching.poll(float(second)) is None
    assert [a.files for _, a in run(watching, 60.0, 30.0)] == [1]


def test_settled_files_do_not_wait_for_ever_for_one_that_grows(inbox: Path) -> None:
    watching, path = watcher(inbox), inbox / "ann" / "endless.wav"
    (inbox / "ann" / "one.wav").write_bytes(b"x")
    found = []
    for second in range(int(LONGEST + 3 * SETTLE)):
        with path.open("ab") as file:
            file.write(b"x")
        found += run(watching, float(second), 0.0)
    assert [a.files for _, a in found] == [1]
    assert found[0][0] == pytest.approx(LONGEST + SETTLE, abs=2)


def test_each_file_is_announced_once_and_again_when_it_changes(inbox: Path) -> None:
    watching = watcher(inbox)
    assert run(watching, 0, 20) == []
    (inbox / "ann" / "one.wav").write_bytes(b"one")
    assert [a.files for _, a in run(watching, 20, 40)] == [1]
    assert [a.files for _, a in run(watcher(inbox), 0, 40)] == []  # another process, the same memory
    (inbox / "ann" / "one.txt").write_text("what is said")
    assert [a.files for _, a in run(watcher(inbox), 0, 40)] == [1]
    (inbox / "ann" / "one.wav").write_bytes(b"another")
    again = watcher(inbox)
    assert [a.files for _, a in run(again, 0, 40)] == [1]
    (inbox / "ann" / "one.wav").unlink()
    assert run(again, 40, 40) == []


def test_what_is_not_announced_stays_to_be(inbox: Path) -> None:
    """While the server is away, `confirm` is not called."""
    watching = watcher(inbox)
    (inbox / "ann" / "one.wav").write_bytes(b"one")
    assert [arrived for now in range(20) if (arrived := watching.poll(float(now)))] == [NewFiles(1, 3e-6)] * 15
    assert [a.files for _, a in run(watcher(inbox), 0, 20)] == [1]


def test_consents_and_transcripts_wait_for_audio(inbox: Path) -> None:
    watching = watcher(inbox)
    (inbox / "consents.csv").write_text("speaker,consent\n")
    (inbox / "ann" / "one.txt").write_text("what is said")
    assert run(watching, 0, 20) == []
    (inbox / "ann" / "one.wav").write_bytes(b"one")
    assert [a.files for _, a in run(watching, 20, 20)] == [3]
    (inbox / "consents.csv").write_text("speaker,consent\nann,yes\n")
    assert [a.files for _, a in run(watching, 40, 20)] == [1]


def test_hidden_and_temporary_names_are_nothing(inbox: Path) -> None:
    for name in (".a.wav", "b.wav.part", "c.wav~", ".0123.part"):
        (inbox / "ann" / name).write_bytes(b"x")
    assert run(watcher(inbox), 0, 20) == []


def test_an_inbox_that_goes_away_and_comes_back_is_not_new(inbox: Path) -> None:
    (inbox / "ann" / "one.wav").write_bytes(b"one")
    watching = watcher(inbox)
    run(watching, 0, 20)
    away = inbox.rename(inbox.with_name("away"))
    with pytest.raises(InboxError):
        watching.poll(30)
    inbox.mkdir()  # the place of a folder that is not mounted
    assert run(watching, 31, 20) == []
    inbox.rmdir()
    away.rename(inbox)
    assert run(watching, 60, 20) == []


def test_the_memory_names_nobody(inbox: Path, tmp_path: Path) -> None:
    (inbox / "ann" / "secret.wav").write_bytes(b"one")
    watching = watcher(inbox)
    run(watching, 0, 20)
    assert len(watching.announced) == 1
    assert "ann" not in watching.memory.read_text()
    assert "secret" not in watching.memory.read_text()
    assert memory_of(Inbox(inbox), tmp_path).parent == tmp_path
    assert memory_of(Inbox(inbox), None).name == memory_of(Inbox(inbox), tmp_path).name


@settings(max_examples=25)
@given(st.lists(st.floats(0.05, 30), min_size=1, max_size=12), st.floats(1, 4))
def test_every_file_is_announced_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[float], step: float
) -> None:
    """Each file is announced once, whatever its time of arrival."""
    inbox = tmp_path_factory.mktemp("watched")
    watching, now, files = Watcher(str(inbox), inbox.with_suffix(".json")), 0.0, 0
    for number, gap in enumerate(gaps):
        (inbox / f"{number}.wav").write_bytes(b"x")
        files += sum(arrived.files for _, arrived in run(watching, now, gap, step))
        now += gap
    files += sum(arrived.files for _, arrived in run(watching, now, LONGEST + 20, step))
    assert files == len(gaps)

"""Consents: the later record wins, a withdrawal beats the table, nothing appended is lost."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from voicemill.storage.errors import ConfigError
from voicemill.storage.forgetting import tombstones
from voicemill.storage.inbox import consent
from voicemill.storage.store import Store

EARLY, LATE = "2026-01-01T10:00:00+00:00", "2026-02-01T10:00:00+00:00"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def test_the_later_record_wins(store: Store) -> None:
    assert consent.read_consents(store).of("anna") == consent.NO_RECORD
    consent.append_record(store, "anna", "grant", time=EARLY, note="by mail")
    assert consent.read_consents(store).of("anna").record == f"granted {EARLY} (by mail)"
    consent.append_record(store, "anna", "withdraw", time=LATE)
    assert not consent.read_consents(store).of("anna").granted
    consent.append_record(store, "anna", "grant", time=LATE)
    assert consent.read_consents(store).of("anna").granted
    assert [entry.granted for entry in consent.recorded_consents(store, "anna")] == [True, False, True]


@pytest.mark.parametrize(
    ("command", "table", "granted"),
    [
        (None, "anna,yes,", True),
        (None, "anna,no,", False),
        (None, "bob,yes,", False),
        ("withdraw", "anna,yes,", False),
        ("withdraw", "anna,yes,2026-03-01", False),
        ("grant", "anna,no,", True),
        ("grant", "anna,no,2025-12-31", True),
        ("grant", "anna,no,2026-01-02", False),
        (None, "anna,yes,\nanna,withdrawn,", False),
        (None, "anna, Granted ,", True),
    ],
)
def test_the_command_and_the_table(store: Store, command: consent.Action | None, table: str, granted: bool) -> None:
    if command:
        consent.append_record(store, "anna", command, time=EARLY)
    assert consent.read_consents(store, f"speaker,consent,date\n{table}\n").of("anna").granted is granted


@pytest.mark.parametrize("table", ["anna,no,", "anna,no,2025-12-31", "anna,no,2026-01-02"])
def test_a_grant_with_a_date_to_come_is_later_than_no_refusal(store: Store, table: str) -> None:
    """The clock was ahead when it was written: a date of the table that is later in truth would else lose to it."""
    consent.append_record(store, "anna", "grant", time=LATE)
    text = f"speaker,consent,date\n{table}\n"
    assert not consent.read_consents(store, text, now=EARLY).of("anna", "assumed").granted
    assert consent.read_consents(store, text, now=LATE).of("anna").granted
    assert consent.read_consents(store, now=EARLY).of("anna").granted
    assert consent.read_consents(store, "speaker,consent\nanna,yes\n", now=EARLY).of("anna").granted


def test_an_assumed_consent_overrides_no_refusal(store: Store) -> None:
    consent.append_record(store, "anna", "withdraw", time=EARLY)
    consents = consent.read_consents(store, "speaker,consent\nbob,no\n")
    assert [consents.of(name, "test").granted for name in ("anna", "bob", "carl")] == [False, False, True]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "1: it is empty"),
        ("name,ok\nanna,no\n", "1: its first line names no columns"),
        ("speaker\nanna\n", "1: its first line names no columns"),
        ("anna,yes\n", "1: its first line names no columns"),
        ("speaker,consent,Speaker\nanna,no,x\n", "1: the column speaker stands twice"),
        ("speaker,consent\n,no\n", "2: a refusal without a speaker"),
        ('speaker,consent,note\nbob,yes,"x\nanna,no,y\n', "2: a quote is not closed on its line"),
        ('speaker,consent,note\nbob,yes,"x\nanna,no,y"\n', "2: a quote is not closed on its line"),
        ('speaker,consent\nbob,yes\nanna,"no\0' + "x" * 140_000, "3: a quote is not closed on its line"),
        ('speaker,consent\n"anna"x,no\n', "2: a quote is not closed on its line, or stands inside"),
        ("speaker,consent\nanna;no\n", "2: 1 cells, the header has 2"),
        ("speaker,consent\nDoe, Jane,no\n", "2: 3 cells, the header has 2"),
        ("speaker,consent,note\nDoe, Jane,no\n", "2: consent is 'jane', not yes or no, and a cell beside it may be"),
        ("speaker,consent\nJos\ufffd,no\n", "2: a refusal of 'Jos\ufffd': characters of the name were lost"),
        ("speaker,consent\nJos?,no\n", "2: a refusal of 'Jos?': characters of the name were lost"),
    ],
)
def test_a_table_that_cannot_be_read_whole_is_an_error_with_the_line(store: Store, text: str, place: str) -> None:
    consent.append_record(store, "anna", "grant", time=EARLY)
    with pytest.raises(ConfigError, match=rf"^consents\.csv:{re.escape(place)}.*; expected: a first line that names"):
        consent.read_consents(store, text)


def test_a_row_without_a_speaker_that_grants_is_reported(store: Store) -> None:
    consents = consent.read_consents(store, "speaker,consent\n,yes\n")
    assert [str(problem) for problem in consents.problems] == ["consents.csv:2: no speaker"]
    assert not consents.of("anna").granted


@pytest.mark.parametrize(
    ("rows", "granted"),
    [
        ("anna,no,\nanna,yes,", False),
        ("anna,no,\nanna,yes,2026-01-01", False),
        ("anna,no,2026-01-01\nanna,yes,2026-01-02", True),
        ("anna,yes,2026-01-02\nanna,no,2026-01-01", True),
        ("anna,no,2026-01-02\nanna,yes,2026-01-01", False),
        ("anna,no,2026-01-02\nanna,yes,2026-01-02T10:00", False),
        ("anna,no,2026-01-01\nanna,yes,2027-01-02", False),
        ("anna,no,01.01.2025\nanna,yes,2026-01-01", False),
        ("anna,no,2026-01-01T23:00:00-05:00\nanna,yes,2026-01-02T02:00:00Z", False),
        ("anna,no,2026-01-01T23:00:00-05:00\nanna,yes,2026-01-02T05:00:00Z", True),
        ("anna,no,2025-01-01\nANNA,yes,2026-01-01", False),
    ],
)
def test_a_no_beside_a_yes_counts_unless_a_later_date_ends_it(store: Store, rows: str, granted: bool) -> None:
    consents = consent.read_consents(store, f"speaker,consent,date\n{rows}\n", now=LATE)
    assert consents.of("anna", "assumed").granted is granted


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("Jose\u0301,no", "José"),
        ("José,no", "Jose\u0301"),
        ("anna ,no", "anna"),
        ("anna,no", " anna\u200b"),
        ("an\u00adna,no", "anna"),
        ("\ufeffanna\u00a0lee,no", "anna  lee"),
        ("ANNA,no", "anna"),
        ("ａｎｎａ,no", "Anna"),
        ("Straße,no", "STRASSE"),
        ("JosÃ©,no", "José"),
        ("Jos+AOk-,no", "José"),
    ],
)
def test_a_no_in_another_form_holds_the_speaker(store: Store, table: str, name: str) -> None:
    consents = consent.read_consents(store, f"speaker,consent\n{table}\n", speakers=[name])
    assert not consents.of(name, "assumed").granted
    assert consents.of(name).withdrawn
    consent.append_record(store, name, "grant", time=EARLY)
    assert consent.read_consents(store, f"speaker,consent\n{table}\n").of(name).granted


def test_a_withdrawal_of_a_near_equal_name_ends_with_a_later_grant_of_the_very_name(store: Store) -> None:
    consent.append_record(store, "Anna", "grant", time=EARLY)
    consent.append_record(store, "anna", "withdraw", time=LATE)
    held = consent.read_consents(store, "speaker,consent\nAnna,yes\n", speakers=["Anna", "anna"])
    assert [held.of(name, "assumed").granted for name in ("Anna", "anna")] == [False, False]
    assert held.of("Anna").record.endswith("of a name that is nearly this one: a grant of this very name ends it")
    assert [str(problem) for problem in held.problems] == [
        f"consents.jsonl: 'Anna' is held for the refusal of 'anna', nearly the same name: withdrawn {LATE}",
        "Anna: 'Anna', 'anna' are nearly one name: taken as 2 speakers",
    ]
    consent.append_record(store, "Anna", "grant", time=LATE)
    assert [consent.read_consents(store).of(name).granted for name in ("Anna", "anna")] == [True, False]


def test_a_record_of_a_name_that_nobody_has_is_reported_beside_the_name_that_it_may_mean(store: Store) -> None:
    consent.append_record(store, "ana", "withdraw", time=EARLY)
    consent.append_record(store, "s1", "withdraw", time=EARLY)
    consents = consent.read_consents(store, "speaker,consent\nBob,yes\n", speakers=["anna", "bob", "s2", "carl"])
    assert [str(problem) for problem in consents.problems] == [
        "consents.jsonl: no record of 'anna'; 'ana', whom nobody here is called, refused: is it the same?",
        "consents.csv: no record of 'bob'; 'Bob', whom nobody here is called, has consent: is it the same?",
    ]


@pytest.mark.parametrize("at", range(94))
def test_a_damaged_withdrawal_leaves_no_grant_of_before(store: Store, at: int) -> None:
    """Whatever byte of the line is damaged, but where another name is as good: `voicemill check` finds that one."""
    for speaker in ("anna", "bob"):
        consent.append_record(store, speaker, "grant", time=EARLY)
    path = store.root / "consents.jsonl"
    granted = path.read_bytes()
    consent.append_record(store, "anna", "withdraw", time=LATE)
    line = path.read_bytes()[len(granted) :]
    name = line.index(b"anna")
    if at >= len(line) - 1 or name <= at < name + 4:
        pytest.skip("the end of the line, or the name")
    path.write_bytes(granted + line[:at] + bytes([line[at] ^ 0x80]) + line[at + 1 :])
    consents = consent.read_consents(store, "speaker,consent\nanna,yes\n")
    assert not consents.of("anna", "assumed").granted
    consent.append_record(store, "anna", "grant", time=LATE)
    assert consent.read_consents(store).of("anna").granted


def test_a_damaged_line_that_names_nobody_may_refuse_anyone(store: Store) -> None:
    consent.append_record(store, "anna", "grant", time=EARLY)
    path = store.root / "consents.jsonl"
    path.write_bytes(path.read_bytes() + b'{"time": "2026", "sp\xffaker": "bob", "action": "withdraw"}\n')
    consent.append_record(store, "carl", "grant", time=LATE)
    consents = consent.read_consents(store, "speaker,consent\nbob,yes\n")
    granted = [name for name in ("anna", "bob", "carl", "dora") if consents.of(name, "assumed").granted]
    assert granted == ["carl"]


def test_a_torn_line_costs_only_itself(store: Store) -> None:
    consent.append_record(store, "anna", "grant", time=EARLY)
    path = store.root / "consents.jsonl"
    path.write_bytes(path.read_bytes() + b'{"time": "2026')
    consent.append_record(store, "bob", "grant", time=LATE)
    consents = consent.read_consents(store)
    assert (consents.of("anna").granted, consents.of("bob").granted, len(consents.problems)) == (True, True, 1)


def test_a_speaker_needs_a_name(store: Store) -> None:
    with pytest.raises(ConfigError, match="--speaker"):
        consent.append_record(store, " ", "grant", time=EARLY)


def test_appends_of_many_processes_are_all_there(store: Store) -> None:
    code = """
import sys
from voicemill.storage.inbox import consent
from voicemill.storage.store import Store
store = Store.open(sys.argv[1])
for number in range(50):
    consent.append_record(store, f"{sys.argv[2]}-{number}", "grant", time="2026-01-01", note="x" * 3000)
"""
    runs = [subprocess.Popen([sys.executable, "-c", code, str(store.root), str(n)]) for n in range(4)]
    assert [run.wait() for run in runs] == [0] * 4
    assert len({entry.speaker for entry in consent.recorded_consents(store)}) == 200


def test_tombstones_add_up(store: Store) -> None:
    assert tombstones.read(store) == tombstones.Tombstones()
    tombstones.add(store, ["a"], ["p", ""])
    tombstones.add(store, ["b", "a"], [])
    assert tombstones.read(store) == tombstones.Tombstones(frozenset("ab"), frozenset("p"))

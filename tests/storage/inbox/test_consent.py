"""Consents: the later record wins, a withdrawal beats the table, nothing appended is lost."""

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
    "text", ["", "name,ok\nanna,yes\n", "speaker\nanna\n", "speaker,consent\n,yes\n", "anna,yes\n"]
)
def test_a_table_that_cannot_be_read_grants_nothing_and_is_reported(store: Store, text: str) -> None:
    consents = consent.read_consents(store, text)
    assert consents.problems
    assert not consents.of("anna").granted


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

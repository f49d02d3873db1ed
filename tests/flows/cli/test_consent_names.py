"""Consent and erasure by name: a name that nobody has is recorded, reported, and answered with the nearest."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    for name in ("Anna", "José", "bob"):
        (tmp_path / "inbox" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "inbox" / name / "a.wav", np.zeros(1600, np.float32), 16_000)
    return tmp_path / "inbox"


def test_a_name_that_nobody_has_is_recorded_and_answered_with_the_nearest(here, inbox: Path, tmp_path: Path) -> None:
    where = ("--store", tmp_path / "store", "--inbox", inbox)
    ran = here("consent", "withdraw", "--speaker", "anna ", *where, status=3)
    assert "withdrawal of 'anna' recorded; nobody in " in ran.out
    assert "is called 'anna' yet; nearest: 'Anna'\n" in ran.out
    assert "it holds speakers whose names differ in case only as well" in ran.out
    ran = here("consent", "grant", "--speaker", "bobb", "--speaker", "bob", *where)
    assert "consent of 'bobb' recorded; nobody in " in ran.out
    assert "is called 'bobb' yet; nearest: 'bob'\n" in ran.out
    assert "consent of 'bob' recorded; the next refresh prepares the uploads" in ran.out
    out = here("consent", "withdraw", "--speaker", unicodedata.normalize("NFD", " José"), *where).out
    assert out.startswith("withdrawal of 'José' recorded; the next corpus version leaves the speaker out")
    records = here("consent", "list", "--store", tmp_path / "store", "--json").json
    assert [row["speaker"] for row in records] == ["anna", "bobb", "bob", "José"]


def test_a_table_that_is_not_understood_grants_nobody_of_an_inbox(here, inbox: Path, tmp_path: Path) -> None:
    """`--all-in` would overrule a refusal that stands in it."""
    (inbox / "consents.csv").write_text('speaker,consent,note\nbob,yes,"x\nAnna,no,y\n')
    ran = here("consent", "grant", "--all-in", inbox, "--store", tmp_path / "store", status=2)
    assert "consents.csv:2: a quote is not closed on its line" in ran.err
    assert here("consent", "list", "--store", tmp_path / "store", "--json").json == []
    out = here("consent", "withdraw", "--speaker", "bob", "--store", tmp_path / "store", "--inbox", inbox).out
    assert "withdrawal of 'bob' recorded; the next corpus version leaves the speaker out" in out

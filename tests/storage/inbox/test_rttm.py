"""RTTM: what is written reads back to the sample; malformed lines are refused by file and line."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicemill.storage.errors import ConfigError
from voicemill.storage.inbox.transcripts.rttm import read_rttm, turns_of, write_rttm
from voicemill.storage.records import Turn
from voicemill.storage.units import RATE

names = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=12).filter(lambda n: n != "<NA>")
turns = st.builds(
    lambda start, length, voice: Turn(start, start + length, voice),
    st.integers(0, 4 * 3600 * RATE),
    st.integers(1, 3600 * RATE),
    names,
)


@given(names, st.lists(turns, min_size=1, max_size=8))
def test_what_is_written_reads_back_to_the_sample(name: str, rows: list[Turn]) -> None:
    text = write_rttm(name, rows)
    assert all(len(line.split()) == 10 for line in text.splitlines())
    assert read_rttm(text, "t.rttm") == {name: tuple(sorted(rows, key=lambda t: (t.start, t.stop, t.voice)))}


def test_a_file_of_the_standard() -> None:
    text = (
        ";; comment\nSPKR-INFO talk 1 <NA> <NA> <NA> unknown ann <NA> <NA>\n\n"
        "SPEAKER talk 1 11.040 4.592 <NA> <NA> bo <NA> <NA>\nSPEAKER talk 1 3.168 0.800 <NA> <NA> ann <NA>\n"
        "LEXEME talk 1 3.2 0.1 hello lex ann 0.9 <NA>\nSPEAKER more 1 0 0 <NA> <NA> ann <NA> <NA>\n"
    )
    assert read_rttm(text, "t.rttm") == {"talk": (Turn(101_376, 126_976, "ann"), Turn(353_280, 500_224, "bo"))}


def test_white_space_in_names_is_written_as_one_word() -> None:
    line = "SPEAKER a_talk 1 0.50000 1.00000 <NA> <NA> Ann_Lee <NA> <NA>\n"
    assert write_rttm("a talk", [Turn(16_000, 48_000, "Ann Lee")]) == line


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("SPEAKER t 1 0.0 1.0 ann", "6 fields instead of 10"),
        ("SPEAKER t 1 x 1.0 <NA> <NA> ann <NA> <NA>", "the start 'x' is no number"),
        ("SPEAKER t 1 0,5 1.0 <NA> <NA> ann <NA> <NA>", "the start '0,5' is no number"),
        ("SPEAKER t 1 0.0 -1 <NA> <NA> ann <NA> <NA>", "the duration -1 is not a finite number"),
        ("SPEAKER t 1 nan 1 <NA> <NA> ann <NA> <NA>", "the start nan is not a finite number"),
        ("SPEAKER t 1 0.0 1.0 <NA> <NA> <NA> <NA> <NA>", "the name of the voice is missing"),
        ("file,start,stop", "'file,start,stop' is no type of RTTM"),
    ],
)
def test_a_malformed_line_is_named(line: str, problem: str) -> None:
    good = "SPEAKER t 1 0.0 1.0 <NA> <NA> ann <NA> <NA>\n"
    with pytest.raises(ConfigError, match=re.escape(f"in/t.rttm:3: {problem}")) as error:
        read_rttm(f"{good}\n{line}\n", "in/t.rttm")
    assert "expected: SPEAKER recording channel start duration" in str(error.value)


def test_turns_of_a_recording() -> None:
    ann, bo = (Turn(0, 9, "ann"),), (Turn(0, 9, "bo"),)
    assert turns_of({"talk": ann, "more": bo}, "more", "t.rttm") == bo
    assert turns_of({"talk": ann}, "other-name", "t.rttm") == ann
    assert turns_of({}, "talk", "t.rttm") == ()
    with pytest.raises(ConfigError, match=r"t\.rttm: turns of 2 recordings \(more, talk\), and none of 'x'"):
        turns_of({"talk": ann, "more": bo}, "x", "t.rttm")

"""Votes: append-only, whole or absent, and the same whichever entry is named first."""

import multiprocessing
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from voicemill.storage.errors import ConfigError
from voicemill.storage.store import Store
from voicemill.storage.voices import votes
from voicemill.storage.voices.votes import Vote

ONE = Vote(
    time="2025-01-01T00:00:00+00:00",
    listener="lis",
    voice="anna",
    a=1,
    b=2,
    testset="f" * 64,
    sentence="s1",
    choice="a",
    left="a",
    order=0,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def test_votes_come_back_in_their_order_from_either_side(store: Store) -> None:
    given = [ONE, replace(ONE, sentence="s2", choice="same"), replace(ONE, a=2, b=1, sentence="s3")]
    for vote in given:
        votes.append(store, vote)
    assert votes.history(store, "anna", 1, 2) == [*given[:2], replace(ONE, sentence="s3", choice="b", left="b")]
    assert votes.history(store, "anna", 2, 1) == [votes.swapped(vote) for vote in votes.history(store, "anna", 1, 2)]
    assert [votes.swapped(votes.swapped(vote)) for vote in given] == given
    assert votes.history(store, "anna", 1, 3) == []


def test_a_vote_that_a_crash_cut_off_spoils_no_other(store: Store) -> None:
    votes.append(store, ONE)
    path = votes.path_of(store, "anna", 1, 2)
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole + whole[:cut])
        assert votes.history(store, "anna", 1, 2)[:1] == [ONE]
        votes.append(store, replace(ONE, sentence="s2"))
        history = votes.history(store, "anna", 1, 2)
        assert history[0] == ONE
        assert history[-1] == replace(ONE, sentence="s2")
        assert len(history) == (3 if cut == len(whole) - 1 else 2)  # all but the end of the line was there


def test_the_last_vote_of_a_listener_on_a_sentence_counts(store: Store) -> None:
    changed, other = replace(ONE, choice="b"), replace(ONE, listener="max")
    assert votes.latest_votes([ONE, other, changed]) == [changed, other]


def test_a_listener_is_forgotten_as_the_manual_says(store: Store) -> None:
    manual = (Path(__file__).parents[3] / "storage" / "README.md").read_text(encoding="utf-8")
    match = re.search(r"`(sed -i .*?listener.*?)`", manual)
    assert match
    for name in ("Lisbeth", "Lisbeth B", "max"):
        votes.append(store, replace(ONE, listener=name))
    command = match[1].replace("S/votes/anna", str(store.root / "votes" / "anna"))
    subprocess.run(command, shell=True, check=True)
    assert [vote.listener for vote in votes.history(store, "anna", 1, 2)] == ["Lisbeth B", "max"]


def test_invalid_votes_are_refused(store: Store) -> None:
    for wrong in ({"choice": "c"}, {"left": "x"}, {"b": 1}, {"voice": "../x"}):
        with pytest.raises(ConfigError):
            votes.append(store, replace(ONE, **wrong))  # type: ignore[arg-type]
    assert not list(store.root.rglob("*.jsonl"))


def many(root: str, who: int) -> None:
    store = Store.open(root)
    for number in range(25):
        votes.append(store, replace(ONE, listener=f"l{who}", sentence=f"s{number}", voice="anna"))


def test_votes_of_several_processes_are_all_there(store: Store) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=many, args=(str(store.root), who)) for who in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    history = votes.history(store, "anna", 1, 2)
    assert len(history) == len(votes.latest_votes(history)) == 100

"""Status: one champion per lane, one winner of two promotions, and no half change wherever a writer is killed."""

import multiprocessing
import os
import random
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import kill_points

from voicemill.storage.errors import StatusConflict, StoreError
from voicemill.storage.voices import status
from voicemill.storage.voices.status import StatusChange, read_status

WHEN = "2026-01-01T00:00:00+00:00"
BY = {"who": "eve", "when": WHEN, "why": "better"}


def promote(voice: Path, number: int, instead_of: int, kind: str = "trained") -> StatusChange:
    return status.promote(voice, number, kind, instead_of=instead_of, **BY)


def test_a_lane_has_one_champion_and_the_one_before_is_a_candidate_again(tmp_path: Path) -> None:
    assert read_status(tmp_path).of(1) == "candidate"
    assert promote(tmp_path, 1, 0) == StatusChange(
        number=1,
        kind="trained",
        stage="champion",
        who="eve",
        when=WHEN,
        why="better",
        instead_of=0,
        forced=False,
        sequence=1,
    )
    assert promote(tmp_path, 2, 0, "student").sequence == 2
    promote(tmp_path, 3, 1)
    present = read_status(tmp_path)
    assert present.champions == {"trained": 3, "student": 2}
    assert [present.of(number) for number in (1, 2, 3)] == ["candidate", "champion", "champion"]
    assert [(c.sequence, c.number, c.instead_of) for c in present.history] == [(1, 1, 0), (2, 2, 0), (3, 3, 1)]
    assert sorted(path.name for path in (tmp_path / "stages").iterdir()) == [f"{n:08d}.json" for n in (1, 2, 3)]


def test_a_promotion_that_compared_with_another_champion_is_refused(tmp_path: Path) -> None:
    promote(tmp_path, 1, 0)
    with pytest.raises(StatusConflict, match="compared with no champion, and meanwhile entry 1 became champion"):
        promote(tmp_path, 2, 0)
    with pytest.raises(StoreError, match="is the champion"):
        promote(tmp_path, 1, 1)
    status.retire(tmp_path, 1, "trained", **BY)
    with pytest.raises(StatusConflict, match="compared with entry 1, and meanwhile no champion"):
        promote(tmp_path, 2, 1)
    assert len(read_status(tmp_path).history) == 2


def test_an_entry_is_retired_once_and_for_good(tmp_path: Path) -> None:
    promote(tmp_path, 1, 0)
    assert status.retire(tmp_path, 1, "trained", **BY) == StatusChange(
        number=1, kind="trained", stage="retired", **BY, instead_of=1, forced=False, sequence=2
    )
    assert status.retire(tmp_path, 1, "trained", **BY) is None
    assert read_status(tmp_path).champions == {}
    assert read_status(tmp_path).of(1) == "retired"
    with pytest.raises(StoreError, match="is retired for good"):
        promote(tmp_path, 1, 0)


def test_rollback_reinstates_the_last_champion_that_is_not_retired(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no earlier champion"):
        status.rollback(tmp_path, "trained", **BY)
    for number in (1, 2, 3):
        promote(tmp_path, number, number - 1)
    promote(tmp_path, 9, 0, "light")
    with pytest.raises(StoreError, match=r"no earlier champion \(light\)"):
        status.rollback(tmp_path, "light", **BY)
    status.retire(tmp_path, 2, "trained", **BY)
    assert status.rollback(tmp_path, "trained", **BY).number == 1
    assert status.rollback(tmp_path, "trained", **BY).number == 3
    status.retire(tmp_path, 3, "trained", **BY)
    assert status.rollback(tmp_path, "trained", **BY).number == 1
    assert read_status(tmp_path).champions == {"trained": 1, "light": 9}


STEPS = st.lists(st.tuples(st.sampled_from(["promote", "retire", "rollback"]), st.integers(1, 4)), max_size=12)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_a_champion_is_never_retired_whatever_the_changes(
    tmp_path_factory: pytest.TempPathFactory, steps: object
) -> None:
    voice = tmp_path_factory.mktemp("voice")
    done = 0
    for verb, number in steps:  # type: ignore[attr-defined]
        before = read_status(voice)
        try:
            if verb == "promote":
                changed: StatusChange | None = promote(voice, number, before.champions.get("trained", 0))
            elif verb == "retire":
                changed = status.retire(voice, number, "trained", **BY)
            else:
                changed = status.rollback(voice, "trained", **BY)
        except StoreError:
            changed = None
        present = read_status(voice)
        done += changed is not None
        assert [change.sequence for change in present.history] == list(range(1, done + 1))
        assert present.history[: len(before.history)] == before.history
        assert before.retired <= present.retired
        assert not set(present.champions.values()) & present.retired
        if changed and changed.stage == "champion":
            assert present.champions["trained"] == changed.number != before.champions.get("trained")


def test_a_damaged_change_is_named(tmp_path: Path) -> None:
    promote(tmp_path, 1, 0)
    (tmp_path / "stages" / "00000002.json").write_text("{}")
    with pytest.raises(StoreError, match=r"00000002\.json is no change of status"):
        read_status(tmp_path)


# -- at once


def test_a_missing_change_does_not_stop_the_next(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        promote(tmp_path, number, number - 1)
    (tmp_path / "stages" / "00000002.json").unlink()
    assert promote(tmp_path, 4, 3).sequence == 4


def test_of_many_promotions_at_once_one_wins(tmp_path: Path) -> None:
    for round_ in range(8):
        voice, won, lost = tmp_path / str(round_), [], []
        promote(voice, 1, 0)
        barrier = threading.Barrier(6)

        def race(number: int, voice: Path = voice, won: list[int] = won, lost: list[int] = lost) -> None:
            barrier.wait()  # noqa: B023
            try:
                won.append(promote(voice, number, 1).number)
            except StatusConflict:
                lost.append(number)

        threads = [threading.Thread(target=race, args=(number,)) for number in range(2, 8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(lost)) == (1, 5)
        present = read_status(voice)
        assert present.champions == {"trained": won[0]}
        assert len(present.history) == 2


def test_changes_of_different_lanes_at_once_all_happen(tmp_path: Path) -> None:
    lanes = ["trained", "student", "compressed", "light"]
    threads = [threading.Thread(target=promote, args=(tmp_path, n, 0, lane)) for n, lane in enumerate(lanes, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    present = read_status(tmp_path)
    assert present.champions == {lane: n for n, lane in enumerate(lanes, 1)}
    assert [change.sequence for change in present.history] == [1, 2, 3, 4]


# -- killed


def test_killed_at_any_step_the_old_champion_stands_or_the_new_one(tmp_path: Path) -> None:
    calm = tmp_path / "calm"
    promote(calm, 1, 0)
    events = kill_points.run(promote, calm, 2, 1, root=tmp_path)
    assert events >= 4
    assert read_status(calm).champions == {"trained": 2}
    outcomes = []
    for at in range(1, events + 1):
        voice = tmp_path / str(at)
        promote(voice, 1, 0)
        kill_points.run(promote, voice, 2, 1, root=tmp_path, at=at)
        champion = read_status(voice).champions["trained"]
        outcomes.append(champion)
        if champion == 1:
            promote(voice, 2, 1)
        left = list((voice / "stages").glob(".*.tmp"))
        assert len(left) <= 1
        for path in left:
            os.utime(path, (0, 0))
        promote(voice, 3, 2)
        assert sorted(path.name for path in (voice / "stages").iterdir()) == [f"{n:08d}.json" for n in (1, 2, 3)]
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {1, 2}


def _promote_for_ever(voice: Path) -> None:
    while True:
        champion = read_status(voice).champions["trained"]
        with suppress(StatusConflict):
            promote(voice, champion + 1, champion)


def test_killed_at_random_moments_the_history_is_whole(tmp_path: Path) -> None:
    promote(tmp_path, 1, 0)
    context, chance = multiprocessing.get_context("forkserver"), random.Random(7)
    numbers = [1]
    for _ in range(8):
        pair = [context.Process(target=_promote_for_ever, args=(tmp_path,)) for _ in range(2)]
        for process in pair:
            process.start()
        while len(list((tmp_path / "stages").glob("[0-9]*.json"))) == len(numbers):
            assert any(process.is_alive() for process in pair)
            time.sleep(0.001)
        time.sleep(0.01 * chance.random())
        for process in pair:
            process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL
        present = read_status(tmp_path)
        before, numbers = numbers, [change.number for change in present.history]
        assert numbers == list(range(1, len(numbers) + 1))  # each followed the champion before it, and none was lost
        assert len(numbers) > len(before)
        assert present.champions == {"trained": numbers[-1]}

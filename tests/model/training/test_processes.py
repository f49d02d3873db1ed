"""Real processes: several ranks, and trainings that are killed."""

import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import toy_objective
from support.kill_points import run as killed_at

from voicemill.model.training.engine.run import Result, RunSpec, progress, result
from voicemill.model.training.engine.start_ranks import MEETING
from voicemill.tasks.training.launch import STARTER

PROGRAM = Path(toy_objective.__file__)
ROOT = PROGRAM.parents[2]
pytestmark = pytest.mark.slow


def started(folder: Path, ranks: int = 1, **how: Any) -> subprocess.Popen[str]:
    """Begin to train a folder, in a process group of its own."""
    rank = [sys.executable, str(PROGRAM), str(folder), json.dumps(how)]
    return subprocess.Popen(
        [sys.executable, "-m", STARTER, str(ranks), *rank] if ranks > 1 else rank,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ran(folder: Path, what: RunSpec, ranks: int = 1, **how: Any) -> str:
    """Train a folder to its end; what it said."""
    what.write(folder)
    with started(folder, ranks, **how) as process:
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def outcome(folder: Path) -> Result:
    found = result(folder)
    assert found is not None
    return found


def losses(folder: Path) -> dict[int, dict[str, float]]:
    lines = list(progress(folder))
    found = {line.step: dict(line.losses) for line in lines}
    assert len(found) == len(lines)
    return found


def gone(group: int) -> bool:
    """Whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_two_ranks_learn_what_one_does_with_the_same_global_batch(tmp_path: Path) -> None:
    what = toy_objective.spec(steps=15)
    said = ran(tmp_path / "two", what, ranks=2)
    assert "2 x cpu" in said
    assert said.count("step 15/15") == 1
    ran(tmp_path / "both", toy_objective.spec(steps=15, accumulate=2), ranks=2)
    assert toy_objective.trained(ran_here(tmp_path / "one", what)) == 0
    one = losses(tmp_path / "one")
    for name in ("two", "both"):
        found = losses(tmp_path / name)
        for step, terms in one.items():
            assert found[step] == pytest.approx(terms, rel=2e-5), (name, step)


def ran_here(folder: Path, what: RunSpec) -> Path:
    what.write(folder)
    return folder


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.nightly), 1])
def test_memory_of_one_rank_halves_the_batch_of_all(tmp_path: Path, rank: int) -> None:
    said = ran(
        tmp_path / "tight", toy_objective.spec(steps=4), 2, megabytes=600, limit_megabytes=1900, limited_rank=rank
    )
    assert said.count("out of memory") == 1
    assert "out of memory with 4 examples at a time: halved to 2, accumulate = 2" in said
    assert toy_objective.trained(ran_here(tmp_path / "roomy", toy_objective.spec(steps=4))) == 0
    roomy, tight = losses(tmp_path / "roomy"), losses(tmp_path / "tight")
    for step, terms in roomy.items():
        assert tight[step] == pytest.approx(terms, rel=2e-5), step


def test_what_is_not_finite_on_one_rank_stops_all_with_its_utterances(tmp_path: Path) -> None:
    toy_objective.spec(steps=40, accumulate=2).write(tmp_path)
    with started(tmp_path, 2, spoiled="utterance-12") as process:
        said, _ = process.communicate(timeout=300)
    assert process.returncode != 0, said
    assert outcome(tmp_path).outcome == "not_finite"
    named = outcome(tmp_path).detail.split("with utterances ")[1].split(", ")
    assert "utterance-12" in named
    assert len(named) == 2  # the examples of its part alone
    assert gone(process.pid)


def test_sigterm_to_two_ranks_keeps_the_last_step(tmp_path: Path) -> None:
    what = toy_objective.spec(steps=60, checkpoint_every=60, evaluate_every=60)
    what.write(tmp_path)
    process = started(tmp_path, 2, dropout=0.3, pause_s=0.02)
    with process:
        _until_step(tmp_path, 5, process)
        os.killpg(process.pid, signal.SIGTERM)
        began = time.monotonic()
        said, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "ended by SIGTERM after step" in said
    assert time.monotonic() - began < 20
    assert gone(process.pid)
    assert result(tmp_path) is None
    said = ran(tmp_path, what, 2, dropout=0.3)
    assert "continues after step" in said
    ran(tmp_path / "undisturbed", what, 2, dropout=0.3)
    assert losses(tmp_path) == losses(tmp_path / "undisturbed")


def test_ranks_listen_on_loopback_alone_and_meet_in_a_folder_of_their_own(tmp_path: Path) -> None:
    """No port of theirs takes what torchrun's would unpickle; another user cannot open the file by which they meet."""
    toy_objective.spec(steps=400, checkpoint_every=400, evaluate_every=400).write(tmp_path)
    with started(tmp_path, 2, pause_s=0.05) as process:
        _until_step(tmp_path, 3, process)
        ranks = psutil.Process(process.pid).children(recursive=True)
        ports = [port.laddr for rank in ranks for port in rank.net_connections() if port.status == psutil.CONN_LISTEN]
        meetings = {Path(rank.environ()[MEETING]) for rank in ranks if MEETING in rank.environ()}
        modes = [stat.S_IMODE(path.parent.stat().st_mode) for path in meetings]
        process.terminate()
        process.communicate(timeout=60)
    assert {address.ip for address in ports} <= {"127.0.0.1", "::1"}
    assert modes == [0o700]
    assert not next(iter(meetings)).parent.exists()


def test_sigterm_ends_a_training_within_seconds_of_its_step(tmp_path: Path) -> None:
    what = toy_objective.spec(steps=10_000, checkpoint_every=10_000, evaluate_every=10_000)
    what.write(tmp_path)
    with started(tmp_path) as process:
        _until_step(tmp_path, 3, process)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert time.monotonic() - began < 10
    assert len(list((tmp_path / "checkpoints").glob("step-*"))) == 1


# nightly: six processes. On a push the next test kills trainings by their accesses to the file system
@pytest.mark.nightly
def test_killed_at_random_moments_it_goes_on_with_the_same_losses(tmp_path: Path) -> None:
    """By the clock: a moment within a second after some step was logged."""
    what = toy_objective.spec(steps=60, evaluate_every=7, checkpoint_every=5, log_every=2)
    ran(tmp_path / "undisturbed", what, dropout=0.3)
    folder, dice = tmp_path / "killed", random.Random(4)
    what.write(folder)
    for attempt in range(4):
        with started(folder, dropout=0.3, pause_s=0.02) as process:
            _until_step(folder, 8 + 12 * attempt, process)
            time.sleep(dice.random() * 0.4)
            process.kill()
            process.communicate(timeout=60)
    assert result(folder) is None
    ran(folder, what, dropout=0.3)
    assert losses(folder) == losses(tmp_path / "undisturbed")
    assert outcome(folder).losses == outcome(tmp_path / "undisturbed").losses


def test_killed_within_any_write_it_goes_on_with_the_same_losses(tmp_path: Path) -> None:
    """By the file: at a touch of the file system within the folder of the run; some are inside a checkpoint."""
    what = toy_objective.spec(steps=8, evaluate_every=3, checkpoint_every=1, log_every=2, keep=1)
    whole, folder = tmp_path / "undisturbed", tmp_path / "killed"
    what.write(whole)
    what.write(folder)
    events = killed_at(toy_objective.trained, whole, root=whole)
    assert events > 40
    dice = random.Random(9)
    for _ in range(4):
        killed_at(toy_objective.trained, folder, root=folder, at=dice.randrange(8, 28))
        assert result(folder) is None
    assert killed_at(toy_objective.trained, folder, root=folder) > 0
    assert losses(folder) == losses(whole)
    assert outcome(folder).losses == outcome(whole).losses
    assert not list((folder / "checkpoints").glob(".*"))


def _until_step(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not any(line.step >= step for line in progress(folder)):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, f"no step {step} after two minutes"
        time.sleep(0.02)

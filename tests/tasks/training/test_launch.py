"""Starting a training: its output and progress arrive while it runs, and nothing of it is left however it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent

import pytest

from voicemill.model.training.engine import run
from voicemill.storage.errors import ConfigError
from voicemill.storage.locks import FileLock
from voicemill.storage.processes import pid_alive
from voicemill.tasks.training import devices, launch
from voicemill.tasks.training.devices import Gpu
from voicemill.tasks.training.launch import LONGEST, Lines, TrainingOutcome, training_processes

ROOT = Path(__file__).parents[3]
RESULT = {"detail": "because", "step": 3, "best_step": 2, "best": 0.5, "losses": {"mel": 0.5}}
HEAD = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
rank = os.environ.get("VOICEMILL_RANK", "0")
def wait(name):
    while not (folder / name).exists(): time.sleep(0.01)
def leave(name, text=""):
    (folder / f".{name}").write_text(text)
    (folder / f".{name}").rename(folder / name)
"""

Start = Callable[..., TrainingOutcome]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run, and a place that programs are imported from."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def program(folder: Path, text: str) -> str:
    """Write a real program that stands in the place of the training; its module."""
    (folder.parent / "stand_in.py").write_text(HEAD + dedent(text))
    return "stand_in"


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def alive(folder: Path, *names: str) -> list[str]:
    """Processes of a training, by its mark and by the numbers that they left in files."""
    pids = {int((folder / name).read_text()) for name in names if (folder / name).exists()}
    pids |= {process.pid for process in training_processes(folder)}
    return [Path(f"/proc/{pid}/cmdline").read_text() for pid in pids if pid_alive(pid)]


def test_lines_and_progress_arrive_while_it_runs(folder: Path) -> None:
    """The program waits for what the callbacks leave: if anything came only at its end, it would never end."""
    line = json.dumps(
        {"step": 5, "steps": 9, "losses": {"mel": 1.5}, "rate": 0.1, "examples_per_s": 1.0}
        | {"audio_per_s": 2.0, "seconds": 3.0}
    )
    module = program(
        folder,
        f"""
        print("one"); sys.stderr.write("two\\r")
        wait("heard")
        with (folder / "progress.jsonl").open("a") as file:
            file.write({line!r} + "\\n" + '{{"step": 6, "st'); file.flush()
            wait("seen")
        print("x" * {2 * LONGEST + 5})
        sys.stdout.write("no end of line")
        leave("result.json", {json.dumps({"outcome": "finished", **RESULT})!r})
        """,
    )
    lines: list[str] = []
    steps: list[int] = []

    def on_line(line: str) -> None:
        lines.append(line)
        if lines == ["one", "two"]:
            (folder / "heard").touch()

    def on_progress(progress: run.Progress) -> None:
        steps.append(progress.step)
        (folder / "seen").touch()

    ended = launch.launch(folder, on_line=on_line, on_progress=on_progress, module=module)
    assert (ended.good, ended.outcome, ended.code) == (True, "finished", 0)
    assert lines == ["one", "two", "x" * LONGEST, "x" * LONGEST, "xxxxx", "no end of line"]
    assert ended.tail == tuple(lines)
    assert (folder / "log.txt").read_bytes() == b"one\ntwo\r" + b"x" * (2 * LONGEST + 5) + b"\nno end of line"
    assert steps == [5]
    assert alive(folder) == []


def test_a_line_is_cut_anywhere_and_comes_whole() -> None:
    raw = "".join(f"line {n} é\n" for n in range(50)).encode() + b"rest"
    for size in (1, 2, 3, 7, 64, 1000):
        lines = Lines()
        found = [line for at in range(0, len(raw), size) for line in lines.feed(raw[at : at + size])]
        assert [*found, *lines.rest()] == [*(f"line {n} é" for n in range(50)), "rest"]
    endless = Lines()
    assert max(len(line) for _ in range(100) for line in endless.feed(b"y" * 1000)) == LONGEST
    assert len(endless._open) <= LONGEST


@pytest.mark.parametrize(
    ("text", "outcome", "code", "said"),
    [
        ("leave('result.json', RESULT); sys.exit(3)", "not_finite", 3, "because"),
        ("raise RuntimeError('the disk is full')", "crashed", 1, "the disk is full"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed", 139, "killed by signal 11"),
    ],
)
def test_a_bad_end_says_why(folder: Path, text: str, outcome: str, code: int, said: str) -> None:
    """A bad result of an attempt before is not taken for the one of this attempt."""
    run.finish(folder, run.Result(outcome="no_memory", detail="before", step=1, best_step=1, best=1.0, losses={}))
    raw = json.dumps({"outcome": "not_finite", **RESULT})
    ended = launch.launch(folder, module=program(folder, f"RESULT = {raw!r}\n{text}"))
    assert (ended.good, ended.outcome, ended.code) == (False, outcome, code)
    assert said in ended.detail + "\n".join(ended.tail)


STUBBORN = """
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN)\\n"
    "print('up', flush=True); time.sleep(600)"], start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
leave("child" + rank, str(child.pid))
"""


def test_an_error_in_the_caller_ends_all_of_it(folder: Path) -> None:
    """The command is asked first, and can leave a checkpoint and say so; what ignores SIGTERM is killed."""
    ending = """
    def end(*_):
        print("z" * 300_000); print("checkpoint written"); leave("saved"); sys.exit(143)
    signal.signal(signal.SIGTERM, end)
    print("ready")
    time.sleep(600)
    """

    def on_line(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch.launch(folder, on_line=on_line, grace=10, module=program(folder, STUBBORN + dedent(ending)))
    assert (folder / "saved").exists()
    assert (folder / "log.txt").read_text().endswith("checkpoint written\n")
    assert (folder / "child0").exists()
    assert alive(folder, "child0") == []


def test_what_does_not_go_is_killed_after_the_grace(folder: Path) -> None:
    deaf = STUBBORN + "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(600)"

    def on_line(line: str) -> None:
        raise ValueError(line)

    began = time.monotonic()
    with pytest.raises(ValueError, match="ready"):
        launch.launch(folder, on_line=on_line, grace=0.5, module=program(folder, deaf))
    assert time.monotonic() - began > 0.5
    assert alive(folder, "child0") == []


CALLER = """
import sys
from pathlib import Path
from voicemill.storage.locks import FileLock
from voicemill.tasks.training.launch import launch
with FileLock(Path(sys.argv[2])) as lock:
    lock.take(wait=True)
    print(launch(Path(sys.argv[1]), processes=int(sys.argv[4]), locks=[lock.fileno()], grace=float(sys.argv[3]),
        module="stand_in").outcome)
"""


def caller(folder: Path, grace: float, processes: int = 1) -> "subprocess.Popen[str]":
    """A process that launches, holding a lock, to be killed."""
    path = os.pathsep.join((str(ROOT), os.environ["PYTHONPATH"]))
    words = [str(folder), str(folder / "lock"), str(grace), str(processes)]
    command = [sys.executable, "-c", CALLER, *words]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True)


def free(folder: Path) -> bool:
    with FileLock(folder / "lock") as lock:
        return lock.take("test")


def test_a_killed_caller_leaves_nothing_and_its_lock_goes_last(folder: Path) -> None:
    deaf = STUBBORN + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nleave('up')\ntime.sleep(600)"
    program(folder, deaf)
    with caller(folder, grace=0.5) as process:
        until((folder / "up").exists)
        assert len(alive(folder, "child0")) == 3
        process.kill()
    assert not free(folder)  # its ranks are still there
    until(lambda: free(folder))
    assert alive(folder, "child0") == []


@pytest.mark.slow
def test_a_killed_guard_takes_its_ranks_along(folder: Path) -> None:
    """The rank gets the signal of a dead parent; the caller ends what does not heed it."""
    program(folder, STUBBORN + "leave('up')\ntime.sleep(600)")
    with caller(folder, grace=0.5) as process:
        until((folder / "up").exists)
        (guard,) = [rank for rank in training_processes(folder) if launch.GUARD in rank.cmdline()]
        guard.kill()
        assert process.communicate(timeout=60)[0] == "crashed\n"
    assert alive(folder, "child0") == []


def test_what_an_earlier_attempt_left_is_ended_first(folder: Path) -> None:
    mark = os.environ | {"VOICEMILL_TRAINING": str(folder)}
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=mark) as orphan:
        until(lambda: [process.pid for process in training_processes(folder)] == [orphan.pid])
        ended = launch.launch(folder, module=program(folder, "sys.exit(5)"))
        assert ended.code == 5
        assert orphan.wait(timeout=10) == -signal.SIGKILL


TWO = "leave('pid' + rank, str(os.getpid())); wait('pid0'); wait('pid1')\n"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["sys.exit(7)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_rank_that_dies_ends_the_others(folder: Path, how: str) -> None:
    module = program(folder, STUBBORN + TWO + f"if rank == '1':\n{indent(how, '    ')}\ntime.sleep(600)")
    ended = launch.launch(folder, processes=2, module=module)
    assert ended.outcome == "crashed"
    assert any(line.startswith("rank 1 FAILED") for line in ended.tail)
    assert alive(folder, "pid0", "pid1", "child0", "child1") == []


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["caller", "starter", "both"])
def test_a_kill_ends_every_rank(folder: Path, victim: str) -> None:
    """Ranks stand in sessions of their own, out of reach of a process group; one ignores SIGTERM."""
    deaf = "if rank == '1': signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    program(folder, STUBBORN + deaf + TWO + "leave('up' + rank)\ntime.sleep(600)")
    names = ("pid0", "pid1", "child0", "child1")
    with caller(folder, grace=1.0, processes=2) as process:
        until(lambda: (folder / "up0").exists() and (folder / "up1").exists())
        assert len(alive(folder, *names)) == 6  # guard, starter, two ranks and their children
        ranks = {int((folder / name).read_text()) for name in names}
        commands = {p.pid: " ".join(p.cmdline()) for p in training_processes(folder) if p.pid not in ranks}
        (agent,) = [pid for pid, words in commands.items() if launch.STARTER in words and launch.GUARD not in words]
        if victim != "caller":
            os.kill(agent, signal.SIGKILL)
        if victim != "starter":
            process.kill()
        else:
            assert process.communicate(timeout=60)[0] == "crashed\n"
    until(lambda: free(folder))
    assert alive(folder, *names) == []


# -- one training per device


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VOICEMILL_LOCKS", str(tmp_path / "locks"))
    return tmp_path / "locks"


GPUS = (Gpu("gpu-a", "0"), Gpu("gpu-b", "1"))


def never(text: str) -> None:
    pytest.fail(text)


def test_trainings_on_one_device_wait_for_each_other(locks: Path) -> None:
    """Whoever waits is told who holds it; at no time are two inside."""
    inside: list[str] = []
    said: dict[str, str] = {}
    most = 0

    def train(name: str) -> None:
        nonlocal most
        with devices.reserved_devices(1, name, (), lambda text: said.__setitem__(name, text)) as held:
            assert held.gpus == ()
            inside.append(name)
            most = max(most, len(inside))
            time.sleep(0.3)
            inside.remove(name)

    threads = [threading.Thread(target=train, args=(f"voice {n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert len(said) == 2
    assert set(said.values()) <= {f"cpu is held by voice {n}" for n in range(3)}


def test_each_training_gets_gpus_of_its_own(locks: Path) -> None:
    with (
        devices.reserved_devices(1, "one", GPUS, never) as first,
        devices.reserved_devices(1, "two", GPUS, never) as second,
        devices.reserved_devices(1, "three", (), never),  # the CPU is another device
    ):
        assert (first.gpus, second.gpus) == (GPUS[:1], GPUS[1:])
        waits: list[str] = []

        def impatient(text: str) -> None:
            waits.append(text)
            raise TimeoutError

        with pytest.raises(TimeoutError), devices.reserved_devices(1, "four", GPUS, impatient):
            pass
        assert waits == ["gpu-a is held by one; gpu-b is held by two"]
    with devices.reserved_devices(2, "both", GPUS, never) as both:
        assert both.gpus == GPUS


def test_a_dead_holder_holds_nothing(locks: Path) -> None:
    text = "with reserved_devices(1, 'x', (), print): print('held', flush=True); time.sleep(600)"
    command = [
        sys.executable,
        "-c",
        f"import time; from voicemill.tasks.training.devices import reserved_devices\n{text}",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.kill()
    with devices.reserved_devices(1, "next", (), never):
        pass


def test_how_many_processes_train() -> None:
    assert [devices.process_count(0, ()), devices.process_count(2, ())] == [1, 2]
    assert [devices.process_count(0, GPUS), devices.process_count(1, GPUS)] == [2, 1]
    with pytest.raises(ConfigError, match=r"loop\.devices = 3, but torch sees 2"):
        devices.process_count(3, GPUS)


def test_a_training_takes_no_more_threads_than_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert launch._environment(tmp_path, 1, ())["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "1000")
    assert launch._environment(tmp_path, 1, ())["OMP_NUM_THREADS"] == str(len(os.sched_getaffinity(0)))

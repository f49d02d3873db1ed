"""Start a training (`model.training.main`) in processes of its own, follow it, and leave no process behind.

A single process is started directly, several by `model/training/engine/start_ranks.py`, which ends all ranks when one
dies. Both run under `tasks/training/guard.py`, which ends every rank when this process ends, however it ends. Their
output goes to `<folder>/log.txt` and, line by line, to the caller.
"""

import os
import re
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import psutil

from voicemill.model.training.engine import run
from voicemill.model.training.engine.run import Progress, Result
from voicemill.storage.processes import end_processes, marked_processes
from voicemill.storage.units import Seconds

MODULE = "voicemill.model.training.main"
STARTER = "voicemill.model.training.engine.start_ranks"
GUARD = "voicemill.tasks.training.guard"
GRACE: Seconds = 20.0
"""Time from SIGTERM to SIGKILL: enough for a step and a checkpoint. A Prefect worker kills a cancelled run after 30."""
MARGIN: Seconds = 5.0
"""Further time for the guard to end the last process."""
TAIL = 30
"""Last lines of output, quoted when a training crashes."""
LONGEST = 8192
"""Characters of a line; longer ones are passed on in pieces."""
_MARK = "VOICEMILL_TRAINING"
"""Environment variable of every rank that holds the folder: it finds ranks whose guard and caller were both killed."""


@dataclass(frozen=True)
class TrainingOutcome:
    """How a training ended."""

    outcome: str
    """`Result.outcome`, or "crashed" where there is no result."""
    detail: str
    code: int
    """Exit status of the last process."""
    result: Result | None
    tail: tuple[str, ...]
    """Last lines of output."""

    @property
    def good(self) -> bool:
        """Whether the training reached its end."""
        return self.result is not None and self.result.good

    @property
    def killed(self) -> bool:
        """Whether a signal ended it, as where the machine ran out of memory: the same training may well succeed."""
        return self.result is None and 128 < self.code < 160


def command(folder: Path, processes: int, module: str = MODULE) -> list[str]:
    """Command line of the training, for one process or several."""
    rank = [sys.executable, "-u", "-m", module, str(folder)]
    return rank if processes == 1 else [sys.executable, "-m", STARTER, str(processes), *rank]


def launch(
    folder: Path,
    *,
    processes: int = 1,
    gpus: Sequence[str] = (),
    locks: Sequence[int] = (),
    on_line: Callable[[str], None] = lambda line: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    grace: Seconds = GRACE,
    module: str = MODULE,
) -> TrainingOutcome:
    """Run the training of a folder to its end.

    Args:
        folder: holds `run.json`; the result of a failed earlier attempt is deleted.
        processes: number of ranks.
        gpus: value of CUDA_VISIBLE_DEVICES; empty: unchanged.
        locks: descriptors of locks that are held until the last rank ends, even if this process ends before.
        on_line: called with every line of output, including an unfinished last one.
        on_progress: called with every new line of progress.jsonl, those of earlier attempts first.
        grace: seconds between SIGTERM and SIGKILL.
        module: the program; its argument is the folder.

    An exception raised here (by a callback, Ctrl-C, Prefect's cancellation) ends every rank before it propagates; so
    does the end of the folder, which a forgetting erases.
    """
    if (result := run.result(folder)) and not result.good:
        (folder / "result.json").unlink()
    kill = partial(end_processes, lambda: training_processes(folder), 0.0)
    kill()
    guard = [sys.executable, "-m", GUARD, str(grace), *command(folder, processes, module)]
    tail: deque[str] = deque(maxlen=TAIL)
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            guard,
            env=_environment(folder, processes, gpus),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            pass_fds=tuple(locks),
            start_new_session=True,  # Ctrl-C on a terminal reaches this process alone, which then ends the ranks
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            follow(process, log, folder, tail, on_line, on_progress)
        finally:
            process.stdin.close()
            _drain(process.stdout, log, grace + MARGIN)
            kill()  # some are left only where the guard itself was killed, or cannot do its work
            process.stdout.close()
            code = process.wait()
    return _ended(folder, code, tuple(tail))


def follow(
    process: "subprocess.Popen[bytes]",
    log: IO[bytes],
    folder: Path,
    tail: "deque[str]",
    on_line: Callable[[str], None],
    on_progress: Callable[[Progress], None],
) -> None:
    """Pass on lines and progress until the output ends, the guard has ended, or the folder is erased."""
    lines, following, output = Lines(), Following(folder), process.stdout
    assert output
    ended = False
    while not ended and folder.is_dir():
        gone = process.poll() is not None  # checked before reading, so that its last output is read
        ready, _, _ = select.select([output], [], [], 0.0 if gone else 0.1)
        chunk = os.read(output.fileno(), 65536) if ready else b""
        ended = gone if not ready else not chunk
        log.write(chunk)
        log.flush()
        for line in (*lines.feed(chunk), *(lines.rest() if ended else ())):
            tail.append(line)
            on_line(line)
        for progress in following.new(last=ended):
            on_progress(progress)


class Lines:
    """Splits a stream of bytes into lines of text, also at carriage returns. Holds LONGEST bytes at most."""

    def __init__(self) -> None:
        self._open = b""

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Lines completed by this chunk, and pieces of a line that is too long."""
        *whole, self._open = re.split(rb"[\r\n]+", self._open + chunk)
        while len(self._open) > LONGEST:
            whole.append(self._open[:LONGEST])
            self._open = self._open[LONGEST:]
        yield from (part.decode(errors="replace") for line in whole if line for part in _pieces(line))

    def rest(self) -> Iterator[str]:
        """The unfinished last line, if any."""
        line, self._open = self._open, b""
        if line:
            yield line.decode(errors="replace")


def _pieces(line: bytes) -> Iterator[bytes]:
    yield from (line[at : at + LONGEST] for at in range(0, len(line), LONGEST))


class Following:
    """Reads a growing progress.jsonl, so rarely that it takes at most a twentieth of the time."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._step, self._size = folder, -1, -1
        self._next = 0.0

    def new(self, *, last: bool = False) -> Iterator[Progress]:
        """Lines that were not returned before."""
        began, path = time.monotonic(), self._folder / "progress.jsonl"
        if began < self._next and not last:
            return
        size = path.stat().st_size if path.exists() else 0
        if size != self._size:
            self._size = size
            for progress in run.progress(self._folder, self._step):
                self._step = progress.step
                yield progress
        now = time.monotonic()
        self._next = now + max(0.5, 20 * (now - began))


def training_processes(folder: Path) -> list[psutil.Process]:
    """Living processes that train in this folder, found by their mark."""
    return marked_processes(_MARK, str(folder.resolve()))


def _drain(output: IO[bytes], log: IO[bytes], limit: Seconds) -> None:
    """Read on while the ranks end: a full pipe would block their last checkpoint."""
    end = time.monotonic() + limit
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([output], [], [], left)
        if not ready or not (chunk := os.read(output.fileno(), 65536)):
            return
        log.write(chunk)


def _environment(folder: Path, processes: int, gpus: Sequence[str]) -> dict[str, str]:
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    if (limit := os.environ.get("OMP_NUM_THREADS", "")).isdigit():  # the user's limit on a shared machine
        threads = min(threads, int(limit) or 1)
    own = {_MARK: str(folder.resolve()), "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    if gpus:
        own["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    return os.environ | own


def _ended(folder: Path, code: int, tail: tuple[str, ...]) -> TrainingOutcome:
    if result := run.result(folder):
        return TrainingOutcome(outcome=result.outcome, detail=result.detail, code=code, result=result, tail=tail)
    how = f"killed by signal {code - 128}" if 128 < code < 160 else f"exit status {code}"
    return TrainingOutcome(
        outcome="crashed",
        detail=f"{how}, and no result.json",
        code=code if code >= 0 else 128 - code,
        result=None,
        tail=tail,
    )

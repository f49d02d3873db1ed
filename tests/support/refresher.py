"""A process that runs refreshes one after another, each in a fork of its own.

What a refresh imports takes longer than a tiny one itself, and is imported once. A fork may be killed (SIGKILL) at its
n-th access to a file under a folder. Run as a program it reads one request a line, JSON, and answers each with a line.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).resolve()
IMPORTED = (
    *("av", "deltalake", "librosa", "matplotlib.pyplot", "numba", "onnxruntime", "pandas", "pocketsphinx", "prefect"),
    *("pyarrow.parquet", "pyloudnorm", "scipy.signal", "soundfile", "soxr", "torch", "webrtcvad"),
    *("support.kill_points", "voicemill.flows.refresh", "voicemill.flows.report.page"),
    *("voicemill.model.content.encoders", "voicemill.model.pitch.swift"),
)
"""What a refresh imports; nothing of it starts a thread that a fork would miss."""


class Refresher:
    """The process, as a test uses it."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        """`environment` names the Prefect server; what the refreshes print goes to `log`."""
        self._log = log.open("w")
        self._process = subprocess.Popen(
            [sys.executable, str(HERE)],
            env=environment | {"PYTHONPATH": f"{HERE.parents[2]}:{HERE.parents[1]}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def __enter__(self) -> "Refresher":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()
        self._log.close()

    def __call__(self, *, kill_at: int = 0, root: Path | None = None, **options: Any) -> int:
        """Run a refresh with these options; returns the number of its file accesses under `root`, 0 = it was killed.

        `kill_at`: access at which it is killed, if it has so many; 0 = none.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"options": options, "kill_at": kill_at, "root": str(root or options["store"])}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, f"the process ended; see {self._log.name}"
        status, accesses = json.loads(answer)
        assert status == 0 or (kill_at and status == -signal.SIGKILL), f"exit {status}; see {self._log.name}"
        return 0 if status else int(accesses)


def refresh_here(options: dict[str, Any], kill_at: int, root: str, pipe: int) -> None:
    """Run a refresh in this process, and write the number of its file accesses to `pipe`."""
    from support.kill_points import EVENTS
    from voicemill.flows.refresh import RefreshOptions, refresh

    accesses = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal accesses
        if event in EVENTS and any(str(argument).startswith(root) for argument in arguments[:2]):
            accesses += 1
            if accesses == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    refresh(RefreshOptions(**options))
    os.write(pipe, str(accesses).encode())


def main() -> None:
    """Answer requests until the input ends."""
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        reader, writer = os.pipe()
        if (child := os.fork()) == 0:
            status = 1
            try:
                os.dup2(2, 1)  # stdout is for the answers
                refresh_here(**json.loads(line), pipe=writer)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(writer)
        accesses = os.read(reader, 64).decode() or "0"
        os.close(reader)
        _, raw = os.waitpid(child, 0)
        print(json.dumps([os.waitstatus_to_exitcode(raw), int(accesses)]), flush=True)


if __name__ == "__main__":
    main()

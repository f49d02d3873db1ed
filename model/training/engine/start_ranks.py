"""Start the ranks of a training on this machine, and end all of them when one fails or this process is told to end:
`python -m voicemill.model.training.engine.start_ranks RANKS COMMAND...`

The ranks meet by a file in a folder that only this user can open. torchrun's meeting place is a TCP server without a
secret on all interfaces, and it unpickles what it finds there: whoever reaches the port could run code as this user.

It imports only the standard library. Exit status: 0, or that of the first rank that failed, 128 + n where signal n
ended it.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

RANK, COUNT, MEETING = "VOICEMILL_RANK", "VOICEMILL_RANKS", "VOICEMILL_MEETING"
"""Environment variables of a rank: its number, how many there are, and the file by which they meet."""
GRACE = 10.0
"""Seconds from SIGTERM to SIGKILL for the others when one rank failed: they wait for it and can do nothing."""


def run(count: int, command: Sequence[str]) -> int:
    """Run the command as `count` ranks; returns the exit status."""
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: told.append(received))
    with tempfile.TemporaryDirectory(prefix="voicemill-ranks-") as folder:
        shared = os.environ | {COUNT: str(count), MEETING: str(Path(folder) / "meeting")}
        ranks = [
            subprocess.Popen(command, env=shared | {RANK: str(rank)}, stdin=subprocess.DEVNULL, start_new_session=True)
            for rank in range(count)
        ]
        failed = _follow(ranks, told)
        if failed is None:
            return 0
        code = ranks[failed].returncode
        if not told:
            how = f"signal {-code}" if code < 0 else f"exit status {code}"
            print(f"rank {failed} FAILED ({how}): the others are ended", flush=True)
        _end(ranks)
        return code if code >= 0 else 128 - code


def _follow(ranks: Sequence["subprocess.Popen[bytes]"], told: list[int]) -> int | None:
    """Wait until all ranks ended well (None), or one has failed (its number); signals are passed on to all."""
    passed = 0
    while True:
        codes = [rank.poll() for rank in ranks]
        if all(code == 0 for code in codes):
            return None
        ended = [number for number, code in enumerate(codes) if code]
        if ended and (not told or None not in codes):  # told to end, each finishes its step and its checkpoint
            return ended[0]
        for number in told[passed:]:
            passed += 1
            for rank in ranks:
                rank.send_signal(number)
        time.sleep(0.05)


def _end(ranks: Sequence["subprocess.Popen[bytes]"]) -> None:
    for rank in ranks:
        rank.terminate()
    end = time.monotonic() + GRACE
    while any(rank.poll() is None for rank in ranks) and time.monotonic() < end:
        time.sleep(0.05)
    for rank in ranks:
        rank.kill()
        rank.wait()


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), sys.argv[2:]))

"""Benchmark: a refresh of many uploads, none of them new.

`python tests/bench/quiet.py [--uploads 20000]`: recordings of a third of a second (too short to keep, so that
making the corpus is quick; a quiet refresh depends on the number of files alone) of 200 speakers are
refreshed once, then twice again with nothing new. Prints and writes to bench/quiet.json the wall time of the whole
command, with the start of its private server, and of the flow in it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

OUT = Path("bench/quiet.json")
SPEAKERS = 200


def make_inbox(folder: Path, uploads: int) -> None:
    """Write `uploads` recordings, no two of them equal."""
    rng = np.random.default_rng(3)
    for number in range(uploads):
        path = folder / f"speaker{number % SPEAKERS:03}" / f"{number:06}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(0, 0.01, 5600).astype(np.float32), 16000)


def refresh(inbox: Path, store: Path) -> tuple[float, dict[str, object]]:
    """Wall time of one whole command, seconds, and its JSON."""
    command = [
        sys.executable,
        "-m",
        "voicemill.flows.cli.main",
        "refresh",
        "--inbox",
        str(inbox),
        "--store",
        str(store),
    ]
    command += ["--assume-consent", "benchmark", "--force-publish", "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return round(time.perf_counter() - began, 2), json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uploads", type=int, default=20_000)
    uploads = parser.parse_args().uploads
    with tempfile.TemporaryDirectory() as work:
        inbox, store = Path(work, "inbox"), Path(work, "store")
        make_inbox(inbox, uploads)
        runs = [refresh(inbox, store) for _ in range(3)]
    rows = [
        {"refresh": name, "command_s": wall, "flow_s": summary["wall_s"], "batches_run": summary["batches_run"]}
        for name, (wall, summary) in zip(("first", "nothing new", "nothing new again"), runs, strict=True)
    ]
    print(f"{uploads} uploads, {SPEAKERS} speakers")
    for row in rows:
        print(f"{row['refresh']:<20}{row['command_s']:>8} s command{row['flow_s']:>8} s flow")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()

"""Benchmark: a first refresh of many small uploads with and without the flushes to the disk.

`python tests/bench/flushes.py [--speakers 200] [--folder FOLDER]`: two uploads of a few seconds for each speaker,
config `plain`, so six shards a speaker and batch: many small files and little work for each, where flushes weigh most.
Refreshes with and without flushes take turns, each in a new store under `--folder`, whose disk decides the figure.
Without: `os.fsync` does nothing in the command (the database of its server stays as it is; its workers flush nothing).
Prints, and writes to bench/flushes.json, the flow's wall time, the number of flushes, and the ratio of the medians.

Measured with `--speakers 60` on ext4 on a virtual disk, 2 cores that others used too: 807 flushes, which waited 0.50 to
0.66 s in all, many of them side by side; medians of three refreshes 13.27 s with and 12.87 s without, ratio 1.03, where
the runs without flushes alone differ by more (10.3 to 16.0 s).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import soundfile

OUT = Path("bench/flushes.json")
UPLOADS = 2
"""Uploads of a speaker."""


def make_inbox(folder: Path, speakers: int) -> None:
    """Write recordings of one synthetic sentence, no two of them equal."""
    from voicemill.flows.demo.voice import RATE, Line, speak

    (wave,) = speak([Line(text="The morning train was late again and nobody minded.", voice="en-us+m3")])
    wave = np.pad(wave * (0.1 / np.sqrt(np.mean(wave**2))), RATE // 2)
    rng = np.random.default_rng(3)
    for number in range(speakers * UPLOADS):
        path = folder / f"speaker{number // UPLOADS:03}" / f"{number:06}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, (wave + rng.normal(0, 0.001, len(wave))).astype(np.float32), RATE)


def child(flushing: bool, figures: Path, arguments: list[str]) -> None:
    """Run a command in this process, and write the number of its flushes and the seconds waited for them."""
    from voicemill.flows.cli.main import main

    flush, lock, waits = os.fsync, threading.Lock(), []

    def fsync(descriptor: int) -> None:
        began = time.perf_counter()
        if flushing:
            flush(descriptor)
        with lock:
            waits.append(time.perf_counter() - began)

    os.fsync = fsync  # type: ignore[assignment]
    sys.argv[1:] = arguments
    try:
        main()
    finally:
        figures.write_text(json.dumps({"flushes": len(waits), "waited_s": round(sum(waits), 3)}))


def refresh(inbox: Path, folder: Path | None, flushing: bool) -> dict[str, float]:
    """Figures of one refresh in a new store."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        figures = Path(work, "figures.json")
        words = ["refresh", "--inbox", inbox, "--store", Path(work, "store"), "--config", "plain", "--json"]
        words += ["--assume-consent", "benchmark"]
        command = [sys.executable, __file__, "child", str(int(flushing)), figures, *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        summary = json.loads(done.stdout)
        assert summary["published"]
        assert summary["utterances"] == summary["uploads"]["prepared"]
        return {"wall_s": summary["wall_s"], **json.loads(figures.read_text())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speakers", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=None, help="where the stores are made; default: TMPDIR")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    runs: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as inbox:
        make_inbox(Path(inbox), options.speakers)
        for number in range(options.repeats):
            for flushing in (number % 2 == 0, number % 2 == 1):
                runs[flushing].append(refresh(Path(inbox), options.folder, flushing))
                print("with" if flushing else "without", runs[flushing][-1], flush=True)
    walls = {flushing: statistics.median(run["wall_s"] for run in done) for flushing, done in runs.items()}
    print(f"{options.speakers * UPLOADS} uploads of {options.speakers} speakers: {walls[True]:.2f} s with flushes,")
    print(f"{walls[False]:.2f} s without, ratio {walls[True] / walls[False]:.3f}")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"with": runs[True], "without": runs[False]}, indent=1))


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2] == "1", Path(sys.argv[3]), sys.argv[4:])
    else:
        main()

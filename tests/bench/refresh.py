"""Benchmark: a whole refresh on real speech, decode to shards, on the cores of this machine.

`python tests/bench/refresh.py [--minutes 10 60 240]`: corpora of that many minutes are made of the recordings of
../shared/speech (repeated with another gain where they do not suffice, so that no two uploads are equal), refreshed
through the real flow on a private server, then refreshed again with nothing new. ASR is off (no text is given) and
`content` is the embedded MFCC, whose time is taken out where the figure says so. The table per stage gives times real
time per second of processor, the share of the stages' processor time, and the peak memory of a worker; the JSON goes
to bench/refresh.json.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

SPEECH = Path(__file__).parents[3] / "shared" / "speech" / "recordings"
OUT = Path("bench/refresh.json")


def make_inbox(folder: Path, minutes: float) -> float:
    """Fill an inbox with `minutes` of real speech; returns the seconds it holds."""
    with (SPEECH / "metadata.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] not in ("noise", "silence")]
    order = np.random.default_rng(7).permutation(len(rows))
    total, turn = 0.0, 0
    while total < minutes * 60:
        for place in order:
            row = rows[place]
            wave, rate = soundfile.read(SPEECH / row["file"], dtype="float32")
            target = folder / row["speaker"] / f"{turn}-{Path(row['file']).name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, wave * 0.97**turn, rate)
            total += len(wave) / rate
            if total >= minutes * 60:
                break
        turn += 1
    return total


def refresh(inbox: Path, store: Path) -> dict[str, object]:
    """Run `voicemill refresh` as a user does; wall time and JSON."""
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
    command += ["--assume-consent", "benchmark", "--json", "--force-publish"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    summary: dict[str, object] = json.loads(done.stdout)
    return summary


def measure(minutes: float) -> dict[str, object]:
    """Refresh a fresh corpus, then the same again with nothing new."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as work:
        inbox, store = Path(work, "inbox"), Path(work, "store")
        seconds = make_inbox(inbox, minutes)
        first, second = refresh(inbox, store), refresh(inbox, store)
    stages: dict[str, dict[str, float]] = first["stages"]  # type: ignore[assignment]
    counted = {name: stage for name, stage in stages.items() if name not in ("transcribe", "align", "content")}
    cores = len(os.sched_getaffinity(0))
    wall_s, cpu_s = (sum(stage[of] for stage in counted.values()) for of in ("wall_s", "cpu_s"))
    return {
        "minutes": round(seconds / 60, 1),
        "wall_s": first["wall_s"],
        "x_real_time": round(seconds / float(first["wall_s"]), 1),  # type: ignore[arg-type]
        "x_real_time_stages": round(seconds / (wall_s / cores), 1),
        "x_real_time_stages_cpu": round(seconds / (cpu_s / cores), 1),
        "nothing_new_s": second["wall_s"],
        "stages": {
            name: {
                "x_real_time_per_core": round(stage["seconds"] / stage["cpu_s"], 1) if stage["cpu_s"] else None,
                "share": round(stage["cpu_s"] / sum(s["cpu_s"] for s in stages.values()), 3),
                "work_s": round(stage["wall_s"], 2),
                "cpu_s": round(stage["cpu_s"], 2),
                "peak_mb": stage["peak_mb"],
            }
            for name, stage in stages.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 60, 240])
    results = []
    for minutes in parser.parse_args().minutes:
        found = measure(minutes)
        results.append(found)
        print(f"{found['minutes']} min: {found['wall_s']} s wall = {found['x_real_time']} x real time end to end")
        print(f"again with nothing new: {found['nothing_new_s']} s")
        print(
            f"decode to shards without ASR and content: {found['x_real_time_stages']} x real time on "
            f"{len(os.sched_getaffinity(0))} cores, {found['x_real_time_stages_cpu']} x by processor time"
        )
        print(f"{'stage':<12}{'x per core':>12}{'share':>8}{'work s':>9}{'cpu s':>9}{'peak MB':>9}")
        stages: dict[str, dict[str, float | None]] = found["stages"]  # type: ignore[assignment]
        for name, stage in stages.items():
            speed = f"{stage['x_real_time_per_core']:,.0f}" if stage["x_real_time_per_core"] else "-"
            print(
                f"{name:<12}{speed:>12}{stage['share']:>8.1%}{stage['work_s']:>9.2f}{stage['cpu_s']:>9.2f}{stage['peak_mb']:>9.0f}"
            )
        OUT.parent.mkdir(exist_ok=True)
        OUT.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()

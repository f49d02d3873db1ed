"""Scanning 20,000 uploads: the first time, and again when nothing is new.

    python tests/bench/scan.py [uploads]

Writes bench/scan.json. Peak memory is that of the whole process.
"""

import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import soundfile

from voicemill.storage.corpus.table_rows import UploadRow
from voicemill.storage.outcomes import UploadState
from voicemill.storage.records import Batch, Upload
from voicemill.storage.store import Store
from voicemill.tasks.intake import batches
from voicemill.tasks.intake.admission import excluded_row
from voicemill.tasks.intake.scan import ScanResult, Settings, scan


def synthesise(folder: Path, uploads: int, speakers: int = 200) -> None:
    """Write tiny FLAC files, no two of them equal, each with a sidecar, and a metadata.csv that names all."""
    wave = np.random.default_rng(0).integers(-2000, 2000, 400, dtype=np.int16)
    rows = ["speaker,file,language,text"]
    for number in range(uploads):
        path = folder / f"speaker {number % speakers:03}" / f"{number:06}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        wave[:2] = divmod(number, 256)
        soundfile.write(path, wave, 16_000)
        path.with_suffix(".txt").write_text(f"This is sentence {number}.")
        rows.append(f"{path.parent.name},{path.relative_to(folder)},en,")
    (folder / "metadata.csv").write_text("\n".join(rows))


def known_row(upload: Upload, batch: Batch) -> UploadRow:
    """Row of the table `uploads` as a refresh leaves it."""
    row = excluded_row(upload, UploadState.PREPARED, "")
    return replace(row, batch=batch.id, batch_number=batch.number)


def timed(work: Callable[[], ScanResult]) -> tuple[float, ScanResult]:
    """Seconds that a call takes, and its result."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def main(uploads: int = 20_000) -> None:
    """Print a table and write it as JSON."""
    work = Path(tempfile.mkdtemp(prefix="voicemill-scan-"))
    try:
        inbox = work / "inbox"
        synthesise(inbox, uploads)
        store = Store.open(work / "store", create=True)
        first, found = timed(lambda: scan(inbox, store, Settings(), assume_consent="bench"))
        assert (len(found.uploads), found.hashed) == (uploads, uploads)
        formed = batches.form_batches(store, found.uploads, (), batches.Settings())
        known = [known_row(upload, batch) for batch in formed for upload in batch.uploads]
        quiet, cpu, forming = [], [], []
        for _ in range(5):
            began = time.process_time()
            took, again = timed(lambda: scan(inbox, store, Settings(), known=known, assume_consent="bench"))
            assert (again.uploads, again.hashed) == (found.uploads, 0)
            cpu.append(time.process_time() - began)
            quiet.append(took)
            began = time.perf_counter()
            assert batches.form_batches(store, again.uploads, known, batches.Settings()) == formed
            forming.append(time.perf_counter() - began)
        figures = {
            "uploads": uploads,
            "first_s": round(first, 2),
            "nothing_new_s": round(median(quiet), 2),
            "nothing_new_worst_s": round(max(quiet), 2),
            "nothing_new_cpu_s": round(median(cpu), 2),
            "batches_s": round(median(forming), 3),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }
    finally:
        shutil.rmtree(work)
    for name, value in figures.items():
        print(f"{name:>20} {value}")
    Path("bench").mkdir(exist_ok=True)
    Path("bench/scan.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)

"""Faults for the commands of a test, from outside of them: see tests/flows/faults/sitecustomize.py."""

import hashlib
import json
import os
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAULTS = ROOT / "tests" / "flows" / "faults"
PATH = f"{FAULTS}{os.pathsep}{ROOT}"

FUNCTIONS = {
    "decode": "decode",
    "slice": "tile_segments",
    "denoise": "denoise_segment",
    "loudness": "level_upload",
    "screen": "screen_segment",
    "transcribe": "given_transcripts",
    "align": "settle",
    "content": "feature_row",
    "f0": "feature_row",
    "mel": "feature_row",
    "shards": "utterance_row",
}
"""Stage -> a function of its module that is called with an upload, or with a record of it."""


def fault(stage: str, what: str, upload: Path, marker: Path | None = None) -> list[str]:
    """One fault: in a stage, at an upload."""
    sha256 = hashlib.sha256(upload.read_bytes()).hexdigest()
    return [f"voicemill.tasks.stages.{stage}", FUNCTIONS[stage], what, sha256, str(marker or "")]


def environment(*faults: list[str]) -> dict[str, str]:
    """What a command needs in its environment to suffer them."""
    return {"PYTHONPATH": PATH, "VOICEMILL_FAULTS": json.dumps(faults)}


def limited(size: int) -> dict[str, str]:
    """What a command needs in its environment to find the disk full at files of `size` bytes."""
    return {"PYTHONPATH": PATH, "VOICEMILL_LIMIT": str(size)}


def until(path: Path, limit: float = 300.0) -> None:
    """Wait for a file."""
    end = time.monotonic() + limit
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.02)

"""Faults that a test puts into the stages of a command: see tests/flows/faults/sitecustomize.py."""

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
    "diarise": "_diarise",
    "slice": "tile_segments",
    "denoise": "denoise_segment",
    "loudness": "level_upload",
    "quality": "measure_segment",
    "screen": "screen_segment",
    "speaker": "voice_row",
    "transcribe": "given_transcripts",
    "align": "pair_texts",
    "content": "feature_row",
    "f0": "feature_row",
    "mel": "feature_row",
    "shards": "utterance_row",
}
"""Stage -> the function of its module that takes an upload or a record of it."""
ELSEWHERE = {"shards": "voicemill.tasks.publishing.shards"}
"""Stage -> its module, where that is not in `tasks/stages`."""


def fault(stage: str, what: str, upload: Path, marker: Path | None = None) -> list[str]:
    """One fault of a stage at one upload: `what` is raise, kill or wait (see sitecustomize)."""
    sha256 = hashlib.sha256(upload.read_bytes()).hexdigest()
    module = ELSEWHERE.get(stage, f"voicemill.tasks.stages.{stage}")
    return [module, FUNCTIONS[stage], what, sha256, str(marker or "")]


def environment(*faults: list[str]) -> dict[str, str]:
    """Environment variables of a command that give it these faults."""
    return {"PYTHONPATH": PATH, "VOICEMILL_FAULTS": json.dumps(faults)}


def limited(size: int) -> dict[str, str]:
    """Environment variables of a command whose files cannot grow beyond `size` bytes, as on a full disk."""
    return {"PYTHONPATH": PATH, "VOICEMILL_LIMIT": str(size)}


def until(path: Path, limit: float = 300.0) -> None:
    """Wait until a file exists, `limit` seconds at most."""
    end = time.monotonic() + limit
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.02)

"""What a power cut leaves of a file that was not flushed to the disk."""

import os
from pathlib import Path

CUTS = ("emptied", "truncated", "without the end of its footer", "missing")
"""Ways in which `cut` damages a file."""


def cut(path: Path, way: str) -> None:
    """Damage a file in one of `CUTS`."""
    if way == "missing":
        path.unlink()
        return
    size = path.stat().st_size
    os.truncate(path, {"emptied": 0, "truncated": size // 2, "without the end of its footer": size - 4}[way])

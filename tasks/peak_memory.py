"""Peak resident memory of this process, as Linux counts it."""

import os
from pathlib import Path


def reset_peak() -> None:
    """Reset the peak memory that Linux keeps in VmHWM."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_mb() -> float:
    """Peak resident memory since the last reset, MB."""
    try:
        status = Path(f"/proc/{os.getpid()}/status").read_text()
    except OSError:
        return 0.0
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

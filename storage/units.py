"""Units in the types, and the only conversions between them.

The grid of the whole system is 32 kHz: every position in a record, a table or the ledger is a sample of the decoded
upload at `RATE`, half open [start, stop).
"""

from typing import TypeAlias

Seconds: TypeAlias = float
Samples: TypeAlias = int
Frames: TypeAlias = int
Hertz: TypeAlias = float
Decibels: TypeAlias = float
Lufs: TypeAlias = float
Bits: TypeAlias = float

RATE: int = 32_000
"""Hz. The sample rate of everything after `decode`."""


def to_samples(seconds: Seconds, rate: int = RATE) -> Samples:
    """Seconds to the nearest whole sample at `rate` Hz."""
    return round(seconds * rate)


def to_seconds(samples: Samples, rate: int = RATE) -> Seconds:
    """Samples at `rate` Hz to seconds."""
    return samples / rate

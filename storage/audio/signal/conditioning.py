"""Removal of an offset, and a gain for very quiet or loud samples, before any stage measures them.

- A constant offset of over a hundredth of the signal is subtracted. Where the offset drifts (below 5 Hz) by over a
  tenth of the signal, a Butterworth high-pass of second order at 20 Hz removes it; it begins in the steady state of the
  offset, so nothing rings at the start, and delays 100 Hz by 0.4 ms. Other files pass through bit for bit: the filter
  costs as much as decoding them.
- Speech under -46 dBFS is lost on detectors of speech and on the -70 LUFS gate of the loudness meter; samples beyond
  +10 dBFS are integers stored as floats. Both are brought to -26 dBFS by one gain, which the row states.

The decision follows from the first minute; the whole file is measured all the same, and where it decides otherwise the
reader asks to read it again.
Cost: 20,000 times real time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.units import RATE, Decibels, Hertz, Samples

Wave = NDArray[np.float32]

CUTOFF: Hertz = 20.0
OFFSET_SHARE = 1e-4
"""Power of a constant offset, as a share of all, from which the high-pass runs: of real recordings 3 % have more."""
DRIFT_SHARE = 1e-2
"""Power of a slow drift (below 5 Hz), as a share of all, from which it runs too: 3 % have more, wind and handling."""
FAINTEST: Decibels = -85.0
QUIET: Decibels = -46.0
LOUD: Decibels = 10.0
TARGET: Decibels = -26.0
"""Level to which quiet and loud uploads are brought."""
STEP: Samples = RATE // 40
"""25 ms: the length of a frame of the level."""
SMOOTH = 4
"""Frames over which the slow part is averaged."""


@dataclass(frozen=True)
class Condition:
    """Offset, drift and gain that are taken out of the samples of a file."""

    offset: float = 0.0
    """Constant that is subtracted."""
    high_pass: bool = False
    gain_db: Decibels = 0.0

    def near(self, other: "Condition") -> bool:
        """Whether another condition gives nearly the same samples."""
        if (self.high_pass, self.offset == 0.0, self.gain_db == 0.0) != (
            other.high_pass,
            other.offset == 0.0,
            other.gain_db == 0.0,
        ):
            return False
        return abs(self.offset - other.offset) <= 0.1 * abs(self.offset) and abs(self.gain_db - other.gain_db) < 3.0


AS_IT_IS = Condition()


@dataclass
class LevelSurvey:
    """Level and slow part of a file, in frames of 25 ms."""

    means: list[Wave] = field(default_factory=list)
    powers: list[Wave] = field(default_factory=list)

    def add(self, wave: Wave) -> None:
        """Take in float32 [samples], 32 kHz; what is left of a last frame is passed over."""
        if count := len(wave) // STEP:
            frames = wave[: count * STEP].reshape(count, STEP)
            self.means.append(frames.mean(axis=1))
            self.powers.append(np.einsum("ij,ij->i", frames, frames) / np.float32(STEP))

    def choose(self) -> Condition:
        """The condition for the samples so far."""
        if not self.means:
            return AS_IT_IS
        means, powers = (np.concatenate(parts).astype(np.float64) for parts in (self.means, self.powers))
        kernel = np.full(min(SMOOTH, len(means)), 1.0 / min(SMOOTH, len(means)))
        slow = np.convolve(means, kernel, "same" if len(means) > SMOOTH else "valid")
        offset, drift, total = float(np.mean(means)) ** 2, float(np.var(slow)), float(np.mean(powers))
        if total <= 0.0:
            return AS_IT_IS
        high_pass = drift > DRIFT_SHARE * total
        constant = float(np.mean(means)) if not high_pass and offset > OFFSET_SHARE * total else 0.0
        if high_pass or constant:
            powers = np.maximum(powers - means**2, 0.0)
        loud = float(np.percentile(powers, 95))
        level = 10 * np.log10(loud) if loud > 0.0 else -np.inf
        scaled = FAINTEST < level < QUIET or level > LOUD
        return Condition(constant, high_pass, round(TARGET - level, 1) if scaled else 0.0)


def condition(waves: Iterable[Wave], done: Condition, start: float) -> Iterator[Wave]:
    """Yield the samples without offset and after the gain; `start` is the mean of their first part."""
    from scipy.signal import sosfilt

    state: Any = None
    factor = np.float32(10.0 ** (done.gain_db / 20.0))
    for wave in waves:
        if done.high_pass:
            if state is None:
                state = _steady() * start
            filtered, state = sosfilt(_filter(), wave.astype(np.float64), zi=state)
            wave = filtered.astype(np.float32)
        elif done.offset:
            wave = wave - np.float32(done.offset)
        yield wave * factor if done.gain_db else wave


@cache
def _filter() -> NDArray[np.float64]:
    from scipy.signal import butter

    return np.asarray(butter(2, CUTOFF, "highpass", fs=RATE, output="sos"))


@cache
def _steady() -> NDArray[np.float64]:
    from scipy.signal import sosfilt_zi

    return np.asarray(sosfilt_zi(_filter()))

"""Samples cut off at a limit: a wave that is flat at its own extremes, at whatever level, in whichever channel.

A limit cuts the top off a wave that still rises: several samples of one value, with a steep way up and down. The top of
a wave that was not cut is round: if n samples of it are equal to within its steps of quantization, n samples further
out it has fallen by no more than nine such steps. So in each block and channel runs of three or more samples at the
largest (and at the smallest) value count, where the wave falls by more than that on both sides of them. Samples of
integers at the very end of their range count too. A lossy codec makes flat tops uneven: there samples from 0.99 of full
scale on count, as they cannot tell themselves from cut ones.
Resampling rings around a cut, so this is measured at the rate of the file; and before the channels are mixed.
Cost: four passes over the samples, 10,000 times real time at 16 kHz.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.audio.signal.chunks import Frames

LOSSY_FULL = 0.99
"""Amplitude from which a sample of a lossy codec is at full scale."""
RUN = 3
FAINT = 1e-3
"""Amplitude under which nothing counts: its steps are those of 16 bits."""
STEEP = 20.0
"""Fall of the wave on each side of a run, in steps of quantization, from which it was cut: twice a round top's."""
BIN = 0.1
"""Seconds for which the samples are counted together."""


class ClippingSurvey:
    """Cut samples of a file, counted per channel and tenth of a second."""

    def __init__(self, codec: str, lossy: bool) -> None:
        self._lossy = lossy
        self._integer = ("pcm_" in codec and "float" not in codec and "double" not in codec) or "flac" in codec
        self._counts: dict[tuple[int, int], float] = {}

    def add(self, data: Frames, rate: int, seconds: float) -> None:
        """Take in float32 [frames, channels] that begin at a position in seconds."""
        planes = np.ascontiguousarray(data.T)
        for channel, wave in enumerate(planes):
            top, bottom = float(wave.max()), float(wave.min())
            if max(top, -bottom) < FAINT:
                continue
            for place in self._cut(wave, top, bottom).tolist():
                key = channel, int((seconds + place / rate) / BIN)
                self._counts[key] = self._counts.get(key, 0.0) + 1.0 / rate

    def _cut(self, wave: NDArray[np.float32], top: float, bottom: float) -> NDArray[np.int64]:
        """Places of the samples that were cut."""
        if self._lossy:
            if max(top, -bottom) < LOSSY_FULL:
                return np.empty(0, np.int64)
            return np.flatnonzero(np.abs(wave) >= LOSSY_FULL)
        places = [_flat(wave, top), _flat(-wave, -bottom)]
        if self._integer and top >= 1.0 - 2.0**-14:
            places.append(np.flatnonzero(wave >= 1.0 - 2.0**-14))
        if self._integer and bottom <= -1.0 + 2.0**-14:
            places.append(np.flatnonzero(wave <= -1.0 + 2.0**-14))
        return np.unique(np.concatenate(places))

    def bins(self, channels: Iterable[int]) -> dict[int, float]:
        """Tenth of a second -> seconds of cut samples, of the channel of these that has the most."""
        result: dict[int, float] = {}
        wanted = set(channels)
        for (channel, place), seconds in self._counts.items():
            if channel in wanted:
                result[place] = max(result.get(place, 0.0), seconds)
        return result


def _flat(wave: NDArray[np.float32], top: float) -> NDArray[np.int64]:
    """Places of the samples in steep runs at the largest value of a wave."""
    none = np.empty(0, np.int64)
    if top < FAINT:
        return none
    at_top = wave >= top * (1 - 1e-6)
    if np.count_nonzero(at_top) < RUN:
        return none
    edges = np.flatnonzero(np.diff(at_top, prepend=False, append=False)).reshape(-1, 2)
    runs = edges[edges[:, 1] - edges[:, 0] >= RUN]
    if not len(runs):
        return none
    near = np.sort(wave[wave > 0.5 * top])
    steps = np.diff(near)
    steps = steps[steps > top * 1e-6]
    step = float(steps.min()) if len(steps) else top
    kept = []
    for start, stop in runs.tolist():
        length = stop - start
        before, after = start - length, stop + length - 1
        falls = [top - float(wave[at]) for at in (before, after) if 0 <= at < len(wave)]
        if falls and min(falls) > STEEP * step:
            kept.append(np.arange(start, stop))
    return np.concatenate(kept) if kept else none

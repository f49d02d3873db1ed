"""Choice of what becomes of several channels: their mean, their difference, or one of them.

The mean of a voice in opposite phase is silence, that of a delayed copy a comb filter, that of a voice and a noise a
noisy voice. So levels and correlations decide, over all samples of the file:
- channels far under the loudest are dead, and left out;
- the same signal in all of the others: their mean, with the sign of each (the difference of two in opposite phase),
  or, where the copies are delayed, the loudest one;
- signals that cancel each other without being the same: the loudest one;
- different signals, as of two people with a microphone each: the mean of those that change as speech does, where the
  others are steady noises, else the mean of all.
Cost: a product of the samples with themselves, 6,000 times real time for stereo at 48 kHz.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.audio.signal.chunks import Frames
from voicemill.storage.units import Decibels, Seconds

DEAD: Decibels = -30.0
"""Level under the loudest channel from which a channel is dead."""
SAME = 0.9
"""Correlation from which two channels hold the same signal."""
DELAYED = 0.6
"""Correlation at a delay from which one channel is a delayed copy of another."""
BETTER = 0.01
"""Gain of the correlation at a delay over that at none, from which the delay counts."""
CANCELLED = 0.5
"""Power of the mean, against what signals without correlation would give, under which they cancel each other."""
VOICE: Decibels = 5.0
"""Standard deviation of the level from which a channel changes as speech does: speech has 6 to 15 dB."""
STEADY: Decibels = 3.0
"""Standard deviation of the level up to which a channel is a steady noise."""
LONGEST_DELAY: Seconds = 0.05
WINDOW: Seconds = 0.5
MOST_WINDOWS = 8
EACH = 4
"""Number of chunks of which one is measured for level and delays."""
STEP: Seconds = 0.02
"""Length of a frame of the level."""


@dataclass(frozen=True)
class Mix:
    """Weights of the channels, and a name for them."""

    weights: tuple[float, ...]
    """One for each channel; () = the mean, of any number of channels."""
    name: str = ""
    """The choice and its reason, in words; "" = the mean of all channels."""

    def apply(self, data: Frames) -> NDArray[np.float32]:
        """float32 [frames] of float32 [frames, channels]; the mean where the number of channels is another."""
        channels = data.shape[1]
        if channels == 1:
            return np.ascontiguousarray(data[:, 0])
        if len(self.weights) == channels:
            used = [at for at, weight in enumerate(self.weights) if weight]
            if len(used) == 1 and self.weights[used[0]] == 1.0:
                return np.ascontiguousarray(data[:, used[0]])
            if len(set(self.weights)) > 1:
                return np.asarray(data @ np.array(self.weights, np.float32), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            mixed = data[:, 0].copy()
            for channel in range(1, channels):
                mixed += data[:, channel]
        mixed /= np.float32(channels)
        return mixed


MEAN = Mix(())


class ChannelSurvey:
    """Levels and correlations of the channels of a file, gathered as its samples stream by."""

    def __init__(self, channels: int, rate: int) -> None:
        self.channels, self.rate = channels, rate
        self._products = np.zeros((channels, channels))
        self._sums = np.zeros(channels)
        self._frames = self._chunks = 0
        self._levels: list[NDArray[np.float32]] = []
        self._windows: list[tuple[float, Frames]] = []

    def add(self, data: Frames) -> None:
        """Take in float32 [frames, channels]."""
        planes = np.ascontiguousarray(data.T)  # reducing interleaved samples is ten times slower
        self._products += planes @ planes.T
        self._sums += planes.sum(axis=1)
        self._frames += len(data)
        self._chunks += 1
        size = max(round(STEP * self.rate), 1)
        if self._chunks % EACH == 1 and (count := len(data) // size):
            frames = planes[:, : count * size].reshape(self.channels, count, size)
            power = np.ascontiguousarray((np.square(frames).mean(axis=2) - frames.mean(axis=2) ** 2).T)
            self._levels.append(power)
            self._keep_loudest(data, power, size)

    def _keep_loudest(self, data: Frames, power: NDArray[np.float32], size: int) -> None:
        """Keep the loudest windows, in which delays are measured."""
        width = round(WINDOW * self.rate)
        loudest = int(power.sum(axis=1).argmax())
        level = float(power[loudest].sum())
        if len(self._windows) == MOST_WINDOWS and level <= self._windows[0][0]:
            return
        start = max(min(loudest * size - width // 2, len(data) - width), 0)
        self._windows.append((level, data[start : start + width].copy()))
        self._windows = sorted(self._windows, key=lambda pair: pair[0])[-MOST_WINDOWS:]

    def choose(self) -> Mix:
        """The mix for the samples so far."""
        n = self.channels
        if n == 1 or not self._frames:
            return MEAN
        means = self._sums / self._frames
        covariance = self._products / self._frames - np.outer(means, means)
        power = np.maximum(np.diag(covariance), 0.0)
        loudest = int(power.argmax())
        if power[loudest] <= 1e-12:
            return MEAN
        live = [at for at in range(n) if power[at] > power[loudest] * 10 ** (DEAD / 10)]
        dead = f"; without a signal: {_names(at for at in range(n) if at not in live)}" if len(live) < n else ""
        if len(live) == 1:
            return self._only(live[0], f"the others are {-DEAD:.0f} dB or more under it")
        spread = np.sqrt(np.outer(power, power)) + 1e-30
        likeness = (covariance / spread)[loudest]
        delays = {at: self._delay(loudest, at) for at in live if at != loudest and abs(likeness[at]) < 0.99}
        delayed = [at for at, (best, lag) in delays.items() if lag and best > max(DELAYED, abs(likeness[at]) + BETTER)]
        if delayed:
            lag = delays[delayed[0]][1] / self.rate * 1000
            return self._only(loudest, f"channel {delayed[0] + 1} is a copy of it, {abs(lag):.2f} ms off{dead}")
        if all(abs(likeness[at]) >= SAME for at in live):
            return self._signed(live, [float(np.sign(likeness[at])) for at in live], dead)
        part = np.ix_(live, live)
        if covariance[part].sum() < CANCELLED * power[live].sum():
            return self._only(loudest, f"the mean of the channels would cancel it{dead}")
        changes = self._changes()
        voices = [at for at in live if changes[at] >= VOICE]
        if 0 < len(voices) < len(live) and all(changes[at] <= STEADY for at in live if at not in voices):
            noises = _names(at for at in live if at not in voices)
            if len(voices) == 1:
                return self._only(voices[0], f"a steady noise in {noises}{dead}")
            return self._signed(voices, [1.0] * len(voices), f"; a steady noise in {noises}{dead}")
        return self._signed(live, [1.0] * len(live), dead)

    def _only(self, channel: int, why: str) -> Mix:
        weights = tuple(1.0 if at == channel else 0.0 for at in range(self.channels))
        return Mix(weights, f"channel {channel + 1} of {self.channels}: {why}")

    def _signed(self, chosen: Sequence[int], signs: Sequence[float], why: str) -> Mix:
        """The mean of some channels, those in opposite phase subtracted."""
        if len(chosen) == self.channels and len(set(signs)) == 1:
            return MEAN
        weights = [0.0] * self.channels
        for at, sign in zip(chosen, signs, strict=True):
            weights[at] = sign / len(chosen)
        plus = _names(at for at in chosen if weights[at] > 0)
        minus = _names(at for at in chosen if weights[at] < 0)
        name = f"difference of {plus} and {minus}: they are in opposite phase" if minus else f"mean of {plus}"
        return Mix(tuple(weights), name + why)

    def _delay(self, reference: int, other: int) -> tuple[float, int]:
        """Largest correlation of two channels at any delay, median over the loudest windows, and the median delay."""
        from scipy.fft import irfft, next_fast_len, rfft

        reach = round(LONGEST_DELAY * self.rate)
        results = []
        for _, window in self._windows:
            size = next_fast_len(len(window) + reach)
            a, b = (window[:, at] - window[:, at].mean() for at in (reference, other))
            scale = float(np.sqrt((a @ a) * (b @ b)))
            if scale <= 0.0 or len(window) <= 2 * reach:
                continue
            product = irfft(rfft(a, size) * np.conj(rfft(b, size)), size)
            around = np.abs(np.concatenate([product[-reach:], product[: reach + 1]])) / scale
            best = int(around.argmax())
            results.append((float(around[best]), best - reach))
        if not results:
            return 0.0, 0
        lags = sorted(lag for _, lag in results)
        middle = lags[len(lags) // 2]
        if sum(abs(lag - middle) <= 1 for lag in lags) * 2 <= len(lags):
            return 0.0, 0  # a different delay in each window: two signals, not one
        return float(np.median([best for best, _ in results])), middle

    def _changes(self) -> NDArray[np.float64]:
        """Standard deviation of the level of each channel over frames, dB, within 40 dB of its loudest."""
        levels = 10 * np.log10(np.maximum(np.concatenate(self._levels), 1e-12).astype(np.float64))
        return np.asarray(np.maximum(levels, np.percentile(levels, 99, axis=0) - 40.0).std(axis=0))


def _names(channels: Iterable[int]) -> str:
    numbers = [str(at + 1) for at in channels]
    return f"channel{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"

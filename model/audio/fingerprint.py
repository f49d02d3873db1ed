"""Audio fingerprint of an upload: the spectral peaks that other bit rates, sample rates and levels leave in place.

Method: peaks as landmarks (Wang, "An industrial-strength audio search algorithm", ISMIR 2003; Ellis, audfprint), here
for speech: at 8 kHz, windows of 64 ms every 8 ms resolve the harmonics of a voice between 250 and 3375 Hz, a band that
every codec and every sample rate from 8 kHz on keeps. A peak is the largest cell of its surroundings. The fingerprint
stores the peaks alone, two bytes each; `fingerprint_index` pairs them and searches. The same sentence spoken again has
other harmonics at other times. Not found: another playing speed or pitch. Cost: 0.8 ms per second of audio.

No library is used: pyacoustid and pychromaprint load a native libchromaprint or run `fpcalc`, which none of their files
brings, and their hashes describe chords of music; audfprint2 and pydejavu pair peaks with a database or files of their
own.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.units import RATE, Samples, Seconds

Wave = NDArray[np.float32]
Ints = NDArray[np.int64]

VERSION = 1
"""First byte of a fingerprint: changes when the same samples give other bytes."""
DECIMATION = 4
LOW_RATE = RATE // DECIMATION
TAPS = 80
"""Length of the decimation filter, samples at `RATE`: 3.4 kHz kept, 50 dB less from 4.6 kHz on."""
OVERLAP = TAPS - DECIMATION
FRAME, HOP = 512, 64
"""Window and step at `LOW_RATE`: 64 ms and 8 ms."""
STEP: Seconds = HOP / LOW_RATE
CHUNK: Samples = 2 * RATE
"""Samples transformed at once: always as many, so that the bytes do not depend on the sizes of the blocks."""
LARGEST = 1e6
"""Bound of the samples, so that no power overflows."""
FIRST, LAST = 16, 216
"""Bins used: 250 to 3375 Hz, 15.6 Hz apart."""
NEAR_TIME, NEAR_BINS = 10, 8
"""Surroundings of a peak to either side: 80 ms, 125 Hz."""
REACH = 94
"""Frames to either side (0.75 s) whose loudest cell bounds the peaks."""
BELOW = 5e-4
"""Least power of a peak, as a part of the loudest cell within `REACH`."""
FLOOR = 3e-9
"""Least power of a peak, as a part of that of a sine of full scale: digital silence and its dither have no peaks."""
PROMINENCE = 1.5
"""Least power of a peak over the mean of its bin within `NEAR_TIME`: a steady tone has no peaks."""
SKIP = 255
"""Step of time that stands for 255 frames without a peak."""


class Fingerprinter:
    """Fingerprint of a stream in bounded memory; the bytes do not depend on the sizes of the blocks."""

    def __init__(self) -> None:
        self._samples = 0
        self._input = np.zeros(CHUNK + OVERLAP, np.float32)
        # the first frame is centred on the first sample: half a frame and half a filter of zeros before it
        self._filled = FRAME // 2 * DECIMATION + TAPS // 2
        self._low = np.empty(0, np.float32)
        self._power = np.zeros((REACH, LAST - FIRST), np.float32)
        self._loudest = np.zeros(REACH, np.float32)
        self._first = 0
        """Frame that row `REACH` of `_power` holds."""
        self._times: list[NDArray[np.uint32]] = []
        self._bins: list[NDArray[np.uint8]] = []

    def add(self, block: Wave) -> None:
        """Take in float32 [samples], mono, at `RATE`; NaN counts as 0, larger values as `LARGEST`."""
        self._samples += len(block)
        at = 0
        while at < len(block):
            piece = block[at : at + len(self._input) - self._filled]
            if not max(piece.max(), -piece.min()) <= LARGEST:
                piece = np.clip(np.nan_to_num(piece), -LARGEST, LARGEST)
            self._input[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            at += len(piece)
            if self._filled == len(self._input):
                self._transform()

    def finish(self) -> bytes:
        """Fingerprint of everything added; nothing can be added after it."""
        frames = -(-self._samples // (HOP * DECIMATION))
        while self._first + len(self._power) - REACH < frames:
            self._input[self._filled :] = 0
            self._transform()
        self._pick(np.zeros((REACH, LAST - FIRST), np.float32))
        none = np.empty(0, np.int64)
        times, bins = np.concatenate([none, *self._times]), np.concatenate([none, *self._bins])
        inside = times < frames
        return pack(frames, times[inside], bins[inside])

    def _transform(self) -> None:
        """Spectrum of the frames that the full input buffer completes."""
        from scipy.fft import rfft

        rows = np.lib.stride_tricks.sliding_window_view(self._input, 256 + OVERLAP)[::256]
        low = np.concatenate([self._low, (np.ascontiguousarray(rows) @ _decimator()).ravel()])
        self._input[:OVERLAP] = self._input[CHUNK:]
        self._filled = OVERLAP
        frames = np.lib.stride_tricks.sliding_window_view(low, FRAME)[::HOP]
        spectrum = rfft(frames * _window(), axis=1)[:, FIRST:LAST]
        self._low = low[len(frames) * HOP :]
        self._pick((np.square(spectrum.real) + np.square(spectrum.imag)) * _tilt())

    def _pick(self, power: Wave) -> None:
        """Find the peaks of all frames that have `REACH` frames on either side."""
        self._loudest = np.concatenate([self._loudest, power.max(axis=1)])
        power = np.concatenate([self._power, power])
        count = max(0, len(power) - 2 * REACH)
        inner = power[REACH : REACH + count]
        if count:
            loudest = _largest(self._loudest, REACH)
            near = power[REACH - NEAR_TIME : REACH + count + NEAR_TIME]
            wide = np.zeros((count, LAST - FIRST + 2 * NEAR_BINS), np.float32)
            wide[:, NEAR_BINS:-NEAR_BINS] = _largest(near, NEAR_TIME)
            largest = _largest(wide, NEAR_BINS, axis=1)
            least = np.maximum(loudest * np.float32(BELOW), np.float32(FLOOR))[:, None]
            # `nonzero` of two dimensions is six times slower
            times, bins = np.divmod(np.flatnonzero((inner == largest) & (inner > least)), LAST - FIRST)
            around = near[times[:, None] + np.arange(2 * NEAR_TIME + 1), bins[:, None]].mean(axis=1)
            strong = inner[times, bins] > PROMINENCE * around
            self._times.append((times[strong] + self._first).astype(np.uint32))
            self._bins.append(bins[strong].astype(np.uint8))
            self._first += count
        self._power, self._loudest = power[count:], self._loudest[count:]


def fingerprint(wave: Wave) -> bytes:
    """Fingerprint of float32 [samples], mono, at `RATE`."""
    printer = Fingerprinter()
    printer.add(wave)
    return printer.finish()


def peaks(data: bytes) -> tuple[int, Ints, Ints]:
    """Length in frames of `STEP`, and frame and bin of each peak in order of time: the contents of a fingerprint."""
    if len(data) < 5 or data[0] != VERSION or len(data) % 2 == 0:
        raise ValueError(
            f"a fingerprint of {len(data)} bytes, version {data[0] if data else None}: expected version {VERSION}"
        )
    pairs = np.frombuffer(data, np.uint8, offset=5).reshape(-1, 2).astype(np.int64)
    times = np.cumsum(pairs[:, 0])
    real = pairs[:, 0] != SKIP
    return int.from_bytes(data[1:5], "little"), times[real], pairs[real, 1]


def pack(frames: int, times: Ints, bins: Ints) -> bytes:
    """Version, length as uint32, then step of time and bin of each peak, one byte each."""
    steps = np.diff(times, prepend=0)
    pairs = np.zeros((int(np.sum(steps // SKIP)) + len(steps), 2), np.uint8)
    pairs[:, 0] = SKIP
    pairs[np.cumsum(steps // SKIP + 1) - 1] = np.stack([steps % SKIP, bins], axis=1)
    return bytes([VERSION]) + frames.to_bytes(4, "little") + pairs.tobytes()


def _largest(values: Wave, reach: int, axis: int = 0) -> Wave:
    """Largest value within `reach` to either side along an axis, which gets shorter by twice the reach."""
    width, whole = 1, 2 * reach + 1
    while width < whole:
        step = min(width, whole - width)
        first, last = (values[:-step], values[step:]) if axis == 0 else (values[:, :-step], values[:, step:])
        values = np.maximum(first, last)
        width += step
    return values


@cache
def _decimator() -> Wave:
    """Filter and decimation by four of 256 samples and those around them: float32 [256 + TAPS - 4, 64]."""
    at = np.arange(TAPS) - (TAPS - 1) / 2
    taps = np.sinc(at / DECIMATION) / DECIMATION * np.kaiser(TAPS, 4.6)
    matrix = np.zeros((256 + OVERLAP, 256 // DECIMATION), np.float32)
    for column in range(256 // DECIMATION):
        matrix[column * DECIMATION : column * DECIMATION + TAPS, column] = taps
    return matrix


@cache
def _window() -> Wave:
    """Hann window under which a sine of full scale has a power of 1."""
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(FRAME) / FRAME)
    window: Wave = (hann * 2.0 / hann.sum()).astype(np.float32)
    return window


@cache
def _tilt() -> Wave:
    """Weight of each bin, 6 dB per octave from 250 Hz: the loudest cell is not always in the lowest octave."""
    return ((np.arange(FIRST, LAST) / FIRST) ** 2).astype(np.float32)

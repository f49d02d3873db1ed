"""A quiet watermark of 16 bits in speech that survives mp3, resampling, a change of level and cropping.

Embedding: the wave is cut into frames of 32 ms with half overlap, and between 1 and 7 kHz the magnitude of every pair
of bins is raised or lowered by `depth` decibels, by the key and the payload. The mark therefore follows the spectrum of
the speech, and is silent where the speech is. The pattern repeats every 64 frames (1.024 s).

Detection needs no original. The log spectrum is whitened (its local mean over time and frequency taken away, clipped),
folded on the period and correlated with the pattern of every payload at every position: 64 frames times 4 steps within
a frame. Method: spread spectrum in the log-magnitude domain (Cox et al., IEEE Trans. Image Processing 6(12), 1997;
Kirovski and Malvar, IEEE Trans. Signal Processing 51(4), 2003). No library does it offline: AudioSeal, SilentCipher and
WavMark download their weights, and audiowmark is a GPL program.

Threshold, without a model of speech: for a recording independent of the key the pattern is 6144 fair coins, so the
score s of one position and payload exceeds t with a probability of at most exp(-t^2 / 2) (Hoeffding, J. American
Statistical Association 58, 1963), and the best of M of them with M exp(-t^2 / 2). `threshold` solves that for
`Settings.false_positives`.

Payload: 16 bits spread over 64 by the extended BCH code (64, 16, 24) (Lin and Costello, Error Control Coding, appendix
C), decoded by maximum likelihood. The mark does not survive a change of speed, or removal by a holder of the key.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.errors import ConfigError
from voicemill.storage.units import RATE, Decibels, Samples, Seconds

Wave = NDArray[np.float32]
Floats = NDArray[np.float32]

VERSION = 1
"""Changes when the same samples, payload and settings give other marked samples."""
FRAME: Samples = 1024
HOP: Samples = 512
"""Half a frame, so that each sample lies in two."""
FIRST, PAIRS = 32, 96
"""First bin (1 kHz) and number of pairs of bins from there (to 7 kHz)."""
LAST = FIRST + 2 * PAIRS
PERIOD = 64
"""Period of the pattern, frames."""
BITS, CODED = 16, 64
GENERATOR = 0o6331141367235453
"""Polynomial of the BCH code (63, 16) with distance 23; a parity bit makes it (64, 16, 24)."""

STEPS = 4
"""Positions within a frame that detection tries: 4 ms apart."""
WINDOW: Seconds = 6.144
"""Length of the half-overlapping windows in which longer recordings are searched, besides as a whole."""
NEAR_TIME, NEAR_BINS = 9, 17
"""Frames and bins of the local means; on real speech after mp3 5 to 17 frames and 9 to 33 bins do nearly as well."""
CLIP = 1.5
"""Limit of the whitened values, standard deviations."""
RANGE = 9.0
"""Nepers of power (39 dB): frames further below the loudest count for less and less."""


@dataclass(frozen=True)
class Settings:
    """Strength of the mark and certainty of its detection."""

    key: str = "voicemill"
    """Secret of the pattern: its holders can find the mark and remove it. The default is public: it declares speech
    synthetic."""
    depth: Decibels = 1.0
    """Change of magnitudes up or down, 0.1 to 6 dB. At 1 dB the segmental SNR is 34 dB, PESQ-WB 4.64 (of 4.64; mp3 at
    128 kbit/s: 4.64), and 3 s after mp3 at 64 kbit/s are enough in 98 % of real recordings; 0.75 dB gives 37 dB and
    95 %, 1.5 dB 31 dB and 100 % (tests/bench/watermark.py)."""
    false_positives: float = 1e-6
    """Probability that a recording without a mark is called marked, 0 to 1."""

    def __post_init__(self) -> None:
        if not 0.1 <= self.depth <= 6:
            raise ConfigError(f"watermark.depth = {self.depth}: give 0.1 to 6 dB")
        if not 0 < self.false_positives < 1:
            raise ConfigError(f"watermark.false_positives = {self.false_positives}: give a probability over 0, under 1")


DEFAULT = Settings()


@dataclass(frozen=True)
class Detection:
    """Result of `detect`."""

    present: bool
    """Whether the score exceeds the threshold."""
    score: float
    """Score of the best position and payload, standard deviations; 4 to 7 without a mark."""
    threshold: float
    """Score that a recording without a mark exceeds with a probability of at most `Settings.false_positives`."""
    payload: int | None
    """Payload where the mark is present, 0 to 65535."""
    start: Seconds
    stop: Seconds
    """Part of the recording with the best score."""


class Embedder:
    """Marks a stream: the outputs of `push` and `finish` joined are `embed` of the whole, bit for bit.

    The output lags 512 to 1023 samples (16 to 32 ms) behind the input.
    """

    def __init__(self, payload: int = 0, settings: Settings = DEFAULT) -> None:
        """`payload`: 0 to 65535, else ConfigError."""
        if not 0 <= payload < 1 << BITS:
            raise ConfigError(f"a watermark payload of {payload}: give 0 to {(1 << BITS) - 1}")
        step = settings.depth / 20 * np.log(10)
        word = np.repeat(_code()[payload], PERIOD * PAIRS // CODED)[_places(settings.key)]
        gains = np.exp(step * _pattern(settings.key) * word)
        self._gains = np.repeat(gains.reshape(PERIOD, PAIRS), 2, axis=1).astype(np.float32)
        self._window = _window()
        self._held = np.zeros(HOP, np.float32)
        """Input from the start of the next frame on; the first frame begins half a frame before the stream."""
        self._half: Floats | None = None
        """Second half of the last frame; None before the first frame, whose first half lies before the stream."""
        self._frame = 0
        self._given = self._taken = 0

    def push(self, wave: Wave) -> Wave:
        """Add float32 [n], 32 kHz; the marked samples that are ready, float32 [m]."""
        self._given += len(wave)
        out = self._run(np.concatenate([self._held, np.asarray(wave, np.float32)]))
        self._taken += len(out)
        return out

    def finish(self) -> Wave:
        """End the stream; the remaining marked samples, float32 [m]."""
        rest = self._given - self._taken
        out = self._run(np.concatenate([self._held, np.zeros(FRAME, np.float32)]))[:rest]
        self._taken += len(out)
        return out

    def _run(self, x: Floats) -> Wave:
        count = max(0, (len(x) - FRAME) // HOP + 1)
        self._held = x[count * HOP :].copy()
        if not count:
            return np.zeros(0, np.float32)
        spectra = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(x, FRAME)[: count * HOP : HOP] * self._window)
        spectra[:, FIRST:LAST] *= self._gains[np.arange(self._frame, self._frame + count) % PERIOD]
        frames = (np.fft.irfft(spectra, FRAME) * self._window).astype(np.float32)
        first, second = frames[:, :HOP], frames[:, HOP:]
        before = second[:-1] if self._half is None else np.concatenate([self._half[None], second[:-1]])
        out: Wave = (before + first[len(first) - len(before) :]).ravel()
        self._half = second[-1]
        self._frame += count
        return out


def embed(wave: Wave, payload: int = 0, settings: Settings = DEFAULT) -> Wave:
    """Mark float32 [samples], mono, 32 kHz; the result is louder by `depth` at most.

    Raises ConfigError for a payload that is not 0 to 65535.
    """
    embedder = Embedder(payload, settings)
    return np.concatenate([embedder.push(wave), embedder.finish()])


def detect(wave: Wave, rate: int, settings: Settings = DEFAULT) -> Detection:
    """Search float [samples], mono, at any `rate` (Hz) and level for the mark.

    Raises ValueError for samples that are not finite or not mono.
    """
    import soxr

    x = np.asarray(wave, np.float32)
    if x.ndim != 1 or not np.isfinite(x).all():
        raise ValueError(f"a watermark is looked for in finite mono samples [n], got {x.shape}")
    if rate != RATE:
        x = soxr.resample(x, rate, RATE, quality="HQ")
    x = np.pad(x, (0, max(0, FRAME + HOP - len(x))))
    length = round(WINDOW * RATE)
    spans = [(0, len(x))]
    if len(x) > length:
        spans += [(min(a, len(x) - length), min(a, len(x) - length) + length) for a in range(0, len(x), length // 2)]
    spans = list(dict.fromkeys(spans))
    tried = len(spans) * PERIOD * STEPS * (1 << BITS)
    threshold = math.sqrt(2 * math.log(tried / settings.false_positives))
    (score, payload), (start, stop) = max((_best(x[a:b], settings.key, threshold), (a, b)) for a, b in spans)
    present = score > threshold
    end = min(stop / RATE, len(wave) / rate)  # a very short recording was padded
    return Detection(
        present=present,
        score=score,
        threshold=threshold,
        payload=payload if present else None,
        start=start / RATE,
        stop=end,
    )


def _best(x: Wave, key: str, threshold: float) -> tuple[float, int]:
    """Best score over all positions, and its payload. Positions whose bound is below the threshold are not decoded,
    unless all of them are."""
    soft = np.concatenate([_soft(x[step * HOP // STEPS :], key) for step in range(STEPS)])  # [positions, 64]
    bound = np.abs(soft).sum(1)  # score of a code of all 2^64 words
    chosen = np.flatnonzero(bound > threshold)
    if not len(chosen):
        chosen = np.argsort(bound)[-8:]
    scores = soft[chosen] @ _code().T
    at = int(scores.argmax())
    return float(scores.flat[at]), at % (1 << BITS)


def _soft(x: Wave, key: str) -> Floats:
    """Correlation with the pattern of each bit, cells of norm 1: float32 [64 positions, 64 coded bits]."""
    cells = _whitened(x)
    cells = np.pad(cells, ((0, -len(cells) % PERIOD), (0, 0)))
    folded = cells.reshape(-1, PERIOD, PAIRS).sum(0)
    norm = float(np.sqrt((folded**2).sum()))
    if norm < 1e-6:
        return np.zeros((PERIOD, CODED), np.float32)
    flat = folded / norm
    order = np.argsort(_places(key), kind="stable")
    pattern = _pattern(key)
    out = np.empty((PERIOD, CODED), np.float32)
    for shift in range(PERIOD):  # the recording begins with frame `shift` of the pattern
        product = np.roll(flat, shift, axis=0).ravel() * pattern
        out[shift] = product[order].reshape(CODED, -1).sum(1)
    return out


def _whitened(x: Wave) -> Floats:
    """Log power of the pairs of bins minus its local means, in standard deviations, clipped, weighted by the level of
    the frame: float32 [frames, 96]."""
    from scipy.ndimage import uniform_filter1d

    side = NEAR_BINS // 2
    frames = np.lib.stride_tricks.sliding_window_view(x, FRAME)[::HOP] * _window() ** 2
    power = np.abs(np.fft.rfft(frames)[:, FIRST - side : LAST + side]) ** 2
    top = power.mean(1).max()
    if top <= 0:
        return np.zeros((len(frames), PAIRS), np.float32)
    logs = np.log(power / top + 1e-9)
    level = logs[:, side:-side].mean(1)
    logs -= uniform_filter1d(logs, NEAR_BINS, axis=1)
    logs -= uniform_filter1d(logs, NEAR_TIME, axis=0)
    cells = logs[:, side:-side].reshape(len(logs), PAIRS, 2).mean(2)
    cells = np.clip(cells / (cells.std() + 1e-9), -CLIP, CLIP)
    weight = 1 / (1 + np.exp(level.max() - RANGE - level))
    result: Floats = (cells * weight[:, None]).astype(np.float32)
    return result


def _window() -> Floats:
    """Root of a Hann window, float32 [1024]; its square and that of its half-shifted copy add up to 1."""
    window: Floats = np.sin(np.pi * (np.arange(FRAME) + 0.5) / FRAME).astype(np.float32)
    return window


@cache
def _pattern(key: str) -> Floats:
    """Sign of each frame of the period and pair of bins, float32 [6144], by SHAKE-256: the same on every machine."""
    bits = np.frombuffer(hashlib.shake_256(f"{key}/signs".encode()).digest(PERIOD * PAIRS // 8), np.uint8)
    return np.unpackbits(bits).astype(np.float32) * 2 - 1


@cache
def _places(key: str) -> NDArray[np.int64]:
    """A permutation, int64 [6144]; cell c carries coded bit `_places[c] // 96`."""
    words = np.frombuffer(hashlib.shake_256(f"{key}/places".encode()).digest(8 * PERIOD * PAIRS), "<u8")
    return np.argsort(words, kind="stable").astype(np.int64)


@cache
def _code() -> Floats:
    """float32 [65536, 64]: +1 or -1, the word of each payload."""
    rows = np.array([[(GENERATOR << i) >> j & 1 for j in range(CODED - 1)] for i in range(BITS)])
    payloads = np.arange(1 << BITS)[:, None] >> np.arange(BITS) & 1
    words = payloads @ rows % 2
    words = np.concatenate([words, words.sum(1, keepdims=True) % 2], axis=1)
    return (1 - 2 * words).astype(np.float32)

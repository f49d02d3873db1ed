"""Voice activity, frame by frame: WebRTC proposes, Silero confirms.

Method: the upload is resampled to 16 kHz by soxr as it streams by, in blocks of 16 s. WebRTC (a Gaussian mixture over
six sub-bands, 10 ms frames) runs at some 10,000 times real time on one core and misses little, but takes noise for
speech. Silero (convolutions and an LSTM, 32 ms frames) is exact and runs at 1,600 times real time; in the cascade it
evaluates only frames near WebRTC's speech, and every other frame has probability 0. Its state is reset after a gap.
In a block where it is undecided too often it also evaluates the reversed signal, and the mean counts: the errors of the
two directions have little in common, which removes two thirds of the false alarms in noise.
Cost: three blocks of 16 s and one of the input in memory, and four bytes per frame of the result (0.5 MB per hour, with
WebRTC alone 1.4 MB); one thread.
Source: WebRTC's common_audio/vad by way of webrtcvad; Silero VAD 6 (MIT) as `silero` computes it.
"""

import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.errors import ModelMissing
from voicemill.storage.keys import file_digest
from voicemill.storage.units import RATE, Samples, Seconds

if TYPE_CHECKING:
    from voicemill.model.audio.silero import Silero

Engine = Literal["cascade", "silero", "webrtc"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
Wave = NDArray[np.float32]
Mask = NDArray[np.bool_]
Flagged = tuple[Wave, Mask]
"""A block at 16 kHz with a flag for each of its frames: a verdict, or whether a detector shall evaluate it."""
State = tuple[Wave, Wave]
T = TypeVar("T")

VAD_RATE = 16_000
"""Sample rate of both detectors, Hz."""
WEBRTC_FRAME = 160
SILERO_FRAME = 512
SILERO_CONTEXT = 64
"""Samples at 16 kHz; the context is the end of the previous frame, which Silero takes with each frame."""
UNDECIDED = (0.1, 0.9)
"""Range of probability in which Silero counts as undecided."""
_WARM = 64
"""Frames of the next block (2 s) with which a backward pass begins."""
_BLOCK = 100 * 5 * SILERO_FRAME
"""16 s: a whole number of frames of both detectors (2560 samples are 5 of Silero and 16 of WebRTC)."""
_FRESH: State = (np.zeros((1, 1, 128), np.float32), np.zeros((1, 1, 128), np.float32))


def hop(engine: Engine) -> Samples:
    """Samples at 32 kHz from one frame of `speech_probability` to the next: 10 ms for WebRTC, 32 ms for Silero."""
    return (WEBRTC_FRAME if engine == "webrtc" else SILERO_FRAME) * (RATE // VAD_RATE)


def speech_probability(blocks: Iterable[Wave], engine: Engine, mode: int, reach: Seconds, doubt: float) -> Wave:
    """Probability of speech in every frame of an upload, bit for bit independent of its division into blocks.

    Args:
        blocks: float32 [any], 32 kHz, in order.
        engine: the detector; with `webrtc` the probabilities are 0 and 1.
        mode: strictness of WebRTC, 0 (most frames are speech) to 3.
        reach: distance from WebRTC's speech within which Silero evaluates frames in the cascade, 0 to 10 s.
        doubt: share of undecided frames in a block from which Silero evaluates it backward too; 1 = never.

    Returns:
        float32 [ceil(samples / hop(engine))], 0..1; the last frame is filled up with zeros.
    """
    parts = []
    samples = 0

    def counted() -> Iterator[Wave]:
        nonlocal samples
        for block in blocks:
            samples += len(block)
            yield block

    if engine == "webrtc":
        parts = [proposed.astype(np.float32) for _, proposed in _proposed(_reblocked(counted()), mode)]
    elif engine == "silero":
        everything = ((wave, np.ones(len(wave) // SILERO_FRAME, np.bool_)) for wave in _reblocked(counted()))
        parts = list(_confirmed(everything, doubt))
    else:
        parts = list(_confirmed(_near(_proposed(_reblocked(counted()), mode), reach), doubt))
    frames = -(-samples // hop(engine))
    return np.concatenate([np.empty(0, np.float32), *parts])[:frames]


def _reblocked(blocks: Iterable[Wave]) -> Iterator[Wave]:
    """Resample blocks of any length to 16 kHz in blocks of `_BLOCK`; zeros fill up the last to a multiple of 2560."""
    import soxr

    stream = soxr.ResampleStream(RATE, VAD_RATE, 1, dtype="float32")
    rest = np.empty(0, np.float32)
    for block in blocks:
        rest = np.concatenate([rest, stream.resample_chunk(block)])
        while len(rest) >= _BLOCK:
            yield rest[:_BLOCK]
            rest = rest[_BLOCK:]
    rest = np.concatenate([rest, stream.resample_chunk(np.empty(0, np.float32), last=True)])
    # one sample more than half of an odd length may be needed for the last frame, hence never exactly full
    rest = np.pad(rest, (0, 2560 - len(rest) % 2560))
    for start in range(0, len(rest), _BLOCK):
        yield rest[start : start + _BLOCK]


def _proposed(waves: Iterable[Wave], mode: int) -> Iterator[Flagged]:
    """Blocks with WebRTC's verdict on each 10 ms frame."""
    import webrtcvad

    detector = webrtcvad.Vad(mode)
    size = 2 * WEBRTC_FRAME
    for wave in waves:
        pcm = (np.clip(wave, -1.0, 1.0) * 32767).astype("<i2").tobytes()
        verdicts = [detector.is_speech(pcm[at : at + size], VAD_RATE) for at in range(0, len(pcm), size)]
        yield wave, np.array(verdicts, np.bool_)


def _near(blocks: Iterable[Flagged], reach: Seconds) -> Iterator[Flagged]:
    """Blocks with a flag for each Silero frame: whether any of it lies within `reach` of WebRTC's speech."""
    width = round(reach * VAD_RATE / WEBRTC_FRAME)
    before = np.zeros(width, np.bool_)
    for (wave, flags), following in _with_next(blocks):
        after = following[1][:width] if following else flags[:0]
        around = np.concatenate([before, flags, after])
        before = around[len(flags) : len(flags) + width]
        counts = np.cumsum(np.concatenate([[0], around]))
        at = np.arange(len(flags))
        wide = counts[np.minimum(at + 2 * width + 1, len(around))] > counts[at]
        groups = wide.reshape(-1, 16)  # 16 WebRTC frames are 5 of Silero: frame j covers 3.2 j to 3.2 j + 3.2
        requested = [groups[:, j * 16 // 5 : -(-(j + 1) * 16 // 5)].any(axis=1) for j in range(5)]
        yield wave, np.stack(requested, axis=1).ravel()


def _confirmed(blocks: Iterable[Flagged], doubt: float) -> Iterator[Wave]:
    """Silero's probability of each flagged frame, 0 for the others; state and context carry over between blocks."""
    state = _FRESH
    context = np.zeros(SILERO_CONTEXT, np.float32)
    running = False
    for (wave, requested), following in _with_next(blocks):
        result = np.zeros(len(requested), np.float32)
        stretch = np.concatenate([context, wave])
        for start, stop in _runs(requested):
            if start > 0 or not running:
                state = _FRESH
            result[start:stop], state = _listen(
                stretch[start * SILERO_FRAME : stop * SILERO_FRAME + SILERO_CONTEXT], state
            )
        context, running = wave[-SILERO_CONTEXT:], bool(requested[-1])
        undecided = (result > UNDECIDED[0]) & (result < UNDECIDED[1])
        if doubt < 1 and undecided.mean() >= doubt:
            result = (result + _backward(wave, requested, following)) * np.float32(0.5)
        yield result


def _backward(wave: Wave, requested: Mask, following: Flagged | None) -> Wave:
    """Silero's probability of the flagged frames, each run of them evaluated from its end to its start."""
    lead = 0
    coming = np.zeros(SILERO_CONTEXT, np.float32)
    if following is not None:
        warm = following[1][: min(_WARM, len(following[1]) - 1)]
        lead = int(np.argmin(np.append(warm, False))) if requested[-1] else 0
        coming = following[0][: lead * SILERO_FRAME + SILERO_CONTEXT]
    stretch = np.concatenate([wave, coming])
    flags = np.concatenate([requested, np.ones(lead, np.bool_)])
    result = np.zeros(len(flags), np.float32)
    for start, stop in _runs(flags):
        part = stretch[start * SILERO_FRAME : stop * SILERO_FRAME + SILERO_CONTEXT]
        result[start:stop] = _listen(part[::-1], _FRESH)[0][::-1]
    return result[: len(requested)]


def _listen(stretch: Wave, state: State) -> tuple[Wave, State]:
    """Probability of the n frames of float32 [64 + 512 n], 16 kHz, and the state after them."""
    frames = np.lib.stride_tricks.sliding_window_view(stretch, SILERO_CONTEXT + SILERO_FRAME)[::SILERO_FRAME]
    return _silero()(frames.copy(), state)


def _runs(flags: Mask) -> list[list[int]]:
    """Start and stop of each run of True."""
    runs: list[list[int]] = np.flatnonzero(np.diff(flags, prepend=False, append=False)).reshape(-1, 2).tolist()
    return runs


def _with_next(items: Iterable[T]) -> Iterator[tuple[T, T | None]]:
    """Each item with its successor, None for the last."""
    previous: T | None = None
    for item in items:
        if previous is not None:
            yield previous, item
        previous = item
    if previous is not None:
        yield previous, None


def silero_path() -> Path:
    """Path of the model in the silero-vad wheel.

    Raises:
        ModelMissing: the package is not installed, or its version has no such file.
    """
    spec = importlib.util.find_spec("silero_vad")  # finds the folder without importing the package, and torch with it
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        if (path := Path(folder) / "data" / "silero_vad_16k_sequence.onnx").is_file():
            return path
    where = f"looked in {folders[0]}/data" if folders else "the package silero_vad is not installed"
    raise ModelMissing(
        f"slice.engine needs silero_vad_16k_sequence.onnx, which comes with silero-vad 6.2.3 and later ({where}): "
        "`pip install 'silero-vad>=6.2.3'`, or set slice.engine to webrtc"
    )


@cache
def silero_digest() -> str:
    """sha256 (hex) of the model file."""
    return file_digest(silero_path())


@cache
def _silero() -> "Silero":
    from voicemill.model.audio.silero import Silero

    return Silero(silero_path())

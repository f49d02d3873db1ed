"""Chunks of samples as the decoders give them: of all channels, with the stretches that were lost in their places."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.errors import AudioError
from voicemill.storage.outcomes import Reason
from voicemill.storage.units import Seconds

Frames = NDArray[np.float32]
"""float32 [frames, channels]."""

READ = 16_384
"""Frames per read."""
LARGEST = 1e9
"""Amplitude that no sample has, float files of integers included."""
MOST_LOST: Seconds = 24 * 3600.0


@dataclass(frozen=True)
class Chunk:
    """Consecutive samples of a file, or the place of samples that were lost."""

    rate: int
    """Hz."""
    data: Frames
    """Samples; zeros where they were lost."""
    lost: str = ""
    """Message of the decoder where the samples were lost."""

    @property
    def seconds(self) -> Seconds:
        """Duration of what was decoded; a lost stretch has none."""
        return 0.0 if self.lost else len(self.data) / self.rate


@dataclass(frozen=True)
class Note:
    """A disagreement within a file that loses none of its samples."""

    text: str
    reason: str = ""
    """`Reason`: TRUNCATED where the file ends too soon; "" = all that it holds was read."""


@dataclass(frozen=True)
class Source:
    """An open audio file."""

    codec: str
    """Container and codec, as "wav/pcm_16" or "webm/opus"."""
    rate: int
    """Hz."""
    channels: int
    seconds: Seconds
    """Duration as the header states it."""
    exact: bool
    """Whether `seconds` is a count; False = an estimate from the bit rate."""
    blocks: Callable[[], Iterator[Chunk]]
    """Iterator over the samples in order."""
    notes: list["Note"] = field(default_factory=list)
    """Disagreements of header, packets and size; complete once the samples are read."""
    lossy: bool = False
    """Whether the codec changes the values of samples."""


def lost(rate: int, frames: int, message: str) -> Iterator[Chunk]:
    """Chunks of zeros in the place of lost samples."""
    frames = min(frames, round(MOST_LOST * rate))
    while frames > 0:
        size = min(frames, READ)
        yield Chunk(rate, np.zeros((size, 1), np.float32), message)
        frames -= size


def finite(chunk: Chunk) -> Iterator[Chunk]:
    """The same samples; those that are not finite are lost, and all between the first and the last of them."""
    # comparisons with NaN are false, without a warning
    good: NDArray[np.bool_] = np.asarray((np.abs(chunk.data) < LARGEST).all(axis=1))
    if good.all():
        yield chunk
        return
    bad = np.flatnonzero(~good)
    first, last = int(bad[0]), int(bad[-1]) + 1
    if first:
        yield Chunk(chunk.rate, chunk.data[:first])
    yield from lost(chunk.rate, last - first, "samples that are no numbers")
    if last < len(good):
        yield Chunk(chunk.rate, chunk.data[last:])


def checked(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Yield chunks whose samples are all finite."""
    for chunk in chunks:
        # a sum is small only if all its terms are, and costs a tenth of looking at each
        with np.errstate(over="ignore", invalid="ignore"):
            fine = bool(chunk.lost) or abs(float(np.add.reduce(chunk.data, axis=None))) < LARGEST
        if fine:
            yield chunk
        else:
            yield from finite(chunk)


def as_floats(samples: NDArray[Any], channels: int) -> Frames:
    """Samples of a frame, planar [channels, n] or packed [1, n * channels], as float32 [frames, channels] in -1..1."""
    frames = samples.T if samples.shape[0] == channels else samples.reshape(-1, channels)
    if frames.dtype == np.uint8:
        return (frames.astype(np.float32) - 128.0) / 128.0
    if np.issubdtype(frames.dtype, np.integer):
        return (frames.astype(np.float64) / -float(np.iinfo(frames.dtype).min)).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        return frames.astype(np.float32, copy=False)


def no_samples(codec: str) -> AudioError:
    """Error for a header with no samples."""
    return AudioError(Reason.NO_SAMPLES, f"{codec}: a header with no samples behind it")

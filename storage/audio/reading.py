"""Reading any audio file as mono float32 at 32 kHz, block by block.

soundfile (libsndfile) reads WAV, AIFF, AU, CAF, W64, FLAC, Ogg and NIST sphere; PyAV (FFmpeg's libraries, from its
wheel) reads the rest, MP3 included: libsndfile's MP3 reader prints to stderr at every damaged frame. The bytes decide
which one is tried first, never the name; FFmpeg may use only audio demuxers, so that a playlist or a text file under
another name opens no other file. Resampling is soxr HQ as a stream: n samples at r Hz become
floor(n * 32000 / r + 1/2), the same bytes for any block size.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.audio.budget import Budget, WatchedFile
from voicemill.storage.audio.containers import Container, identify, libav_options
from voicemill.storage.errors import AudioError
from voicemill.storage.outcomes import Reason
from voicemill.storage.units import RATE, Samples, Seconds

Wave = NDArray[np.float32]

READ = 16_384
"""Frames per read."""

RATES = (1_000, 1_000_000)
"""Range of sample rates, Hz; a header that states another one is damaged."""

_SNDFILE = frozenset({"wav", "aiff", "au", "caf", "w64", "flac", "ogg", "sph"})


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
    blocks: Callable[[], Iterator[tuple[int, Wave]]]
    """Iterator over the samples in order: (rate in Hz, float32 [n], mean of the channels). Raises AudioError where they
    end too soon, are not finite, or take too long to read."""


@contextmanager
def open_audio(path: Path) -> Iterator[Source]:
    """Open an audio file by its bytes, whatever its name.

    Raises:
        AudioError: empty, not audio, damaged or cut off so early that no decoder opens it.
        OSError: the file cannot be read.
    """
    if path.stat().st_size == 0:
        raise AudioError(Reason.EMPTY, "the file has 0 bytes")
    budget = Budget()
    container = identify(path)
    with ExitStack() as stack:
        message = ""
        source = None
        with budget.running():
            if container.kind in _SNDFILE:
                source, message = _sndfile(path, container, stack)
            if source is None:
                source, libav_message = _libav(path, container, stack, budget)
                message = message or libav_message
        if source is None:
            raise _unopened(container, message)
        if not RATES[0] <= source.rate <= RATES[1]:
            raise AudioError(Reason.DAMAGED, f"the header states a sample rate of {source.rate} Hz")
        blocks = source.blocks
        yield replace(source, blocks=lambda: budget.metered(blocks(), lambda block: len(block[1]) / block[0]))


def read_samples(source: Source) -> Iterator[Wave]:
    """Yield the samples of an open file as float32 [n], mono, 32 kHz, in blocks of varying length.

    Raises:
        AudioError: TRUNCATED, DAMAGED, TOO_SLOW or NO_SAMPLES, with the number of samples decoded before.
    """
    read: list[tuple[int, int]] = []  # rate, frames
    try:
        for rate, group in groupby(source.blocks(), key=lambda pair: pair[0]):
            read.append((rate, 0))
            for wave in resample(_counted((block for _, block in group), read), rate):
                if len(wave):
                    yield wave
    except AudioError as error:
        error.samples = sum(resampled_length(frames, rate) for rate, frames in read)
        raise
    if not any(frames for _, frames in read):
        raise AudioError(Reason.NO_SAMPLES, f"{source.codec}: a header with no samples behind it")


def _counted(blocks: Iterable[Wave], read: list[tuple[int, int]]) -> Iterator[Wave]:
    for block in blocks:
        rate, frames = read[-1]
        read[-1] = (rate, frames + len(block))
        yield block


def resampled_length(frames: int, rate: int) -> Samples:
    """Number of samples that `resample` yields for `frames` at `rate` Hz: floor(frames * 32000 / rate + 1/2)."""
    return (2 * frames * RATE + rate) // (2 * rate)


def resample(blocks: Iterable[Wave], rate: int) -> Iterator[Wave]:
    """Resample blocks of float32 [n] from `rate` Hz to 32 kHz by soxr HQ; 32 kHz passes through unchanged."""
    import soxr

    if rate == RATE:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)


def regroup(blocks: Iterable[Wave], size: Samples) -> Iterator[Wave]:
    """Yield the same samples in blocks of `size`; the last one may be shorter, none is empty."""
    parts: list[Wave] = []
    pending = 0
    for block in blocks:
        parts.append(block)
        pending += len(block)
        if pending >= size:
            whole = np.concatenate(parts)
            for start in range(0, pending - size + 1, size):
                yield whole[start : start + size]
            parts, pending = [whole[pending - pending % size :].copy()], pending % size
    if pending:
        yield np.concatenate(parts)


def measure_seconds(path: Path) -> Seconds:
    """Duration counted over the packets, without decoding, for files whose header gives only an estimate."""
    import av

    total, budget = 0.0, Budget()
    with ExitStack() as stack:
        file = WatchedFile(stack.enter_context(path.open("rb")), budget)
        with budget.running():
            container = stack.enter_context(av.open(file, mode="r", metadata_errors="replace", options=libav_options()))
        packets = iter(container.demux(container.streams.audio[0]))
        seconds = (float((packet.duration or 0) * (packet.time_base or 0)) for packet in packets)
        try:
            for duration in budget.metered(seconds, float):
                total += duration
        except av.error.FFmpegError:
            return total
    return total


def mono(block: NDArray[Any]) -> Wave:
    """Mean of the channels: [frames, channels] of any float type to float32 [frames]."""
    with np.errstate(over="ignore", invalid="ignore"):
        mixed = block[:, 0].astype(np.float32)
        for channel in range(1, block.shape[1]):
            mixed += block[:, channel]
    if block.shape[1] > 1:
        mixed /= np.float32(block.shape[1])
    if not np.isfinite(mixed).all():
        raise AudioError(Reason.DAMAGED, "samples that are not finite")
    return mixed


def _unopened(container: Container, message: str) -> AudioError:
    if container.short:
        return AudioError(Reason.TRUNCATED, f"{container.kind}: {container.short}")
    if container.kind:
        return AudioError(Reason.DAMAGED, f"begins like {container.kind}, but no decoder opens it: {message}")
    return AudioError(Reason.NOT_AUDIO, "no decoder recognises the bytes (headerless raw samples are not supported)")


def _sndfile(path: Path, container: Container, stack: ExitStack) -> tuple[Source | None, str]:
    """Open with libsndfile, by descriptor: by name it would guess headerless formats from the extension."""
    import soundfile

    handle = os.open(path, os.O_RDONLY)
    stack.callback(os.close, handle)
    try:
        file = stack.enter_context(soundfile.SoundFile(handle, closefd=False))
    except soundfile.LibsndfileError as error:
        return None, error.error_string
    stated = file.frames if file.frames < 1 << 60 else 0
    size = path.stat().st_size

    def blocks() -> Iterator[tuple[int, Wave]]:
        buffer = np.empty((READ, file.channels), np.float32)
        done = 0
        while True:
            try:
                block = file.read(out=buffer)
            except soundfile.LibsndfileError as error:
                at_end = os.lseek(handle, 0, os.SEEK_CUR) >= size
                raise AudioError(Reason.TRUNCATED if at_end else Reason.DAMAGED, _stopped(error)) from error
            if not len(block):
                break
            done += len(block)
            yield file.samplerate, mono(block)
        if container.short:
            raise AudioError(Reason.TRUNCATED, container.short)
        if done < stated and container.kind in ("flac", "ogg"):
            reason = Reason.TRUNCATED if container.kind == "flac" else Reason.DAMAGED
            raise AudioError(reason, f"{done} of the {stated} samples that its header states were decoded")

    codec = f"{container.kind}/{file.subtype.lower()}"
    return Source(
        codec=codec,
        rate=file.samplerate,
        channels=file.channels,
        seconds=stated / file.samplerate,
        exact=stated > 0,
        blocks=blocks,
    ), ""


def _libav(path: Path, container: Container, stack: ExitStack, budget: Budget) -> tuple[Source | None, str]:
    """Open with FFmpeg, by an open file: by name it would take hints from the extension and protocols from the name."""
    import av

    file = WatchedFile(stack.enter_context(path.open("rb")), budget)
    try:
        demuxer = stack.enter_context(av.open(file, mode="r", metadata_errors="replace", options=libav_options()))
        if not demuxer.streams.audio:
            raise AudioError(Reason.NOT_AUDIO, f"a {demuxer.format.name} file without an audio stream")
        stream = demuxer.streams.audio[0]
        context = stream.codec_context
        if context is None:
            return None, "no decoder for its audio stream"
        context.thread_count = 1
        rate, channels = int(context.sample_rate or 0), int(context.channels or 0)
    except (av.error.FFmpegError, ValueError) as error:
        return None, str(error)
    if not rate or not channels:
        return None, "its audio stream states no rate or no channels"

    def blocks() -> Iterator[tuple[int, Wave]]:
        packets = iter(demuxer.demux(stream))
        try:
            for packet in packets:
                for frame in packet.decode():
                    yield frame.sample_rate, mono(_floats(frame.to_ndarray(), frame.layout.nb_channels))
        except av.error.FFmpegError as error:
            last = _none_left(packets)
            raise AudioError(Reason.TRUNCATED if last else Reason.DAMAGED, _stopped(error)) from error
        except ValueError as error:  # a header that states 64-bit integers: PyAV has no array of them
            raise AudioError(Reason.DAMAGED, str(error)) from error
        if container.short:
            raise AudioError(Reason.TRUNCATED, container.short)

    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    else:
        seconds = (demuxer.duration or 0) / av.time_base
    exact = container.kind in ("mp4", "matroska") and seconds > 0
    name = demuxer.format.name.split(",")[0]
    codec = f"{'mp4' if container.kind == 'mp4' else name}/{context.name}"
    return Source(codec=codec, rate=rate, channels=channels, seconds=seconds, exact=exact, blocks=blocks), ""


def _none_left(packets: Iterator[Any]) -> bool:
    """Whether no packet with data follows the one that failed."""
    import av

    try:
        return not any(packet.size for packet in packets)
    except av.error.FFmpegError:
        return False


def _stopped(error: Exception) -> str:
    message = getattr(error, "strerror", None) or getattr(error, "error_string", None) or error
    return f"the decoder stopped: {message}"


def _floats(samples: NDArray[Any], channels: int) -> NDArray[Any]:
    """Samples of a frame, planar [channels, n] or packed [1, n * channels], as [frames, channels] in -1..1."""
    frames = samples.T if samples.shape[0] == channels else samples.reshape(-1, channels)
    if frames.dtype == np.uint8:
        return (frames.astype(np.float32) - 128.0) / 128.0
    if np.issubdtype(frames.dtype, np.integer):
        return frames.astype(np.float64) / -float(np.iinfo(frames.dtype).min)
    return frames

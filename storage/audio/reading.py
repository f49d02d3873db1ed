"""Reading any audio file as mono float32 at 32 kHz, block by block.

soundfile (libsndfile) reads WAV, AIFF, AU, CAF, W64, FLAC, Ogg and NIST sphere; PyAV (FFmpeg's libraries, from its
wheel) reads the rest, MP3 included: libsndfile's MP3 reader prints to stderr at every damaged frame. The bytes decide
which one is tried first, never the name; FFmpeg may use only audio demuxers, so that a playlist or a text file under
another name opens no other file. Recordings that were joined end to end are read one behind the other (`links`),
headers that state too little are corrected (`extents`), damage loses its stretch and no more (`libav_damage`); what was
lost is zeros in its place. Several channels become one by what they hold (`channels`), then offset and level are set
right (`conditioning`). Resampling is soxr HQ as a stream: n samples at r Hz become floor(n * 32000 / r + 1/2), the same
bytes for any block size.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.audio.budget import Budget, WatchedFile
from voicemill.storage.audio.containers import libav_options
from voicemill.storage.audio.opening import open_links
from voicemill.storage.audio.signal.account import UNDECIDED, Account, Treatment
from voicemill.storage.audio.signal.channels import MEAN, ChannelSurvey, Mix
from voicemill.storage.audio.signal.chunks import READ, Chunk, Source, no_samples
from voicemill.storage.audio.signal.clipping import ClippingSurvey
from voicemill.storage.audio.signal.conditioning import LevelSurvey, condition
from voicemill.storage.errors import AudioError
from voicemill.storage.outcomes import LostStretch, Reason
from voicemill.storage.units import RATE, Samples, Seconds

Wave = NDArray[np.float32]

RATES = (1_000, 1_000_000)
"""Range of sample rates, Hz; a header that states another one is damaged."""
SURVEY: Seconds = 60.0
"""Duration that decides how a file is treated; a longer one is measured to its end, and may be read again."""


@contextmanager
def open_audio(path: Path, *, whole: bool = True) -> Iterator[Source]:
    """Open an audio file by its bytes, whatever its name.

    Args:
        whole: look for joined recordings, which reads the file once; False = the header of the first is enough.

    Raises:
        AudioError: empty, not audio, damaged or cut off so early that no decoder opens it.
        OSError: the file cannot be read.
    """
    if path.stat().st_size == 0:
        raise AudioError(Reason.EMPTY, "the file has 0 bytes")
    budget = Budget()
    with ExitStack() as stack:
        with budget.running():
            source = open_links(path, stack, budget, whole)
        if not RATES[0] <= source.rate <= RATES[1]:
            raise AudioError(Reason.DAMAGED, f"the header states a sample rate of {source.rate} Hz")
        blocks = source.blocks
        yield replace(source, blocks=lambda: budget.metered(blocks(), lambda chunk: chunk.seconds))


def read_samples(source: Source, account: Account | None = None) -> Iterator[Wave]:
    """Yield the samples of an open file as float32 [n], mono, 32 kHz, in blocks of varying length.

    Raises:
        AudioError: DAMAGED, TOO_SLOW or NO_SAMPLES, with the number of samples decoded before.
    """
    account = account if account is not None else Account()
    waves = regroup(_resampled(source, account), round(SURVEY) * RATE)
    survey = LevelSurvey()
    first = next(waves, None)
    if first is None:
        raise no_samples(source.codec)
    survey.add(first)
    mix = account.treatment.mix if account.treatment else account.best.mix
    if account.treatment is None or account.treatment.condition is UNDECIDED:
        account.treatment = Treatment(mix, survey.choose())
    start = float(first[: RATE // 2].mean())

    def surveyed() -> Iterator[Wave]:
        yield first
        for wave in waves:
            survey.add(wave)
            yield wave

    yield from condition(surveyed(), account.treatment.condition, start)
    account.best = replace(account.best, condition=survey.choose())


def _resampled(source: Source, account: Account) -> Iterator[Wave]:
    """Mono samples at 32 kHz, with the account of those lost."""
    read: list[tuple[int, int]] = []  # rate, frames

    def counted(group: Iterable[tuple[int, Wave, str]], rate: int, base: Samples) -> Iterator[Wave]:
        for _, wave, message in group:
            start = read[-1][1]
            stop = start + len(wave)
            read[-1] = (rate, stop)
            if message:
                _note_lost(account, base + resampled_length(start, rate), base + resampled_length(stop, rate), message)
            yield wave

    before: Samples = 0
    try:
        for rate, group in groupby(_mixed(source, account), key=lambda item: item[0]):
            read.append((rate, 0))
            yield from (wave for wave in resample(counted(group, rate, before), rate) if len(wave))
            before += resampled_length(read[-1][1], rate)
    except AudioError as error:
        error.samples = sum(resampled_length(frames, rate) for rate, frames in read)
        raise
    account.samples = before


def _note_lost(account: Account, start: Samples, stop: Samples, message: str) -> None:
    if account.lost and account.lost[-1].stop == start:
        account.lost[-1] = replace(account.lost[-1], stop=stop)
    elif stop > start:
        account.lost.append(LostStretch(start, stop, message))


def _mixed(source: Source, account: Account) -> Iterator[tuple[int, Wave, str]]:
    """Mono samples at the rates of the file: rate, wave, message where they were lost."""
    clipping = ClippingSurvey(source.codec, source.lossy)
    survey = ChannelSurvey(source.channels, source.rate)
    mix = account.treatment.mix if account.treatment else None
    held: list[Chunk] = []
    seconds, waiting = 0.0, 0.0
    for chunk in _batched(source.blocks()):
        if not chunk.lost:
            clipping.add(chunk.data, chunk.rate, seconds)
            if source.channels > 1 and chunk.data.shape[1] == source.channels:
                survey.add(chunk.data)
        seconds += len(chunk.data) / chunk.rate
        if mix is None and source.channels > 1:
            held.append(chunk)
            waiting += len(chunk.data) / chunk.rate
            if waiting < SURVEY:
                continue
            mix = survey.choose()
            account.best = replace(account.best, mix=mix)
            yield from _flush(held, mix)
            continue
        yield chunk.rate, (mix or MEAN).apply(chunk.data), chunk.lost
    best = survey.choose()
    used = mix if mix is not None else best
    yield from _flush(held, used)
    account.best = replace(account.best, mix=best)
    if account.treatment is None:
        account.treatment = Treatment(used, UNDECIDED)
    chosen = [at for at in range(source.channels) if not used.weights or used.weights[at]]
    account.clipped = clipping.bins(chosen)


def _flush(held: list[Chunk], mix: Mix) -> Iterator[tuple[int, Wave, str]]:
    while held:
        chunk = held.pop(0)
        yield chunk.rate, mix.apply(chunk.data), chunk.lost


def _batched(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The same samples in chunks of some `READ` frames: those of a codec are a tenth of it, and each call costs."""
    parts: list[Chunk] = []
    count = 0
    for chunk in chunks:
        size, kind = len(chunk.data), (chunk.rate, chunk.data.shape[1], chunk.lost)
        if parts and (kind != (parts[0].rate, parts[0].data.shape[1], parts[0].lost) or count + size > READ):
            yield _joined(parts)
            parts, count = [], 0
        parts.append(chunk)
        count += size
    if parts:
        yield _joined(parts)


def _joined(parts: list[Chunk]) -> Chunk:
    if len(parts) == 1:
        return parts[0]
    return replace(parts[0], data=np.concatenate([part.data for part in parts]))


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
            whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
            for start in range(0, pending - size + 1, size):
                yield whole[start : start + size]
            parts, pending = [whole[pending - pending % size :].copy()], pending % size
    if pending:
        yield parts[0] if len(parts) == 1 else np.concatenate(parts)


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

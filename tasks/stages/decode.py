"""decode: the bytes of an upload to mono float32 at 32 kHz.

Method: soundfile first, PyAV for the rest; joined recordings one behind the other, what is damaged as zeros in its
place, one of the channels, their mean or difference, soxr HQ (storage/audio/reading.py). Block by block: a
minute of samples is held at a time, so that three hours cost no more memory than three minutes. Samples beyond [-1, 1]
in a float file are kept. The bytes are hashed first, so that only the file that was scanned is read.
Cost: 700 times real time on one core for FLAC at 16 kHz, 440 at 48 kHz, half of it for the fingerprint; 135 MB
for an upload of three hours.
Source: libsndfile 1.2, FFmpeg's libavcodec, libsoxr; docs of `soxr.ResampleStream`.
"""

import hashlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from voicemill.model.audio.fingerprint import Fingerprinter
from voicemill.storage.audio.reading import measure_seconds, open_audio, read_samples, regroup
from voicemill.storage.audio.signal.account import Account, Treatment
from voicemill.storage.audio.signal.chunks import Source
from voicemill.storage.corpus.artifacts import BLOCK
from voicemill.storage.errors import AudioError
from voicemill.storage.keys import file_digest
from voicemill.storage.outcomes import Failure, Outcome, Reason
from voicemill.storage.records import Decoded, Upload
from voicemill.storage.units import Samples, Seconds, to_samples, to_seconds
from voicemill.tasks.contract.stage import Audio, Discard, Inputs, Stage, StageSettings

VERSION = 3

MOST_GROWTH = 256
"""Bytes of samples for each byte of the file that are stored at once; Opus at 6 kbit/s has 170, FLAC of silence 39,000.
Beyond it the file is read to its end first: 46 kB of FLAC would else leave 1.7 GB, also where they are refused."""
SILENCE = 1e-4
"""Peak, under which nothing passes the gate of the loudness meter (-70 LUFS)."""


class Settings(StageSettings):
    """Limits on one upload."""

    max_hours: float = Field(4.0, gt=0, le=24)
    """Hours, up to 24. A longer upload is filtered as `over_long`."""
    max_gb: float = Field(2.0, gt=0, le=64)
    """Gigabytes (10^9 bytes) of the file, up to 64. A larger one is filtered as `over_large`. 3 h of 16-bit 48 kHz
    stereo WAV are 2.07, 4 h of mono 1.38."""


def decode(path: Path, upload: Upload, settings: Settings) -> Iterator[Audio | Discard | Decoded | Failure]:
    """Samples of one upload in blocks of a minute, then its row.

    A corrupt upload may yield some samples before the damage shows; its row counts the samples decoded.
    A `Failure` means that the file could not be read, or changed since it was scanned.
    """
    try:
        size = path.stat().st_size
        if size > settings.max_gb * 1e9:
            detail = f"{size / 1e9:.3f} GB, decode.max_gb is {settings.max_gb:g}"
            yield _filtered(upload, to_samples(upload.seconds), Reason.OVER_LARGE, detail)
            return
        if file_digest(path) != upload.sha256:
            raise OSError("its bytes changed since it was scanned")
        yield from _decode(path, upload, settings)
    except OSError as error:
        yield Failure(upload.sha256, f"cannot read {upload.path}: {error}"[:500], reason=Reason.UNREADABLE)


def _decode(path: Path, upload: Upload, settings: Settings) -> Iterator[Audio | Discard | Decoded]:
    account, source = Account(), None
    try:
        with open_audio(path) as source:
            seconds, limit = source.seconds, settings.max_hours * 3600
            if seconds > limit and not source.exact:
                seconds = measure_seconds(path)
            if seconds > limit:
                yield _over_long(upload, to_samples(seconds), source, settings)
                return
            done = yield from _read(path, upload, source, settings, account)
        if account.again:
            account = Account(account.best)
            yield Discard(upload.sha256)
            with open_audio(path) as source:
                done = yield from _read(path, upload, source, settings, account)
        if isinstance(done, Decoded):
            yield done
            return
    except AudioError as error:
        facts = source or Upload(upload.sha256, upload.speaker, upload.path, upload.size)
        bad = {"outcome": Outcome.CORRUPT, "reason": error.reason.value, "detail": str(error)[:500]}
        yield _row(upload, facts, error.samples, pcm="", **bad)
    else:
        used = account.treatment or Treatment()
        reason, detail = account.describe(source.notes)
        yield _row(
            upload,
            source,
            account.samples,
            pcm=done[0],
            fingerprint=done[1],
            reason=reason,
            detail=detail,
            lost=tuple(account.lost),
            mix=used.mix.name,
            offset=used.condition.offset,
            high_pass=used.condition.high_pass,
            gain_db=used.condition.gain_db,
            clipped_at=tuple(sorted(account.clipped)),
            clipped_s=tuple(account.clipped[number] for number in sorted(account.clipped)),
        )


def _read(
    path: Path, upload: Upload, source: Source, settings: Settings, account: Account
) -> Generator[Audio, None, tuple[str, bytes] | Decoded]:
    """Yield the samples of an open file; return their digest and fingerprint, or the row of a file over a limit."""
    printer, pcm, count, measured, limit = Fingerprinter(), hashlib.sha256(), 0, False, settings.max_hours * 3600
    for wave in regroup(read_samples(source, account), BLOCK):
        count += len(wave)
        if not measured and count * 4 > MOST_GROWTH * path.stat().st_size:
            measured = True
            if refusal := _refusal(path, limit):
                return _filtered(upload, *refusal, source)
        if count > to_samples(limit):  # the header gave a shorter length, or none
            return _over_long(upload, count, source, settings)
        little = np.ascontiguousarray(wave, dtype="<f4")
        pcm.update(little.data)
        printer.add(little)
        yield Audio(upload.sha256, -1, little)
    return pcm.hexdigest(), printer.finish()


def _row(upload: Upload, facts: Source | Upload, samples: Samples, **rest: Any) -> Decoded:
    """Row of an upload; `rest` are its other fields."""
    return Decoded(
        upload=upload.sha256, samples=samples, codec=facts.codec, rate=facts.rate, channels=facts.channels, **rest
    )


def _refusal(path: Path, limit: Seconds) -> tuple[Samples, Reason, str] | None:
    """Why a file whose samples take far more space than its bytes is not kept: read once more, and nothing stored.

    Raises:
        AudioError: it is damaged.
    """
    count, peak, account = 0, 0.0, Account()
    with open_audio(path) as source:
        for wave in read_samples(source, account):
            count += len(wave)
            peak = max(peak, float(np.abs(wave).max()))
            if count > to_samples(limit):
                return count, Reason.OVER_LONG, f"over {limit / 3600:g} h, which is decode.max_hours"
    gain = account.treatment.condition.gain_db if account.treatment else 0.0
    if peak < SILENCE * 10 ** (gain / 20):
        return count, Reason.TOO_QUIET, f"{to_seconds(count) / 3600:.2f} h without a sample over -80 dBFS"
    return None


def _over_long(upload: Upload, samples: Samples, source: Source, settings: Settings) -> Decoded:
    detail = f"{to_seconds(samples) / 3600:.2f} h, decode.max_hours is {settings.max_hours:g}"
    return _filtered(upload, samples, Reason.OVER_LONG, detail, source)


def _filtered(upload: Upload, samples: Samples, reason: Reason, detail: str, source: Source | None = None) -> Decoded:
    no = {"outcome": Outcome.FILTERED, "reason": reason.value, "detail": detail}
    return _row(upload, source or upload, samples, pcm="", **no)


def run(
    inputs: Inputs, settings: Settings, fetch: Callable[[Upload], Path] | None
) -> Iterator[Audio | Discard | Decoded | Failure]:
    """Decode every upload of the batch, one after the other; `fetch` returns the path of its bytes on this machine.

    Samples stream, so an error may come after some of them: readers of the audio must go by the rows.
    """
    for upload in inputs.batch.uploads:
        try:
            if fetch is None:
                raise OSError("no inbox to fetch it from")
            yield from decode(fetch(upload), upload, settings)
        except OSError as error:
            yield Failure(upload.sha256, f"cannot fetch {upload.path}: {error}"[:500], reason=Reason.UNREADABLE)
        except MemoryError:
            raise
        except Exception as error:  # an error of any decoder ends one upload, not the batch
            yield Failure(upload.sha256, f"{type(error).__name__}: {error}"[:500])


STAGE = Stage(
    name="decode",
    version=VERSION,
    settings=Settings,
    needs=(),
    row=Decoded,
    run_in=lambda inputs, settings, context: run(inputs, settings, context.fetch),
)

"""denoise: remove steady noise from each kept segment, with the profile of the upload's own non-speech.

Method: the stationary spectral gate of noisereduce (`model/audio/noise_gate.py`, 1,100 times real time; `engine =
"noisereduce"` calls the library itself with the same profile, 150 times). The profile comes from the silence
of `slice`, up to `max_noise_s` of it, from the middle of the pauses; in an upload with less than `min_noise_s` of it
(digital silence does not count), from the quietest tenth of the frames of its segments. A segment is gated only when
its estimated signal-to-noise ratio is under `max_snr_db`, the more the lower it is; else its samples are unchanged.

SNR = 10 log10((P - N) / N): P the mean square of the segment, N that of the upload's noise, both in frames of 32 ms
with DC taken out. Correct on average for a steady noise that is also present in the pauses; blind to one that was gated
there.
"""

from collections.abc import Iterator
from functools import partial
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from voicemill.model.audio.noise_gate import (
    CONTEXT,
    FRAME,
    HOP,
    Noise,
    frames_of,
    gate,
    learn,
    powers,
    snr_db,
    sounding,
)
from voicemill.storage.corpus.artifacts import Wave, Waves
from voicemill.storage.outcomes import Failure, Outcome
from voicemill.storage.records import Denoised, Segment
from voicemill.storage.units import RATE, Decibels, Samples, Seconds, to_samples
from voicemill.tasks.contract.stage import Audio, Inputs, Stage, StageSettings, guarded

VERSION = 1

_NOTHING = np.empty((0, FRAME), np.float32)
_PAUSE: Samples = 3 * RATE
"""Most samples of one pause that count, so that a long pause does not dominate the profile."""
_QUIETEST = 0.1
_SURVEY: Samples = 60 * RATE
"""Samples of segments in which the quietest frames are searched."""


class Settings(StageSettings):
    """Engine and strength of the noise gate, and the source of the noise profile."""

    engine: Literal["gate", "noisereduce", "off"] = "gate"
    """`gate` = noisereduce's method in our arithmetic; `noisereduce` = the library; `off` = estimate the SNR only."""
    max_snr_db: Decibels = Field(30.0, ge=-20.0, le=100.0)
    """dB. Segments at or above it are unchanged."""
    full_snr_db: Decibels = Field(10.0, ge=-20.0, le=100.0)
    """dB. At or under it the gate has its full strength, which falls to zero at `max_snr_db`: at full strength it
    removes more speech than noise from 20 dB on (SI-SDR -1.1 dB at 20; with the slope +0.9, at 25 +0.4)."""
    strength: float = Field(0.9, gt=0.0, le=1.0)
    """Share of the noise to remove, 0..1; 1 leaves holes between the words, 0.9 a floor 20 dB under the noise."""
    deviations: float = Field(1.5, ge=0.0, le=5.0)
    """Standard deviations over the mean noise level from which a bin is signal; noisereduce's default."""
    min_noise_s: Seconds = Field(0.5, gt=0.0, le=10.0)
    """Seconds of non-speech needed for a profile; with less, the quietest frames of the segments are used."""
    max_noise_s: Seconds = Field(30.0, gt=0.0, le=600.0)
    """Most seconds of non-speech read for the profile."""

    @model_validator(mode="after")
    def _ordered(self) -> "Settings":
        if self.max_noise_s < self.min_noise_s:
            raise ValueError(
                f"denoise.max_noise_s ({self.max_noise_s}) is under denoise.min_noise_s ({self.min_noise_s})"
            )
        if self.max_snr_db <= self.full_snr_db:
            raise ValueError(
                f"denoise.max_snr_db ({self.max_snr_db}) must be over denoise.full_snr_db ({self.full_snr_db})"
            )
        return self


def spans_of_noise(silences: list[Segment], most: Samples) -> list[tuple[Samples, Samples]]:
    """Spans [start, stop) of about `most` samples of non-speech: the middle of every n-th pause."""
    spans = []
    for row in silences:
        length = min(row.stop - row.start, _PAUSE)
        start = (row.start + row.stop - length) // 2
        if length >= FRAME:
            spans.append((start, start + length))
    total = sum(stop - start for start, stop in spans)
    return spans[:: max(-(-total // most), 1)]


def noise_of(waves: Waves, upload: str, rows: list[Segment], settings: Settings) -> Noise | None:
    """Noise profile of one upload from its slices; None if there is only digital silence."""
    silences = [row for row in rows if row.outcome is Outcome.SILENCE]
    spans = spans_of_noise(silences, to_samples(settings.max_noise_s))
    frames = np.concatenate([_NOTHING, *(frames_of(waves.read(upload, -1, *span)) for span in spans)])
    noise = learn(frames, settings.deviations)
    if noise is not None and noise.frames * HOP >= to_samples(settings.min_noise_s):
        return noise
    return learn(_quietest(waves, upload, rows), settings.deviations)


def _quietest(waves: Waves, upload: str, rows: list[Segment]) -> NDArray[np.float32]:
    """The quietest tenth of the frames in the first minute of segments, without digital silence."""
    parts, remaining = [_NOTHING], _SURVEY
    for row in rows:
        if row.outcome is Outcome.KEPT and remaining > 0:
            parts.append(sounding(frames_of(waves.read(upload, -1, row.start, min(row.stop, row.start + remaining)))))
            remaining -= row.stop - row.start
    frames = np.concatenate(parts)
    order = np.argsort(powers(frames), kind="stable")
    return frames[np.sort(order[: round(len(frames) * _QUIETEST)])]


def denoise_segment(waves: Waves, row: Segment, noise: Noise | None, settings: Settings) -> tuple[Denoised, Wave]:
    """Row and samples of one segment; their number does not change.

    The gate reads 80 ms of the upload on either side, so that a segment does not start or end with half a mask.
    """
    wave = waves.read(row.upload, -1, row.start, row.stop)
    ratio = snr_db(wave, noise)
    if noise is None or settings.engine == "off" or ratio >= settings.max_snr_db:
        return Denoised(row.upload, row.index, ratio, False), wave
    start = max(row.start - CONTEXT, 0)
    around = waves.read(row.upload, -1, start, min(row.stop + CONTEXT, waves.samples(row.upload)))
    slope = (settings.max_snr_db - ratio) / (settings.max_snr_db - settings.full_snr_db)
    out = _ENGINES[settings.engine](around, noise.threshold, settings.strength * min(slope, 1.0))
    return Denoised(row.upload, row.index, ratio, True), out[row.start - start :][: row.stop - row.start]


def _library(wave: Wave, threshold: NDArray[np.float32], strength: float) -> Wave:
    """Gate of the library noisereduce, with our profile."""
    from noisereduce.spectralgate.stationary import SpectralGateStationary

    sg = SpectralGateStationary(
        y=wave, sr=RATE, y_noise=wave[:FRAME], n_std_thresh_stationary=0.0, chunk_size=None, padding=CONTEXT,
        clip_noise_stationary=False, n_fft=FRAME, win_length=None, hop_length=HOP, time_constant_s=0.0,
        freq_mask_smooth_hz=500, time_mask_smooth_ms=50, tmp_folder=None, prop_decrease=strength, use_tqdm=False,
        n_jobs=1,
    )  # fmt: skip
    sg.noise_thresh = 10.0 * np.log10(threshold.astype(np.float64))
    out: Wave = sg.get_traces()
    return out


_ENGINES = {"gate": gate, "noisereduce": _library}


def run(inputs: Inputs, settings: Settings) -> Iterator[Denoised | Audio | Failure]:
    """Yield for each kept segment its row, then its samples."""
    rows = inputs.rows("slice", Segment)
    if not any(row.outcome is Outcome.KEPT for row in rows):
        return
    waves = inputs.waves("decode")
    for upload, group in groupby(rows, key=lambda row: row.upload):
        own = list(group)
        if any(row.outcome is Outcome.KEPT for row in own):
            yield from _upload(waves, upload, own, settings)


def _upload(waves: Waves, upload: str, rows: list[Segment], settings: Settings) -> Iterator[Denoised | Audio | Failure]:
    (noise,) = guarded(upload, lambda: [noise_of(waves, upload, rows, settings)])
    if isinstance(noise, Failure):
        yield noise
        return
    for row in rows:
        if row.outcome is Outcome.KEPT:
            yield from guarded(upload, partial(_segment, waves, row, noise, settings), row.index)


def _segment(waves: Waves, row: Segment, noise: Noise | None, settings: Settings) -> list[Denoised | Audio]:
    done, wave = denoise_segment(waves, row, noise, settings)
    if len(wave) != row.stop - row.start or not np.isfinite(wave).all():
        raise ValueError(f"segment {row.index}: {len(wave)} of {row.stop - row.start} samples, or some not finite")
    return [done, Audio(row.upload, row.index, wave)]


STAGE = Stage(name="denoise", version=VERSION, settings=Settings, needs=("decode", "slice"), row=Denoised, run=run)

"""screen: score each segment, and filter what no voice should be trained on. All scores are stored.

All scores are of the original, not of the prepared waveform: the noise gate of `denoise` removes what the screen must
find (noises against speech: AUC of entropy 0.93 on the original, 0.87 on the gated signal), and a gain hides
clipping.

- Spectral entropy: per frame, over 80 mel bands, in bits, averaged over the active frames (`model/audio/spectrum.py`).
  The default band was calibrated on real speech against noises, tones and music by `tests/bench/screen.py`: it keeps
  99.4 % of the speech, and lets through 13 % of the tones, 20 % of the hisses, 37 % of everyday noises and 62 % of
  music. It removes tones, beeps, hiss and engines; sounds with a spectrum as uneven as a voice (hens, dishes, a guitar)
  pass.
- Clipping: share of samples where the wave is flat at its own extremes, at any level and in any of the channels that
  were used, as `decode` counts them at the rate of the file (`storage/audio/signal/clipping.py`).
- SNR: the estimate of `denoise`, over the noise of the whole upload, right to 1 dB for a steady noise and wrong by up
  to 50 for one that comes and goes; where `quality`, which estimates it from the segment itself and is right to 3 to 7
  dB, is more than 10 dB off, its estimate counts. On everyday noises the worst tenth of the errors begins at 13.5 dB
  instead of 21.7 (`tests/bench/quality.py`).
- Speech, music, reverberation: as `quality` estimates them; without its measures these rules say nothing.
- Effective bandwidth: where the long-term spectrum falls 65 dB under its maximum; at most half the rate of the file.

Segments that `loudness` filtered are not scored. The reason is the first failed rule in the order above.
Cost: 3,000 times real time.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from pydantic import Field, model_validator

from voicemill.model.audio.spectrum import active, bandwidth, entropy, power_of, without_hum
from voicemill.storage.corpus.artifacts import Wave, Waves
from voicemill.storage.outcomes import Failure, Outcome, Reason
from voicemill.storage.records import Decoded, Denoised, Levelled, Quality, Screened
from voicemill.storage.units import RATE, Bits, Decibels, Hertz, Samples, to_seconds
from voicemill.tasks.contract.stage import Inputs, Stage, StageSettings, guarded

VERSION = 3

_TENTH: Samples = RATE // 10

FAR_DB: Decibels = 10.0
SURE_OF_SPEECH = 0.5


class Settings(StageSettings):
    """Bounds of the scores. A segment exactly on a bound passes."""

    min_entropy: Bits = Field(2.6, ge=0.0, le=6.33)
    """Bits, 0 to 6.32 = log2(80). Tones and beeps lie below it, and 0.2 % of real speech."""
    max_entropy: Bits = Field(4.5, ge=0.0, le=6.33)
    """Bits. Hiss, engines and applause lie above it, and 0.4 % of real speech."""
    max_clipped: float = Field(0.001, ge=0.0, le=1.0)
    """Share of clipped samples, 0 to 1. One in a thousand is audible; 99.9 % of real recordings have fewer."""
    min_snr_db: Decibels = Field(5.0, ge=-20.0, le=100.0)
    """dB, as `denoise` estimates it on the original. Below it a noise gate removes as much speech as noise: speech over
    music or babble of nearly its own level. Near-field recordings have 20 to 60."""
    min_speech: float = Field(0.02, ge=0.0, le=1.0)
    """Least probability of speech. Below it there is music or noise without a voice; whispers have 0.05 and more."""
    max_music: float = Field(0.9, ge=0.0, le=1.0)
    """Highest probability of music. Above it there is a music bed under the voice, or music alone. Clean recordings
    reach 0.2, a synthetic voice over mains hum 0.82; from 0.5 on the tier is C (`shards.tiers`)."""
    min_c50_db: Decibels = Field(-5.0, ge=-100.0, le=100.0)
    """dB of clarity. Below it the voice stands at the other end of a hall."""
    min_bandwidth_hz: Hertz = Field(7000.0, ge=0.0, le=16000.0)
    """Hz. Telephone speech has 3,400 to 4,000, and so has a voice that is trained on it. 0 lets everything pass."""

    @model_validator(mode="after")
    def _a_band(self) -> "Settings":
        if self.min_entropy >= self.max_entropy:
            raise ValueError(
                f"screen.min_entropy ({self.min_entropy}) must be under screen.max_entropy ({self.max_entropy})"
            )
        return self


def clipped_share(decoded: Decoded, start: Samples, stop: Samples) -> float:
    """Share of clipped samples in [start, stop) of an upload; of a tenth of a second the part that is inside counts."""
    seconds = 0.0
    for number, clipped in zip(decoded.clipped_at, decoded.clipped_s, strict=True):
        first = number * _TENTH
        inside = min(first + _TENTH, stop) - max(first, start)
        seconds += clipped * max(inside, 0) / _TENTH
    return seconds / max(to_seconds(stop - start), 1e-9)


def screen_segment(
    wave: Wave, row: Denoised, rate: int, settings: Settings, quality: Quality | None = None, clipped: float = 0.0
) -> Screened:
    """Scores and outcome of one segment, from its original samples.

    Args:
        rate: of the file, Hz; 0 = unknown.
        clipped: share of its samples that are clipped.
    """
    power = power_of(wave)
    loud = active(power)
    cleaned = without_hum(power, loud)
    bits, quiet = entropy(loud), loud
    if cleaned is not power:  # harmonics of a hum spread its power: of the two, the voice has the larger
        quiet = active(cleaned)
        bits = max(bits, entropy(quiet))
    share, width = clipped, bandwidth(quiet)
    width = min(width, rate / 2) if rate else width
    measures = quality or Quality(upload=row.upload, index=row.index, engine="none")
    snr = best_snr(row.snr_db, measures)
    rules = (
        (bits < settings.min_entropy, Reason.ENTROPY_LOW, bits, settings.min_entropy),
        (bits > settings.max_entropy, Reason.ENTROPY_HIGH, bits, settings.max_entropy),
        (share > settings.max_clipped, Reason.CLIPPED, share, settings.max_clipped),
        (_under(measures.speech, settings.min_speech), Reason.NOT_SPEECH, measures.speech, settings.min_speech),
        (_under(settings.max_music, measures.music), Reason.MUSIC, measures.music, settings.max_music),
        (snr < settings.min_snr_db, Reason.NOISY, snr, settings.min_snr_db),
        (_under(measures.c50_db, settings.min_c50_db), Reason.REVERBERANT, measures.c50_db, settings.min_c50_db),
        (width < settings.min_bandwidth_hz, Reason.NARROWBAND, width, settings.min_bandwidth_hz),
    )
    screened = Screened(
        upload=row.upload,
        index=row.index,
        entropy=bits,
        snr_db=snr,
        clipped=share,
        bandwidth_hz=width,
        outcome=Outcome.KEPT,
    )
    for broken, reason, score, threshold in rules:
        if broken:
            return replace(screened, outcome=Outcome.FILTERED, reason=reason.value, score=score, threshold=threshold)
    return screened


def best_snr(over_upload: Decibels, measures: Quality) -> Decibels:
    """SNR of a segment: over the noise of its upload, or, where the two are far apart, that of the segment itself.

    Where `quality` hears no voice (a whisper sounds like noise), its SNR says nothing.
    """
    own = measures.snr_db
    if own is None or abs(own - over_upload) <= FAR_DB or _under(measures.speech, SURE_OF_SPEECH):
        return over_upload
    return own


def _under(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low < high


def run(inputs: Inputs, settings: Settings) -> Iterator[Screened | Failure]:
    """Yield a row for each segment that `loudness` kept."""
    files = {row.upload: row for row in inputs.rows("decode", Decoded)}
    places = {(row.upload, row.index): (row.start, row.stop) for row in inputs.segments()}
    loud = {(row.upload, row.index) for row in inputs.rows("loudness", Levelled) if row.outcome is Outcome.KEPT}
    rows = [row for row in inputs.rows("denoise", Denoised) if (row.upload, row.index) in loud]
    if not rows:
        return
    waves, measured = inputs.waves("decode"), {(row.upload, row.index): row for row in inputs.rows("quality", Quality)}
    for row in rows:
        name = row.upload, row.index
        if name in measured:  # else `quality` has failed on it, and the verdict says so
            work = partial(_one, waves, row, places[name], files[row.upload], settings, measured[name])
            yield from guarded(row.upload, work, row.index)


def _one(
    waves: Waves, row: Denoised, span: tuple[int, int], decoded: Decoded, settings: Settings, quality: Quality
) -> list[Screened]:
    wave, clipped = waves.read(row.upload, -1, *span), clipped_share(decoded, *span)
    return [screen_segment(wave, row, decoded.rate, settings, quality, clipped)]


STAGE = Stage(
    name="screen",
    version=VERSION,
    settings=Settings,
    needs=("decode", "slice", "denoise", "loudness", "quality"),
    row=Screened,
    run=run,
)

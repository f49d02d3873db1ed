"""f0: fundamental frequency of every kept segment, on a 10 ms grid.

What: float16 [frames, 1] in Hz, 0 = unvoiced; frame i is centred on sample 320 i + 160, two over each frame of `mel`.
Method: SwiftF0 (arXiv 2508.18440), a small network whose weights are in its wheel. Of the engines compared in
`tests/bench/f0.py` it makes the fewest errors in noise, and runs at 380 x real time on one core with bfloat16, faster
in int8. `autocorrelation` (Boersma 1993) runs at 650 x and is as good on clean speech, but takes more of the noise for
voiced.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from pydantic import model_validator

from voicemill.model.pitch.engines import ENGINES, EngineName, Precision, tracker, weights_file
from voicemill.storage.outcomes import Failure
from voicemill.storage.records import Feature, Screened
from voicemill.storage.units import Hertz
from voicemill.tasks.contract.prepared import Prepared, kept_segments
from voicemill.tasks.contract.stage import Inputs, Stage, StageSettings, guarded_groups
from voicemill.tasks.stages.mel import feature_row

VERSION = 2

GROUP = 64
"""Segments tracked in one call: the path searches of `autocorrelation` run in lockstep."""


class Settings(StageSettings):
    """Engine, and range of voices."""

    engine: EngineName = "swift"
    """swift, autocorrelation, pyin; harvest and dio (pyworld) and fcpe (torchfcpe) need the extra `compare`.
    Default: the best of the benchmark."""
    fmin: Hertz = 60.0
    """Lowest F0, Hz, 47 to 400. Default: below the deepest speaking voices (about 70 Hz)."""
    fmax: Hertz = 800.0
    """Highest F0, Hz, 100 to 2000. Default: above excited and children's speech (about 600 Hz)."""
    threshold: float | None = None
    """Confidence of the engine from which a frame is voiced, 0 to 1. Default: the engine's own (swift 0.5,
    autocorrelation 0.34, fcpe 0.006); pyin, harvest and dio decide by themselves."""
    precision: Precision = "auto"
    """Precision of swift; auto: int8 where the CPU multiplies bytes, else bfloat16 where it is the faster one."""

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if not 47 <= self.fmin <= 400:
            raise ValueError(f"f0.fmin = {self.fmin}: give 47 to 400 Hz")
        if not 100 <= self.fmax <= 2000:
            raise ValueError(f"f0.fmax = {self.fmax}: give 100 to 2000 Hz")
        if self.fmax < 1.5 * self.fmin:
            raise ValueError(f"f0.fmax = {self.fmax} must be at least 1.5 times f0.fmin = {self.fmin}")
        if self.threshold is not None:
            if not 0 < self.threshold < 1:
                raise ValueError(f"f0.threshold = {self.threshold}: give a value between 0 and 1")
            if not ENGINES[self.engine].takes_threshold:
                raise ValueError(f"f0.threshold has no meaning for f0.engine = {self.engine!r}: leave it out")
        if self.precision != "auto" and not ENGINES[self.engine].takes_precision:
            raise ValueError(f"f0.precision has no meaning for f0.engine = {self.engine!r}: leave it out")
        return self


def run(inputs: Inputs, settings: Settings) -> Iterator[Feature | Failure]:
    """One `Feature` for each kept segment, in their order."""
    rows, waves = kept_segments(inputs), Prepared(inputs)
    options = (settings.engine, settings.fmin, settings.fmax, settings.threshold, settings.precision)
    engine = inputs.model(("f0", *models(settings).values(), *options), lambda: tracker(*options))

    def track(group: Sequence[Screened]) -> Iterable[Feature]:
        segments = [waves.read(row.upload, row.index) for row in group]
        if not all(np.isfinite(wave).all() for wave in segments):
            raise ValueError("the prepared waveform is not finite")
        paths = engine.track(segments)
        return [feature_row(row.upload, row.index, path[:, None]) for row, path in zip(group, paths, strict=True)]

    yield from guarded_groups(rows, track, GROUP)


def models(settings: Settings) -> Mapping[str, str]:
    """Digest of the engine's weights, if it has any."""
    from voicemill.model.hub import digest_of

    file = weights_file(settings.engine)
    return {"f0.engine": digest_of(file)} if file else {}


STAGE = Stage(
    name="f0",
    version=VERSION,
    settings=Settings,
    needs=("denoise", "loudness", "screen"),
    row=Feature,
    run=run,
    models=models,
    feature_table=lambda settings: "f0",
)

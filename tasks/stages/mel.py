"""mel: log-mel spectrogram of every kept segment, as training reads it.

What: `model.audio.mel` on the prepared waveform (denoised and levelled), float16 [frames, 128], 50 frames a second.
Cost: about 2,000 x real time on one core. The definition has no settings: the s2 checkpoints expect exactly this one.
Source: ../shared/gptsovits/SPEC.md 3 describes the features of GPT-SoVITS v2.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from voicemill.storage.corpus.tensors import encode
from voicemill.storage.outcomes import Failure
from voicemill.storage.records import Feature
from voicemill.tasks.contract.prepared import Prepared, kept_segments
from voicemill.tasks.contract.stage import Inputs, Stage, StageSettings, guarded

VERSION = 1


class Settings(StageSettings):
    """No settings: another mel would need another model."""


def feature_row(upload: str, index: int, frames: NDArray[np.floating]) -> Feature:
    """Row of a feature matrix, float [frames, dims].

    Raises ValueError where float16 cannot hold a value (NaN, infinite, beyond 65504).
    """
    data = frames.astype(np.float16)
    if not np.isfinite(data).all():
        bad = int((~np.isfinite(data)).sum())
        raise ValueError(f"{bad} of {data.size} values are not finite in float16")
    return Feature(upload=upload, index=index, frames=data.shape[0], dims=data.shape[1], data=encode(data))


def run(inputs: Inputs, settings: Settings) -> Iterator[Feature | Failure]:
    """One `Feature` for each kept segment, in their order."""
    from voicemill.model.audio.mel import LogMel

    compute, waves = LogMel(), Prepared(inputs)
    for row in kept_segments(inputs):

        def work(upload: str = row.upload, index: int = row.index) -> Iterable[Feature]:
            return [feature_row(upload, index, compute.frames(waves.read(upload, index)))]

        yield from guarded(row.upload, work, row.index)


STAGE = Stage(
    name="mel",
    version=VERSION,
    settings=Settings,
    needs=("denoise", "loudness", "screen"),
    row=Feature,
    run=run,
    feature_table=lambda settings: "mel",
)

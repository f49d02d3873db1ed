"""What the later stages read: the prepared waveform of a segment, and which segments are still in.

`denoise` stores a segment's samples once, before the gain; `loudness` stores the gain alone. `content`, `f0`, `mel`,
`screen` and `shards` read `gain * samples` through here, so that a new loudness target writes no audio anew.
A stage that uses `Prepared` needs `denoise` and `loudness`; one that uses `kept_segments` needs `screen`.
"""

from functools import cached_property

import numpy as np

from voicemill.storage.corpus.artifacts import Wave, Waves
from voicemill.storage.outcomes import Outcome
from voicemill.storage.records import Levelled, Screened
from voicemill.tasks.contract.stage import Inputs


class Prepared:
    """The prepared waveforms of the uploads at hand, one segment at a time; closed with its `inputs`."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs

    @cached_property
    def _gains(self) -> dict[tuple[str, int], np.float32]:
        rows = self._inputs.rows("loudness", Levelled)
        return {(row.upload, row.index): amplitude(row.gain_db) for row in rows}

    @cached_property
    def _waves(self) -> Waves:
        # opened at the first read: a batch without one segment has no audio file
        return self._inputs.waves("denoise")

    def read(self, upload: str, index: int) -> Wave:
        """float32 [samples], 32 kHz, of one segment: denoised and levelled; the caller's own copy.

        The samples are exactly those of the segment. Raises KeyError for a segment that `loudness` has no row of.
        """
        return self._gains[upload, index] * self._waves.read(upload, index)


def kept_segments(inputs: Inputs) -> list[Screened]:
    """The segments that passed `screen`, in the order of the uploads in the batch and of time in each."""
    place = {upload.sha256: number for number, upload in enumerate(inputs.batch.uploads)}
    rows = [row for row in inputs.rows("screen", Screened) if row.outcome is Outcome.KEPT]
    return sorted(rows, key=lambda row: (place[row.upload], row.index))


def amplitude(gain_db: float) -> np.float32:
    """dB to the factor on float32 samples: one rounding, the same in every stage."""
    return np.float32(10.0 ** (gain_db / 20.0))

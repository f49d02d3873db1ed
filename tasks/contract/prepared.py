"""Inputs of the later stages: the prepared waveform of a segment, and the segments that are still kept.

`denoise` stores a segment's samples before the gain, `loudness` stores only the gain. Later stages read the product
here, so that a new loudness target writes no new audio. A stage that uses `Prepared` needs `denoise` and `loudness`;
one that uses `kept_segments` needs `screen`.
"""

from functools import cached_property

import numpy as np

from voicemill.storage.corpus.artifacts import Wave, Waves
from voicemill.storage.outcomes import Outcome
from voicemill.storage.records import Levelled, Screened
from voicemill.tasks.contract.stage import Inputs


class Prepared:
    """Prepared waveforms, one segment at a time; closed with its `inputs`."""

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
        """Waveform of one segment, float32 [samples], 32 kHz: denoised and levelled; the caller may change it.

        It has exactly the length of the segment. Raises KeyError for a segment without a row of `loudness`.
        """
        return self._gains[upload, index] * self._waves.read(upload, index)


def kept_segments(inputs: Inputs) -> list[Screened]:
    """Segments that passed `screen`, in the order of the uploads in the batch, then of time."""
    place = {upload.sha256: number for number, upload in enumerate(inputs.batch.uploads)}
    rows = [row for row in inputs.rows("screen", Screened) if row.outcome is Outcome.KEPT]
    return sorted(rows, key=lambda row: (place[row.upload], row.index))


def amplitude(gain_db: float) -> np.float32:
    """Factor on float32 samples for a gain in dB, rounded alike in every stage."""
    return np.float32(10.0 ** (gain_db / 20.0))

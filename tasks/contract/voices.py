"""Comparison of the segments of a batch with the voice of their speaker, enrolled from the speaker's first batches."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicemill.model.speaker.comparison import enrol, spread_evenly, unit
from voicemill.storage.corpus.tensors import decode
from voicemill.storage.outcomes import Outcome
from voicemill.storage.records import Voice
from voicemill.storage.units import Seconds
from voicemill.tasks.contract.stage import Inputs, RunContext

LEAST_S: Seconds = 20.0
"""Speech of a reference, without the segment that is compared with it. With less, nobody is judged."""
LEAST_SEGMENTS = 3
"""The same in segments: of two that differ nobody can tell which one is the speaker's."""


@dataclass(frozen=True)
class Similarity:
    """Cosine of a segment to its speaker's reference, and the least that counts as the same voice."""

    value: float
    threshold: float

    @property
    def is_other(self) -> bool:
        """Whether it is the voice of another speaker."""
        return self.value < self.threshold


def vector(row: Voice) -> NDArray[np.float32]:
    """float32 [256], length 1."""
    return unit(decode(row.data, row.frames, row.dims)[0].astype(np.float32))


def compare_voices(inputs: Inputs, context: RunContext) -> dict[tuple[str, int], Similarity]:
    """(upload, index) -> similarity, for every segment whose speaker has enough other speech; else nothing."""
    members: dict[str, list[Voice]] = defaultdict(list)
    for enrolment in context.enrolments:
        if artifact := context.voices.get(enrolment.key):
            rows = artifact.rows(Voice)
            own = set(enrolment.uploads)
            members[enrolment.speaker] += [r for r in rows if r.upload in own and r.outcome is Outcome.KEPT]
    speakers = {upload.sha256: upload.speaker for upload in inputs.batch.uploads}
    batch: dict[str, list[Voice]] = defaultdict(list)
    for row in inputs.rows("speaker", Voice):
        batch[speakers[row.upload]].append(row)
    result: dict[tuple[str, int], Similarity] = {}
    for speaker, rows in batch.items():
        result |= _compare(members[speaker], rows)
    return result


def _compare(members: list[Voice], rows: list[Voice]) -> dict[tuple[str, int], Similarity]:
    chosen = [members[at] for at in spread_evenly(len(members))]
    if len(chosen) <= LEAST_SEGMENTS:
        return {}
    reference, alone = enrol(np.stack([vector(row) for row in chosen]), [row.seconds for row in chosen])
    inside = {(row.upload, row.index): float(value) for row, value in zip(chosen, alone, strict=True)}
    result = {}
    for row in rows:
        name = (row.upload, row.index)
        own = (row.seconds, 1) if name in inside else (0.0, 0)
        if reference.seconds - own[0] >= LEAST_S and reference.segments - own[1] >= LEAST_SEGMENTS:
            value = inside[name] if name in inside else float(vector(row) @ reference.vector)
            result[name] = Similarity(value, reference.typical - row.margin)
    return result
